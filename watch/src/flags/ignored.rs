//! Flags of the published daemon that have nothing left to do here. They are taken, so that
//! its command lines work, and a log line says that they have no effect.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Taken, without effect")]
pub(crate) struct Ignored {
    /// A timer wakes the loop; it does not wait in turns
    #[arg(long, value_name = "MS", hide_short_help = true)]
    pub(crate) read_timeout_ms: Option<u64>,
    /// An agent that lives is never evicted
    #[arg(long, value_name = "POLICY", hide_short_help = true)]
    pub(crate) tracker_eviction_policy: Option<EvictionPolicy>,
    /// Nothing is scanned
    #[arg(long, value_name = "N", hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) eviction_scan_window: Option<u32>,
    /// The clock always counts the time suspended, and a pause is given back
    #[arg(long, value_name = "CLOCK", hide_short_help = true)]
    pub(crate) clock_source: Option<ClockSource>,
    /// Signals are taken in one way
    #[arg(long, value_name = "MODE", hide_short_help = true)]
    pub(crate) signal_handler_mode: Option<SignalMode>,
}

impl Ignored {
    /// Those that were said.
    pub(crate) fn said(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.read_timeout_ms.is_some(), "--read-timeout-ms"),
            (self.tracker_eviction_policy.is_some(), "--tracker-eviction-policy"),
            (self.eviction_scan_window.is_some(), "--eviction-scan-window"),
            (self.clock_source.is_some(), "--clock-source"),
            (self.signal_handler_mode.is_some(), "--signal-handler-mode"),
        ]
        .into_iter()
        .filter_map(|(said, name)| said.then_some(name))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EvictionPolicy {
    Strict,
    Balanced,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ClockSource {
    Monotonic,
    Boottime,
    MonotonicRaw,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SignalMode {
    Direct,
    Libc,
}
