//! Which beats are accepted, and how many of them become events.

/// What an observer accepts.
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
    /// The users whose beats are accepted over a Unix socket.
    pub uids: Uids,
    /// Whether senders in another pid namespace are admitted.
    pub namespaces: bool,
    /// Whether frames of version 1 are accepted in addition to version 2.
    pub version1: bool,
    /// How many beats of one agent become events.
    pub per_agent: Option<Rate>,
    /// How many beats of all agents together become events.
    pub global: Option<Rate>,
}

impl Policy {
    /// Accepts one uid, the observer's pid namespace and version 2, without limits. This is
    /// the default, with the uid that the observer runs as.
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

/// The users whose beats are accepted over a Unix socket.
///
/// ```
/// use varta_observer::Uids;
///
/// let uids = Uids::List([0, 1000].into());
/// assert!(uids.admit(1000) && !uids.admit(1001));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uids {
    /// Only this user.
    Only(u32),
    /// Every user.
    Any,
    /// These users.
    List(Box<[u32]>),
}

impl Uids {
    /// How many users can be admitted.
    pub(crate) fn most(&self) -> usize {
        match self {
            Self::Only(_) => 1,
            Self::Any => usize::MAX,
            Self::List(list) => list.len(),
        }
    }

    /// Whether this user's beats are accepted.
    #[must_use]
    pub fn admit(&self, uid: u32) -> bool {
        match self {
            Self::Only(only) => uid == *only,
            Self::Any => true,
            Self::List(list) => list.contains(&uid),
        }
    }
}

/// A rate limit: an average rate, and a burst after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The average rate per second; 0 counts as 1.
    pub per_second: u32,
    /// The most that are let through at once; 0 counts as 1.
    pub burst: u32,
}

/// A rate in the form in which it is applied (GCRA). The state is one number: the time at
/// which everything let through so far would have been due at an even pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    interval: u64,
    tolerance: u64,
}

impl Limit {
    pub(crate) fn new(rate: Rate) -> Self {
        let interval = 1_000_000_000 / u64::from(rate.per_second.max(1));
        let interval = interval.max(1);
        Self { interval, tolerance: interval.saturating_mul(u64::from(rate.burst.max(1)) - 1) }
    }

    /// The state after letting one more through, or `None` if that exceeds the rate. The state
    /// starts at 0.
    #[inline]
    pub(crate) fn take(self, state: u64, now: u64) -> Option<u64> {
        (state.saturating_sub(self.tolerance) <= now).then(|| self.force(state, now))
    }

    /// The state after letting one more through regardless of the limit.
    #[inline]
    pub(crate) fn force(self, state: u64, now: u64) -> u64 {
        state.max(now).saturating_add(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn allowed(rate: Rate, at: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (limit, mut paced) = (Limit::new(rate), 0);
        at.into_iter()
            .filter(|&now| limit.take(paced, now).map(|next| paced = next).is_some())
            .collect()
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_an_even_pace() {
        let rate = Rate { per_second: 10, burst: 3 };
        let allowed_at = allowed(rate, (0..500).map(|ms| ms * MS));
        assert_eq!(allowed_at, [0, 1, 2, 100, 200, 300, 400].map(|ms| ms * MS));
    }

    #[test]
    fn silence_earns_no_more_than_the_burst() {
        let rate = Rate { per_second: 10, burst: 2 };
        let allowed_at = allowed(rate, [0, 0, 0, 60_000 * MS, 60_000 * MS, 60_000 * MS]);
        assert_eq!(allowed_at, [0, 0, 60_000 * MS, 60_000 * MS]);
    }

    #[test]
    fn extreme_rates_work() {
        let least = Rate { per_second: 0, burst: 0 };
        assert_eq!(allowed(least, [5, 6, 999 * MS, 1001 * MS, u64::MAX]).len(), 3);
        let all = Rate { per_second: u32::MAX, burst: u32::MAX };
        assert_eq!(allowed(all, [0; 1000]).len(), 1000);
    }
}
