//! Last words: the final message of a crashing process.

use pyo3::prelude::*;
use varta::secure::Key;

use crate::convert::{self, Any};
use crate::errors::Raise;
use crate::guard::methods;
use crate::values::Values;

/// Sends a final Critical beat over a socket that was opened in advance.
#[pyclass(module = "varta._varta", frozen)]
pub(crate) struct LastWords(varta::LastWords);

methods! {
impl LastWords {
    /// Opens a socket to an endpoint. An observer must be bound there.
    #[staticmethod]
    fn open(endpoint: Any<'_, '_>) -> Self {
        let endpoint = convert::path(endpoint, "endpoint")?;
        Ok(Self(varta::LastWords::open(endpoint).raise()?))
    }

    /// Opens a socket to a UDP address.
    #[staticmethod]
    fn open_udp(addr: Any<'_, '_>) -> Self {
        let address = convert::address(addr, "addr")?;
        Ok(Self(varta::LastWords::open_udp(address).raise()?))
    }

    /// Opens a socket to a UDP address, to send last words sealed with a 32-byte key.
    #[staticmethod]
    fn open_secure_udp(addr: Any<'_, '_>, key: Any<'_, '_>) -> Self {
        let key: Key = convert::key(key, "key")?;
        let address = convert::address(addr, "addr")?;
        Ok(Self(varta::LastWords::open_secure_udp(address, key).raise()?))
    }

    /// Sends the last words and returns the outcome.
    fn say(&self, py: Python<'_>) -> Py<PyAny> {
        Values::get(py)?.outcome(py, Some(self.0.say(0)))
    }
}
}
