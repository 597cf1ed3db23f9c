//! The file of a Unix socket: creating it at a path, and removing it.

use std::ffi::{CString, OsStr};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use super::{TAKEN, bind_soon, cannot_bind, cannot_bind_for};
use crate::sys::{self, FileId, Folder, Owner};

/// How long to wait for the lock of the directory. An observer holds it for well under a
/// millisecond.
const PATIENCE: Duration = Duration::from_secs(5);
/// A program that is exiting waits for less time.
const PATIENCE_AT_THE_END: Duration = Duration::from_millis(100);

/// How often binding is tried if the socket at the path disappears meanwhile.
const ATTEMPTS: usize = 100;

/// A path at which to create a socket.
pub(super) struct SocketPath<'a> {
    path: &'a Path,
    name: CString,
    folder: Folder,
    patience: Duration,
    kind: Kind,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Datagrams,
    Connections,
}

/// What is at a path.
enum Occupant {
    /// Nothing any more.
    Nothing,
    /// A socket whose process has ended.
    Dead,
    /// A socket that a process listens on.
    Live,
}

impl<'a> SocketPath<'a> {
    /// For a datagram socket.
    pub(super) fn new(path: &'a Path) -> io::Result<Self> {
        let directory = || {
            let kind = ErrorKind::InvalidInput;
            cannot_bind(path.display(), kind, "it names a directory")
        };
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => Path::new("/"),
        };
        // A path with a trailing slash, which `file_name` ignores, names a directory too.
        let bytes = path.as_os_str().as_bytes();
        let name = match path.file_name() {
            Some(name) if bytes.ends_with(name.as_bytes()) => name,
            _ => return Err(directory()),
        };
        let name = c_string(name)?;
        let shown = folder.display();
        match Folder::open(folder) {
            Ok(folder) => {
                Ok(Self { path, name, folder, patience: PATIENCE, kind: Kind::Datagrams })
            }
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::NotFound => format!("the directory {shown} does not exist"),
                    ErrorKind::NotADirectory => format!("{shown} is not a directory"),
                    _ => format!("the directory {shown} cannot be opened: {error}"),
                };
                Err(cannot_bind(path.display(), error, why))
            }
        }
    }

    /// For a socket that accepts connections.
    pub(super) fn for_connections(path: &'a Path) -> io::Result<Self> {
        Ok(Self { kind: Kind::Connections, ..Self::new(path)? })
    }

    /// Binds a socket here. Whatever is already here is left alone, unless it is a dead
    /// socket.
    ///
    /// A socket's file exists a moment before it can be connected to, and looks dead until
    /// then. So binding and removing a dead file are done under one lock, that of the
    /// directory: if two observers find a dead socket at the same time, exactly one of them is
    /// bound.
    pub(super) fn take(self, socket: BorrowedFd<'_>, mode: u32) -> io::Result<SocketFile> {
        let path = self.path;
        let fail = |error: io::Error, why| {
            let why = format!("{why}: {error}");
            cannot_bind(path.display(), error, why)
        };
        // Set before the file exists, so that it never has more than this mode.
        sys::set_mode(socket, mode).map_err(|error| fail(error, "its mode cannot be set"))?;
        let mut about = None;
        let bound = bind_soon(|| {
            let lock = match self.folder.lock(self.patience) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let why = "another process keeps its directory locked";
                    return Err(self.cannot(error, why));
                }
                // The directory cannot be read, or its file system has no locks.
                lock => lock,
            };
            let bound = self.bind(socket, lock.as_ref().err())?;
            about = bound.then(|| self.folder.about(&self.name));
            Ok(bound)
        })?;
        let Some(about) = about.filter(|_| bound) else {
            return Err(self.cannot(ErrorKind::AddrInUse, TAKEN));
        };
        let about = about.map_err(|error| fail(error, "its file disappeared at once"))?;
        // A file with more permissions than that is not the one that was created.
        if !about.is_socket || about.mode & !mode != 0 {
            let why = "another process has replaced its file";
            return Err(self.cannot(ErrorKind::AlreadyExists, why));
        }
        let Self { name, folder, .. } = self;
        // From here on the file is removed again if anything fails.
        let kept = SocketFile { name, folder, id: about.id, owner: Owner::here() };
        if about.mode != mode {
            kept.widen(mode).map_err(|error| fail(error, "its mode cannot be set"))?;
        }
        Ok(kept)
    }

    /// Returns false if a process listens there.
    fn bind(&self, socket: BorrowedFd<'_>, lock_error: Option<&io::Error>) -> io::Result<bool> {
        for _ in 0..ATTEMPTS {
            match self.kind.bind(socket, self.path) {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(self.cannot(error, "its directory has been removed"));
                }
                Err(error) => return Err(cannot_bind_for(self.path.display(), error)),
            }
            match (self.occupant()?, lock_error) {
                (Occupant::Live, _) => return Ok(false),
                (Occupant::Nothing, _) => {}
                (Occupant::Dead, None) => self.remove_dead()?,
                (Occupant::Dead, Some(error)) => {
                    let why = format!(
                        "a dead socket is in the way, and its directory cannot be locked \
                         ({error}) to remove it safely; remove it by hand"
                    );
                    return Err(self.cannot(ErrorKind::AddrInUse, why));
                }
            }
        }
        Err(self.cannot(ErrorKind::AddrInUse, "other processes repeatedly bind and release it"))
    }

    /// Checks what is here without side effects: a live socket does not receive anything.
    fn occupant(&self) -> io::Result<Occupant> {
        let occupied = |what: &str| {
            let why = format!("{what} is already there; remove it or use another path");
            Err(self.cannot(ErrorKind::AlreadyExists, why))
        };
        match fs::symlink_metadata(self.path) {
            Ok(about) if about.file_type().is_socket() => {}
            Ok(about) if about.file_type().is_symlink() => {
                return occupied("a symbolic link");
            }
            Ok(about) if about.is_dir() => return occupied("a directory"),
            Ok(_) => return occupied("a file that is not a socket"),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::Nothing),
            Err(error) => return Err(cannot_bind_for(self.path.display(), error)),
        }
        let error = match self.kind.probe(self.path) {
            Ok(()) => return Ok(Occupant::Live),
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Ok(Occupant::Dead),
            Some(libc::ENOENT) => Ok(Occupant::Nothing),
            Some(libc::EPROTOTYPE) => {
                let why = "a socket of another kind is in use there";
                Err(self.cannot(ErrorKind::AddrInUse, why))
            }
            _ => {
                let why = format!(
                    "a socket is already there and cannot be probed ({error}); remove it or use \
                     another path"
                );
                Err(self.cannot(error, why))
            }
        }
    }

    fn remove_dead(&self) -> io::Result<()> {
        match self.folder.remove(&self.name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let why = format!("a dead socket there cannot be removed: {error}");
                Err(self.cannot(error, why))
            }
            _ => Ok(()),
        }
    }

    fn cannot(&self, error: impl Into<io::Error>, why: impl std::fmt::Display) -> io::Error {
        cannot_bind(self.path.display(), error, why)
    }
}

impl Kind {
    fn bind(self, socket: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        sys::bind_unix(socket, path.as_os_str().as_bytes())?;
        match self {
            Self::Datagrams => Ok(()),
            // Until it listens, it looks dead to others.
            Self::Connections => sys::listen(socket),
        }
    }

    /// Connects to the socket at a path, to see whether a process listens there.
    fn probe(self, path: &Path) -> io::Result<()> {
        if let Self::Datagrams = self {
            return UnixDatagram::unbound()?.connect(path);
        }
        let probe = sys::connection_socket()?;
        match sys::connect_unix(probe.as_fd(), path.as_os_str().as_bytes()) {
            // There is no room for one more that waits to be accepted.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            probed => probed,
        }
    }
}

fn c_string(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| ErrorKind::InvalidInput.into())
}

/// The file of a bound socket. When the process that bound it drops this, the file is removed
/// if it is still the same one. A forked child leaves it.
#[derive(Debug)]
pub(super) struct SocketFile {
    name: CString,
    folder: Folder,
    id: FileId,
    owner: Owner,
}

impl SocketFile {
    /// Sets the mode of this file, unless its name refers to another file by now.
    fn widen(&self, mode: u32) -> io::Result<()> {
        let file = self.folder.file(&self.name)?;
        let about = file.metadata()?;
        if FileId::of(&about) != self.id {
            return Err(ErrorKind::AlreadyExists.into());
        }
        // The mode of an O_PATH descriptor can be changed only through this link, until
        // fchmodat2 is available everywhere (Linux 6.6).
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(itself, Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return;
        }
        // The lock keeps other observers from binding between the check and the removal. That
        // can happen only if another process removed the file of a live socket; without a lock
        // this is the best that can be done.
        let _lock = self.folder.lock(PATIENCE_AT_THE_END);
        // The inode number of a removed file is not reused while its socket exists.
        if self.folder.about(&self.name).is_ok_and(|about| about.id == self.id) {
            let _ = self.folder.remove(&self.name);
        }
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "waiting for a signal")]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::{Child, Folder as TestFolder};

    #[test]
    fn bind_fails_if_the_directory_stays_locked() {
        let folder = TestFolder::new();
        let path = folder.join("a.sock");
        let place = |patience| SocketPath { patience, ..SocketPath::new(&path).unwrap() };
        let socket = sys::unix_socket().unwrap();
        let holder = Folder::open(folder.path()).unwrap();

        let lock = holder.lock(Duration::ZERO).unwrap();
        let error = place(Duration::from_millis(2)).take(socket.as_fd(), 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let why = "another process keeps its directory locked";
        assert_eq!(error.to_string(), format!("cannot bind {}: {why}", path.display()));
        assert!(!path.exists());

        // A child that was forked meanwhile does not hold the lock.
        let child = Child::start(|| {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        });
        drop(lock);
        let file = place(Duration::ZERO).take(socket.as_fd(), 0o600).unwrap();
        drop(child);

        // The socket does not hold the lock, and its file is removed even while another
        // process does.
        let _lock = holder.lock(Duration::ZERO).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn bind_waits_for_a_locked_directory() {
        let folder = TestFolder::new();
        let path = folder.join("a.sock");
        let holder = Folder::open(folder.path()).unwrap();
        let lock = holder.lock(Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let bound = scope.spawn(|| {
                let socket = sys::unix_socket().unwrap();
                let place = SocketPath::new(&path).unwrap();
                place.take(socket.as_fd(), 0o600).map(drop)
            });
            std::thread::sleep(Duration::from_millis(20));
            assert!(!bound.is_finished() && !path.exists());
            drop(lock);
            bound.join().unwrap().unwrap();
        });
    }
}
