//! The agent for observers that only know version 1 of the wire format.

use std::ffi::OsStr;
use std::fmt;
use std::io;
#[cfg(feature = "udp")]
use std::net::SocketAddr;
use std::path::Path;

use super::engine::{Engine, Version};
use super::open::{self, Options};
use crate::endpoint::Endpoint;
use crate::frame::FRAME_BYTES;
use crate::nonce::Nonces;
use crate::outcome::BeatOutcome;
use crate::status::Status;
#[cfg(feature = "udp")]
use crate::transport::UdpTransport;
use crate::transport::{AnyTransport, BeatTransport, UdsTransport};
use crate::v1::Frame;

struct V1;

impl Version for V1 {
    type Payload = u64;

    fn take_nonce(nonces: &Nonces) -> u64 {
        nonces.take_stopping()
    }

    fn for_line(_: u64) -> Option<u32> {
        None
    }

    fn encode(
        status: Status,
        pid: u32,
        timestamp: u64,
        nonce: u64,
        payload: u64,
    ) -> [u8; FRAME_BYTES] {
        let mut wire = [0; FRAME_BYTES];
        Frame::new(status, pid, timestamp, nonce, payload).encode(&mut wire);
        wire
    }
}

/// [`varta::Varta`](crate::Varta) for observers that only know version 1. The payload has
/// 64 bits, and the nonce stops where that of version 2 wraps. Sealing is not available.
///
/// ```
/// use varta::{BeatOutcome, Status, v1};
///
/// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let mut agent = v1::Varta::connect_udp(observer.local_addr()?)?;
/// assert_eq!(agent.beat(Status::Ok, u64::MAX), BeatOutcome::Sent);
///
/// let mut wire = [0; 32];
/// observer.recv(&mut wire)?;
/// assert_eq!(v1::Frame::decode(&wire).unwrap().payload, u64::MAX);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Varta<T: BeatTransport = UdsTransport>(Engine<T>);

impl Varta<UdsTransport> {
    /// As [`varta::Varta::connect`](crate::Varta::connect).
    ///
    /// # Errors
    ///
    /// No observer is bound there, the path is too long for a socket, or permission is denied.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::with_transport(UdsTransport::connect(path)?)
    }
}

#[cfg(feature = "udp")]
impl Varta<UdpTransport> {
    /// As [`varta::Varta::connect_udp`](crate::Varta::connect_udp).
    ///
    /// # Errors
    ///
    /// The address is unreachable, or the process is out of descriptors.
    pub fn connect_udp(address: SocketAddr) -> io::Result<Self> {
        Self::with_transport(UdpTransport::connect(address)?)
    }
}

impl Varta<AnyTransport> {
    /// As [`varta::Varta::open`](crate::Varta::open), without sealed endpoints.
    ///
    /// # Errors
    ///
    /// The endpoint is invalid or is a sealed one, which needs version 2; or permission is
    /// denied.
    pub fn open(endpoint: impl AsRef<OsStr>) -> io::Result<Self> {
        Self::open_with(&Endpoint::from_os_str(endpoint.as_ref())?, Options::default())
    }

    /// As [`varta::Varta::open_with`](crate::Varta::open_with), without sealed endpoints.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(endpoint: &Endpoint, options: Options) -> io::Result<Self> {
        if let Endpoint::SecureUdp { .. } = endpoint {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("cannot connect to {endpoint}: version 1 has no sealed form"),
            ));
        }
        // A line of a page has no room for 64 bits.
        open::engine(endpoint, options.lane(false)).map(Self)
    }
}

impl<T: BeatTransport> Varta<T> {
    /// As [`varta::Varta::with_transport`](crate::Varta::with_transport).
    ///
    /// # Errors
    ///
    /// There is no memory for detecting forks.
    pub fn with_transport(transport: T) -> io::Result<Self> {
        Engine::new(transport).map(Self)
    }

    /// As [`varta::Varta::beat`](crate::Varta::beat), with 64 bits of payload.
    pub fn beat(&mut self, status: Status, payload: u64) -> BeatOutcome {
        self.0.beat::<V1>(status, payload)
    }

    /// As [`varta::Varta::ready`](crate::Varta::ready).
    pub fn ready(&self) -> BeatOutcome {
        self.0.notify().ready()
    }

    /// As [`varta::Varta::stopping`](crate::Varta::stopping).
    pub fn stopping(&self) -> BeatOutcome {
        self.0.notify().stopping()
    }

    /// As [`varta::Varta::status`](crate::Varta::status).
    pub fn status(&self, text: &str) -> BeatOutcome {
        self.0.notify().status(text)
    }

    /// As [`varta::Varta::reconnect`](crate::Varta::reconnect).
    ///
    /// # Errors
    ///
    /// No new session could be made; the old one is unchanged.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.0.reconnect()
    }

    /// As [`varta::Varta::set_reconnect_after`](crate::Varta::set_reconnect_after).
    pub fn set_reconnect_after(&mut self, drops: u32) {
        self.0.set_reconnect_after(drops);
    }

    /// As [`varta::Varta::clock_regressions`](crate::Varta::clock_regressions).
    #[must_use]
    pub fn clock_regressions(&self) -> u64 {
        self.0.clock_regressions()
    }

    /// As [`varta::Varta::fork_recoveries`](crate::Varta::fork_recoveries).
    #[must_use]
    pub fn fork_recoveries(&self) -> u64 {
        self.0.fork_recoveries()
    }
}

impl<T: BeatTransport> fmt::Debug for Varta<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe("v1::Varta", f)
    }
}
