//! Parsers for flag values, and values derived from other flags.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The users whose beats are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Uids {
    Same,
    Any,
    List(Vec<u32>),
}

/// The default control socket for a beat socket.
pub(crate) fn control_socket_of(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".control");
    name.into()
}

/// How late the tasks that a name selects may be before they are reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slack {
    pub(crate) name: String,
    pub(crate) time: Duration,
}

pub(super) fn slack(text: &str) -> Result<Slack, String> {
    // A name may contain an equals sign, a number cannot.
    let (name, ms) = text.rsplit_once('=').unwrap_or_default();
    match ms.parse() {
        Ok(ms) if !name.is_empty() => {
            Ok(Slack { name: name.to_owned(), time: Duration::from_millis(ms) })
        }
        _ => Err("give NAME=MS, like ingest=500".to_owned()),
    }
}

/// A time with its unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let ms: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let ms =
        ms.zip(number.parse().ok()).and_then(|(ms, number): (u64, u64)| ms.checked_mul(number));
    ms.filter(|ms| *ms > 0).map(Duration::from_millis).ok_or_else(|| {
        "give a number and a unit, which is ms, s, m, h or d, like 1500ms or 30d".to_owned()
    })
}

pub(super) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("give an octal mode of at most 0777, like 0660".to_owned()),
    }
}

pub(super) fn uids(text: &str) -> Result<Uids, String> {
    let list = || text.split(',').map(|uid| uid.trim().parse().ok()).collect();
    match text {
        "same" => Ok(Uids::Same),
        "any" => Ok(Uids::Any),
        _ => Option::<Vec<u32>>::map(list(), Uids::List)
            .ok_or_else(|| "give same, any, or uids separated by commas".to_owned()),
    }
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("give at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE".to_owned()),
    }
}

pub(super) fn host_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_valid =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !name.is_empty() && name.bytes().all(is_valid) {
        Ok(name.to_owned())
    } else {
        Err("give a host name without scheme and port, like monitor.example".to_owned())
    }
}
