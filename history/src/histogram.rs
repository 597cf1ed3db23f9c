//! How often intervals of each length occurred.

/// A log-linear histogram of intervals in nanoseconds: eight buckets for each power of two, so
/// that a length read from it is wrong by at most 6 %.
///
/// ```
/// use varta_history::Histogram;
///
/// let mut intervals = Histogram::default();
/// intervals.add(100_000_000, 990);
/// intervals.add(2_000_000_000, 10);
/// let median = intervals.quantile(0.5).unwrap();
/// assert!(median.abs_diff(100_000_000) <= 6_000_000);
/// assert!(intervals.quantile(1.0).unwrap() > 1_880_000_000);
/// assert_eq!(intervals.count(), 1_000);
/// ```
#[derive(Debug, Default, Clone)]
pub struct Histogram {
    /// By bucket, up to the last one that was ever counted.
    counts: Vec<u64>,
}

/// Buckets for each power of two.
const STEPS: u64 = 8;

/// Below this, each length has a bucket of its own.
const EXACT: u64 = STEPS;

impl Histogram {
    /// The number of buckets that a histogram can have.
    pub const BUCKETS: usize = 496;

    /// The bucket of a length.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a bucket is below 496")]
    pub const fn bucket(ns: u64) -> usize {
        if ns < EXACT {
            return ns as usize;
        }
        let power = ns.ilog2();
        let step = (ns >> (power - 3)) % STEPS;
        (((power - 2) as u64) * STEPS + step) as usize
    }

    /// The shortest length in a bucket, and the shortest one in the next.
    #[must_use]
    pub const fn bounds(bucket: usize) -> (u64, u64) {
        let bucket =
            if bucket < Self::BUCKETS { bucket as u64 } else { Self::BUCKETS as u64 - 1 };
        if bucket < EXACT {
            return (bucket, bucket + 1);
        }
        let shift = bucket / STEPS - 1;
        let from = (STEPS + bucket % STEPS) << shift;
        (from, from.saturating_add(1 << shift))
    }

    /// The length that a bucket is read as. It differs from each length in the bucket by at
    /// most 6 % of that length.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a mean is between its bounds")]
    pub const fn middle(bucket: usize) -> u64 {
        let (from, to) = Self::bounds(bucket);
        if from < EXACT {
            return from;
        }
        // The harmonic mean differs from both bounds by the same part of them.
        let (from, to) = (from as u128, to as u128);
        (from + from * (to - from) / (from + to)) as u64
    }

    /// An empty histogram that never allocates when something is added.
    #[must_use]
    pub fn with_room() -> Self {
        Self { counts: vec![0; Self::BUCKETS] }
    }

    /// Adds intervals of a length.
    pub fn add(&mut self, ns: u64, count: u64) {
        self.add_to(Self::bucket(ns), count);
    }

    fn add_to(&mut self, bucket: usize, count: u64) {
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(sum) = self.counts.get_mut(bucket) {
            *sum = sum.saturating_add(count);
        }
    }

    /// Adds what another histogram has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.counted() {
            self.add_to(bucket, count);
        }
    }

    /// The buckets that are not empty, and their counts.
    pub fn counted(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// How many intervals were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counted().next().is_none()
    }

    /// Forgets all counts, and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// The length that this part of the intervals does not exceed: 0.5 for the median, 1 for the
    /// longest. `None` if nothing was counted.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * part.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut sum = 0u64;
        let reached = self.counted().find(|(_, count)| {
            sum = sum.saturating_add(*count);
            sum >= wanted
        });
        let last = || self.counted().last();
        reached.or_else(last).map(|(bucket, _)| Self::middle(bucket))
    }
}

/// Equal if the same was counted.
impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.counted().eq(other.counted())
    }
}

impl Eq for Histogram {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_hole() {
        let mut next = 0;
        for bucket in 0..Histogram::BUCKETS {
            let (from, to) = Histogram::bounds(bucket);
            assert_eq!(from, next);
            assert_eq!(Histogram::bucket(from), bucket);
            assert_eq!(Histogram::bucket(to - 1), bucket);
            next = to;
        }
        assert_eq!((next, Histogram::bucket(u64::MAX)), (u64::MAX, Histogram::BUCKETS - 1));
    }

    #[test]
    fn a_length_is_wrong_by_at_most_6_percent() {
        for bucket in 0..Histogram::BUCKETS {
            let (from, to) = Histogram::bounds(bucket);
            let middle = Histogram::middle(bucket);
            for length in [from, to - 1] {
                let wrong = middle.abs_diff(length) as f64;
                assert!(wrong <= length as f64 * 0.06, "{length} is read as {middle}");
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for length in 1..=4 {
            histogram.add(length, 1);
        }
        let quantiles = [0.0, 0.25, 0.26, 0.5, 0.99, 1.0].map(|part| histogram.quantile(part));
        assert_eq!(quantiles, [1, 1, 2, 2, 4, 4].map(Some));
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!((twice.count(), twice.quantile(0.5)), (8, Some(2)));
        twice.clear();
        assert!(twice.is_empty() && twice == Histogram::with_room());
    }
}
