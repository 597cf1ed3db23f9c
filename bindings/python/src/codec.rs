//! Frames of both wire versions, and their checksum.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use varta::{FRAME_BYTES, v1};

use crate::convert::{self, Any};
use crate::guard::{function, methods};
use crate::values::Values;

function! {
    /// Returns the CRC-32C of some bytes.
    fn crc32c(data: Any<'_, '_>) -> u32 {
        Ok(varta::crc32c(&convert::any_bytes(data, "data")?))
    }
}

/// The class for one version of the wire format. The versions differ in the payload's width.
macro_rules! frame {
    ($(#[$doc:meta])* $class:ident, $python:literal, $module:literal, $frame:path, $payload:ty) => {
        $(#[$doc])*
        #[pyclass(name = $python, module = $module, frozen, eq, hash)]
        #[derive(PartialEq, Eq, Hash)]
        pub(crate) struct $class($frame);

        methods! {
        impl $class {
            #[classattr]
            fn __match_args__(py: Python<'_>) -> Py<PyTuple> {
                Ok(PyTuple::new(py, FIELDS)?.unbind())
            }

            #[new]
            fn new(
                status: Any<'_, '_>,
                pid: Any<'_, '_>,
                timestamp: Any<'_, '_>,
                nonce: Any<'_, '_>,
                payload: Any<'_, '_>,
            ) -> Self {
                Ok(Self(<$frame>::new(
                    convert::status(status, "status")?,
                    convert::number(pid, "pid")?,
                    convert::number(timestamp, "timestamp")?,
                    convert::number(nonce, "nonce")?,
                    convert::number(payload, "payload")?,
                )))
            }

            /// Decodes the 32 bytes of a frame. Raises DecodeError if they are not a valid
            /// frame, and ValueError if there are not 32 of them.
            #[staticmethod]
            fn decode(wire: Any<'_, '_>) -> Self {
                let py = wire.py();
                match <$frame>::decode(&convert::bytes::<FRAME_BYTES>(wire, "wire")?) {
                    Ok(frame) => Ok(Self(frame)),
                    Err(error) => {
                        let raised = Values::get(py)?.decode_error(py, error)?;
                        Err(PyErr::from_value(raised.into_bound(py)))
                    }
                }
            }

            /// Returns the 32 bytes that are sent.
            fn encode<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
                let mut wire = [0; FRAME_BYTES];
                self.0.encode(&mut wire);
                Ok(PyBytes::new(py, &wire))
            }

            #[getter]
            fn status(&self, py: Python<'_>) -> Py<PyAny> {
                Ok(Values::get(py)?.status(py, self.0.status))
            }

            #[getter]
            fn pid(&self) -> u32 {
                Ok(self.0.pid)
            }

            #[getter]
            fn timestamp(&self) -> u64 {
                Ok(self.0.timestamp)
            }

            #[getter]
            fn nonce(&self) -> u64 {
                Ok(self.0.nonce)
            }

            #[getter]
            fn payload(&self) -> $payload {
                Ok(self.0.payload)
            }

            fn __repr__(&self, py: Python<'_>) -> String {
                let status = Values::get(py)?.status(py, self.0.status);
                Ok(format!(
                    "Frame(status={}, pid={}, timestamp={}, nonce={}, payload={})",
                    status.bind(py).repr()?, self.0.pid, self.0.timestamp, self.0.nonce,
                    self.0.payload,
                ))
            }
        }
        }
    };
}

const FIELDS: [&str; 5] = ["status", "pid", "timestamp", "nonce", "payload"];

frame! {
    /// One beat as it is sent: version 2 of the wire format.
    Frame, "Frame", "varta", varta::Frame, u32
}

frame! {
    /// One beat as it is sent: version 1 of the wire format, with a 64-bit payload and no
    /// checksum.
    FrameV1, "FrameV1", "varta._varta", v1::Frame, u64
}
