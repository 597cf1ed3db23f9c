//! Whose beats count, and how many of them.

/// What an observer admits.
///
/// ```
/// use varta_observer::{Policy, Rate, Uids};
///
/// let mut policy = Policy::same_uid(1000);
/// policy.version1 = true;
/// policy.per_agent = Some(Rate { per_second: 50, burst: 10 });
/// assert_eq!(policy.uids, Uids::Only(1000));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Whose beats count over a Unix socket.
    pub uids: Uids,
    /// Whether senders in another pid namespace are admitted.
    pub namespaces: bool,
    /// Whether frames of version 1 are taken beside those of version 2.
    pub version1: bool,
    /// How many beats of one agent become events.
    pub per_agent: Option<Rate>,
    /// How many beats of all agents together become events.
    pub global: Option<Rate>,
}

impl Policy {
    /// One uid, one pid namespace, version 2, no limits: the default, for the uid that the
    /// observer runs as.
    ///
    /// ```
    /// assert!(!varta_observer::Policy::same_uid(0).namespaces);
    /// ```
    #[must_use]
    pub const fn same_uid(uid: u32) -> Self {
        Self {
            uids: Uids::Only(uid),
            namespaces: false,
            version1: false,
            per_agent: None,
            global: None,
        }
    }
}

/// The users whose beats count.
///
/// ```
/// use varta_observer::Uids;
///
/// let uids = Uids::List([0, 1000].into());
/// assert!(uids.admit(1000) && !uids.admit(1001));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uids {
    /// This one's.
    Only(u32),
    /// Everyone's.
    Any,
    /// These ones'.
    List(Box<[u32]>),
}

impl Uids {
    /// How many users there can be.
    pub(crate) fn most(&self) -> usize {
        match self {
            Self::Only(_) => 1,
            Self::Any => usize::MAX,
            Self::List(list) => list.len(),
        }
    }

    /// Whether this user's beats count.
    ///
    /// ```
    /// assert!(varta_observer::Uids::Any.admit(65_534));
    /// ```
    #[must_use]
    pub fn admit(&self, uid: u32) -> bool {
        match self {
            Self::Only(only) => uid == *only,
            Self::Any => true,
            Self::List(list) => list.contains(&uid),
        }
    }
}

/// So many a second, and so many at once after a quiet time.
///
/// ```
/// let rate = varta_observer::Rate { per_second: 10, burst: 20 };
/// assert_eq!(rate.per_second, 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run; 0 is taken as 1.
    pub per_second: u32,
    /// At once; 0 is taken as 1.
    pub burst: u32,
}

/// A rate ready to be applied (GCRA). The state is one number, the time at which
/// everything let through so far would have been due at an even pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    interval: u64,
    ahead: u64,
}

impl Limit {
    pub(crate) fn new(rate: Rate) -> Self {
        let interval = 1_000_000_000 / u64::from(rate.per_second.max(1));
        let interval = interval.max(1);
        Self { interval, ahead: interval.saturating_mul(u64::from(rate.burst.max(1)) - 1) }
    }

    /// The state after one more, or `None` if that is one too many. `paced` starts at 0.
    #[inline]
    pub(crate) fn take(self, paced: u64, now: u64) -> Option<u64> {
        (paced.saturating_sub(self.ahead) <= now).then(|| self.force(paced, now))
    }

    /// The state after one more that is let through whatever the limit.
    #[inline]
    pub(crate) fn force(self, paced: u64, now: u64) -> u64 {
        paced.max(now).saturating_add(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn let_through(rate: Rate, at: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (limit, mut paced) = (Limit::new(rate), 0);
        at.into_iter()
            .filter(|&now| limit.take(paced, now).map(|next| paced = next).is_some())
            .collect()
    }

    #[test]
    fn a_burst_and_then_an_even_pace() {
        let rate = Rate { per_second: 10, burst: 3 };
        let through = let_through(rate, (0..500).map(|ms| ms * MS));
        assert_eq!(through, [0, 1, 2, 100, 200, 300, 400].map(|ms| ms * MS));
    }

    #[test]
    fn quiet_earns_no_more_than_the_burst() {
        let rate = Rate { per_second: 10, burst: 2 };
        let through = let_through(rate, [0, 0, 0, 60_000 * MS, 60_000 * MS, 60_000 * MS]);
        assert_eq!(through, [0, 0, 60_000 * MS, 60_000 * MS]);
    }

    #[test]
    fn extremes_are_no_traps() {
        let least = Rate { per_second: 0, burst: 0 };
        assert_eq!(let_through(least, [5, 6, 999 * MS, 1001 * MS, u64::MAX]).len(), 3);
        let all = Rate { per_second: u32::MAX, burst: u32::MAX };
        assert_eq!(let_through(all, [0; 1000]).len(), 1000);
    }
}
