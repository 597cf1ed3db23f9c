//! Beats over plain UDP.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use super::BeatTransport;
use super::socket::Socket;
use super::uds::cannot_connect;
use crate::endpoint::Endpoint;
use crate::frame::FRAME_BYTES;
use crate::sys;

/// Beats over plain UDP. Anyone on the network path can read and forge them.
///
/// ```
/// use varta::{BeatTransport, UdpTransport};
///
/// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let mut transport = UdpTransport::connect(observer.local_addr()?)?;
/// assert_eq!(transport.send(&[0; 32])?, 32);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UdpTransport {
    socket: Socket,
    address: SocketAddr,
    endpoint: OsString,
}

impl UdpTransport {
    /// Connects a socket to an address. It does not check whether an observer listens there.
    ///
    /// # Errors
    ///
    /// The address is unreachable, or the process is out of descriptors.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let endpoint = Endpoint::Udp(address);
        let socket = connected(address)
            .and_then(Socket::new)
            .map_err(|error| cannot_connect(&error, &endpoint))?;
        Ok(Self { socket, address, endpoint: endpoint.counted_as() })
    }
}

/// A socket with its own port, connected to an address.
pub(crate) fn connected(address: SocketAddr) -> io::Result<OwnedFd> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::from(sys::past_the_standard_streams(UdpSocket::bind(any)?.into())?);
    socket.connect(address)?;
    Ok(socket.into())
}

impl BeatTransport for UdpTransport {
    #[inline]
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize> {
        sys::send(self.socket.as_fd(), frame)
    }

    fn reconnect(&mut self) -> io::Result<()> {
        // As over a Unix socket: replace the old socket before closing it.
        let old = mem::replace(&mut self.socket, Socket::new(connected(self.address)?)?);
        drop(old);
        Ok(())
    }

    fn endpoint(&self) -> Option<&OsStr> {
        Some(&self.endpoint)
    }
}
