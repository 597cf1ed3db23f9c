//! The last words of a process.

use pyo3::prelude::*;
use varta::secure::Key;

use crate::convert::{self, Any};
use crate::errors::Raise;
use crate::guard::methods;
use crate::values::Values;

/// Says one last Critical over a socket that was opened while all was well.
#[pyclass(module = "varta._varta", frozen)]
pub(crate) struct LastWords(varta::LastWords);

methods! {
impl LastWords {
    /// To an endpoint; somebody must be bound there.
    #[staticmethod]
    fn open(endpoint: Any<'_, '_>) -> Self {
        let endpoint = convert::path(endpoint, "endpoint")?;
        Ok(Self(varta::LastWords::open(endpoint).raise()?))
    }

    /// To a UDP address.
    #[staticmethod]
    fn open_udp(addr: Any<'_, '_>) -> Self {
        let address = convert::address(addr, "addr")?;
        Ok(Self(varta::LastWords::open_udp(address).raise()?))
    }

    /// To a UDP address, sealed with a key of 32 bytes.
    #[staticmethod]
    fn open_secure_udp(addr: Any<'_, '_>, key: Any<'_, '_>) -> Self {
        let key: Key = convert::key(key, "key")?;
        let address = convert::address(addr, "addr")?;
        Ok(Self(varta::LastWords::open_secure_udp(address, key).raise()?))
    }

    /// Says them.
    fn say(&self, py: Python<'_>) -> Py<PyAny> {
        Values::get(py)?.outcome(py, self.0.say(0))
    }
}
}
