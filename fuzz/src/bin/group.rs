//! Whatever a control group is called, the names that are read from it are short and clean.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| varta_observer::fuzzing::read_group(data));
