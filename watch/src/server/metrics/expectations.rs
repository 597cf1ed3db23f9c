//! The metrics of expected programs, by program.

use super::exposition::{Exposition, label};
use crate::state::Snapshot;

pub(super) fn write(snapshot: &Snapshot, to: &mut Exposition) {
    let help = "Agents that this program should have, according to the configuration file.";
    let mut expected = to.gauge("varta_expected_agents", help);
    for one in &snapshot.expected {
        expected.put(&label("program", &one.program), one.count.into());
    }
    let help = "Agents that this program lacks, once it has lacked some for the time that its \
                expectation allows.";
    let mut missing = to.gauge("varta_missing_agents", help);
    for one in &snapshot.expected {
        missing.put(&label("program", &one.program), one.missing_agents());
    }
}
