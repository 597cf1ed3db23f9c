//! The agent for observers that only know version 1.

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

/// [`varta::Varta`](crate::Varta) for observers that only know version 1: its payload has
/// 64 bits, and its nonce stops where that of version 2 wraps. There is no secure form.
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
    /// ```
    /// let error = varta::v1::Varta::connect("/nonexistent/varta.sock").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    ///
    /// # Errors
    ///
    /// Nobody is bound there, the path is too long for a socket, or permission is denied.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::with_transport(UdsTransport::connect(path)?)
    }
}

#[cfg(feature = "udp")]
impl Varta<UdpTransport> {
    /// As [`varta::Varta::connect_udp`](crate::Varta::connect_udp).
    ///
    /// ```
    /// let agent = varta::v1::Varta::connect_udp(([127, 0, 0, 1], 9).into())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is no way to the address, or no descriptor for the socket.
    pub fn connect_udp(address: SocketAddr) -> io::Result<Self> {
        Self::with_transport(UdpTransport::connect(address)?)
    }
}

impl Varta<AnyTransport> {
    /// As [`varta::Varta::open`](crate::Varta::open), less sealed endpoints.
    ///
    /// ```
    /// use varta::{BeatOutcome, DropReason, Status, v1};
    ///
    /// let mut agent = v1::Varta::open("/nonexistent/varta.sock")?;
    /// assert_eq!(agent.beat(Status::Ok, 0), BeatOutcome::Dropped(DropReason::NoObserver));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The endpoint is no good or asks for the secure wrapping, which goes around version
    /// 2 alone; or permission is denied.
    pub fn open(endpoint: impl AsRef<OsStr>) -> io::Result<Self> {
        Self::open_with(&Endpoint::from_os_str(endpoint.as_ref())?, Options::default())
    }

    /// As [`varta::Varta::open_with`](crate::Varta::open_with), less sealed endpoints.
    ///
    /// ```
    /// use varta::{Options, v1};
    ///
    /// let endpoint = "udp+secure://127.0.0.1:9?key-file=/etc/varta/key".parse().unwrap();
    /// let error = v1::Varta::open_with(&endpoint, Options::default()).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(endpoint: &Endpoint, options: Options) -> io::Result<Self> {
        if let Endpoint::SecureUdp { .. } = endpoint {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("cannot connect to {endpoint}: version 1 has no secure wrapping"),
            ));
        }
        open::engine(endpoint, options).map(Self)
    }
}

impl<T: BeatTransport> Varta<T> {
    /// As [`varta::Varta::with_transport`](crate::Varta::with_transport).
    ///
    /// ```
    /// use varta::{UdpTransport, v1::Varta};
    ///
    /// let agent = Varta::with_transport(UdpTransport::connect(([127, 0, 0, 1], 9).into())?)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is no memory for what notices a fork.
    pub fn with_transport(transport: T) -> io::Result<Self> {
        Engine::new(transport).map(Self)
    }

    /// As [`varta::Varta::beat`](crate::Varta::beat), with 64 bits of payload.
    ///
    /// ```
    /// use varta::{BeatOutcome, Status, v1};
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let mut agent = v1::Varta::connect_udp(observer.local_addr()?)?;
    /// assert_eq!(agent.beat(Status::Degraded, 1 << 40), BeatOutcome::Sent);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn beat(&mut self, status: Status, payload: u64) -> BeatOutcome {
        self.0.beat::<V1>(status, payload)
    }

    /// As [`varta::Varta::reconnect`](crate::Varta::reconnect).
    ///
    /// ```
    /// let mut agent = varta::v1::Varta::connect_udp(([127, 0, 0, 1], 9).into())?;
    /// agent.reconnect()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Why there is no new session; the old one stays as it was.
    pub fn reconnect(&mut self) -> io::Result<()> {
        self.0.reconnect()
    }

    /// As [`varta::Varta::set_reconnect_after`](crate::Varta::set_reconnect_after).
    ///
    /// ```
    /// let mut agent = varta::v1::Varta::connect_udp(([127, 0, 0, 1], 9).into())?;
    /// agent.set_reconnect_after(3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_reconnect_after(&mut self, drops: u32) {
        self.0.set_reconnect_after(drops);
    }

    /// As [`varta::Varta::clock_regressions`](crate::Varta::clock_regressions).
    ///
    /// ```
    /// let agent = varta::v1::Varta::connect_udp(([127, 0, 0, 1], 9).into())?;
    /// assert_eq!(agent.clock_regressions(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn clock_regressions(&self) -> u64 {
        self.0.clock_regressions()
    }

    /// As [`varta::Varta::fork_recoveries`](crate::Varta::fork_recoveries).
    ///
    /// ```
    /// let agent = varta::v1::Varta::connect_udp(([127, 0, 0, 1], 9).into())?;
    /// assert_eq!(agent.fork_recoveries(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
