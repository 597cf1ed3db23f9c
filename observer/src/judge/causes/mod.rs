//! Finding out why a process is silent, from readings that the host makes.
//!
//! When an agent has been silent for half of its threshold it is read, and again when its
//! silence is reported; what has changed between the two shows what it does. Which of its
//! threads beats is learned while it beats.

mod before;
mod budget;
mod classify;
mod find;
mod learn;
mod learned;
mod reading;
mod silences;
mod suspects;
mod tables;
#[cfg(test)]
mod tests;
mod thread;

use std::fmt;

use self::before::Befores;
use self::budget::Budget;
pub use self::classify::diagnose;
pub(super) use self::find::Silent;
use self::learn::{Known, MOST_LEARNERS, Pupil};
pub use self::reading::{
    Call, Depth, Found, Lacks, Looked, MOST_QUOTAS, MOST_THREADS, ProcessReading, Quota,
    Quotas, Sample, ThreadReading,
};
use self::silences::Silences;
use crate::memory::{self, OutOfMemory};
pub use crate::text::Text;

/// What a judge remembers to explain silences.
pub(super) struct Causes {
    /// The silences of agents by slot, and those of tasks by index.
    agents: Silences,
    tasks: Silences,
    /// By slot, as far as agents have beaten.
    known: Vec<Known>,
    pupils: Vec<Pupil>,
    befores: Befores,
    budget: Budget,
    /// The current reading, and the one that it is compared with.
    now: Sample,
    before: Sample,
}

impl Causes {
    /// For this many agents and tasks.
    pub(super) fn new(agents: usize, tasks: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            agents: Silences::new(agents)?,
            tasks: Silences::new(tasks)?,
            known: memory::vector(agents)?,
            pupils: memory::vector(MOST_LEARNERS)?,
            befores: Befores::new(agents)?,
            budget: Budget::default(),
            now: Sample::try_new()?,
            before: Sample::try_new()?,
        })
    }
}

impl fmt::Debug for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Causes").field("budget", &self.budget).finish_non_exhaustive()
    }
}
