//! The folder of a history. Its segments are files with increasing numbers. Symbolic links are
//! never followed, because anyone who can create one there could make the daemon write to any
//! file.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, fchmod, flock, fsync};
use rustix::io::Errno;

use crate::error::{Doing, Error};

const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

const EXTENSION: &str = ".varta";

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

impl Folder {
    /// Opens a folder that exists.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        const WHAT: &str = "open the history folder";
        let metadata = fs::symlink_metadata(path).doing(WHAT, path)?;
        if metadata.is_symlink() {
            let why =
                "it is a symbolic link, which is not followed; give the path of its target";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why)).doing(WHAT, path);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).doing(WHAT, path)?;
        Ok(Self { path: path.to_owned(), fd })
    }

    /// Opens a folder for the one daemon that writes to it, and creates it if it does not exist.
    pub(crate) fn open_for_writing(path: &Path) -> Result<Self, Error> {
        let is_new = match rustix::fs::mkdir(path, FOLDER_MODE) {
            Ok(()) => true,
            // What is wrong with it is found when it is opened.
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error).doing("create the history folder", path),
        };
        let folder = Self::open(path)?;
        if is_new {
            // The file mode creation mask of a service may be stricter.
            fchmod(&folder.fd, FOLDER_MODE).doing("set the mode of", path)?;
        }
        match flock(&folder.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(folder),
            Err(Errno::WOULDBLOCK) => Err(Error::InUse { folder: path.to_owned() }),
            Err(error) => Err(error).doing("lock the history folder", path),
        }
    }

    /// The numbers of the segments, in order.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        let read = Dir::read_from(&self.fd).and_then(|entries| {
            for entry in entries {
                numbers.extend(entry?.file_name().to_str().ok().and_then(number));
            }
            Ok(())
        });
        read.doing("list the history folder", &self.path)?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(crate) fn path_of(&self, number: u64) -> PathBuf {
        self.path.join(name(number))
    }

    /// Opens a segment for reading.
    pub(crate) fn read(&self, number: u64) -> Result<File, Error> {
        self.open_file(number, OFlags::RDONLY)
    }

    /// Opens a segment to cut its end.
    pub(crate) fn repair(&self, number: u64) -> Result<File, Error> {
        self.open_file(number, OFlags::RDWR)
    }

    /// Creates a segment.
    pub(crate) fn create(&self, number: u64) -> Result<File, Error> {
        let file = self.open_file(number, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        fchmod(&file, FILE_MODE).doing("set the mode of", &self.path_of(number))?;
        Ok(file)
    }

    fn open_file(&self, number: u64, flags: OFlags) -> Result<File, Error> {
        let path = self.path_of(number);
        let what = if flags.contains(OFlags::CREATE) { "create" } else { "open" };
        // Without NONBLOCK, opening a FIFO would block.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, name(number), flags, FILE_MODE);
        let file = File::from(file.doing(what, &path)?);
        if !file.metadata().doing(what, &path)?.is_file() {
            let why = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(why).doing(what, &path);
        }
        Ok(file)
    }

    pub(crate) fn remove(&self, number: u64) -> Result<(), Error> {
        let removed = rustix::fs::unlinkat(&self.fd, name(number), AtFlags::empty());
        removed.doing("remove", &self.path_of(number))
    }

    /// Makes sure that files which were created or removed stay so.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        fsync(&self.fd).doing("sync the history folder", &self.path)
    }
}

fn name(number: u64) -> String {
    format!("{number:010}{EXTENSION}")
}

fn number(file: &str) -> Option<u64> {
    let number = file.strip_suffix(EXTENSION)?.parse().ok()?;
    (name(number) == file).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_one_name() {
        assert_eq!(name(7), "0000000007.varta");
        for known in [0, 7, 9_999_999_999, u64::MAX] {
            assert_eq!(number(&name(known)), Some(known));
        }
        for other in ["7.varta", "+000000007.varta", "0000000007.varta.old", ".varta", "x"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
