//! The transport that an endpoint string names.

use std::ffi::OsStr;
use std::io;

#[cfg(feature = "secure-udp")]
use super::SecureUdpTransport;
#[cfg(feature = "udp")]
use super::UdpTransport;
use super::uds::cannot_connect;
use super::{BeatTransport, UdsTransport};
use crate::endpoint::Endpoint;
#[cfg(feature = "secure-udp")]
use crate::endpoint::KeyFile;
use crate::frame::FRAME_BYTES;
#[cfg(feature = "secure-udp")]
use crate::secure::{Key, session::Secret};

/// The transport of [`Varta::open`](crate::Varta::open), which its endpoint selects.
///
/// ```
/// use varta::{AnyTransport, BeatTransport};
///
/// let endpoint = "udp://127.0.0.1:9".parse()?;
/// let transport = AnyTransport::connect(&endpoint)?;
/// assert!(transport.endpoint().is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AnyTransport(Kind);

// The sealed kind is by far the largest, but a transport is moved only once.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would cost every sealed beat a jump")]
enum Kind {
    Uds(UdsTransport),
    #[cfg(feature = "udp")]
    Udp(UdpTransport),
    #[cfg(feature = "secure-udp")]
    SecureUdp(SecureUdpTransport),
}

impl AnyTransport {
    /// Connects to an endpoint. On a Unix socket, an observer must be bound there.
    ///
    /// # Errors
    ///
    /// The errors of the selected transport's `connect`, an invalid key file, or a transport
    /// that this build does not include.
    pub fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let mut transport = Self::unconnected(endpoint)?;
        transport.connect_local(endpoint)?;
        Ok(transport)
    }

    /// Opens the session of a transport on a Unix socket.
    pub(crate) fn connect_local(&mut self, endpoint: &Endpoint) -> io::Result<()> {
        match self.is_local() {
            true => self.reconnect().map_err(|error| cannot_connect(&error, endpoint)),
            false => Ok(()),
        }
    }

    /// A transport that on a Unix socket has no session yet.
    pub(crate) fn unconnected(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Path(_) | Endpoint::Abstract(_) | Endpoint::DatagramsOnly(_) => {
                UdsTransport::unconnected(endpoint).map(Kind::Uds)
            }
            #[cfg(feature = "udp")]
            Endpoint::Udp(address) => UdpTransport::connect(*address).map(Kind::Udp),
            #[cfg(feature = "secure-udp")]
            Endpoint::SecureUdp { address, key } => secret(key)
                .map_err(|error| cannot_connect(&error, endpoint))
                .and_then(|secret| SecureUdpTransport::with_secret(*address, secret))
                .map(Kind::SecureUdp),
            #[cfg(not(feature = "secure-udp"))]
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("cannot connect to {endpoint}: this build lacks the transport"),
            )),
        }
        .map(Self)
    }

    pub(crate) fn is_local(&self) -> bool {
        matches!(self.0, Kind::Uds(_))
    }
}

#[cfg(feature = "secure-udp")]
pub(crate) fn secret(key: &KeyFile) -> io::Result<Secret> {
    match key {
        KeyFile::Shared(file) => Key::from_file(file).map(Secret::Shared),
        KeyFile::Master(file) => Key::from_file(file).map(Secret::Master),
    }
}

impl BeatTransport for AnyTransport {
    #[inline]
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Uds(transport) => transport.send(frame),
            #[cfg(feature = "udp")]
            Kind::Udp(transport) => transport.send(frame),
            #[cfg(feature = "secure-udp")]
            Kind::SecureUdp(transport) => transport.send(frame),
        }
    }

    fn reconnect(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Uds(transport) => transport.reconnect(),
            #[cfg(feature = "udp")]
            Kind::Udp(transport) => transport.reconnect(),
            #[cfg(feature = "secure-udp")]
            Kind::SecureUdp(transport) => transport.reconnect(),
        }
    }

    fn endpoint(&self) -> Option<&OsStr> {
        match &self.0 {
            Kind::Uds(transport) => transport.endpoint(),
            #[cfg(feature = "udp")]
            Kind::Udp(transport) => transport.endpoint(),
            #[cfg(feature = "secure-udp")]
            Kind::SecureUdp(transport) => transport.endpoint(),
        }
    }
}
