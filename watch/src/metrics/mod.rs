//! The metrics: what is shown to Prometheus and its like. docs/watch-metrics.md lists them.

mod agents;
mod bound;
mod exposition;
mod published;
mod recovery;

use std::sync::Arc;

use bytes::Bytes;

use crate::state::Snapshot;
use crate::tallies::Tallies;

pub(crate) use exposition::Format;

use agents::Listed;
use exposition::Exposition;

/// What does not change while the daemon runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Constants {
    pub(crate) receive_buffer: u32,
    pub(crate) pid_max: u64,
}

impl Constants {
    pub(crate) fn new(receive_buffer: u32) -> Self {
        let pid_max = std::fs::read_to_string("/proc/sys/kernel/pid_max");
        // Where /proc is hidden there is no limit to show.
        let pid_max = pid_max.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Self { receive_buffer, pid_max }
    }
}

/// Writes metrics, and remembers which agents have label sets of their own.
#[derive(Debug)]
pub(crate) struct Metrics {
    constants: Constants,
    listed: Listed,
    latest: Option<(Arc<Snapshot>, Format, Vec<Bytes>)>,
}

impl Metrics {
    pub(crate) fn new(constants: Constants) -> Self {
        Self { constants, listed: Listed::default(), latest: None }
    }

    /// All families, in parts that follow each other. The same snapshot is written once for
    /// all who ask.
    pub(crate) fn write(
        &mut self,
        snapshot: &Arc<Snapshot>,
        tallies: &Tallies,
        format: Format,
    ) -> Vec<Bytes> {
        let same = |(of, written, _): &&(Arc<Snapshot>, Format, Vec<Bytes>)| {
            Arc::ptr_eq(of, snapshot) && *written == format
        };
        if let Some((_, _, parts)) = self.latest.as_ref().filter(same) {
            tallies.http.repeated.one();
            return parts.clone();
        }
        let mut parts = agents::write(snapshot, &mut self.listed, format);
        let mut rest = Exposition::new(format);
        published::write(snapshot, tallies, self.constants, &mut rest);
        recovery::write(tallies, &mut rest);
        parts.push(rest.end());
        let parts: Vec<_> = parts.into_iter().map(Bytes::from).collect();
        self.latest = Some((Arc::clone(snapshot), format, parts.clone()));
        parts
    }
}
