//! Sealed beats over UDP.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::BeatTransport;
use super::socket::Socket;
use super::udp::connected;
use super::uds::cannot_connect;
use crate::endpoint::Endpoint;
use crate::frame::FRAME_BYTES;
use crate::secure::Key;
use crate::secure::session::{Secret, Session};
use crate::sys;

/// Beats sealed with ChaCha20-Poly1305, over UDP.
///
/// ```
/// use varta::secure::{Cipher, Key};
/// use varta::{BeatTransport, SecureUdpTransport};
///
/// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let key = || Key::from_bytes([7; 32]);
/// let mut transport = SecureUdpTransport::connect(observer.local_addr()?, key())?;
/// transport.send(&[0x55; 32])?;
///
/// let mut wire = [0; 60];
/// assert_eq!(observer.recv(&mut wire)?, 60);
/// assert_eq!(Cipher::new(&key()).open(&wire), Ok([0x55; 32]));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SecureUdpTransport {
    socket: Socket,
    address: SocketAddr,
    secret: Secret,
    session: Session,
    endpoint: OsString,
}

impl SecureUdpTransport {
    /// Connects with a key that agents and observer share.
    ///
    /// # Errors
    ///
    /// The address is unreachable, the process is out of descriptors, or there is no entropy.
    pub fn connect(address: SocketAddr, key: Key) -> io::Result<Self> {
        Self::with_secret(address, Secret::Shared(key))
    }

    /// Connects with a master key, from which this process's own key is derived.
    ///
    /// # Errors
    ///
    /// The address is unreachable, the process is out of descriptors, or there is no entropy.
    pub fn connect_with_master(address: SocketAddr, master: Key) -> io::Result<Self> {
        Self::with_secret(address, Secret::Master(master))
    }

    pub(crate) fn with_secret(address: SocketAddr, secret: Secret) -> io::Result<Self> {
        let open = || Ok((Socket::new(connected(address)?)?, Session::new(&secret)?));
        let (socket, session) = open()
            .map_err(|error| cannot_connect(&error, format_args!("udp+secure://{address}")))?;
        let endpoint = Endpoint::Udp(address).counted_as();
        Ok(Self { socket, address, secret, session, endpoint })
    }
}

impl BeatTransport for SecureUdpTransport {
    // If it were inlined, beats over other transports would pay for its large stack frame.
    #[inline(never)]
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize> {
        // An agent has reconnected already; this is for a transport used without an agent.
        if !self.session.is_ours() {
            self.reconnect()?;
        }
        let sealed = self.session.seal(&self.secret, frame)?;
        sys::send(self.socket.as_fd(), sealed.as_bytes())?;
        Ok(frame.len())
    }

    fn reconnect(&mut self) -> io::Result<()> {
        let socket = Socket::new(connected(self.address)?)?;
        self.session.renew(&self.secret)?;
        // As over a Unix socket: replace the old socket before closing it.
        let old = mem::replace(&mut self.socket, socket);
        drop(old);
        Ok(())
    }

    fn endpoint(&self) -> Option<&OsStr> {
        Some(&self.endpoint)
    }
}
