//! Any text is parsed as an endpoint with the same parts, or returns an error that is safe to
//! log.

#![no_main]

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str;

use libfuzzer_sys::fuzz_target;
use varta::{Endpoint, KeyFile, UnixSocket};

fuzz_target!(|data: &[u8]| {
    let endpoint = Endpoint::from_os_str(OsStr::from_bytes(data));
    let plain = match &endpoint {
        Ok(Endpoint::Udp(address)) => Some(*address),
        _ => None,
    };
    assert_eq!(plain, data.strip_prefix(b"udp://").and_then(address));
    match endpoint {
        Ok(endpoint) => {
            check_parts(&endpoint, data);
            let written = endpoint.to_string();
            // Bytes that are not UTF-8 are displayed as replacement characters.
            if str::from_utf8(data).is_ok() {
                assert_eq!(written.parse(), Ok(endpoint));
            }
        }
        Err(error) => {
            let message = error.to_string();
            let (text, reason) = message.rsplit_once("\": ").expect("a text and a reason");
            assert!(text.starts_with("bad endpoint \"") && !reason.is_empty(), "{message:?}");
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
});

fn check_parts(endpoint: &Endpoint, data: &[u8]) {
    match endpoint {
        Endpoint::Path(path) => {
            check_path(path, data.strip_suffix(b"?lane=on").unwrap_or(data))
        }
        Endpoint::Abstract(name) => {
            check_name(name, data.strip_suffix(b"?lane=on").unwrap_or(data));
        }
        Endpoint::DatagramsOnly(socket) => {
            let data = data.strip_suffix(b"?lane=off").expect("the parameter");
            match socket {
                UnixSocket::Path(path) => check_path(path, data),
                UnixSocket::Abstract(name) => check_name(name, data),
            }
        }
        Endpoint::Udp(_) => {}
        Endpoint::SecureUdp { address: host, key } => {
            let (name, file) = match key {
                KeyFile::Shared(file) => ("?key-file=", file),
                KeyFile::Master(file) => ("?master-key-file=", file),
            };
            let file = file.as_os_str().as_bytes();
            assert!(!file.is_empty() && !file.contains(&0));
            let rest = data.strip_prefix(b"udp+secure://");
            let before =
                rest.and_then(|rest| rest.strip_suffix(file)?.strip_suffix(name.as_bytes()));
            assert_eq!(before.and_then(address), Some(*host));
        }
    }
}

fn check_path(path: &Path, data: &[u8]) {
    let path = path.as_os_str().as_bytes();
    assert_eq!(path, data.strip_prefix(b"unix://").unwrap_or(data));
    assert!((1..=107).contains(&path.len()) && !path.contains(&0));
}

fn check_name(name: &[u8], data: &[u8]) {
    assert_eq!(data.strip_prefix(b"@"), Some(name));
    assert!((1..=107).contains(&name.len()));
}

/// An address that can be sent to, parsed by the standard library.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let address: SocketAddr = str::from_utf8(text).ok()?.parse().ok()?;
    (address.port() != 0).then_some(address)
}
