//! Turning a file over: it becomes PATH.1, what that was becomes PATH.2, and so on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many old files are kept.
const KEPT: u32 = 5;

/// Makes room for a new file at a path.
pub(crate) fn turn_over(path: &Path) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        rename(&numbered(path, number), &numbered(path, number + 1))?;
    }
    rename(path, &numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}
