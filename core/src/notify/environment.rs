//! What the environment says about the service manager.

use std::ffi::OsStr;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::process;

use crate::sys::trusted_variable;

/// The environment variable that turns notifications on, if it is 1.
const NOTIFY_VARIABLE: &str = "VARTA_NOTIFY";

/// Whether the environment turns notifications on.
pub(super) fn wants_notifications() -> bool {
    trusted_variable(NOTIFY_VARIABLE).is_some_and(|value| value == "1")
}

/// What a service manager has told this process.
pub(super) struct Environment {
    /// Where it receives notifications.
    pub(super) address: SocketAddr,
    /// How long it waits for a keep-alive of this process, if it does.
    pub(super) interval_ns: Option<u64>,
}

impl Environment {
    /// None without a service manager that can be reached.
    pub(super) fn read() -> Option<Self> {
        let address = address(&trusted_variable("NOTIFY_SOCKET")?)?;
        let usec = trusted_variable("WATCHDOG_USEC");
        let pid = trusted_variable("WATCHDOG_PID");
        let interval_ns = usec.and_then(|usec| interval_ns(&usec, pid.as_deref()));
        Some(Self { address, interval_ns })
    }
}

/// A path or an abstract name. Other kinds of addresses are not supported.
fn address(text: &OsStr) -> Option<SocketAddr> {
    match text.as_bytes() {
        [b'/', _, ..] => SocketAddr::from_pathname(text).ok(),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name).ok(),
        _ => None,
    }
}

/// The interval for this process, if the numbers are valid and not for another process.
fn interval_ns(usec: &OsStr, pid: Option<&OsStr>) -> Option<u64> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    let is_ours = pid.is_none_or(|pid| number(pid) == Some(process::id().into()));
    let usec = number(usec).filter(|usec| is_ours && *usec != 0 && *usec != u64::MAX)?;
    Some(usec.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_absolute_path_or_an_abstract_name() {
        let path = address(OsStr::new("/run/systemd/notify")).unwrap();
        assert_eq!(path.as_pathname(), Some("/run/systemd/notify".as_ref()));
        #[cfg(target_os = "linux")]
        {
            let name = address(OsStr::new("@a\u{e9}")).unwrap();
            assert_eq!(name.as_abstract_name(), Some("a\u{e9}".as_bytes()));
        }
        let long = format!("/{}", "x".repeat(200));
        for other in ["", "/", "@", "run/notify", "vsock:2:9999", "unix:/run/notify", &long] {
            assert!(address(OsStr::new(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn an_interval_is_a_valid_number_that_is_for_this_process() {
        let own = process::id().to_string();
        let of =
            |usec: &str, pid: Option<&str>| interval_ns(OsStr::new(usec), pid.map(OsStr::new));
        assert_eq!(of("2000000", None), Some(2_000_000_000));
        assert_eq!(of("1", Some(&own)), Some(1_000));
        assert_eq!(of("18446744073709551614", None), Some(u64::MAX));
        for usec in
            ["", "0", "18446744073709551615", "18446744073709551616", "-1", "2s", "\u{b2}"]
        {
            assert_eq!(of(usec, None), None, "{usec}");
        }
        for pid in ["", "0", "1x", "-1", &format!("{}", process::id() + 1)] {
            assert_eq!(of("2000000", Some(pid)), None, "{pid}");
        }
    }
}
