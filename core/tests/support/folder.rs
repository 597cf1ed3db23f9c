//! A folder for the sockets and key files of one test.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Empty when made, gone when dropped.
pub(crate) struct Folder {
    path: PathBuf,
    owner: u32,
}

impl Folder {
    #[track_caller]
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // A killed process may have left one of the same name.
        loop {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            // Short, because a socket's path may be no longer than 107 bytes.
            let name = format!("varta-{}-{number}", process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => {
                    // As the endpoints resolve it, should the temporary folder be a link.
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

    /// The path of something in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A key file as `Key::from_file` wants it, with the given bytes.
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
        // A forked child that unwinds must leave it to its parent.
        if self.owner == process::id() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
