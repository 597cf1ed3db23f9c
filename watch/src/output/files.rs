//! Opening the files that the daemon writes to. A symbolic link is never followed, because
//! anyone who can make one in the file's folder could have the daemon write to any file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Opens a regular file to go on writing to it, and creates it if it does not exist.
pub(crate) fn open(path: &Path, mode: u32) -> io::Result<File> {
    check(path)?;
    // Without NONBLOCK, a FIFO put there after the check would have the open wait.
    let mut options = options(mode, OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
    let file = options.read(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Creates a file that takes the place of another once it is complete. One that a killed
/// daemon has left behind is removed first.
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
        Ok(about) if about.is_symlink() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a symbolic link, which is not followed; give the path that it leads to",
        )),
        Ok(about) if !about.is_file() => Err(not_regular()),
        // Whatever else is wrong is seen when the file is opened.
        _ => Ok(()),
    }
}

/// A path in the same folder.
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

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}
