//! What was not heard.

use varta_history::Clock;

/// What was not heard since the observer started.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Unheard {
    pub(crate) full_looks: u64,
    pub(crate) rate_limited: u64,
    pub(crate) refused: u64,
    pub(crate) kernel_drops: u64,
}

impl Unheard {
    /// The record of a minute: what was not heard since `before`, its beginning.
    pub(super) fn since(&self, before: &Self, wall_ns: u64) -> Clock {
        let more = |now: u64, before| Some(now.saturating_sub(before)).filter(|more| *more > 0);
        Clock {
            wall_ns,
            full_looks: more(self.full_looks, before.full_looks),
            rate_limited: more(self.rate_limited, before.rate_limited),
            refused: more(self.refused, before.refused),
            kernel_drops: more(self.kernel_drops, before.kernel_drops),
        }
    }
}
