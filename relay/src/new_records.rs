//! Waits for new records in the history.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

/// The history is read this often even if nothing was reported, in case its folder is new or is on
/// a file system that reports nothing.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// Reports writes in the folder of the history.
#[derive(Debug)]
pub(crate) struct NewRecords {
    folder: PathBuf,
    writes: Option<Receiver>,
}

impl NewRecords {
    /// Begins to watch a folder, which need not exist yet.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), writes: watch(folder).ok() }
    }

    /// Returns when there may be new records.
    pub(crate) async fn wait(&mut self) {
        if self.writes.is_none() {
            self.writes = watch(&self.folder).ok();
        }
        tokio::select! {
            () = sleep(AT_LEAST_EVERY) => {}
            () = written(self.writes.as_ref()) => {}
        }
    }
}

fn watch(folder: &Path) -> io::Result<Receiver> {
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&fd, folder, WatchFlags::MODIFY | WatchFlags::CREATE)?;
    // It is read like a pipe.
    Receiver::from_owned_fd_unchecked(fd)
}

async fn written(writes: Option<&Receiver>) {
    let Some(writes) = writes else { return std::future::pending().await };
    if writes.readable().await.is_err() {
        return std::future::pending().await;
    }
    // What was written does not matter, only that there is something new.
    while let Ok(1..) = writes.try_read(&mut [0; 4096]) {}
}
