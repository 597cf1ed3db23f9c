//! The metrics, for Prometheus and similar systems. docs/watch-metrics.md lists them.

mod agents;
mod causes;
mod daemon;
mod expectations;
mod exposition;
mod label_limit;
mod lane;
mod recovery;
mod services;
mod tasks;

use bytes::Bytes;

use crate::state::Snapshot;
use crate::state::counters::SharedCounters;

pub(crate) use exposition::Format;

use agents::Listed;
use exposition::Exposition;

/// Values that do not change while the daemon runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Constants {
    pub(crate) receive_buffer: u32,
    pub(crate) pid_max: u64,
}

impl Constants {
    pub(crate) fn new(receive_buffer: u32) -> Self {
        let pid_max = std::fs::read_to_string("/proc/sys/kernel/pid_max");
        // Without access to /proc, 0 means unknown.
        let pid_max = pid_max.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Self { receive_buffer, pid_max }
    }
}

/// Writes metrics, and remembers which agents have label sets of their own.
#[derive(Debug)]
pub(crate) struct Metrics {
    constants: Constants,
    listed: Listed,
}

impl Metrics {
    pub(crate) fn new(constants: Constants) -> Self {
        Self { constants, listed: Listed::default() }
    }

    /// Writes all families, in consecutive parts.
    pub(crate) fn write(
        &mut self,
        snapshot: &Snapshot,
        counters: &SharedCounters,
        format: Format,
    ) -> Vec<Bytes> {
        let mut parts = agents::write(snapshot, &mut self.listed, format);
        let mut rest = Exposition::new(format);
        daemon::write(snapshot, counters, self.constants, &mut rest);
        lane::write(snapshot, &mut rest);
        tasks::write(snapshot, &mut rest);
        causes::write(snapshot, &mut rest);
        recovery::write(counters, &mut rest);
        expectations::write(snapshot, &mut rest);
        services::write(snapshot, &mut rest);
        parts.push(rest.end());
        parts.into_iter().map(Bytes::from).collect()
    }
}
