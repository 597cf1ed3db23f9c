//! A folder for the sockets and key files of one test.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A new empty folder, which is removed when it is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    owner: u32,
}

impl Folder {
    #[track_caller]
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // A killed process may have left a folder of the same name.
        loop {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            // The name is short, because a socket's path has at most 107 bytes.
            let name = format!("varta-{}-{number}", process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => {
                    // Endpoints resolve it too, in case the temporary folder is a link.
                    let path = path.canonicalize().unwrap();
                    return Self { path, owner: process::id() };
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make {}: {error}", path.display()),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the folder.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a key file for `Key::from_file`, with the given bytes.
    #[track_caller]
    pub(crate) fn key_file(&self, name: &str, key: &[u8; 32]) -> PathBuf {
        let path = self.join(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
        for byte in key {
            write!(file, "{byte:02x}").unwrap();
        }
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A forked child that unwinds must not remove it.
        if self.owner == process::id() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
