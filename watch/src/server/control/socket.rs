//! The control socket's file, which only the daemon's user can access.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener as Bound, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_to, listen,
    socket_with,
};
use tokio::net::UnixListener;

/// The length of the queue of connections to accept.
const WAITING: i32 = 64;

/// A bound socket. Dropping it removes the file, if that still belongs to this socket.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    socket: Bound,
    path: PathBuf,
    file: (u64, u64),
}

/// Binds a path. A socket there that has no listener any more is replaced.
pub(crate) fn bind(path: &Path) -> io::Result<ControlSocket> {
    open(path).map_err(|error| {
        let why = format!("control socket {}: {error}", path.display());
        io::Error::new(error.kind(), why)
    })
}

fn open(path: &Path) -> io::Result<ControlSocket> {
    let socket = match bind_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bind_new(path)?
        }
        bound => bound?,
    };
    let file = identity(path)?;
    let socket = Bound::from(socket);
    Ok(ControlSocket { socket, path: path.to_owned(), file })
}

fn bind_new(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before it has a name, so that other users can never open it.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind_to(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, WAITING)?;
    Ok(socket)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let why = "a file that is not a socket exists there; remove it or use another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            let why = "a daemon is already listening on it";
            Err(io::Error::new(io::ErrorKind::AddrInUse, why))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl ControlSocket {
    /// Call this within a runtime.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.socket.try_clone()?)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // If this fails, the next daemon replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}
