//! Counts by user, for the users with the highest counts.

/// How many users are counted separately.
const ROOM: usize = 8;

/// How many datagrams came from which users, for the eight users that sent the most. If there
/// are more users, the counts are upper bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UidCounts {
    counts: [(u32, u64); ROOM],
    used: usize,
}

impl UidCounts {
    /// Whether no datagram was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The users and their counts, largest count first.
    ///
    /// ```
    /// let counts = varta_observer::UidCounts::default();
    /// for (uid, count) in counts.iter() {
    ///     println!("uid {uid}: {count}");
    /// }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + use<> {
        let mut counts = self.counts;
        if let Some(used) = counts.get_mut(..self.used) {
            used.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
        }
        counts.into_iter().take(self.used)
    }

    /// Counts one more datagram. A user for which there is no room replaces the one with the
    /// lowest count and continues from that count, so the users that send the most are always
    /// included.
    pub(crate) fn add(&mut self, uid: u32) {
        let used = self.counts.get_mut(..self.used).unwrap_or_default();
        if let Some((_, count)) = used.iter_mut().find(|(known, _)| *known == uid) {
            *count += 1;
        } else if let Some(free) = self.counts.get_mut(self.used) {
            *free = (uid, 1);
            self.used += 1;
        } else if let Some(least) = self.counts.iter_mut().min_by_key(|(_, count)| *count) {
            *least = (uid, least.1 + 1);
        }
    }
}

/// What has filled the queues of an observer's Unix sockets since the last call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Flood {
    /// How many looks found a queue full.
    pub full_looks: u64,
    /// Whether that was often enough to put Stalls off.
    pub half_deaf: bool,
    /// The users that sent datagrams after a look that found a queue full.
    pub senders: UidCounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uids_with_the_most_datagrams_are_kept() {
        let mut counts = UidCounts::default();
        for round in 0..1_000 {
            counts.add(65_534);
            counts.add(1_000);
            counts.add(65_534);
            counts.add(100_000 + round);
        }
        let largest: Vec<_> = counts.iter().take(2).collect();
        assert!(
            matches!(largest[..], [(65_534, 2_000..2_100), (1_000, 1_000..)]),
            "{largest:?}"
        );
        assert_eq!(counts.iter().count(), ROOM);
    }
}
