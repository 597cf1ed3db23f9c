//! The metrics: what is shown to Prometheus and its like. docs/watch-metrics.md lists them.

mod agents;
mod bound;
mod exposition;
mod published;
mod recovery;

use std::sync::Arc;

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
    latest: Option<(Arc<Snapshot>, Format, bytes::Bytes)>,
}

impl Metrics {
    pub(crate) fn new(constants: Constants) -> Self {
        Self { constants, listed: Listed::default(), latest: None }
    }

    /// All families. The same snapshot is written once for all who ask.
    pub(crate) fn write(
        &mut self,
        snapshot: &Arc<Snapshot>,
        tallies: &Tallies,
        format: Format,
    ) -> bytes::Bytes {
        let same = |(of, written, _): &&(Arc<Snapshot>, Format, bytes::Bytes)| {
            Arc::ptr_eq(of, snapshot) && *written == format
        };
        if let Some((_, _, text)) = self.latest.as_ref().filter(same) {
            tallies.http.repeated.one();
            return text.clone();
        }
        let mut to = Exposition::new(format);
        agents::write(snapshot, &mut self.listed, &mut to);
        published::write(snapshot, tallies, self.constants, &mut to);
        recovery::write(tallies, &mut to);
        let text = bytes::Bytes::from(to.end());
        self.latest = Some((Arc::clone(snapshot), format, text.clone()));
        text
    }
}
