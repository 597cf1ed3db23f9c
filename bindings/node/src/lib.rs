//! The native half of the npm package `varta`. Its other half, in `lib/`, checks what users
//! pass and gives things their names; nothing else calls what is exported here.

#![cfg_attr(test, allow(dead_code, reason = "napi exports nothing in a test build"))]
#![allow(unreachable_pub, reason = "napi wants public what no crate can reach")]

#[macro_use]
mod exported;

mod agent;
mod codec;
mod failure;
mod last_words;
mod observer;
mod record;
mod secure;
mod simulated;
mod snapshot;
mod sys;

pub(crate) use failure::Result;

/// What is exported beside what [`exported!`] does.
#[napi_derive::napi(module_exports)]
pub fn module_exports(
    mut exports: napi::bindgen_prelude::Object<'_>,
    env: napi::Env,
) -> napi::Result<()> {
    sys::export_beat(&env, &mut exports)
}
