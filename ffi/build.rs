//! How the shared library is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvarta.so.0");
    // What the library knows of its process (how far its nonces have come, who handles fatal
    // signals) must not be lost to a dlclose; so it stays, and costs nothing to load again.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
