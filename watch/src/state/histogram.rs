//! Histograms of durations.

/// Bucket bounds in nanoseconds for the daemon's own latencies, as in varta-watch 0.2.
pub(crate) const LATENCIES: [u64; 8] = [
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];

/// Bucket bounds in nanoseconds for the time between two beats of an agent.
pub(crate) const INTERVALS: [u64; 12] = [
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// The bounds by which the scrape of a fleet shows these times. Each is one of [`INTERVALS`].
pub(crate) const FLEET_INTERVALS: [u64; 8] = [
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Counts by bound. A value is counted at the first bound that it does not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Histogram<const N: usize> {
    counts: [u64; N],
    above: u64,
    sum_ns: u64,
}

pub(crate) type Latencies = Histogram<{ LATENCIES.len() }>;
pub(crate) type Intervals = Histogram<{ INTERVALS.len() }>;

impl<const N: usize> Histogram<N> {
    pub(crate) const EMPTY: Self = Self { counts: [0; N], above: 0, sum_ns: 0 };

    pub(crate) fn note(&mut self, bounds: &[u64; N], ns: u64) {
        self.note_many(bounds, ns, 1);
    }

    /// Adds this many values with this sum, each as if it were their mean.
    pub(crate) fn note_many(&mut self, bounds: &[u64; N], sum_ns: u64, values: u64) {
        let Some(mean) = sum_ns.checked_div(values) else { return };
        self.sum_ns = self.sum_ns.saturating_add(sum_ns);
        match bounds.iter().position(|bound| mean <= *bound) {
            Some(at) => {
                self.counts.iter_mut().skip(at).take(1).for_each(|count| *count += values);
            }
            None => self.above += values,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.above += other.above;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// Removes values that were added before.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (count, less) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_sub(less);
        }
        self.above = self.above.saturating_sub(other.above);
        self.sum_ns = self.sum_ns.saturating_sub(other.sum_ns);
    }

    /// The same values counted by other bounds. Each has to be a bound of this histogram, and
    /// the values above the last one are counted above all.
    pub(crate) fn with_bounds<const M: usize>(
        &self,
        bounds: &[u64; N],
        wanted: &[u64; M],
    ) -> Histogram<M> {
        let mut coarse =
            Histogram::<M> { above: self.above, sum_ns: self.sum_ns, ..Histogram::EMPTY };
        for (count, bound) in self.counts.iter().zip(bounds) {
            let at = wanted.iter().position(|wanted| bound <= wanted);
            *at.and_then(|at| coarse.counts.get_mut(at)).unwrap_or(&mut coarse.above) += count;
        }
        coarse
    }

    /// The number of values that do not exceed each bound, smallest bound first.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = u64> + '_ {
        self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }

    pub(crate) const fn sum_ns(&self) -> u64 {
        self.sum_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_its_bound_and_all_larger_ones() {
        let mut times = Latencies::EMPTY;
        for ns in [0, 1_000_000, 1_000_001, 1_000_000_000, 1_000_000_001] {
            times.note(&LATENCIES, ns);
        }
        let cumulative: Vec<_> = times.cumulative().collect();
        assert_eq!(cumulative, [2, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!((times.count(), times.sum_ns()), (5, 2_002_000_002));
        times.note_many(&LATENCIES, 0, 0);
        let mut many = Latencies::EMPTY;
        many.note_many(&LATENCIES, 50_000_007, 10);
        assert_eq!(many.cumulative().collect::<Vec<_>>(), [0, 10, 10, 10, 10, 10, 10, 10]);
        assert_eq!((many.count(), many.sum_ns()), (10, 50_000_007));
        let mut twice = times;
        twice.add(&times);
        assert_eq!((twice.count(), twice.sum_ns()), (10, 4_004_000_004));
        twice.subtract(&times);
        assert_eq!(twice, times);
    }

    #[test]
    fn fewer_bounds_show_the_same_values() {
        let mut times = Intervals::EMPTY;
        for ns in [1, 50_000_000, 100_000_000, 10_000_000_001, 40_000_000_000] {
            times.note(&INTERVALS, ns);
        }
        let coarse = times.with_bounds(&INTERVALS, &FLEET_INTERVALS);
        assert_eq!(coarse.cumulative().collect::<Vec<_>>(), [2, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((coarse.count(), coarse.sum_ns()), (times.count(), times.sum_ns()));
        assert!(FLEET_INTERVALS.iter().all(|bound| INTERVALS.contains(bound)));
    }
}
