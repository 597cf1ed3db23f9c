//! The native module `varta._varta`. The package around it, in `python/varta`, is what
//! users import.

mod agent;
mod codec;
mod convert;
mod errors;
mod event;
mod guard;
mod last_words;
mod observer;
mod secure;
mod settings;
mod simulated;
mod values;
mod wait;

use pyo3::prelude::*;

/// It relies on the interpreter's lock, and says so: a free-threaded interpreter would take
/// it to import this.
#[pymodule(gil_used = true)]
mod _varta {
    #[pymodule_export]
    use crate::agent::Agent;
    #[pymodule_export]
    use crate::codec::{Frame, FrameV1, crc32c};
    #[pymodule_export]
    use crate::event::{
        AgentEvent, AuthFailure, Beat, Decode, Event, Exit, Io, Paused, Recovered, Stall,
    };
    #[pymodule_export]
    use crate::guard::provoke_panic;
    #[pymodule_export]
    use crate::last_words::LastWords;
    #[pymodule_export]
    use crate::observer::Observer;
    #[pymodule_export]
    use crate::secure::{Cipher, derive_agent_key, derive_epoch_key, derive_iv_prefix};
    #[pymodule_export]
    use crate::simulated::Simulated;
    #[pymodule_export]
    use crate::values::classify_errno;
}
