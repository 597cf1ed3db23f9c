//! What was decided about agents: silences, exits and recovery commands.

use super::field::{Part, Text, body};

body! {
    /// An agent or a task is silent, or a task broke another promise.
    Stall {
        /// The agent.
        1 agent: u64,
        /// The task, if it is about one.
        2 task: Option<u32>,
        /// The last nonce that was not terminal.
        3 last_nonce: u64,
        /// When the last beat was received.
        4 last_ns: u64,
        /// Whether the observer may have missed beats.
        5 deaf: bool,
        /// A task: the promise that it broke.
        6 promise: Option<Text>,
        /// A task: when the promise was due.
        7 due_ns: Option<u64>,
        /// A task: its checkpoint, or the label of the span.
        8 checkpoint: Option<u16>,
        /// The threshold at this time.
        9 threshold_ns: u64,
        /// The cause, if causes are looked up.
        10 why: Part<CauseMembers>,
    }
}

body! {
    /// The cause of a silence.
    CauseMembers {
        /// The name of the cause, such as `lock`.
        1 cause: Text,
        /// Its class, such as `own`.
        2 cause_class: Text,
        /// How sure it is, such as `likely`.
        3 certainty: Text,
        /// What else is known, as bits.
        4 cause_flags: u8,
        /// The thread that hangs; 0 if it is not known.
        5 thread: u32,
        /// The other process or thread.
        6 other: u32,
        /// Names of what it waits in or is held by.
        7 cause_detail: Option<Text>,
        /// The cause in words.
        8 cause_text: Option<Text>,
    }
}

body! {
    /// The cause of a silence has changed, or was found out later.
    CauseFound {
        /// The agent.
        1 agent: u64,
        /// The task, if it is about one.
        2 task: Option<u32>,
        /// The cause.
        3 why: Part<CauseMembers>,
    }
}

body! {
    /// A stalled agent beats again, or a task keeps its promise again.
    Recovered {
        /// The agent.
        1 agent: u64,
        /// The task, if it is about one.
        2 task: Option<u32>,
        /// How long the agent was silent, or by how much the task was late.
        3 silent_ns: u64,
        /// The promise, which for a process is `beat`.
        4 promise: Text,
    }
}

body! {
    /// The process of an agent has ended.
    Exit {
        /// The agent.
        1 agent: u64,
        /// Its exit code.
        2 code: Option<i32>,
        /// The signal that ended it.
        3 signal: Option<i32>,
        /// The status in its last beat.
        4 last_status: Text,
        /// Whether it had announced its end.
        5 expected: bool,
        /// When its last beat was received.
        6 last_ns: u64,
        /// Whether it was stalled.
        7 stalled: bool,
        /// The last cause of a silence before it, if causes are looked up.
        8 why: Part<CauseMembers>,
    }
}

body! {
    /// A decision of recovery, or the outcome of one.
    Recovery {
        /// The agent.
        1 agent: u64,
        /// Its process id, as it is given to the command.
        2 pid: u32,
        /// The task whose stall it is about.
        3 task: Option<u32>,
        /// The name of that task.
        4 task_name: Option<Text>,
        /// The promise that it broke.
        5 promise: Option<Text>,
        /// What was decided, such as `spawned`.
        6 step: Text,
        /// The process id of the command.
        7 child_pid: Option<u32>,
        /// The number of the try, from 1.
        8 attempt: Option<u32>,
        /// The command that would have been started.
        9 command: Option<Text>,
        /// Why it could not be started.
        10 error: Option<Text>,
        /// How long it ran.
        11 duration_ns: Option<u64>,
        /// Whether it was killed because it took too long.
        12 timed_out: Option<bool>,
        /// Its exit code.
        13 code: Option<i32>,
        /// The signal that ended it.
        14 signal: Option<i32>,
        /// Why no command is run.
        15 reason: Option<Text>,
        /// How long a start waits.
        16 wait_ns: Option<u64>,
        /// How many tries failed.
        17 tries: Option<u32>,
        /// How the run ended.
        18 ending: Option<Text>,
        /// The cause that the decision rests on.
        19 why: Part<CauseMembers>,
    }
}

body! {
    /// The number of agents of an expected program has fallen below what is expected, or has
    /// reached it again.
    Expected {
        /// The program.
        1 program: Text,
        /// How many are expected.
        2 count: u32,
        /// How many there are.
        3 there: u32,
    }
}
