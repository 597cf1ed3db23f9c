//! The messages of sd_notify: lines of assignments in one datagram.

/// The longest message. A longer one is dropped as a whole, as systemd does.
pub const LONGEST_MESSAGE: usize = 4_096;

/// The assignments of a message that have a meaning here. Their order does not matter, and of
/// several with the same name the first one counts, as in systemd.
///
/// ```
/// use varta_observer::judge::{Notification, Watchdog, parse_notification};
///
/// let Ok(Notification::State(state)) = parse_notification(b"STATUS=busy\nWATCHDOG=1\n") else {
///     panic!();
/// };
/// assert_eq!((state.status, state.watchdog), (Some("busy"), Some(Watchdog::Alive)));
/// assert!(!state.ready);
/// assert_eq!(parse_notification(b"BARRIER=1"), Ok(Notification::Barrier));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct State<'a> {
    /// READY=1
    pub ready: bool,
    /// RELOADING=1
    pub reloading: bool,
    /// STOPPING=1
    pub stopping: bool,
    /// WATCHDOG=1 or WATCHDOG=trigger
    pub watchdog: Option<Watchdog>,
    /// WATCHDOG_USEC
    pub watchdog_usec: Option<u64>,
    /// EXTEND_TIMEOUT_USEC
    pub extend_usec: Option<u64>,
    /// MAINPID
    pub main_pid: Option<u32>,
    /// MAINPIDFDID
    pub main_number: Option<u64>,
    /// MAINPIDFD=1: the main process is that of the attached pidfd.
    pub main_attached: bool,
    /// STATUS; empty if it was cleared or is not UTF-8.
    pub status: Option<&'a str>,
    /// ERRNO
    pub errno: Option<u32>,
    /// EXIT_STATUS
    pub exit_status: Option<u8>,
    /// X_VARTA_RUN=1: the sender is about to execute a program that knows nothing of varta.
    pub registers: bool,
    /// X_VARTA_NAME
    pub name: Option<&'a str>,
    /// X_VARTA_WATCHDOG_USEC
    pub launcher_usec: Option<u64>,
    /// Whether something is asked for that is not supported, such as FDSTORE=1.
    pub unsupported: bool,
    /// How many values could not be parsed and count as absent.
    pub unparsable: u32,
}

/// The value of WATCHDOG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// The program works.
    Alive,
    /// The program has noticed by itself that it does not work.
    Trigger,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification<'a> {
    /// The sender waits until everything it sent before has been processed.
    Barrier,
    /// What the sender reports about itself.
    State(State<'a>),
}

/// Why a message is dropped as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It has no line.
    Empty,
    /// It is longer than [`LONGEST_MESSAGE`].
    TooLong,
    /// It has a zero byte that is not its last byte.
    Nul,
    /// BARRIER=1 is not its only line.
    MixedBarrier,
}

/// Parses a datagram as systemd does: lines end with a line feed or a carriage return, a flag
/// must match as a whole line, and one zero byte at the end is allowed.
///
/// # Errors
///
/// If the message is dropped as a whole.
pub fn parse_notification(bytes: &[u8]) -> Result<Notification<'_>, Malformed> {
    if bytes.len() > LONGEST_MESSAGE {
        return Err(Malformed::TooLong);
    }
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err(Malformed::Nul);
    }
    let lines = Lines(bytes);
    let mut rest = lines.iter();
    match (rest.next(), rest.next()) {
        (None, _) => Err(Malformed::Empty),
        (Some(b"BARRIER=1"), None) => Ok(Notification::Barrier),
        _ if lines.has(b"BARRIER=1") => Err(Malformed::MixedBarrier),
        _ => Ok(Notification::State(lines.state())),
    }
}

#[derive(Clone, Copy)]
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty())
    }

    fn has(self, flag: &[u8]) -> bool {
        self.iter().any(|line| line == flag)
    }

    /// The value of the first line with this name.
    fn value(self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(b"="))
    }

    fn state(self) -> State<'a> {
        let mut unparsable = 0;
        let mut number = |name: &[u8]| {
            let value = self.value(name)?;
            let parsed = parse_number(value);
            unparsable += u32::from(parsed.is_none());
            parsed
        };
        let [watchdog_usec, extend_usec, main_pid, main_number, errno, exit_status, launcher] =
            [
                &b"WATCHDOG_USEC"[..],
                b"EXTEND_TIMEOUT_USEC",
                b"MAINPID",
                b"MAINPIDFDID",
                b"ERRNO",
                b"EXIT_STATUS",
                b"X_VARTA_WATCHDOG_USEC",
            ]
            .map(&mut number);
        let watchdog = self.value(b"WATCHDOG").and_then(|value| match value {
            b"1" => Some(Watchdog::Alive),
            b"trigger" => Some(Watchdog::Trigger),
            _ => {
                unparsable += 1;
                None
            }
        });
        let text = |name: &[u8]| {
            self.value(name).map(|text| std::str::from_utf8(text).unwrap_or_default())
        };
        let asks = |name: &&[u8]| self.iter().any(|line| line.starts_with(name));
        State {
            ready: self.has(b"READY=1"),
            reloading: self.has(b"RELOADING=1"),
            stopping: self.has(b"STOPPING=1"),
            watchdog,
            watchdog_usec,
            extend_usec,
            main_pid: main_pid.and_then(|pid| pid.try_into().ok()),
            main_number,
            main_attached: self.has(b"MAINPIDFD=1"),
            status: text(b"STATUS"),
            errno: errno.and_then(|errno| errno.try_into().ok()),
            exit_status: exit_status.and_then(|status| status.try_into().ok()),
            registers: self.has(b"X_VARTA_RUN=1"),
            name: text(b"X_VARTA_NAME").filter(|name| !name.is_empty()),
            launcher_usec: launcher,
            unsupported: UNSUPPORTED.iter().any(asks),
            unparsable,
        }
    }
}

const UNSUPPORTED: [&[u8]; 3] = [b"FDSTORE", b"NOTIFYACCESS=", b"RESTART_RESET="];

/// A decimal number. Blanks before it are allowed, as in systemd.
fn parse_number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(bytes: &[u8]) -> State<'_> {
        match parse_notification(bytes) {
            Ok(Notification::State(state)) => state,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flag_counts_only_as_a_whole_line() {
        for (text, ready) in [
            (&b"READY=1"[..], true),
            (b"READY=1\n", true),
            (b"READY=1\0", true),
            (b"READY=1\r\nSTATUS=x\r\n", true),
            (b"STATUS=x\nREADY=1", true),
            (b"\n\nREADY=1", true),
            (b"READY=0\nREADY=1", true),
            (b"STATUS=READY=1", false),
            (b"XREADY=1", false),
            (b"READY=1 ", false),
            (b" READY=1", false),
            (b"READY=0", false),
            (b"READY=11", false),
            (b"ready=1", false),
        ] {
            assert_eq!(state(text).ready, ready, "{:?}", text.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_message_is_dropped_as_a_whole_for_its_length_a_zero_byte_or_a_mixed_barrier() {
        let longest = |length| {
            let mut text = b"STATUS=".to_vec();
            text.resize(length, b'x');
            text
        };
        assert_eq!(state(&longest(4_096)).status.unwrap().len(), 4_089);
        assert_eq!(parse_notification(&longest(4_097)), Err(Malformed::TooLong));
        for (text, expected) in [
            (&b""[..], Err(Malformed::Empty)),
            (b"\0", Err(Malformed::Empty)),
            (b"\n\r\n", Err(Malformed::Empty)),
            (b"READY=1\0STATUS=x", Err(Malformed::Nul)),
            (b"READY=1\0\0", Err(Malformed::Nul)),
            (b"BARRIER=1", Ok(Notification::Barrier)),
            (b"BARRIER=1\n", Ok(Notification::Barrier)),
            (b"BARRIER=1\nREADY=1", Err(Malformed::MixedBarrier)),
            (b"READY=1\nBARRIER=1", Err(Malformed::MixedBarrier)),
            (b"BARRIER=1\nBARRIER=1", Err(Malformed::MixedBarrier)),
        ] {
            assert_eq!(parse_notification(text), expected, "{:?}", text.escape_ascii());
        }
    }

    #[test]
    fn of_several_values_the_first_one_counts() {
        let said = state(b"STATUS=one\nWATCHDOG_USEC=5\nSTATUS=two\nWATCHDOG_USEC=7");
        assert_eq!((said.status, said.watchdog_usec), (Some("one"), Some(5)));
        // The first one counts even if it cannot be parsed.
        let said = state(b"WATCHDOG_USEC=x\nWATCHDOG_USEC=7\nWATCHDOG=later\nWATCHDOG=1");
        assert_eq!((said.watchdog_usec, said.watchdog, said.unparsable), (None, None, 2));
    }

    #[test]
    fn values_are_parsed_or_count_as_absent() {
        for (text, usec) in [
            ("2000000", Some(2_000_000)),
            (" 7", Some(7)),
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("+1", None),
            ("1s", None),
            ("", None),
        ] {
            let message = format!("WATCHDOG_USEC={text}\nREADY=1");
            let said = state(message.as_bytes());
            assert_eq!((said.watchdog_usec, said.ready), (usec, true), "{text:?}");
        }
        assert_eq!(state(b"WATCHDOG=trigger").watchdog, Some(Watchdog::Trigger));
        assert_eq!(
            state(b"STATUS=\xff").status,
            Some(""),
            "an invalid text clears the old one"
        );
        let said = state(b"MAINPID=12\nMAINPIDFDID=34\nMAINPIDFD=1\nERRNO=2\nEXIT_STATUS=256");
        assert_eq!(
            (said.main_pid, said.main_number, said.main_attached),
            (Some(12), Some(34), true)
        );
        assert_eq!((said.errno, said.exit_status), (Some(2), None));
        assert!(state(b"FDSTORE=1\nFDNAME=x").unsupported && !said.unsupported);
        let said = state(b"X_VARTA_RUN=1\nX_VARTA_NAME=indexer\nX_VARTA_WATCHDOG_USEC=9");
        assert_eq!(
            (said.registers, said.name, said.launcher_usec),
            (true, Some("indexer"), Some(9))
        );
        assert_eq!(state(b"X_OTHER=1\nnonsense\n=\n"), State::default());
    }
}
