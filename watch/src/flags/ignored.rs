//! Flags of varta-watch 0.2 that have no effect here. They are accepted so that existing
//! command lines keep working, and each use is logged.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Ignored (accepted for compatibility)")]
pub(crate) struct Ignored {
    /// The event loop wakes by timer, not by read timeout
    #[arg(long, value_name = "MS", hide_short_help = true)]
    pub(crate) read_timeout_ms: Option<u64>,
    /// A live agent is never evicted
    #[arg(long, value_name = "POLICY", hide_short_help = true)]
    pub(crate) tracker_eviction_policy: Option<EvictionPolicy>,
    /// Eviction does not scan
    #[arg(long, value_name = "N", hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) eviction_scan_window: Option<u32>,
    /// The clock always includes suspended time, and agents are not blamed for pauses
    #[arg(long, value_name = "CLOCK", hide_short_help = true)]
    pub(crate) clock_source: Option<ClockSource>,
    /// There is only one way of handling signals
    #[arg(long, value_name = "MODE", hide_short_help = true)]
    pub(crate) signal_handler_mode: Option<SignalMode>,
}

impl Ignored {
    /// The names of the ignored flags that were given.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.read_timeout_ms.is_some(), "--read-timeout-ms"),
            (self.tracker_eviction_policy.is_some(), "--tracker-eviction-policy"),
            (self.eviction_scan_window.is_some(), "--eviction-scan-window"),
            (self.clock_source.is_some(), "--clock-source"),
            (self.signal_handler_mode.is_some(), "--signal-handler-mode"),
        ]
        .into_iter()
        .filter_map(|(given, name)| given.then_some(name))
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
