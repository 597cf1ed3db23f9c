//! The native half of the npm package `varta`. The other half, in `lib/`, checks arguments and
//! provides the public API. Only `lib/` calls the functions that are exported here.

#![cfg_attr(test, allow(dead_code, reason = "napi exports nothing in a test build"))]
#![allow(unreachable_pub, reason = "napi requires pub items that no crate can reach")]

#[macro_use]
mod exported;

mod agent;
mod codec;
mod failure;
mod last_words;
mod observer;
mod reading;
mod record;
mod secure;
mod simulated;
mod snapshot;
mod sys;
mod task;

pub(crate) use failure::Result;

/// Adds the exports that do not use [`exported!`].
#[napi_derive::napi(module_exports)]
pub fn module_exports(
    mut exports: napi::bindgen_prelude::Object<'_>,
    env: napi::Env,
) -> napi::Result<()> {
    sys::export::<agent::Beat>(&env, &mut exports)?;
    sys::export::<task::Beat>(&env, &mut exports)?;
    sys::export::<task::Idle>(&env, &mut exports)?;
    sys::export::<task::Watch>(&env, &mut exports)?;
    sys::export::<task::Unwatch>(&env, &mut exports)?;
    sys::export::<task::Reach>(&env, &mut exports)?;
    sys::export::<task::Progress>(&env, &mut exports)
}
