//! A library that contains a copy of varta of its own, as libvarta.so and other languages' packages
//! do. `tests/copies.rs` loads it several times into one process.

#![allow(unsafe_code, reason = "functions by name, and pointers from the test")]
#![allow(clippy::unwrap_used, reason = "part of a test")]

use std::ffi::{CStr, c_char};
use std::time::Duration;

use varta::{AnyTransport, BeatOutcome, Status, Task, Varta};

/// An agent with a task.
#[derive(Debug)]
pub struct Copy {
    agent: Varta<AnyTransport>,
    task: Task,
}

const NEVER: Duration = Duration::from_secs(3_600);

/// Opens an agent at a path, and declares a task of this name.
///
/// # Safety
///
/// Both are C strings in UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_open(path: *const c_char, name: *const c_char) -> *mut Copy {
    // SAFETY: as the caller promises.
    let [path, name] = [path, name].map(|text| unsafe { CStr::from_ptr(text) });
    let agent = Varta::open(path.to_str().unwrap()).unwrap();
    let task = agent.task(name.to_str().unwrap(), NEVER).unwrap();
    Box::into_raw(Box::new(Copy { agent, task }))
}

/// Makes a call of the task, and returns whether the agent has a page.
#[unsafe(no_mangle)]
pub extern "C" fn copy_call(copy: &mut Copy) -> bool {
    copy.task.idle();
    copy.agent.watched().is_some()
}

/// Beats, and returns whether the beat was sent.
#[unsafe(no_mangle)]
pub extern "C" fn copy_beat(copy: &mut Copy) -> bool {
    copy.agent.beat(Status::Ok, 0) == BeatOutcome::Sent
}
