//! With what a judge is made.

use varta::secure::Key;

use crate::policy::Policy;

/// With what a judge is made.
///
/// ```
/// use varta_observer::{Policy, judge::Settings};
///
/// let mut settings = Settings::new(Policy::same_uid(1000));
/// settings.capacity = 100_000;
/// assert_eq!(settings.threshold_ns, 2_000_000_000);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How many agents are followed at most, half of them over a network. From 1 to 2^28.
    pub capacity: usize,
    /// After how many nanoseconds of silence an agent is stalled.
    pub threshold_ns: u64,
    /// Whose beats count.
    pub policy: Policy,
    /// Keys that many agents share.
    pub shared_keys: Vec<Key>,
    /// The key from which each agent's own is derived.
    pub master_key: Option<Key>,
    /// How many sealed sessions are remembered against replays. Each process that connects
    /// begins one, and none is forgotten: when this many are known, new ones are refused.
    /// 262,144 or the capacity, whichever is more, if `None`.
    pub senders: Option<usize>,
    /// The sealed sessions that were recorded in an earlier life; `None` if nobody records
    /// them. If this is given, even empty, the host is asked to
    /// [record](super::Environment::record) sessions.
    pub recalled: Option<Vec<super::SealedSession>>,
}

impl Settings {
    /// Capacity 4,096, threshold 2 s, no keys.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::Settings};
    ///
    /// assert_eq!(Settings::new(Policy::same_uid(0)).capacity, 4096);
    /// ```
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            capacity: 4096,
            threshold_ns: 2_000_000_000,
            policy,
            shared_keys: Vec::new(),
            master_key: None,
            senders: None,
            recalled: None,
        }
    }
}
