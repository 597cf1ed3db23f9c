//! How long may be waited for answers.

use std::time::Duration;

/// In each period, only this long is waited.
#[derive(Debug)]
pub(super) struct Patience {
    wait: Duration,
    period_ns: u64,
    began: u64,
    spent: Duration,
}

impl Patience {
    pub(super) fn new(wait: Duration, period: Duration) -> Self {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Self { wait, period_ns, began: 0, spent: Duration::ZERO }
    }

    pub(super) fn left(&mut self, now: u64) -> Duration {
        if now >= self.began.saturating_add(self.period_ns) {
            (self.began, self.spent) = (now, Duration::ZERO);
        }
        self.wait.saturating_sub(self.spent)
    }

    pub(super) fn spend(&mut self, spent: Duration) {
        self.spent = self.spent.saturating_add(spent);
    }
}
