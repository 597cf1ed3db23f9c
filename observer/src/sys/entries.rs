//! The entries of a directory, and what a symbolic link contains, read without allocating.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// One read returns about this many bytes of entries; a longer directory takes several.
const BYTES: usize = 2_048;

/// The offsets of a `struct linux_dirent64`: its length, and its name.
const LENGTH: usize = 16;
const NAME: usize = 19;

/// Reads the next part of a directory.
#[derive(Debug)]
pub(crate) struct Entries {
    bytes: [u8; BYTES],
}

impl Entries {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; BYTES] }
    }

    /// Passes the names of the next part to `each`. Returns false at the end of the directory.
    pub(crate) fn next(
        &mut self,
        directory: BorrowedFd<'_>,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        // SAFETY: the kernel writes whole entries, no more than the length of this array.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                self.bytes.as_mut_ptr(),
                self.bytes.len(),
            )
        };
        let filled = checked(answer.try_into().unwrap_or(-1))?;
        let filled = usize::try_from(filled).unwrap_or(0);
        let mut rest = self.bytes.get(..filled).unwrap_or_default();
        while let Some((entry, after)) = split(rest) {
            each(entry);
            rest = after;
        }
        Ok(filled > 0)
    }
}

/// What a symbolic link contains, as much as fits the buffer.
pub(crate) fn link_target<'a>(path: &CStr, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    // SAFETY: `path` is a C string, and the kernel writes no more than the length of `buffer`.
    let answer =
        unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    let length = checked(answer.try_into().unwrap_or(-1))?;
    Ok(usize::try_from(length).ok().and_then(|end| buffer.get(..end)).unwrap_or_default())
}

/// The name of the first entry, and the bytes after that entry.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = bytes.get(LENGTH..LENGTH + 2)?;
    let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
    let (entry, rest) = bytes.split_at_checked(length)?;
    let name = entry.get(NAME..)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((name.get(..end)?, rest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn every_entry_of_a_long_directory_is_passed_once() {
        let folder = Folder::new();
        let names: BTreeSet<_> = (0..300).map(|number| format!("entry-{number}")).collect();
        for name in &names {
            File::create(folder.join(name)).unwrap();
        }
        let directory = File::open(folder.join(".")).unwrap();
        let (mut entries, mut found) = (Entries::new(), Vec::new());
        let mut each = |name: &[u8]| found.push(String::from_utf8(name.to_vec()).unwrap());
        while entries.next(directory.as_fd(), &mut each).unwrap() {}
        found.retain(|name| name != "." && name != "..");
        assert_eq!(found.len(), names.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), names);

        let file = File::open("/proc/self/stat").unwrap();
        assert!(entries.next(file.as_fd(), |_| ()).is_err(), "it is not a directory");
    }

    #[test]
    fn a_link_is_read_as_far_as_there_is_room() {
        let mut room = [0; 4_096];
        let own = std::env::current_exe().unwrap();
        let found = link_target(c"/proc/self/exe", &mut room).unwrap();
        assert_eq!(found, own.as_os_str().as_encoded_bytes());
        assert_eq!(link_target(c"/proc/self/exe", &mut [0; 1]).unwrap(), b"/");
        assert!(link_target(c"/proc/self/stat", &mut room).is_err(), "it is not a link");
    }
}
