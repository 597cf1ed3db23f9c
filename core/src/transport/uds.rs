//! Beats over a Unix datagram socket.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use super::BeatTransport;
use super::socket::Socket;
use crate::endpoint::{Endpoint, UnixSocket};
use crate::frame::FRAME_BYTES;
use crate::outcome::{self, BeatOutcome, DropReason};
use crate::sys;

/// Beats over a Unix datagram socket, the transport of [`Varta::connect`](crate::Varta::connect).
///
/// ```
/// use varta::{BeatTransport, UdsTransport};
///
/// # let folder = std::env::temp_dir().join(format!("varta-doc-uds-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("varta.sock");
/// let observer = std::os::unix::net::UnixDatagram::bind(&path)?;
/// let mut transport = UdsTransport::connect(&path)?;
/// assert_eq!(transport.send(&[0; 32])?, 32);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UdsTransport {
    /// None until the first session.
    socket: Option<Socket>,
    address: SocketAddr,
    endpoint: OsString,
}

impl UdsTransport {
    /// Connects to the socket at a path.
    ///
    /// # Errors
    ///
    /// No observer is bound there, the path is too long for a socket, or permission is denied.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut transport = Self::unconnected(&Endpoint::Path(path.to_owned()))?;
        transport.reconnect().map_err(|error| cannot_connect(&error, path.display()))?;
        Ok(transport)
    }

    /// A transport that has no session yet.
    pub(crate) fn unconnected(endpoint: &Endpoint) -> io::Result<Self> {
        let address = address(endpoint).map_err(|error| cannot_connect(&error, endpoint))?;
        Ok(Self { socket: None, address, endpoint: endpoint.counted_as() })
    }
}

/// The address of an endpoint that is a Unix socket.
pub(crate) fn address(endpoint: &Endpoint) -> io::Result<SocketAddr> {
    match endpoint.unix_socket() {
        Some(UnixSocket::Path(path)) => SocketAddr::from_pathname(path),
        #[cfg(target_os = "linux")]
        Some(UnixSocket::Abstract(name)) => SocketAddr::from_abstract_name(name),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

pub(crate) fn connected(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = sys::past_the_standard_streams(UnixDatagram::unbound()?.into())?;
    let socket = UnixDatagram::from(socket);
    socket.connect_addr(address)?;
    Ok(socket.into())
}

/// Adds the endpoint to an error, and a hint if no observer was found there.
pub(crate) fn cannot_connect(error: &io::Error, to: impl std::fmt::Display) -> io::Error {
    match outcome::classify_send_error(error) {
        // An error that has a message already is about something else, such as a key file.
        BeatOutcome::Dropped(DropReason::NoObserver) if error.raw_os_error().is_some() => {
            outcome::with_context(
                error,
                format_args!("cannot connect to {to}, where no observer is listening"),
            )
        }
        _ => outcome::with_context(error, format_args!("cannot connect to {to}")),
    }
}

impl BeatTransport for UdsTransport {
    #[inline]
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize> {
        match &self.socket {
            Some(socket) => sys::send(socket.as_fd(), frame),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn reconnect(&mut self) -> io::Result<()> {
        // The old socket is replaced before it is closed: a child forked from another thread
        // in between must not have a descriptor that is closed already.
        let old = self.socket.replace(Socket::new(connected(&self.address)?)?);
        drop(old);
        Ok(())
    }

    fn endpoint(&self) -> Option<&OsStr> {
        Some(&self.endpoint)
    }
}
