//! Key files: which ones are accepted, and that an error names the file and the problem but
//! none of the key's digits.

#![cfg(all(feature = "panic-handler", feature = "secure-udp"))]
#![allow(unsafe_code, reason = "making a FIFO")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use support::{Folder, in_child, needs_root};
use varta::secure::{Cipher, Key, derive_agent_key};
use varta::{BeatError, LastWords, Varta};

/// Digits that do not occur in a message by chance.
const DIGITS: &str = "c0ffee5eedfacade0123456789abcdefC0FFEE5EEDFACADE0123456789ABCDEF";

const BYTES: [u8; 32] = [
    0xc0, 0xff, 0xee, 0x5e, 0xed, 0xfa, 0xca, 0xde, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
    0xef, 0xc0, 0xff, 0xee, 0x5e, 0xed, 0xfa, 0xca, 0xde, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
    0xcd, 0xef,
];

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A file that only its owner can access.
fn file(folder: &Folder, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join("key");
    fs::write(&path, content).unwrap();
    allow(&path, 0o600);
    path
}

#[track_caller]
fn assert_accepted(path: &Path) {
    assert_eq!(Key::from_file(path).unwrap().as_bytes(), &BYTES);
}

/// Every function that reads the file refuses it with the same message.
#[track_caller]
fn assert_refused(path: &Path, kind: ErrorKind, cause: &str) -> io::Error {
    let message = format!("cannot read key file {}: {cause}", path.display());
    let error = Key::from_file(path).unwrap_err();
    assert_eq!(error.to_string(), message);
    assert_eq!(error.kind(), kind, "{error}");
    assert_contains_no_digits(&format!("{error} {error:?}"));
    for parameter in ["key-file", "master-key-file"] {
        let endpoint = format!("udp+secure://127.0.0.1:9?{parameter}={}", path.display());
        for error in
            [Varta::open(&endpoint).unwrap_err(), LastWords::open(&endpoint).unwrap_err()]
        {
            assert_eq!(error.to_string(), format!("cannot connect to {endpoint}: {message}"));
            assert_eq!(error.kind(), kind, "{error}");
            assert_contains_no_digits(&format!("{error} {error:?}"));
        }
    }
    error
}

/// The text contains no eight digits of the key in a row.
#[track_caller]
fn assert_contains_no_digits(text: &str) {
    let text = text.to_lowercase();
    let digits = DIGITS.to_lowercase();
    for at in 0..=digits.len() - 8 {
        assert!(!text.contains(&digits[at..at + 8]), "{text}");
    }
}

#[test]
fn sixty_four_digits_are_a_key_with_or_without_a_line_ending() {
    let folder = Folder::new();
    for content in [
        DIGITS.to_owned(),
        DIGITS.to_lowercase(),
        DIGITS.to_uppercase(),
        format!("{DIGITS}\n"),
        format!("{DIGITS}\r\n"),
    ] {
        assert_accepted(&file(&folder, content));
    }
    for mode in [0o600, 0o400, 0o700] {
        allow(&folder.join("key"), mode);
        assert_accepted(&folder.join("key"));
    }
}

#[test]
fn a_symlink_is_followed_to_its_target() {
    let folder = Folder::new();
    let path = file(&folder, DIGITS);
    let [one, two, nowhere, open] =
        ["one", "two", "nowhere", "open"].map(|name| folder.join(name));
    // As Kubernetes does it: a link to a link, and relative.
    symlink("one", &two).unwrap();
    symlink("key", &one).unwrap();
    assert_accepted(&two);

    symlink("absent", &nowhere).unwrap();
    assert_refused(&nowhere, ErrorKind::NotFound, "No such file or directory (os error 2)");
    symlink("open", &open).unwrap();
    let error = Key::from_file(&open).unwrap_err();
    assert_eq!(BeatError::from_io(&error).errno, libc::ELOOP);

    // The mode of the target counts.
    allow(&path, 0o644);
    let cause = "its mode 0644 lets other users access it; run chmod 0600";
    assert_refused(&two, ErrorKind::PermissionDenied, cause);
}

#[test]
fn a_path_that_is_not_a_regular_file_is_refused() {
    let folder = Folder::new();
    let absent = folder.join("absent");
    let error =
        assert_refused(&absent, ErrorKind::NotFound, "No such file or directory (os error 2)");
    assert_eq!(BeatError::from_io(&error).errno, libc::ENOENT);
    let beneath = file(&folder, DIGITS).join("beneath");
    assert_refused(&beneath, ErrorKind::NotADirectory, "Not a directory (os error 20)");

    let not_regular = "it is not a regular file";
    allow(folder.path(), 0o700);
    assert_refused(folder.path(), ErrorKind::InvalidData, not_regular);
    assert_refused(Path::new("/dev/zero"), ErrorKind::InvalidData, not_regular);
    assert_refused(Path::new("/dev/null"), ErrorKind::InvalidData, not_regular);
}

#[test]
fn a_fifo_is_refused_without_waiting_for_a_writer() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `name` is a C string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // In a child, whose alarm ends it if it waits.
    in_child(|| {
        assert_refused(&path, ErrorKind::InvalidData, "it is not a regular file");
    });
}

#[test]
fn a_socket_is_refused() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let error = Key::from_file(&path).unwrap_err();
    let text = format!("cannot read key file {}: ", path.display());
    assert!(error.to_string().starts_with(&text), "{error}");
}

#[test]
fn a_file_that_others_can_access_is_refused() {
    let folder = Folder::new();
    let path = file(&folder, DIGITS);
    for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666, 0o4640, 0o2777] {
        allow(&path, mode);
        let cause = format!("its mode {mode:04o} lets other users access it; run chmod 0600");
        assert_refused(&path, ErrorKind::PermissionDenied, &cause);
    }
    // The mode is checked before the content.
    fs::write(&path, "not a key").unwrap();
    allow(&path, 0o640);
    let cause = "its mode 0640 lets other users access it; run chmod 0600";
    assert_refused(&path, ErrorKind::PermissionDenied, cause);
}

#[test]
fn a_file_of_another_user_is_refused() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = file(&folder, DIGITS);
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    let cause = "it belongs to uid 65534; run chown 0 on it";
    assert_refused(&path, ErrorKind::PermissionDenied, cause);
}

#[test]
fn a_file_of_another_length_is_refused() {
    let folder = Folder::new();
    let longer = "a key is 64 hex digits; got more";
    for (content, cause) in [
        (String::new(), "a key is 64 hex digits; got 0"),
        ("\n".to_owned(), "a key is 64 hex digits; got 0"),
        (DIGITS[..1].to_owned(), "a key is 64 hex digits; got 1"),
        (DIGITS[..63].to_owned(), "a key is 64 hex digits; got 63"),
        (format!("{}\n", &DIGITS[..62]), "a key is 64 hex digits; got 62"),
        (format!("{DIGITS}0"), longer),
        (format!(" {DIGITS}"), longer),
        (format!("0x{DIGITS}"), longer),
        (format!("{DIGITS}{DIGITS}"), longer),
        // Two keys, as if a new one had been appended.
        (format!("{DIGITS}\n{DIGITS}\n"), longer),
        (format!("{DIGITS}\n\n\n\n{DIGITS}\n"), longer),
        (format!("{DIGITS}{}", " ".repeat(1_000)), longer),
        (DIGITS.repeat(1 << 14), longer),
        ("0".repeat(1 << 20), longer),
    ] {
        assert_refused(&file(&folder, content), ErrorKind::InvalidData, cause);
    }
}

#[test]
fn a_character_that_is_not_a_hex_digit_is_refused_with_its_place() {
    let folder = Folder::new();
    for place in [1, 2, 33, 63, 64] {
        for wrong in [b'g', b'G', b' ', b'-', b'\n', 0, 0xff, b'/', b':', b'@', b'`'] {
            if place == 64 && wrong.is_ascii_whitespace() {
                // This is a line ending after 63 digits.
                continue;
            }
            let mut content = DIGITS.as_bytes().to_vec();
            content[place - 1] = wrong;
            let cause = format!("character {place} is not a hex digit");
            assert_refused(&file(&folder, content), ErrorKind::InvalidData, &cause);
        }
    }
    // The key in binary.
    let cause = "a key is 64 hex digits; got 32";
    assert_refused(&file(&folder, BYTES), ErrorKind::InvalidData, cause);
}

#[test]
fn no_debug_output_contains_a_key() {
    let folder = Folder::new();
    let key = Key::from_file(file(&folder, DIGITS)).unwrap();
    let agent_key = derive_agent_key(&key, 42).unwrap();
    assert_eq!(format!("{key:?}"), "Key(..)");
    assert_eq!(format!("{agent_key:#?}"), "Key(..)");
    assert_eq!(format!("{:?}", Cipher::new(&key)), "Cipher(..)");
    assert_eq!(format!("{:#?}", Cipher::new(&key)), "Cipher(..)");

    let address = ([127, 0, 0, 1], 9).into();
    let read_again = || Key::from_file(folder.join("key")).unwrap();
    let endpoint = format!("udp+secure://{address}?key-file={}", folder.join("key").display());
    for output in [
        format!("{:?}", varta::SecureUdpTransport::connect(address, read_again()).unwrap()),
        format!("{:#?}", Varta::connect_secure_udp(address, read_again()).unwrap()),
        format!("{:?}", Varta::connect_secure_udp_with_master(address, read_again()).unwrap()),
        format!("{:?}", varta::AnyTransport::connect(&endpoint.parse().unwrap()).unwrap()),
        format!("{:?}", LastWords::open(&endpoint).unwrap()),
    ] {
        assert_contains_no_digits(&output);
        // It must not be printed as a list of numbers either.
        assert!(!output.contains("192, 255, 238"), "{output}");
        assert!(!output.contains("192,\n"), "{output}");
    }
}
