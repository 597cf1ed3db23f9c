//! A page that a simulated observer shares with a process.

use std::sync::atomic::Ordering;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use varta::internal::lane::layout::{Line, Words, lines};
use varta_observer::Simulated;
use varta_observer::judge::{Attached, PageIndex};

/// A page of a simulated observer, from `Simulated.attach`.
#[pyclass(module = "varta._varta", frozen)]
pub(crate) struct SimulatedPage {
    pub(crate) index: PageIndex,
    /// The threshold of the process.
    #[pyo3(get)]
    threshold_ns: u64,
    /// Whether the lines of its tasks are read.
    #[pyo3(get)]
    tasks: bool,
}

impl SimulatedPage {
    pub(crate) fn new(attached: Attached) -> Self {
        let Attached { page, threshold_ns, tasks } = attached;
        Self { index: page, threshold_ns, tasks }
    }

    pub(crate) fn write(
        &self,
        observer: &Simulated,
        pair: u32,
        cold: Option<Words>,
        hot: Option<Words>,
    ) -> PyResult<()> {
        let page = observer.page(self.index);
        let Some((cold_line, hot_line)) =
            page.and_then(|page| lines(page, self.index.offset(), pair))
        else {
            return Err(PyValueError::new_err(format!("pair: the page has no pair {pair}")));
        };
        for (line, words) in [(cold_line, cold), (hot_line, hot)] {
            if let Some(words) = words {
                store(line, words);
            }
        }
        Ok(())
    }
}

fn store(line: &Line, words: Words) {
    for (place, word) in line.iter().zip(words) {
        place.store(word, Ordering::Relaxed);
    }
}
