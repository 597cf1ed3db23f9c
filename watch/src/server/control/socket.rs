//! The control socket in the file system: for the daemon's user alone.

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

/// Connections that may wait to be accepted.
const WAITING: i32 = 64;

/// A bound socket; its file is removed with it if it is still the same.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    socket: Bound,
    path: PathBuf,
    file: (u64, u64),
}

/// Takes a path. A socket there that nobody listens at any more is replaced.
pub(crate) fn bind(path: &Path) -> io::Result<ControlSocket> {
    open(path).map_err(|error| {
        let why = format!("control socket {}: {error}", path.display());
        io::Error::new(error.kind(), why)
    })
}

fn open(path: &Path) -> io::Result<ControlSocket> {
    let socket = match bind_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            make_way(path)?;
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
    // Before it has a name, so that there is no moment in which others can open it.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind_to(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, WAITING)?;
    Ok(socket)
}

fn make_way(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let why = "there is a file that is no socket; remove it or name another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            let why = "a daemon is already listening there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, why))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let about = fs::symlink_metadata(path)?;
    Ok((about.dev(), about.ino()))
}

impl ControlSocket {
    /// To be called within a runtime.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.socket.try_clone()?)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // Whoever starts next replaces what could not be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}
