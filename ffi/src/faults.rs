//! Planted faults that tests must find. They are in no header and in no release.

use std::ffi::c_int;

use crate::agent::{Agent, varta_agent};
use crate::guard::{self, Code};
use crate::handle::Handle;

/// Panics in the middle of a call on an agent.
///
/// cbindgen:ignore
///
/// # Safety
///
/// As for varta_beat.
#[unsafe(no_mangle)]
#[allow(clippy::panic, reason = "the planted fault")]
pub unsafe extern "C" fn varta_fault_panic(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), |_| panic!("planted")) }
    })
}

/// Beats like varta_beat, but does not check whether another call is using the agent.
///
/// cbindgen:ignore
///
/// # Safety
///
/// As for varta_beat; a second call at once is a race.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_fault_race(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle. Not locking it is the planted fault.
        let agent = unsafe { Handle::<Agent>::without_lock(agent.cast()) };
        Ok(c_int::from(agent.beat(varta::Status::Ok, 0) == varta::BeatOutcome::Sent))
    })
}
