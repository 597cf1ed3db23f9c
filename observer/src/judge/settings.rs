//! The settings of a judge.

use varta::secure::Key;

use super::Access;
use crate::policy::Policy;
use crate::slack::Slack;

/// The settings of a [`Judge`](super::Judge).
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
    /// How many agents are tracked at most, of which at most half over a network. From 1 to
    /// 2^28.
    pub capacity: usize,
    /// After how many nanoseconds of silence an agent is stalled.
    pub threshold_ns: u64,
    /// Which beats count.
    pub policy: Policy,
    /// Keys that several agents share.
    pub shared_keys: Vec<Key>,
    /// The key from which each agent's own key is derived.
    pub master_key: Option<Key>,
    /// How many sealed sessions are remembered to detect replays. Each process that connects
    /// begins one, and none is forgotten: when this many are known, new ones are refused.
    /// `None` means 262,144 or the capacity, whichever is larger.
    pub senders: Option<usize>,
    /// The sealed sessions that were recorded in an earlier run; `None` if the host does not
    /// record sessions. If this is set, even to an empty list, the host is asked to
    /// [record](super::Environment::record) sessions.
    pub recalled: Option<Vec<super::SealedSession>>,
    /// How many processes can have a page of shared memory at most; 0 for none.
    pub pages: usize,
    /// Whether the tasks in these pages are followed. They take places of the capacity, at
    /// most half of it.
    pub tasks: bool,
    /// The shortest time between two regular looks at a page, in nanoseconds.
    pub floor_ns: u64,
    /// How late a task may be before it is reported.
    pub slack: Slack,
    /// Whether the host is asked why a process is silent.
    pub causes: bool,
    /// The processes whose [notifications](super::Judge::notify) count, if any.
    pub notify: Option<Access>,
}

impl Settings {
    /// Capacity 4,096, threshold 2 s, no keys, no pages; pages are looked at at most every
    /// 10 ms.
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
            pages: 0,
            tasks: false,
            floor_ns: 10_000_000,
            slack: Slack::new(),
            causes: false,
            notify: None,
        }
    }
}
