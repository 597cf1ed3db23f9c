//! Opening the files that the daemon writes to. A symbolic link is never followed, because
//! anyone who can create one in the file's directory could make the daemon write to any file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Opens a regular file for appending, and creates it if it does not exist.
pub(crate) fn open(path: &Path, mode: u32) -> io::Result<File> {
    check(path)?;
    // Without NONBLOCK, opening a FIFO that was created after the check would block.
    let mut options = options(mode, OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
    let file = options.read(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Creates a file that replaces another one once it is complete. A leftover of a killed daemon
/// is removed first.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = options(mode, OFlags::NOFOLLOW)?;
    let options = options.create_new(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

/// Fails if there is something other than a regular file at a path.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(symbolic_link()),
        Ok(metadata) if !metadata.is_file() => Err(not_regular()),
        // Other problems are found when the file is opened.
        _ => Ok(()),
    }
}

/// Fails if there is something other than a folder at a path.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(symbolic_link()),
        Ok(metadata) if !metadata.is_dir() => {
            Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder"))
        }
        // Other problems are found when it is used.
        _ => Ok(()),
    }
}

/// A path in the same directory.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn options(mode: u32, flags: OFlags) -> io::Result<OpenOptions> {
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.write(true).mode(mode).custom_flags(flags);
    Ok(options)
}

fn symbolic_link() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is a symbolic link, which is not followed; give the path of its target",
    )
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}
