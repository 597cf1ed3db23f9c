//! Functions that are exported by hand, because they are called often: the code that napi
//! generates would take an eighth of the time of a beat.
#![allow(unsafe_code, reason = "the API of Node is C")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::bindgen_prelude::{External, Object};
use napi::{Env, JsError, JsValue, sys};

use crate::failure::{Failure, named};

/// A function for JavaScript.
pub(crate) trait Call {
    /// Its name in snake case, which JavaScript sees in camel case.
    const NAME: &'static str;

    fn call(arguments: &mut Arguments) -> crate::Result<Answer>;
}

/// What a function returns.
#[derive(Debug)]
pub(crate) enum Answer {
    /// `undefined`, which costs nothing to create.
    Nothing,
    Whole(i32),
    Number(f64),
}

/// The arguments of a call.
pub(crate) struct Arguments {
    env: sys::napi_env,
    values: [sys::napi_value; MOST],
}

/// The most arguments that a function has.
const MOST: usize = 4;

impl Arguments {
    /// Reads the arguments of a call. Those that were not passed are undefined.
    fn read(env: sys::napi_env, info: sys::napi_callback_info) -> Option<Self> {
        let mut values = [ptr::null_mut(); MOST];
        let mut count = MOST;
        // SAFETY: `env` and `info` are those of this call, and the array has room for `count`
        // values.
        let status = unsafe {
            sys::napi_get_cb_info(
                env,
                info,
                &raw mut count,
                values.as_mut_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        (status == sys::Status::napi_ok).then_some(Self { env, values })
    }

    /// The object that an external holds.
    pub(crate) fn handle<T: 'static>(&mut self, at: usize) -> crate::Result<&mut T> {
        let mut handle = ptr::null_mut();
        let value = self.at(at);
        // SAFETY: the value was set in this call, or is undefined.
        let status = unsafe { sys::napi_get_value_external(self.env, value, &raw mut handle) };
        if status != sys::Status::napi_ok {
            return Err(unexpected(at));
        }
        // SAFETY: every external of this module is an `External`, which begins with its type. The
        // value that holds it is alive in this call, only this thread uses it, and `self` is
        // borrowed as long as the result is.
        let handle = unsafe { External::<T>::inner_from_raw_mut(handle) };
        handle.ok_or_else(|| unexpected(at))
    }

    /// A whole number of 32 bits.
    pub(crate) fn whole(&self, at: usize) -> crate::Result<u32> {
        let mut number = 0;
        // SAFETY: as above.
        let status =
            unsafe { sys::napi_get_value_uint32(self.env, self.at(at), &raw mut number) };
        if status == sys::Status::napi_ok { Ok(number) } else { Err(unexpected(at)) }
    }

    /// Any number.
    pub(crate) fn number(&self, at: usize) -> crate::Result<f64> {
        let mut number = 0.0;
        // SAFETY: as above.
        let status =
            unsafe { sys::napi_get_value_double(self.env, self.at(at), &raw mut number) };
        if status == sys::Status::napi_ok { Ok(number) } else { Err(unexpected(at)) }
    }

    fn at(&self, at: usize) -> sys::napi_value {
        self.values.get(at).copied().unwrap_or(ptr::null_mut())
    }
}

#[cold]
fn unexpected(at: usize) -> Failure {
    named("22", format!("argument {at} is of another type"))
}

/// Exports a function.
pub(crate) fn export<C: Call>(env: &Env, exports: &mut Object<'_>) -> napi::Result<()> {
    let name = env.create_string(camel_case(C::NAME))?;
    let mut function = ptr::null_mut();
    // SAFETY: `env` is alive in this call and `function` is written to; the name is optional.
    let created = unsafe {
        sys::napi_create_function(
            env.raw(),
            ptr::null(),
            0,
            Some(enter::<C>),
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

fn camel_case(name: &str) -> String {
    let mut after_line = false;
    let letters = name.chars().filter_map(|letter| {
        let capital = std::mem::replace(&mut after_line, letter == '_');
        match letter {
            '_' => None,
            letter if capital => Some(letter.to_ascii_uppercase()),
            letter => Some(letter),
        }
    });
    letters.collect()
}

/// A panic is thrown as an error, as in every other export.
unsafe extern "C" fn enter<C: Call>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let failure = match catch_unwind(AssertUnwindSafe(|| called::<C>(env, info))) {
        Ok(Ok(answer)) => return value(env, &answer),
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            named("GenericFailure", text.unwrap_or(C::NAME))
        }
    };
    // SAFETY: `env` is alive in this call, in which nothing else is thrown.
    unsafe { JsError::from(failure).throw_into(env) };
    ptr::null_mut()
}

fn called<C: Call>(env: sys::napi_env, info: sys::napi_callback_info) -> crate::Result<Answer> {
    #[cfg(feature = "provoke")]
    crate::exported::provoke(C::NAME);
    let mut arguments =
        Arguments::read(env, info).ok_or_else(|| named("22", "expected arguments"))?;
    C::call(&mut arguments)
}

fn value(env: sys::napi_env, answer: &Answer) -> sys::napi_value {
    let mut value = ptr::null_mut();
    match *answer {
        Answer::Nothing => {}
        Answer::Whole(number) => {
            // SAFETY: `env` is alive in this call. If it fails, the value stays null.
            unsafe { sys::napi_create_int32(env, number, &raw mut value) };
        }
        Answer::Number(number) => {
            // SAFETY: as above.
            unsafe { sys::napi_create_double(env, number, &raw mut value) };
        }
    }
    value
}
