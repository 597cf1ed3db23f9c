//! What was heard: silences, beats and intervals.

use super::field::{Text, body};
use crate::histogram::Histogram;

body! {
    /// A silence of an agent that was longer than its floor. The time of the record is its end.
    Gap {
        /// The agent.
        1 agent: u64,
        /// How long it was. The last sign of life before it was this long before the record.
        2 silent_ns: u64,
        /// How much of it is forgiven, because the observer itself was late.
        3 forgiven_ns: u64,
        /// What ended it, if it was not a beat: `exit`, `eviction` or `stop`.
        4 end: Option<Text>,
    }
}

body! {
    /// A minute of a program. The time of the record is its end.
    Minute {
        /// The program.
        1 program: Text,
        /// Beats received.
        2 beats: u64,
        /// Beats that never arrived, by their nonces.
        3 missed: u64,
        /// The intervals between signs of life.
        4 intervals: Histogram,
    }
}

body! {
    /// The last beats of an agent, the oldest first: written with its stall or exit.
    Beats {
        /// The agent.
        1 agent: u64,
        /// The beats.
        2 beats: Vec<Beat>,
    }
}

body! {
    /// One beat, or several through shared memory.
    Beat {
        /// When it was received.
        1 observer_ns: u64,
        /// Its status.
        2 status: Text,
        /// Its payload.
        3 payload: u64,
        /// Its nonce.
        4 nonce: u64,
        /// How many beats before it never arrived.
        5 missed: u64,
        /// How many beats it stands for.
        6 count: u32,
    }
}
