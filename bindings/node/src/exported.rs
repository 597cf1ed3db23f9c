//! How a function is exported: so that a panic in it becomes a JavaScript error.

/// Exports a function. There is no other way out of this crate, and `test/panics.test.js`
/// holds the sources to that.
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

/// Panics if this is among the exports that a test has asked to.
#[cfg(feature = "provoke")]
pub(crate) fn provoke(name: &str) {
    let named = std::env::var("VARTA_PROVOKE");
    #[allow(clippy::manual_assert, clippy::panic, reason = "it is what this is for")]
    if named.is_ok_and(|named| named.split(',').any(|one| one == name)) {
        panic!("provoked in {name}");
    }
}
