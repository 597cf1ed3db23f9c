//! How the shared library is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvarta.so.0");
    // A dlclose must not lose the state that the library keeps per process (its nonce counters
    // and its signal handlers), so the library stays loaded.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
