//! No copy of a key is left in memory once the observer has replaced it and its agents are
//! closed.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use support::{Folder, NEVER, in_child, is, poll_until};
use varta::secure::Key;
use varta::{Status, Varta};
use varta_observer::Builder;

const MASK: u8 = 0x55;

/// Writes a random key to a file and returns it masked, so that the search does not find its
/// own copy.
fn make_key(path: &Path) -> [u8; 32] {
    let masked = path.with_extension("masked");
    in_child(|| {
        let mut key = [0; 32];
        File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(path, digits).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&masked, key.map(|byte| byte ^ MASK)).unwrap();
    });
    fs::read(masked).unwrap().try_into().unwrap()
}

/// The mappings that contain the key, as bytes or as hex digits.
fn copies_of(masked: &[u8; 32]) -> Vec<String> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    let mut bytes = vec![0_u8; 1 << 16];
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_ascii_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [mut at, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        while at < end {
            let part = bytes.len().min(usize::try_from(end - at).unwrap());
            let Ok(read) = memory.read_at(&mut bytes[..part], at) else { break };
            if read == 0 {
                break;
            }
            let own = bytes.as_ptr_range();
            let is_own = |at: &u64| (own.start as u64..own.end as u64).contains(at);
            let places = places_in(&bytes[..read], masked).map(|place| at + place as u64);
            let others = places.filter(|at| !is_own(at));
            found.extend(others.map(|at| format!("{at:x} in {line}")));
            bytes.fill(0);
            // Parts overlap by the length of the longest match.
            at += if read == bytes.len() { read as u64 - 64 } else { read as u64 };
        }
    }
    found
}

fn places_in<'a>(bytes: &'a [u8], masked: &'a [u8; 32]) -> impl Iterator<Item = usize> + 'a {
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
    let raw = move |rest: &[u8]| {
        rest.len() >= 32 && rest.iter().zip(masked).all(|(byte, it)| byte ^ MASK == *it)
    };
    let hex = move |rest: &[u8]| {
        rest.len() >= 64
            && rest.chunks(2).zip(masked).all(|(pair, it)| {
                pair[0] == digit((it ^ MASK) >> 4) && pair[1] == digit((it ^ MASK) & 15)
            })
    };
    let first = [masked[0] ^ MASK, digit((masked[0] ^ MASK) >> 4)];
    let begins = bytes.iter().enumerate().filter(move |(_, byte)| first.contains(byte));
    begins.map(|(place, _)| place).filter(move |place| {
        let rest = &bytes[*place..];
        raw(rest) || hex(rest)
    })
}

#[test]
fn a_replaced_key_leaves_no_copy_in_memory() {
    for kind in ["key-file", "master-key-file"] {
        in_child(|| {
            let folder = Folder::new();
            let file = folder.join("key");
            let key = make_key(&file);
            assert_eq!(copies_of(&key), [""; 0], "before");
            let builder = Builder::new().secure_udp(([127, 0, 0, 1], 0).into());
            let from_file = Key::from_file(&file).unwrap();
            let builder = match kind {
                "key-file" => builder.shared_key(from_file),
                _ => builder.master_key(from_file),
            };
            let mut observer = builder.threshold(NEVER).bind().unwrap();
            let address = observer.udp_addresses().next().unwrap();
            let endpoint = format!("udp+secure://{address}?{kind}={}", file.display());
            let mut agent = Varta::open(endpoint).unwrap();
            for _ in 0..3 {
                let _ = agent.beat(Status::Ok, 0);
                poll_until(&mut observer, is("beat"));
            }
            assert!(!copies_of(&key).is_empty(), "the search finds a key in use");
            drop(agent);
            observer.set_keys(vec![Key::from_bytes([7; 32])], None).unwrap();
            assert_eq!(copies_of(&key), [""; 0], "{kind}");
        });
    }
}
