//! Faults, for the tests that must find them. They are in no header and no release.

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
#[allow(clippy::panic, reason = "it is what this is for")]
pub unsafe extern "C" fn varta_fault_panic(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), |_| panic!("planted")) }
    })
}

/// Beats as varta_beat does, but without asking whether another call is on the agent.
///
/// cbindgen:ignore
///
/// # Safety
///
/// As for varta_beat; a second call at once is a race.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_fault_race(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle. That it is used without its mark is the fault.
        let agent = unsafe { Handle::<Agent>::without_mark(agent.cast()) };
        Ok(c_int::from(agent.beat(varta::Status::Ok, 0) == varta::BeatOutcome::Sent))
    })
}
