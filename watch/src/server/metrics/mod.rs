//! The metrics, for Prometheus and similar systems. docs/watch-metrics.md lists them.

mod agents;
mod causes;
mod daemon;
mod expectations;
mod exposition;
mod fleet;
mod label_limit;
mod lane;
mod programs;
mod recovery;
mod services;
mod tasks;

use bytes::Bytes;

use crate::state::Snapshot;
use crate::state::counters::SharedCounters;

pub(crate) use exposition::Format;
pub(crate) use fleet::Collect;

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

    /// Writes the wanted families, in consecutive parts.
    pub(crate) fn write(
        &mut self,
        snapshot: &Snapshot,
        counters: &SharedCounters,
        format: Format,
        collect: Collect,
    ) -> Vec<Bytes> {
        let mut to = Exposition::new(format);
        let mut parts = Vec::new();
        match collect {
            Collect::All => {
                parts = agents::write(snapshot, &mut self.listed, format);
                self.write_daemon(snapshot, counters, &mut to);
            }
            Collect::Some { daemon, programs } => {
                if daemon {
                    to.only(Some(&fleet::DAEMON));
                    fleet::write_version(&mut to);
                    self.write_daemon(snapshot, counters, &mut to);
                    to.only(None);
                }
                if programs {
                    programs::write(snapshot, &mut to);
                }
            }
        }
        parts.push(to.end());
        parts.into_iter().map(Bytes::from).collect()
    }

    fn write_daemon(
        &self,
        snapshot: &Snapshot,
        counters: &SharedCounters,
        to: &mut Exposition,
    ) {
        daemon::write(snapshot, counters, self.constants, to);
        lane::write(snapshot, to);
        tasks::write(snapshot, to);
        causes::write(snapshot, to);
        recovery::write(counters, to);
        expectations::write(snapshot, to);
        services::write(snapshot, to);
    }
}
