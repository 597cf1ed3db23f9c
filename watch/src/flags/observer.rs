//! What flags mean for an observer.

use varta_observer::{Rate, Slack};

use super::{Admission, Lane};

impl Admission {
    /// The rate limits for beats: of one agent, and of all agents.
    pub(crate) fn rates(&self) -> (Option<Rate>, Option<Rate>) {
        let per_second = self.max_beat_rate;
        // An agent that beats at exactly this rate is not always on time.
        let per_agent = Rate { per_second, burst: (per_second / 10).max(1) };
        let all = Rate { per_second: self.global_beat_rate, burst: self.global_beat_burst };
        (
            (per_second > 0).then_some(per_agent),
            (all.per_second > 0 && all.burst > 0).then_some(all),
        )
    }
}

impl Lane {
    /// The slack of tasks, by their names and by the names of their programs.
    pub(crate) fn slack(&self) -> Slack {
        let programs = self.program_slack.iter();
        let slack = programs.fold(Slack::new(), |slack, it| slack.program(&it.name, it.time));
        self.task_slack.iter().fold(slack, |slack, it| slack.task(&it.name, it.time))
    }
}
