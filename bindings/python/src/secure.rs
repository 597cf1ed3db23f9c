//! The secure wrapping and its derivations.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use varta::FRAME_BYTES;
use varta::secure::{self, Iv, Key};

use crate::convert::{self, Any};
use crate::guard::{function, methods};
use crate::values::Values;

/// Seals frames with one key, and opens them again.
#[pyclass(module = "varta.secure", frozen)]
pub(crate) struct Cipher(secure::Cipher);

impl Cipher {
    fn opened<'py>(
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

    /// Seals a frame of 32 bytes under a nonce of its own, a prefix of 8 bytes and a
    /// counter: 60 bytes. One nonce used twice gives the key away.
    fn seal<'py>(
        &self,
        py: Python<'py>,
        prefix: Any<'_, 'py>,
        counter: Any<'_, 'py>,
        frame: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let frame = convert::bytes(frame, "frame")?;
        let sealed = self.0.seal(iv(prefix, counter)?, &frame);
        Ok(PyBytes::new(py, &sealed.map_err(refused)?))
    }

    /// As seal, with the pid in front, by which an observer finds an agent's own key: 64
    /// bytes.
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
        Ok(PyBytes::new(py, &sealed.map_err(refused)?))
    }

    /// The frame in 60 sealed bytes; AuthError if this key has not sealed them.
    fn open<'py>(&self, py: Python<'py>, wire: Any<'_, 'py>) -> Bound<'py, PyBytes> {
        Self::opened(py, self.0.open(&convert::bytes(wire, "wire")?))
    }

    /// The frame in 64 sealed bytes, which must name the same pid as they do.
    fn open_from<'py>(&self, py: Python<'py>, wire: Any<'_, 'py>) -> Bound<'py, PyBytes> {
        Self::opened(py, self.0.open_from(&convert::bytes(wire, "wire")?))
    }

    fn __repr__(&self) -> &'static str {
        Ok("Cipher(...)")
    }
}
}

function! {
    /// The key of one agent, from the master key and its pid.
    fn derive_agent_key<'py>(
        py: Python<'py>,
        master: Any<'_, 'py>,
        pid: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let master = convert::key(master, "master")?;
        let key = secure::derive_agent_key(&master, convert::number(pid, "pid")?);
        Ok(derived(py, &key.map_err(refused)?))
    }
}

function! {
    /// The 8 bytes in front of each nonce of a session, from its salt of 16 bytes.
    fn derive_iv_prefix<'py>(
        py: Python<'py>,
        salt: Any<'_, 'py>,
        index: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let salt = convert::bytes(salt, "salt")?;
        let prefix = secure::derive_iv_prefix(&salt, convert::number(index, "index")?);
        Ok(PyBytes::new(py, &prefix.map_err(refused)?))
    }
}

function! {
    /// The key of an epoch, from an agent's key.
    fn derive_epoch_key<'py>(
        py: Python<'py>,
        agent: Any<'_, 'py>,
        epoch: Any<'_, 'py>,
    ) -> Bound<'py, PyBytes> {
        let agent = convert::key(agent, "agent")?;
        let key = secure::derive_epoch_key(&agent, convert::number(epoch, "epoch")?);
        Ok(derived(py, &key.map_err(refused)?))
    }
}

fn derived<'py>(py: Python<'py>, key: &Key) -> Bound<'py, PyBytes> {
    PyBytes::new(py, key.as_bytes())
}

#[cold]
fn refused(error: impl ToString) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}
