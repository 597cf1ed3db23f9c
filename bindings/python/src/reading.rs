//! Keyword arguments as what can be read of a process, to find out why it is silent.

use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use varta_observer::judge::{Call, Lacks, Quota, Quotas, Sample, Text, ThreadReading};
use varta_observer::{ProgramName, Simulated};

/// A reading without threads, and how long it takes.
pub(crate) fn process(values: Option<&Bound<'_, PyDict>>) -> PyResult<(Sample, u64)> {
    let mut sample = Sample::try_new().map_err(|_| PyMemoryError::new_err(()))?;
    let (mut spent_ns, mut executable, mut quota) = (0, (0, 0), Quota::default());
    let process = &mut sample.process;
    for (name, value) in values.into_iter().flatten() {
        match text(&name)?.as_str() {
            "spent_ns" => spent_ns = value.extract()?,
            "cpu_ns" => process.clock_ns = known(value.extract()?),
            "thread_count" => process.threads = value.extract()?,
            "lacks" => process.lacks = Lacks(value.extract()?),
            "device" => executable.0 = value.extract()?,
            "inode" => executable.1 = value.extract()?,
            "name" => process.name = ProgramName::from_bytes(text(&value)?.as_bytes()),
            "dumping" => process.dumping = value.extract()?,
            "killed" => process.killed = value.extract()?,
            "tracer" => process.tracer = value.extract()?,
            "frozen" => process.frozen = value.extract()?,
            "under_oom" => process.under_oom = value.extract()?,
            "group" => process.group = Text::from_bytes(text(&value)?.as_bytes()),
            "quota_periods" => quota.periods = value.extract()?,
            "quota_throttled" => quota.throttled = value.extract()?,
            "memory_pressure_ns" => process.memory_pressure_ns = known(value.extract()?),
            other => return Err(unknown("set_reading", other)),
        }
    }
    process.executable = Some(executable).filter(|executable| *executable != (0, 0));
    if quota.periods != 0 {
        process.quotas = Quotas::NONE;
        process.quotas.push(quota);
    }
    Ok((sample, spent_ns))
}

/// The reading of a thread.
pub(crate) fn thread(
    thread: u32,
    values: Option<&Bound<'_, PyDict>>,
) -> PyResult<ThreadReading> {
    let mut read = ThreadReading { thread, state: b'S', ..ThreadReading::NOTHING };
    let (mut call, mut arguments) = (None, [0; 4]);
    for (name, value) in values.into_iter().flatten() {
        match text(&name)?.as_str() {
            "state" => read.state = state(&value)?,
            "run_ns" => read.run_ns = value.extract()?,
            "wait_ns" => read.wait_ns = value.extract()?,
            "slices" => read.slices = value.extract()?,
            "flags" => read.flags = value.extract()?,
            "major_faults" => read.major_faults = value.extract()?,
            "stop_signal" => read.stop_signal = value.extract()?,
            "wait_channel" => read.wait_channel = Text::from_bytes(text(&value)?.as_bytes()),
            "call" => call = value.extract::<Option<String>>()?,
            "arguments" => arguments = value.extract()?,
            other => return Err(unknown("add_thread_reading", other)),
        }
    }
    read.call = match call {
        None => Call::Unknown,
        Some(name) => Simulated::call(&name, arguments).ok_or_else(|| {
            PyValueError::new_err(format!("call: {name:?} is not a known system call"))
        })?,
    };
    Ok(read)
}

fn known(value: u64) -> Option<u64> {
    Some(value).filter(|value| *value != 0)
}

fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    value.extract()
}

fn state(value: &Bound<'_, PyAny>) -> PyResult<u8> {
    let text = text(value)?;
    match text.as_bytes() {
        [state] => Ok(*state),
        _ => Err(PyValueError::new_err(format!("state: {text:?} is not one letter"))),
    }
}

fn unknown(method: &str, name: &str) -> PyErr {
    PyTypeError::new_err(format!("{method}: unknown argument {name:?}"))
}
