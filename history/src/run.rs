//! The identity of one run of the daemon.

use std::fmt;
use std::str::FromStr;

/// One run of the daemon: the boot id of its system, and when it started.
///
/// As text it is the boot id in 32 hex digits and the start in microseconds of the boot clock.
/// The text has the characters of a file name and of a NATS subject.
///
/// ```
/// use varta_history::Run;
///
/// let boot_id = *b"0123456789abcdef";
/// let run = Run { boot_id, start_us: 52_000_000 };
/// assert_eq!(run.to_string(), "30313233343536373839616263646566-52000000");
/// assert_eq!(run.to_string().parse(), Ok(run));
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// The boot id of the kernel.
    pub boot_id: [u8; 16],
    /// The boot clock when the observer's time was 0, in microseconds.
    pub start_us: u64,
}

/// The text is not that of a [`Run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRun;

impl Run {
    /// The run whose observer's time was 0 at this time of the boot clock. `boot_id` is the
    /// text of `/proc/sys/kernel/random/boot_id`.
    ///
    /// ```
    /// use varta_history::Run;
    ///
    /// let run = Run::new("30313233-3435-3637-3839-616263646566\n", 52_000_000_999)?;
    /// assert_eq!(run, Run { boot_id: *b"0123456789abcdef", start_us: 52_000_000 });
    /// # Ok::<(), varta_history::InvalidRun>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the boot id is not 32 hex digits, with or without dashes.
    pub fn new(boot_id: &str, start_ns: u64) -> Result<Self, InvalidRun> {
        let mut digits = boot_id.trim().bytes().filter(|byte| *byte != b'-');
        let mut id = [0; 16];
        for byte in &mut id {
            let high = digits.next().and_then(digit).ok_or(InvalidRun)?;
            let low = digits.next().and_then(digit).ok_or(InvalidRun)?;
            *byte = high << 4 | low;
        }
        match digits.next() {
            None => Ok(Self { boot_id: id, start_us: start_ns / 1_000 }),
            Some(_) => Err(InvalidRun),
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.boot_id {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "-{}", self.start_us)
    }
}

impl FromStr for Run {
    type Err = InvalidRun;

    fn from_str(text: &str) -> Result<Self, InvalidRun> {
        let (id, start) = text.split_once('-').ok_or(InvalidRun)?;
        let start_us = start.parse().map_err(|_| InvalidRun)?;
        let run = Self { start_us, ..Self::new(id, 0)? };
        // There is one text for each run.
        if run.to_string() == text { Ok(run) } else { Err(InvalidRun) }
    }
}

impl fmt::Display for InvalidRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a boot id in 32 hex digits, a dash and a number of microseconds")
    }
}

impl std::error::Error for InvalidRun {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_are_refused() {
        let id = "f00123456789abcdef00112233445566";
        let good = format!("{id}-7");
        assert!(good.parse::<Run>().is_ok());
        let wrong = ["", "-", "7", id, &good[1..], &good.to_uppercase()].map(str::to_owned);
        let more = ["-07", "-7 ", "-7-1", "-+7"].map(|end| format!("{id}{end}"));
        for text in wrong.into_iter().chain(more) {
            assert_eq!(text.parse::<Run>(), Err(InvalidRun), "{text}");
        }
    }
}
