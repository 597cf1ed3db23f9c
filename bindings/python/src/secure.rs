//! Sealing of frames, and key derivation.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use varta::FRAME_BYTES;
use varta::secure::{self, Iv, Key};

use crate::convert::{self, Any};
use crate::guard::{function, methods};
use crate::values::Values;

/// Seals and opens frames with one key.
#[pyclass(module = "varta.secure", frozen)]
pub(crate) struct Cipher(secure::Cipher);

impl Cipher {
    fn result<'py>(
        py: Python<'py>,
        opened: Result<[u8; FRAME_BYTES], secure::AuthError>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        match opened {
            Ok(frame) => Ok(PyBytes::new(py, &frame)),
            Err(error) => Err(Values::get(py)?.auth_error(py, error)),
        }
    }
}

fn iv(prefix: Any<'_, '_>, counter: Any<'_, '_>) -> PyResult<Iv> {
    Ok(Iv {
        prefix: convert::bytes(prefix, "prefix")?,
        counter: convert::number(counter, "counter")?,
    })
}

methods! {
impl Cipher {
    #[new]
    fn new(key: Any<'_, '_>) -> Self {
        Ok(Self(secure::Cipher::new(&convert::key(key, "key")?)))
    }

    /// Seals a frame of 32 bytes and returns 60 bytes. The nonce consists of a prefix of 8
    /// bytes and a counter. Never use a nonce twice with one key: that breaks the encryption.
    fn seal<'py>(
        &self,
        py: Python<'py>,
        prefix: Any<'_, 'py>,
        counter: Any<'_, 'py>,
        frame: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let frame = convert::bytes(frame, "frame")?;
        let sealed = self.0.seal(iv(prefix, counter)?, &frame);
        Ok(PyBytes::new(py, &sealed.map_err(runtime_error)?))
    }

    /// Like seal, but with the pid in front, from which an observer derives the agent's key.
    /// Returns 64 bytes.
    fn seal_as<'py>(
        &self,
        py: Python<'py>,
        pid: Any<'_, 'py>,
        prefix: Any<'_, 'py>,
        counter: Any<'_, 'py>,
        frame: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let frame = convert::bytes(frame, "frame")?;
        let pid = convert::number(pid, "pid")?;
        let sealed = self.0.seal_as(pid, iv(prefix, counter)?, &frame);
        Ok(PyBytes::new(py, &sealed.map_err(runtime_error)?))
    }

    /// Returns the frame in 60 sealed bytes. Raises AuthError if they were not sealed with this
    /// key.
    fn open<'py>(&self, py: Python<'py>, wire: Any<'_, 'py>) -> Bound<'py, PyBytes> {
        Self::result(py, self.0.open(&convert::bytes(wire, "wire")?))
    }

    /// Returns the frame in 64 sealed bytes. Raises AuthError also if the frame names a different
    /// pid than the bytes in front of it.
    fn open_from<'py>(&self, py: Python<'py>, wire: Any<'_, 'py>) -> Bound<'py, PyBytes> {
        Self::result(py, self.0.open_from(&convert::bytes(wire, "wire")?))
    }

    fn __repr__(&self) -> &'static str {
        Ok("Cipher(...)")
    }
}
}

function! {
    /// Derives an agent's key from the master key and the agent's pid.
    fn derive_agent_key<'py>(
        py: Python<'py>,
        master: Any<'_, 'py>,
        pid: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let master = convert::key(master, "master")?;
        let key = secure::derive_agent_key(&master, convert::number(pid, "pid")?);
        Ok(key_bytes(py, &key.map_err(runtime_error)?))
    }
}

function! {
    /// Derives the 8-byte prefix of a session's nonces from the session's 16-byte salt.
    fn derive_iv_prefix<'py>(
        py: Python<'py>,
        salt: Any<'_, 'py>,
        index: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let salt = convert::bytes(salt, "salt")?;
        let prefix = secure::derive_iv_prefix(&salt, convert::number(index, "index")?);
        Ok(PyBytes::new(py, &prefix.map_err(runtime_error)?))
    }
}

fn key_bytes<'py>(py: Python<'py>, key: &Key) -> Bound<'py, PyBytes> {
    PyBytes::new(py, key.as_bytes())
}

#[cold]
fn runtime_error(error: impl ToString) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}
