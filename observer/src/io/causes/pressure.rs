//! How long processes have waited for memory.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use super::text::{number, words};
use crate::sys;

/// It concerns the whole system, so one reading serves many processes for this long.
const FRESH_NS: u64 = 2_000_000;

/// Reads the memory pressure of the system.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Open from the first reading on, because to open it takes longer than to read it.
    file: Option<File>,
    read_at: u64,
    last: Option<u64>,
}

impl Pressure {
    /// How long any process has waited for memory, in nanoseconds. `None` if the kernel does not
    /// count it.
    pub(super) fn read(&mut self, now: u64, buffer: &mut [u8]) -> Option<u64> {
        if self.read_at == 0 || now.saturating_sub(self.read_at) > FRESH_NS {
            self.last = self.read_now(buffer);
            self.read_at = now;
        }
        self.last
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> Option<u64> {
        if self.file.is_none() {
            let file = OwnedFd::from(File::open("/proc/pressure/memory").ok()?);
            self.file = Some(sys::past_the_standard_streams(file).ok()?.into());
        }
        let count = self.file.as_ref()?.read_at(buffer, 0).ok()?;
        total(buffer.get(..count)?)
    }
}

/// The total of a line such as `some avg10=0.00 ... total=123`, which is in microseconds.
fn total(text: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"some"))?;
    let total = words(line).find_map(|word| word.strip_prefix(b"total="))?;
    number(total)?.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pressure_on_memory_is_in_nanoseconds() {
        let text =
            b"some avg10=0.00 avg60=0.00 avg300=0.00 total=3422597\nfull avg10=0 total=9\n";
        assert_eq!(total(text), Some(3_422_597_000));
        assert_eq!(total(b"full avg10=0.00 total=1\n"), None);
    }

    #[test]
    fn a_file_that_stays_open_shows_what_the_kernel_counts_now() {
        let read = || std::fs::read("/proc/pressure/memory").ok().and_then(|text| total(&text));
        let (mut pressure, mut buffer) = (Pressure::default(), [0; 512]);
        for now in [1, 2 * FRESH_NS, 4 * FRESH_NS] {
            let (before, found, after) = (read(), pressure.read(now, &mut buffer), read());
            assert!(before <= found && found <= after, "{before:?} {found:?} {after:?}");
        }
    }
}
