//! The processes of the system, from the table in /proc.

use std::fs;
use std::io;

/// The kernel keeps this many bytes of a name.
const NAME: usize = 15;

/// The processes with a name, in the order of their pids.
pub(super) fn named(name: &str) -> io::Result<Vec<u32>> {
    let name = name.as_bytes().get(..NAME).unwrap_or(name.as_bytes());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?.file_name();
        let Some(pid) = entry.to_str().and_then(|entry| entry.parse().ok()) else { continue };
        // A process may end while the table is read.
        let own = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        if own.strip_suffix(b"\n") == Some(name) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What a descriptor of a process refers to, such as `socket:[1234]` or a path.
pub(super) fn descriptor(pid: u32, descriptor: u64) -> Option<String> {
    // Reads the link only, so no file system is asked.
    let target = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    Some(target.to_string_lossy().escape_default().to_string())
}

/// The name of a process.
pub(super) fn name_of(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(varta_observer::ProgramName::from_bytes(name.trim_ascii_end()).to_string())
}

/// The children that a thread has started, with their names: the first of them, and how many
/// more there are.
pub(super) fn children(pid: u32, thread: u32) -> Option<String> {
    // Not every kernel has this file.
    let list = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).ok()?;
    let mut children = list.split_ascii_whitespace();
    let first = children.next()?;
    let name = first.parse().ok().and_then(name_of).unwrap_or_default();
    Some(match children.count() {
        0 => format!("{first} ({name})"),
        more => format!("{first} ({name}) or one of {more} more"),
    })
}
