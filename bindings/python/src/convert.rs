//! Converts and checks the arguments that callers pass. Each error names the argument.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::Borrowed;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyString, PyTuple};
use varta::secure::Key;
use varta::{NEVER, Status};

use crate::errors::Raise;
use crate::values::Values;

pub(crate) type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// An integer that fits into `T`.
#[inline]
pub(crate) fn number<'py, T>(value: Any<'_, 'py>, name: &str) -> PyResult<T>
where
    T: TryFrom<u64> + for<'a> FromPyObject<'a, 'py>,
{
    match value.extract::<T>() {
        Ok(number) => Ok(number),
        Err(_) => Err(number_error::<T>(value, name)),
    }
}

#[cold]
fn number_error<T>(value: Any<'_, '_>, name: &str) -> PyErr {
    if value.is_instance_of::<PyInt>() {
        let bits = 8 * size_of::<T>();
        return PyOverflowError::new_err(format!(
            "{name}: {} is out of range: expected 0 to 2**{bits} - 1",
            repr(value)
        ));
    }
    wrong_type(value, name, "an int")
}

/// A `Status`, its number or its name.
#[inline]
pub(crate) fn status(value: Any<'_, '_>, name: &str) -> PyResult<Status> {
    if let Ok(Some(status)) = value.extract::<u8>().map(Status::from_wire) {
        return Ok(status);
    }
    status_by_name(value, name)
}

#[cold]
fn status_by_name(value: Any<'_, '_>, name: &str) -> PyResult<Status> {
    let known = match value.cast::<PyString>() {
        Ok(word) => word.to_cow()?.parse().ok(),
        Err(_) if value.is_instance_of::<PyInt>() => None,
        Err(_) => return Err(wrong_type(value, name, "a Status, an int or a str")),
    };
    known.ok_or_else(|| {
        PyValueError::new_err(format!(
            "{name}: {} is not a status: expected 0, 1, 2, \"ok\", \"degraded\" or \"critical\"",
            repr(value)
        ))
    })
}

/// The argument `status`. Its default applies if it is left out; None is not a status.
pub(crate) struct StatusArgument(pub(crate) Status);

impl FromPyObject<'_, '_> for StatusArgument {
    type Error = PyErr;

    #[inline]
    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        match Values::get(value.py())?.known_status(&value) {
            Some(known) => Ok(Self(known)),
            None => status(&value, "status").map(Self),
        }
    }
}

/// The argument `payload`.
pub(crate) struct PayloadArgument(pub(crate) u32);

impl FromPyObject<'_, '_> for PayloadArgument {
    type Error = PyErr;

    #[inline]
    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        number(&value, "payload").map(Self)
    }
}

/// A path, or any text that the file system's encoding can represent.
pub(crate) fn path(value: Any<'_, '_>, name: &str) -> PyResult<PathBuf> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(OsString::from_vec(bytes.as_bytes().to_vec()).into());
    }
    value.extract().map_err(|_| wrong_type(value, name, "a str or a path"))
}

/// A pair (host, port). A host name is resolved here, once.
pub(crate) fn address(value: Any<'_, '_>, name: &str) -> PyResult<SocketAddr> {
    let wrong = || wrong_type(value, name, "a pair (host, port)");
    let pair = value.cast::<PyTuple>().map_err(|_| wrong())?;
    let (Ok(host), Ok(port), 2) = (pair.get_item(0), pair.get_item(1), pair.len()) else {
        return Err(wrong());
    };
    let host: String = host.extract().map_err(|_| wrong_type(&host, name, "a str as host"))?;
    let port: u16 = number(&port, name)?;
    let addresses = value.py().detach(|| (host.as_str(), port).to_socket_addrs());
    addresses
        .raise()?
        .next()
        .ok_or_else(|| PyValueError::new_err(format!("{name}: host {host:?} has no address")))
}

/// A key of 32 bytes.
pub(crate) fn key(value: Any<'_, '_>, name: &str) -> PyResult<Key> {
    bytes(value, name).map(Key::from_bytes)
}

/// Exactly `N` bytes.
pub(crate) fn bytes<const N: usize>(value: Any<'_, '_>, name: &str) -> PyResult<[u8; N]> {
    let given = any_bytes(value, name)?;
    <[u8; N]>::try_from(given.as_slice()).map_err(|_| {
        PyValueError::new_err(format!("{name}: expected {N} bytes, got {}", given.len()))
    })
}

pub(crate) fn any_bytes(value: Any<'_, '_>, name: &str) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    match value.cast::<PyByteArray>() {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(_) => Err(wrong_type(value, name, "bytes")),
    }
}

/// A number of seconds.
pub(crate) fn seconds(value: Any<'_, '_>, name: &str) -> PyResult<Duration> {
    limit(value, name).and_then(|time| match time {
        NEVER => Err(too_long(f64::INFINITY, name)),
        time => Ok(time),
    })
}

/// A number of seconds. Infinity is never.
#[inline]
pub(crate) fn limit(value: Any<'_, '_>, name: &str) -> PyResult<Duration> {
    let Ok(seconds) = value.extract::<f64>() else {
        return Err(wrong_type(value, name, "a number of seconds"));
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => Ok(duration),
        Err(_) if seconds == f64::INFINITY => Ok(NEVER),
        Err(_) if seconds > 0.0 => Err(too_long(seconds, name)),
        Err(_) => Err(PyValueError::new_err(format!(
            "{name}: {} is not a valid number of seconds: expected 0 or more",
            repr(value)
        ))),
    }
}

#[cold]
fn too_long(seconds: f64, name: &str) -> PyErr {
    PyOverflowError::new_err(format!("{name}: {seconds} seconds is too long"))
}

/// A number of seconds. None and infinity mean no timeout.
pub(crate) fn timeout(value: Any<'_, '_>, name: &str) -> PyResult<Option<Duration>> {
    if value.is_none() {
        return Ok(None);
    }
    limit(value, name).map(|time| (time != NEVER).then_some(time))
}

/// A bool. Nothing else is accepted, whatever its truth value.
pub(crate) fn flag(value: Any<'_, '_>, name: &str) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(flag) => Ok(flag.is_true()),
        Err(_) => Err(wrong_type(value, name, "a bool")),
    }
}

#[cold]
pub(crate) fn wrong_type(value: Any<'_, '_>, name: &str, expected: &str) -> PyErr {
    let kind = value
        .get_type()
        .name()
        .map_or_else(|_| "an object of unknown type".into(), |n| n.to_string());
    PyTypeError::new_err(format!("{name}: expected {expected}, not {kind}"))
}

fn repr(value: Any<'_, '_>) -> String {
    value.repr().map_or_else(|_| "the value".to_owned(), |text| text.to_string())
}
