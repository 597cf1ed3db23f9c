//! Calls a JavaScript function from another thread.
#![allow(unsafe_code, reason = "the API of Node is C")]

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::bindgen_prelude::Function;
use napi::{Env, JsValue, sys};

use crate::failure::{Failure, named};

/// Makes JavaScript's thread call a function soon. Several rings before that result in one call.
/// Until it is released it keeps the function alive, and by default the process too.
#[derive(Debug)]
pub(crate) struct Bell {
    raw: sys::napi_threadsafe_function,
    rung: AtomicBool,
    released: AtomicBool,
}

// SAFETY: `napi_call_threadsafe_function` and `napi_release_threadsafe_function` may be called from
// any thread. The other functions that use `raw` need an `Env`, which only JavaScript's thread has.
unsafe impl Send for Bell {}
// SAFETY: as above; the rest is atomic.
unsafe impl Sync for Bell {}

impl Bell {
    pub(crate) fn new(env: &Env, callback: &Function<'_, (), ()>) -> Result<Self, Failure> {
        let name = env.create_string("varta observer").map_err(failed)?;
        let mut raw = ptr::null_mut();
        // SAFETY: `env`, the function and the name are alive in this call, `raw` is written
        // to, and there is neither a context nor a finalizer.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                env.raw(),
                callback.raw(),
                ptr::null_mut(),
                name.raw(),
                0,
                1,
                ptr::null_mut(),
                None,
                ptr::null_mut(),
                Some(call),
                &raw mut raw,
            )
        };
        check(status, "create a thread-safe function")?;
        Ok(Self { raw, rung: AtomicBool::new(false), released: AtomicBool::new(false) })
    }

    /// Must not be called after, or at the same time as, [`release`](Self::release).
    pub(crate) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // SAFETY: it is not released, as the caller guarantees. The queue is unbounded, so this
        // fails only after JavaScript has ended, when no call is needed.
        unsafe {
            sys::napi_call_threadsafe_function(
                self.raw,
                ptr::null_mut(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            );
        }
    }

    /// The next ring calls the function again.
    pub(crate) fn answered(&self) {
        self.rung.store(false, Ordering::Release);
    }

    /// Sets whether it keeps the process running.
    pub(crate) fn hold(&self, env: &Env, hold: bool) -> Result<(), Failure> {
        if self.released.load(Ordering::Acquire) {
            return Ok(());
        }
        let apply = if hold {
            sys::napi_ref_threadsafe_function
        } else {
            sys::napi_unref_threadsafe_function
        };
        // SAFETY: it is not released, and `env` shows that this is JavaScript's thread.
        check(
            unsafe { apply(env.raw(), self.raw) },
            "change the reference to a thread-safe function",
        )
    }

    /// Further calls have no effect. Dropping also releases it.
    pub(crate) fn release(&self) {
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        // SAFETY: it was not released before, so its initial reference still exists.
        unsafe {
            sys::napi_release_threadsafe_function(
                self.raw,
                sys::ThreadsafeFunctionReleaseMode::abort,
            );
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.release();
    }
}

/// Called by Node in JavaScript's thread.
unsafe extern "C" fn call(
    env: sys::napi_env,
    function: sys::napi_value,
    _context: *mut c_void,
    _data: *mut c_void,
) {
    // Node is shutting down.
    if env.is_null() || function.is_null() {
        return;
    }
    let mut this = ptr::null_mut();
    // SAFETY: `env` is alive in this call.
    unsafe { sys::napi_get_undefined(env, &raw mut this) };
    // SAFETY: `env`, `this` and the function are alive in this call; there are no arguments.
    let status = unsafe {
        sys::napi_call_function(env, this, function, 0, ptr::null(), ptr::null_mut())
    };
    if status != sys::Status::napi_pending_exception {
        return;
    }
    let mut thrown = ptr::null_mut();
    // SAFETY: as above; an exception is pending.
    let taken = unsafe { sys::napi_get_and_clear_last_exception(env, &raw mut thrown) };
    // By default Node only prints a warning if a listener throws.
    if taken == sys::Status::napi_ok {
        // SAFETY: `thrown` was set in this call.
        unsafe { sys::napi_fatal_exception(env, thrown) };
    }
}

fn check(status: sys::napi_status, what: &str) -> Result<(), Failure> {
    match status {
        sys::Status::napi_ok => Ok(()),
        status => Err(named("node", format!("Node cannot {what}: status {status}"))),
    }
}

fn failed(error: napi::Error) -> Failure {
    named("node", error)
}
