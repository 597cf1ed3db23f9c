//! Why a process is silent, as dicts.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use varta_observer::{CauseInfo, Why};

pub(crate) fn why(py: Python<'_>, why: Why) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("cause", why.cause.name())?;
    dict.set_item("class", why.cause.class().name())?;
    dict.set_item("certainty", why.certainty.name())?;
    dict.set_item("flags", why.flags.bits())?;
    dict.set_item("thread", why.thread)?;
    dict.set_item("other", why.other)?;
    Ok(dict)
}

pub(crate) fn cause_dict<'py>(
    py: Python<'py>,
    info: &CauseInfo,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("why", why(py, info.why)?)?;
    dict.set_item("looked_ns", info.looked_ns)?;
    dict.set_item("signal", info.signal)?;
    dict.set_item("window_ns", info.window_ns)?;
    dict.set_item("run_ns", info.run_ns)?;
    dict.set_item("wait_ns", info.wait_ns)?;
    dict.set_item("switches", info.switches)?;
    dict.set_item("major_faults", info.major_faults)?;
    dict.set_item("detail", info.detail.to_string())?;
    Ok(dict)
}
