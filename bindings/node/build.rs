//! Tells the linker that Node provides its API at run time.

fn main() {
    napi_build::setup();
}
