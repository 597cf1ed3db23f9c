//! Tells the linker that Node brings its API along.

fn main() {
    napi_build::setup();
}
