//! Control messages of any shape are read without reading past their end.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| varta_observer::fuzzing::read_control(data));
