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

/// The transport of [`Varta::open`](crate::Varta::open): whichever its endpoint names.
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

// The sealed kind is the largest by far; all are moved once and then stay where they are.
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
    /// Connects to an endpoint; on a Unix socket somebody must be bound there.
    ///
    /// ```
    /// use varta::AnyTransport;
    ///
    /// let error = AnyTransport::connect(&"/nonexistent/varta.sock".parse()?).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), varta::EndpointError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As the `connect` of the transport that the endpoint names, a key file that is no
    /// good, or a transport that this build was made without.
    pub fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let mut transport = Self::unconnected(endpoint)?;
        if transport.is_local() {
            transport.reconnect().map_err(|error| cannot_connect(&error, endpoint))?;
        }
        Ok(transport)
    }

    /// One that on a Unix socket has no session yet.
    pub(crate) fn unconnected(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Path(_) | Endpoint::Abstract(_) => {
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
                format!("cannot connect to {endpoint}: this build has no such transport"),
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
