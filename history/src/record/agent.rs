//! What is known about agents and their tasks.

use super::field::{Text, body};

body! {
    /// What is known about an agent. It is recorded when the agent is heard for the first time, and
    /// again when it changes: the last one counts.
    Agent {
        /// The agent's number, which is not used again in this run.
        1 agent: u64,
        /// Its process id; 0 if it has none on this host.
        2 pid: u32,
        /// The process id in its frames.
        3 claimed_pid: u32,
        /// Its user, if the kernel reports it.
        4 uid: Option<u32>,
        /// The name that is shown for it.
        5 program: Text,
        /// Its unit of the system's service manager; empty if there is none.
        6 unit: Text,
        /// Its unit of its user's service manager.
        7 user_unit: Text,
        /// The first digits of the id of its container.
        8 container: Text,
        /// How its identity is known, such as `kernel-attested`.
        9 origin: Text,
        /// How long it may be silent.
        10 threshold_ns: u64,
        /// The shortest silence that is recorded.
        11 floor_ns: u64,
        /// When its first own beat was received. `None` while it is known by its tasks only.
        12 first_ns: Option<u64>,
        /// When its last beat before this record was received.
        13 last_ns: Option<u64>,
        /// Whether it was stalled at this time.
        14 stalled: bool,
        /// Whether it beats through shared memory.
        15 lane: bool,
        /// How its exit is known, if that is known.
        16 exits: Option<Text>,
    }
}

body! {
    /// A threshold has changed.
    Threshold {
        /// The agent; 0 for all agents without a threshold of their own.
        1 agent: u64,
        /// The task, if it is that of a task.
        2 task: Option<u32>,
        /// How long it may be silent; `u64::MAX` for ever.
        3 threshold_ns: u64,
        /// What set it, such as `rule`.
        4 by: Text,
    }
}

body! {
    /// The shortest silence that is recorded has changed for an agent.
    Floor {
        /// The agent.
        1 agent: u64,
        /// The shortest silence that is recorded.
        2 floor_ns: u64,
    }
}

body! {
    /// The observer forgot an agent, to make room for another one or because it has nothing left
    /// that is watched.
    Eviction {
        /// The agent.
        1 agent: u64,
        /// The process id in its frames.
        2 claimed_pid: u32,
        /// When its last beat was received.
        3 last_ns: u64,
    }
}

body! {
    /// A task was declared.
    Task {
        /// The agent.
        1 agent: u64,
        /// The task's number.
        2 task: u32,
        /// Its name.
        3 task_name: Text,
        /// How long it may go without a call; `u64::MAX` for ever.
        4 threshold_ns: u64,
    }
}

body! {
    /// A task is over.
    Ended {
        /// The agent.
        1 agent: u64,
        /// The task's number.
        2 task: u32,
        /// How it ended, such as `closed`.
        3 how: Text,
    }
}

body! {
    /// Calls of a task broke a rule.
    Violation {
        /// The agent.
        1 agent: u64,
        /// The task's number.
        2 task: u32,
        /// The rule that was broken last, such as `too-early`.
        3 rule: Text,
        /// How many violations the record is about.
        4 count: u32,
        /// The last one: the checkpoint before it, or the label of the span.
        5 from: u16,
        /// The last one: the checkpoint that was reached.
        6 to: u16,
        /// The last one: by how much, in nanoseconds, or in beats for a cycle.
        7 by: u64,
    }
}

body! {
    /// A service reported something at the notify socket, other than a status text. It may not be
    /// followed yet, so that its pid and name are here too.
    Service {
        /// The agent.
        1 agent: u64,
        /// Its process id; 0 if it has none on this host.
        2 pid: u32,
        /// The process id in its frames.
        3 claimed_pid: u32,
        /// The name that is shown for it.
        4 program: Text,
        /// What is new, such as `state`.
        5 change: Text,
        /// Its state, such as `ready`.
        6 state: Option<Text>,
        /// The error number that it reported.
        7 errno: Option<u32>,
        /// The former pid of its main process.
        8 before: Option<u32>,
    }
}
