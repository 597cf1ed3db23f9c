//! Reads the arguments with which a task is declared.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use varta::{Edge, TaskOptions};

use crate::convert::{self, Any};
use crate::settings;

pub(crate) fn read(
    threshold: Any<'_, '_>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<TaskOptions> {
    let mut read = TaskOptions::new(convert::limit(threshold, "threshold")?);
    for (name, value) in options.into_iter().flatten() {
        let name: String = name.extract()?;
        // None means the default.
        if !value.is_none() {
            read = apply(read, &name, &value)?;
        }
    }
    Ok(read)
}

fn apply(options: TaskOptions, name: &str, value: Any<'_, '_>) -> PyResult<TaskOptions> {
    Ok(match name {
        "startup" => options.startup(convert::limit(value, name)?),
        "progress" => options.progress(convert::limit(value, name)?),
        "edges" => {
            let edges = settings::items(value, name, "a list of edges")?;
            options.edges(edges.map(|one| edge(&one?, name)).collect::<PyResult<Vec<_>>>()?)
        }
        "cycle" => {
            let (length, least, most) = cycle(value, name)?;
            options.cycle(length, least..=most)
        }
        "finest" => options.finest(convert::limit(value, name)?),
        "vital" => options.vital(convert::flag(value, name)?),
        "roams" => options.roams(convert::flag(value, name)?),
        "spans" => options.spans(convert::number(value, name)?),
        _ => return Err(PyTypeError::new_err(format!("{name}: unknown task option"))),
    })
}

/// (from, to), (from, to, min) or (from, to, min, max).
fn edge(value: Any<'_, '_>, name: &str) -> PyResult<Edge> {
    let wrong = || convert::wrong_type(value, name, "edges (from, to, min, max)");
    let items = value.cast::<PyTuple>().map_err(|_| wrong())?;
    let edge = match items.len() {
        2..=4 => Edge::new(
            convert::number(&items.get_item(0)?, name)?,
            convert::number(&items.get_item(1)?, name)?,
        ),
        _ => return Err(wrong()),
    };
    let edge = match items.get_item(2) {
        Ok(min) => edge.min(convert::seconds(&min, name)?),
        Err(_) => edge,
    };
    Ok(match items.get_item(3) {
        Ok(max) => edge.max(convert::limit(&max, name)?),
        Err(_) => edge,
    })
}

/// (seconds, least, most).
fn cycle(value: Any<'_, '_>, name: &str) -> PyResult<(Duration, u32, u32)> {
    let wrong = || convert::wrong_type(value, name, "(seconds, least, most)");
    let items = value.cast::<PyTuple>().map_err(|_| wrong())?;
    let (Ok(length), Ok(least), Ok(most), 3) =
        (items.get_item(0), items.get_item(1), items.get_item(2), items.len())
    else {
        return Err(wrong());
    };
    let beats = (convert::number(&least, name)?, convert::number(&most, name)?);
    Ok((convert::limit(&length, name)?, beats.0, beats.1))
}
