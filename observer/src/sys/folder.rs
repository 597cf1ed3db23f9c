//! A directory that is kept open, so that all operations stay in it even if its path later
//! leads elsewhere.

use std::ffi::CStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::lock::{lock, unlock};
use super::{checked, new_fd, past_the_standard_streams};

#[derive(Debug)]
pub(crate) struct Folder {
    file: File,
    /// If this process may not read it, it can be used but not locked.
    readable: bool,
}

/// The identity of a file, independent of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// What a name refers to.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) id: FileId,
    pub(crate) mode: u32,
    pub(crate) is_socket: bool,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let open = |flags| {
            let flags = flags | libc::O_DIRECTORY | libc::O_CLOEXEC;
            let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
            past_the_standard_streams(file.into()).map(File::from)
        };
        match open(0) {
            Ok(file) => Ok(Self { file, readable: true }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Self { file: open(libc::O_PATH)?, readable: false })
            }
            Err(error) => Err(error),
        }
    }

    /// Locks it against other processes that do the same, and waits for them up to `patience`.
    /// The lock leaves no file behind and ends with its holder.
    pub(crate) fn lock(&self, patience: Duration) -> io::Result<Lock<'_>> {
        if !self.readable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        lock(&self.file, patience)?;
        Ok(Lock { folder: self })
    }

    /// Describes the file with this name, without following a symbolic link. Needs no
    /// descriptor, because there may be none left.
    pub(crate) fn about(&self, name: &CStr) -> io::Result<About> {
        // SAFETY: a C structure of numbers, all of which may be zero.
        let mut found: libc::stat = unsafe { mem::zeroed() };
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: `name` is a C string, and `found` is written to.
        checked(unsafe {
            libc::fstatat(self.file.as_raw_fd(), name.as_ptr(), &raw mut found, flags)
        })?;
        Ok(About {
            id: FileId { device: found.st_dev, inode: found.st_ino },
            mode: found.st_mode & 0o7777,
            is_socket: found.st_mode & libc::S_IFMT == libc::S_IFSOCK,
        })
    }

    /// Opens the file with this name, without following a symbolic link. The file can be
    /// queried but not read.
    pub(crate) fn file(&self, name: &CStr) -> io::Result<File> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: `name` is a C string.
        let answer = unsafe { libc::openat(self.file.as_raw_fd(), name.as_ptr(), flags) };
        // SAFETY: made just now.
        unsafe { new_fd(answer) }.map(File::from)
    }

    /// Removes a name, unless it belongs to a directory.
    pub(crate) fn remove(&self, name: &CStr) -> io::Result<()> {
        // SAFETY: `name` is a C string.
        checked(unsafe { libc::unlinkat(self.file.as_raw_fd(), name.as_ptr(), 0) })?;
        Ok(())
    }
}

impl FileId {
    pub(crate) fn of(about: &Metadata) -> Self {
        Self { device: about.dev(), inode: about.ino() }
    }
}

#[derive(Debug)]
pub(crate) struct Lock<'a> {
    folder: &'a Folder,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        unlock(&self.folder.file);
    }
}
