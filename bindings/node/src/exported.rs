//! Exports functions such that a panic becomes a JavaScript error.

/// Exports a function. Every export uses this macro, except those that are called often
/// ([`Call`](crate::sys::Call)), and `test/panics.test.js` checks that.
macro_rules! exported {
    ($(#[$meta:meta])* fn $name:ident $arguments:tt -> Result<$answer:ty> $body:block) => {
        $(#[$meta])*
        #[napi_derive::napi(catch_unwind)]
        pub fn $name $arguments -> $crate::Result<$answer> {
            #[cfg(feature = "provoke")]
            $crate::exported::provoke(stringify!($name));
            $body
        }
    };
}

/// Panics if `VARTA_PROVOKE` names this export, for tests.
#[cfg(feature = "provoke")]
pub(crate) fn provoke(name: &str) {
    let names = std::env::var("VARTA_PROVOKE");
    #[allow(clippy::manual_assert, clippy::panic, reason = "this is its purpose")]
    if names.is_ok_and(|names| names.split(',').any(|one| one == name)) {
        panic!("provoked in {name}");
    }
}
