//! What happened to the daemon itself, and to the history.

use super::field::{Text, body};

body! {
    /// The daemon has started.
    Started {
        /// Its version.
        1 version: Text,
        /// Its process id.
        2 pid: u32,
        /// The threshold of agents for which no rule sets another one.
        3 threshold_ns: u64,
        /// Whether causes are looked up.
        4 causes: bool,
        /// Whether recovery commands are run.
        5 recovery: bool,
        /// Whether agents may beat through shared memory.
        6 lane: bool,
        /// Whether tasks are watched.
        7 tasks: bool,
        /// How many agents are tracked at most.
        8 capacity: u64,
        /// How many beats of one agent become events in a second, if that is limited.
        9 max_beat_rate: Option<u64>,
        /// How many beats of all agents become events in a second, if that is limited.
        10 global_beat_rate: Option<u64>,
        /// The shortest lateness that counts as a pause, if it is not derived from thresholds.
        11 pause_after_ns: Option<u64>,
    }
}

body! {
    /// The daemon ends in an orderly way.
    Stopped {
        /// The error that ended it, if it was one.
        1 error: Option<Text>,
    }
}

body! {
    /// The observer was stopped, suspended or starved, and reported a pause.
    Paused {
        /// How long it was away.
        1 paused_ns: u64,
    }
}

body! {
    /// The observer looked later than it was due.
    Late {
        /// How late it was.
        1 late_ns: u64,
        /// The time since it looked before.
        2 away_ns: u64,
        /// How much of that the system was suspended.
        3 suspended_ns: u64,
        /// By how much it extended deadlines; 0 if it did not.
        4 forgiven_ns: u64,
    }
}

body! {
    /// What the wall clock shows at the time of the record, and what the observer did not hear
    /// since the one before.
    Clock {
        /// Nanoseconds since 1970, UTC.
        1 wall_ns: u64,
        /// Looks at sockets whose queue was full.
        2 full_looks: Option<u64>,
        /// Beats that a limit of rates kept from becoming events.
        3 rate_limited: Option<u64>,
        /// Beats of agents for which there was no room.
        4 refused: Option<u64>,
        /// Datagrams that the kernel dropped.
        5 kernel_drops: Option<u64>,
    }
}

body! {
    /// Records that could not be written. Its own number is that of the last one.
    Lost {
        /// The number of the first one.
        1 first: u64,
        /// The number of the last one.
        2 last: u64,
    }
}
