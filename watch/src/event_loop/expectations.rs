//! Reports expected programs that are missing.

use tracing::{info, warn};

use super::EventLoop;
use crate::state::{Notification, Subject};

impl EventLoop {
    /// Counts the agents of the expected programs again, if that is due.
    pub(super) fn check_expectations(&mut self, now_ns: u64) {
        if self.expectations.due_ns().is_none_or(|due_ns| now_ns < due_ns) {
            return;
        }
        let names: Vec<_> = self.stats.names().map(|name| name.to_string()).collect();
        let changes = self.expectations.update(now_ns, names.iter().map(String::as_str));
        for change in &changes {
            let (program, there, expected) = (&change.program, change.there, change.count);
            match change.missing {
                true => warn!(program, there, expected, "missing"),
                false => info!(program, there, expected, "present"),
            }
        }
        if changes.is_empty() {
            return;
        }
        let at_ns = self.context.observer.now_ns();
        let stamped = changes.into_iter().map(|change| {
            let seq = self.recorder.expected(at_ns, &change);
            let stamp = self.recorder.stamp(at_ns, seq, None);
            (change, stamp)
        });
        let stamped: Vec<_> = stamped.collect();
        if let Some(batches) = &self.context.batches {
            batches.expected(at_ns, stamped.clone());
        }
        if self.context.shared.has_subscribers() {
            let batch = stamped.into_iter().map(|(program, stamp)| Notification {
                about: Subject::Expected { at_ns, program },
                stamp,
            });
            self.context.shared.publish(batch.collect());
        }
    }
}
