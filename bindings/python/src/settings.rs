//! Applies the keyword arguments of an observer to its builder.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use varta::Endpoint;
use varta_observer::{Builder, Rate, Slack, Uids};

use crate::convert::{self, Any};
use crate::errors;

/// Applies settings to a builder. Raises TypeError for an unknown setting.
pub(crate) fn apply(mut builder: Builder, settings: &Bound<'_, PyDict>) -> PyResult<Builder> {
    let mut slack = Slack::new();
    for (name, value) in settings {
        let name: String = name.extract()?;
        // None means the default.
        if value.is_none() {
            continue;
        }
        match name.as_str() {
            "task_slack" => slack = task_slack(slack, &value, &name, convert::seconds)?,
            "task_slack_ns" => slack = task_slack(slack, &value, &name, nanoseconds)?,
            "program_slack" => slack = program_slack(slack, &value, &name, convert::seconds)?,
            "program_slack_ns" => slack = program_slack(slack, &value, &name, nanoseconds)?,
            _ => builder = apply_one(builder, &name, &value)?,
        }
    }
    Ok(builder.slack(slack))
}

/// The slack of tasks and of programs, in seconds by name.
pub(crate) fn slack(
    of_tasks: Option<Any<'_, '_>>,
    of_programs: Option<Any<'_, '_>>,
) -> PyResult<Slack> {
    slack_in(
        convert::seconds,
        of_tasks.map(|given| (given, "task_slack")),
        of_programs.map(|given| (given, "program_slack")),
    )
}

/// The same in nanoseconds.
pub(crate) fn slack_ns(
    of_tasks: Option<Any<'_, '_>>,
    of_programs: Option<Any<'_, '_>>,
) -> PyResult<Slack> {
    slack_in(
        nanoseconds,
        of_tasks.map(|given| (given, "task_slack_ns")),
        of_programs.map(|given| (given, "program_slack_ns")),
    )
}

fn slack_in(
    read: ReadTime,
    of_tasks: Option<(Any<'_, '_>, &str)>,
    of_programs: Option<(Any<'_, '_>, &str)>,
) -> PyResult<Slack> {
    let mut slack = Slack::new();
    if let Some((given, name)) = of_tasks {
        slack = task_slack(slack, given, name, read)?;
    }
    if let Some((given, name)) = of_programs {
        slack = program_slack(slack, given, name, read)?;
    }
    Ok(slack)
}

type ReadTime = fn(Any<'_, '_>, &str) -> PyResult<Duration>;

fn task_slack(slack: Slack, value: Any<'_, '_>, name: &str, read: ReadTime) -> PyResult<Slack> {
    let add = |slack: Slack, (name, time): (String, Duration)| slack.task(&name, time);
    Ok(by_name(value, name, read)?.into_iter().fold(slack, add))
}

fn program_slack(
    slack: Slack,
    value: Any<'_, '_>,
    name: &str,
    read: ReadTime,
) -> PyResult<Slack> {
    let add = |slack: Slack, (name, time): (String, Duration)| slack.program(&name, time);
    Ok(by_name(value, name, read)?.into_iter().fold(slack, add))
}

/// A dict of times by name.
fn by_name(
    value: Any<'_, '_>,
    name: &str,
    read: ReadTime,
) -> PyResult<Vec<(String, Duration)>> {
    let wrong = || convert::wrong_type(value, name, "a dict of times by name");
    let dict = value.cast::<PyDict>().map_err(|_| wrong())?;
    let entry = |(key, time): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        Ok((key.extract::<String>().map_err(|_| wrong())?, read(&time, name)?))
    };
    dict.iter().map(entry).collect()
}

fn apply_one(builder: Builder, name: &str, value: Any<'_, '_>) -> PyResult<Builder> {
    Ok(match name {
        "threshold" => builder.threshold(convert::seconds(value, name)?),
        "threshold_ns" => builder.threshold(nanoseconds(value, name)?),
        "pause_after" => builder.pause_after(convert::seconds(value, name)?),
        "pause_after_ns" => builder.pause_after(nanoseconds(value, name)?),
        "capacity" => builder.capacity(size(value, name)?),
        "socket_mode" => builder.socket_mode(convert::number(value, name)?),
        "receive_buffer" => builder.receive_buffer(size(value, name)?),
        "uids" => builder.uids(uids(value, name)?),
        "namespaces" => builder.namespaces(convert::flag(value, name)?),
        "version1" => builder.version1(convert::flag(value, name)?),
        "rate_per_agent" => builder.rate_per_agent(rate(value, name)?),
        "rate" => builder.rate(rate(value, name)?),
        "lane" => builder.lane(convert::flag(value, name)?),
        "tasks" => builder.tasks(convert::flag(value, name)?),
        "causes" => builder.causes(convert::flag(value, name)?),
        "lane_floor" => builder.lane_floor(convert::seconds(value, name)?),
        "lane_floor_ns" => builder.lane_floor(nanoseconds(value, name)?),
        "detect_exits" => builder.detect_exits(convert::flag(value, name)?),
        "descriptors" => builder.descriptors(size(value, name)?),
        "master_key" => builder.master_key(convert::key(value, name)?),
        "secure_state_file" => builder.secure_state_file(convert::path(value, name)?),
        "shared_keys" => shared_keys(builder, value, name)?,
        "udp" => builder.udp(convert::address(value, name)?),
        "secure_udp" => builder.secure_udp(convert::address(value, name)?),
        _ => {
            return Err(PyTypeError::new_err(format!("{name}: unknown observer setting")));
        }
    })
}

pub(crate) fn add_endpoints(
    mut builder: Builder,
    endpoints: &Bound<'_, PyTuple>,
) -> PyResult<Builder> {
    for endpoint in endpoints {
        let text = convert::path(&endpoint, "endpoint")?;
        let endpoint = Endpoint::from_os_str(text.as_os_str());
        builder = builder.listen(endpoint.map_err(|error| errors::from_io(&error.into()))?);
    }
    Ok(builder)
}

fn nanoseconds(value: Any<'_, '_>, name: &str) -> PyResult<Duration> {
    convert::number(value, name).map(Duration::from_nanos)
}

fn size(value: Any<'_, '_>, name: &str) -> PyResult<usize> {
    let size: u32 = convert::number(value, name)?;
    usize::try_from(size)
        .map_err(|_| PyValueError::new_err(format!("{name}: {size} is too large")))
}

/// "any" or a list of uids.
fn uids(value: Any<'_, '_>, name: &str) -> PyResult<Uids> {
    if value.cast::<PyString>().is_ok_and(|word| word.to_cow().is_ok_and(|word| word == "any"))
    {
        return Ok(Uids::Any);
    }
    if value.is_instance_of::<PyString>() {
        return Err(PyValueError::new_err(format!(
            "{name}: expected \"any\" or a list of uids"
        )));
    }
    let list: PyResult<Vec<u32>> = items(value, name, "\"any\" or a list of uids")?
        .map(|uid| convert::number(&uid?, name))
        .collect();
    Ok(Uids::List(list?.into()))
}

/// A pair (per_second, burst).
fn rate(value: Any<'_, '_>, name: &str) -> PyResult<Rate> {
    let wrong = || convert::wrong_type(value, name, "a pair (per_second, burst)");
    let pair = value.cast::<PyTuple>().map_err(|_| wrong())?;
    let (Ok(per_second), Ok(burst), 2) = (pair.get_item(0), pair.get_item(1), pair.len())
    else {
        return Err(wrong());
    };
    Ok(Rate {
        per_second: convert::number(&per_second, name)?,
        burst: convert::number(&burst, name)?,
    })
}

fn shared_keys(mut builder: Builder, value: Any<'_, '_>, name: &str) -> PyResult<Builder> {
    for key in items(value, name, "a list of keys")? {
        builder = builder.shared_key(convert::key(&key?, name)?);
    }
    Ok(builder)
}

pub(crate) fn items<'py>(
    value: Any<'_, 'py>,
    name: &str,
    expected: &str,
) -> PyResult<Bound<'py, pyo3::types::PyIterator>> {
    value.try_iter().map_err(|_| convert::wrong_type(value, name, expected))
}
