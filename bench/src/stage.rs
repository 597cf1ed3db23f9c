//! The surroundings of a measurement: a CPU for the sender, another for the receiver, a folder,
//! and a shared count of received datagrams.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use crate::sys;

const TAKEN: &str = "taken";

/// The folder and the CPUs of this run. Dropping it removes the folder.
pub(crate) struct Stage {
    folder: PathBuf,
    pub(crate) sender_cpu: usize,
    pub(crate) receiver_cpu: usize,
    pub(crate) taken: &'static AtomicU64,
}

impl Stage {
    /// Pins this thread to the sender's CPU. If there is only one CPU, the receiver shares it.
    pub(crate) fn new() -> io::Result<Self> {
        let (sender_cpu, receiver_cpu) = match sys::cpus()?.as_slice() {
            // The first CPU often serves the interrupts.
            [first, .., last] => (*last, *first),
            [only] => (*only, *only),
            [] => return Err(io::Error::other("no CPU is available")),
        };
        sys::stay_on(sender_cpu)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let folder = std::env::temp_dir().join(format!("varta-bench-{}", now.as_nanos()));
        fs::create_dir(&folder)?;
        let taken = taken(&folder.join(TAKEN))?;
        Ok(Self { folder, sender_cpu, receiver_cpu, taken })
    }

    /// The file that [`taken`] maps.
    pub(crate) fn taken_file(&self) -> PathBuf {
        self.folder.join(TAKEN)
    }

    /// A path at which no file exists.
    pub(crate) fn path(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(path),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The number of datagrams that the receiver has received.
pub(crate) fn taken(file: &Path) -> io::Result<&'static AtomicU64> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file)?;
    file.set_len(size_of::<AtomicU64>() as u64)?;
    sys::shared_number(&file)
}
