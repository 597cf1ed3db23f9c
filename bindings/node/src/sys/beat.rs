//! The one function that is exported by hand, because it is called most often: the code that napi
//! generates would take an eighth of the time of a beat.
#![allow(unsafe_code, reason = "the API of Node is C")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::bindgen_prelude::{External, Object};
use napi::{Env, JsError, JsValue, sys};

use crate::agent::Handle;
use crate::failure::{Failure, named};

/// Exports `agentBeat(agent, status, payload)`. It returns the number of the outcome, but
/// undefined for 0, which costs nothing to create.
pub(crate) fn export(env: &Env, exports: &mut Object<'_>) -> Result<(), napi::Error> {
    let name = env.create_string("agentBeat")?;
    let mut function = ptr::null_mut();
    // SAFETY: `env` is alive in this call and `function` is written to; the name is optional.
    let created = unsafe {
        sys::napi_create_function(
            env.raw(),
            ptr::null(),
            0,
            Some(agent_beat),
            ptr::null_mut(),
            &raw mut function,
        )
    };
    if created != sys::Status::napi_ok {
        return Err(napi::Error::from_reason("Node cannot create a function"));
    }
    // SAFETY: all four are alive in this call.
    let set = unsafe { sys::napi_set_property(env.raw(), exports.raw(), name.raw(), function) };
    if set != sys::Status::napi_ok {
        return Err(napi::Error::from_reason("Node cannot set a property"));
    }
    Ok(())
}

/// A panic is thrown as an error, as in every other export.
unsafe extern "C" fn agent_beat(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let failure = match catch_unwind(AssertUnwindSafe(|| beat(env, info))) {
        Ok(Ok(0)) => return ptr::null_mut(),
        Ok(Ok(number)) => {
            let mut value = ptr::null_mut();
            // SAFETY: `env` is alive in this call. If it fails, the value stays null.
            unsafe { sys::napi_create_int32(env, number, &raw mut value) };
            return value;
        }
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            named("GenericFailure", text.unwrap_or("panic in agent_beat"))
        }
    };
    // SAFETY: `env` is alive in this call, in which nothing else is thrown.
    unsafe { JsError::from(failure).throw_into(env) };
    ptr::null_mut()
}

fn beat(env: sys::napi_env, info: sys::napi_callback_info) -> Result<i32, Failure> {
    #[cfg(feature = "provoke")]
    crate::exported::provoke("agent_beat");
    let mut given = [ptr::null_mut(); 3];
    let mut count = given.len();
    // SAFETY: `env` and `info` are those of this call, and the array has room for `count` values.
    let read = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            given.as_mut_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    let [agent, status, payload] = given;
    let mut handle = ptr::null_mut();
    let mut numbers = [0, 0];
    // SAFETY: the value was set in this call, or is undefined.
    let is_external = unsafe { sys::napi_get_value_external(env, agent, &raw mut handle) };
    // SAFETY: as above.
    let has_status = unsafe { sys::napi_get_value_uint32(env, status, &raw mut numbers[0]) };
    // SAFETY: as above.
    let has_payload = unsafe { sys::napi_get_value_uint32(env, payload, &raw mut numbers[1]) };
    let all = [read, is_external, has_status, has_payload];
    if all.iter().any(|status| *status != sys::Status::napi_ok) {
        return Err(named("22", "expected an agent, a status and a payload"));
    }
    // SAFETY: every external of this module is an `External`, which begins with its type; the
    // value that holds it is alive in this call, and only this thread uses it.
    let handle = unsafe { External::<Handle>::inner_from_raw_mut(handle) };
    let handle = handle.ok_or_else(|| named("22", "expected an agent"))?;
    let [status, payload] = numbers;
    handle.beat(status, payload)
}
