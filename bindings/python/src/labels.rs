//! The names of agents, which all events of an agent share.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::PyString;
use varta_observer::{Event, Observer, What};

/// So many strings are kept even if fewer agents are followed.
const FEW: usize = 1024;

/// The name of each agent that had an event, as a string.
#[derive(Default)]
pub(crate) struct Labels {
    strings: HashMap<u64, Py<PyString>>,
}

impl Labels {
    /// The name of the agent of an event that was just polled. None if it names no agent.
    pub(crate) fn of(
        &mut self,
        py: Python<'_>,
        event: &Event,
        observer: &mut Observer,
    ) -> std::io::Result<Option<Py<PyString>>> {
        while let Some(renamed) = observer.take_renamed() {
            self.strings.remove(&renamed);
        }
        let Some(agent) = event.about.map(|about| about.agent) else { return Ok(None) };
        if let Some(known) = self.strings.get(&agent) {
            let known = known.clone_ref(py);
            if matches!(event.what, What::Exit { .. }) {
                self.strings.remove(&agent);
            }
            return Ok(Some(known));
        }
        let label = PyString::new(py, observer.label(agent).as_str()).unbind();
        if !matches!(event.what, What::Exit { .. }) {
            // Agents that were evicted have no last event.
            if self.strings.len() >= FEW.max(2 * observer.snapshot_into(&mut [])?) {
                self.strings.clear();
            }
            self.strings.insert(agent, label.clone_ref(py));
        }
        Ok(Some(label))
    }
}
