//! A table by the numbers of agents.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type ByNumber<T> = HashMap<u64, T, BuildHasherDefault<NumberHash>>;

/// A hash for agents' numbers. They are consecutive, so they are spread evenly without
/// hashing, and iterating over agents in order accesses memory in order.
#[derive(Debug, Default)]
pub(crate) struct NumberHash(u64);

impl Hasher for NumberHash {
    fn finish(&self) -> u64 {
        // The table uses the low bits for the slot, and the high bits to compare entries.
        self.0 ^ self.0.rotate_right(7)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
