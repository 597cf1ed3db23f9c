//! What each line has besides what it is about.

use varta_history::Run;

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The name of this host.
    pub(crate) host: String,
    /// This run of the daemon.
    pub(crate) run: Run,
}

/// When a line is from, by the wall clock, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds since 1970.
    pub(crate) wall_ns: u64,
    /// The number of its record in the history, or of the record before it.
    pub(crate) seq: u64,
    /// How long the agent or task that it is about may be silent.
    pub(crate) threshold_ns: Option<u64>,
}
