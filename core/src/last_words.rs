//! The final beat of a dying process, over a socket that was opened earlier.

use std::ffi::OsStr;
use std::fmt;
use std::io;
#[cfg(feature = "udp")]
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
#[cfg(feature = "secure-udp")]
use std::sync::atomic::{AtomicU32, Ordering};

use crate::endpoint::Endpoint;
use crate::frame::{FRAME_BYTES, Frame, NONCE_TERMINAL};
use crate::outcome::{BeatOutcome, DropReason, classify_send_error};
#[cfg(feature = "secure-udp")]
use crate::secure::{
    Iv, Key, last_words_prefix,
    session::{Sealed, Secret},
};
use crate::status::Status;
use crate::sys;
#[cfg(feature = "secure-udp")]
use crate::transport::any::secret;
#[cfg(feature = "udp")]
use crate::transport::udp;
use crate::transport::uds::{self, cannot_connect};

/// Sends the last words of a dying process: a beat with status Critical and the terminal
/// nonce.
///
/// [`install_panic_handler`](crate::install_panic_handler) sends them from a panic; this type
/// is for other ways to end. [`say`](Self::say) allocates nothing, takes no lock and reads no
/// entropy, so it can be called in a signal handler.
///
/// ```
/// use varta::{BeatOutcome, Frame, LastWords, NONCE_TERMINAL};
///
/// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let last_words = LastWords::open(format!("udp://{}", observer.local_addr()?))?;
/// assert_eq!(last_words.say(9), BeatOutcome::Sent);
///
/// let mut wire = [0; 32];
/// observer.recv(&mut wire)?;
/// let frame = Frame::decode(&wire).unwrap();
/// assert_eq!((frame.nonce, frame.payload), (NONCE_TERMINAL, 9));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LastWords {
    socket: OwnedFd,
    peer: Peer,
    #[cfg(feature = "secure-udp")]
    sealing: Option<Sealing>,
    opened: u64,
}

/// The address for a new connection.
enum Peer {
    Uds(net::SocketAddr),
    #[cfg(feature = "udp")]
    Udp(SocketAddr),
}

impl Peer {
    fn connect(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Uds(address) => uds::connected(address),
            #[cfg(feature = "udp")]
            Self::Udp(address) => udp::connected(*address),
        }
    }
}

/// The state for sealing in a dying process.
#[cfg(feature = "secure-udp")]
struct Sealing {
    secret: Secret,
    salt: [u8; 16],
    count: AtomicU32,
}

#[cfg(feature = "secure-udp")]
impl Sealing {
    fn new(secret: Secret) -> io::Result<Self> {
        let mut salt = [0; 16];
        sys::entropy(&mut salt)?;
        // The cipher detects the CPU's features on first use, which must not be in `say`.
        secret.cipher(std::process::id())?;
        Ok(Self { secret, salt, count: AtomicU32::new(0) })
    }

    /// Seals with a prefix that no beat and no other last words use.
    fn seal(&self, frame: &[u8; FRAME_BYTES], pid: u32) -> io::Result<Sealed> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let prefix = last_words_prefix(&self.salt, pid, sys::monotonic_ns(), count)
            .map_err(|_| io::ErrorKind::Other)?;
        let cipher = self.secret.cipher(pid)?;
        Sealed::seal(&self.secret, &cipher, pid, Iv { prefix, counter: 1 }, frame)
    }
}

impl LastWords {
    /// Opens the socket and reads the key, if there is one. On a Unix socket, an observer
    /// must be bound there.
    ///
    /// # Errors
    ///
    /// The endpoint or its key file is invalid, no observer is bound there, or there is no
    /// entropy for sealing.
    pub fn open(endpoint: impl AsRef<OsStr>) -> io::Result<Self> {
        Self::open_at(&Endpoint::from_os_str(endpoint.as_ref())?)
    }

    /// As [`open`](Self::open), for a parsed endpoint.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_at(endpoint: &Endpoint) -> io::Result<Self> {
        let open = || match endpoint {
            Endpoint::Path(_) | Endpoint::Abstract(_) | Endpoint::DatagramsOnly(_) => {
                Self::plain(Peer::Uds(uds::address(endpoint)?))
            }
            #[cfg(feature = "udp")]
            Endpoint::Udp(address) => Self::plain(Peer::Udp(*address)),
            #[cfg(feature = "secure-udp")]
            Endpoint::SecureUdp { address, key } => Self::sealed(*address, secret(key)?),
            #[cfg(not(feature = "secure-udp"))]
            _ => Err(io::ErrorKind::Unsupported.into()),
        };
        open().map_err(|error| cannot_connect(&error, endpoint))
    }

    fn plain(peer: Peer) -> io::Result<Self> {
        Ok(Self {
            socket: peer.connect()?,
            peer,
            #[cfg(feature = "secure-udp")]
            sealing: None,
            opened: sys::monotonic_ns(),
        })
    }

    #[cfg(feature = "secure-udp")]
    fn sealed(address: SocketAddr, secret: Secret) -> io::Result<Self> {
        let sealing = Some(Sealing::new(secret)?);
        Ok(Self { sealing, ..Self::plain(Peer::Udp(address))? })
    }

    /// Prepares last words over plain UDP.
    ///
    /// # Errors
    ///
    /// The address is unreachable, or the process is out of descriptors.
    #[cfg(feature = "udp")]
    pub fn open_udp(address: SocketAddr) -> io::Result<Self> {
        Self::open_at(&Endpoint::Udp(address))
    }

    /// Prepares last words over UDP, sealed with a shared key.
    ///
    /// # Errors
    ///
    /// The address is unreachable, the process is out of descriptors, or there is no entropy.
    #[cfg(feature = "secure-udp")]
    pub fn open_secure_udp(address: SocketAddr, key: Key) -> io::Result<Self> {
        Self::sealed(address, Secret::Shared(key))
            .map_err(|error| cannot_connect(&error, format_args!("udp+secure://{address}")))
    }

    /// Sends the last words. If that fails because the observer was replaced, it tries once
    /// more over a new connection.
    pub fn say(&self, payload: u32) -> BeatOutcome {
        let now = sys::monotonic_ns();
        let pid = std::process::id();
        let mut frame = [0; FRAME_BYTES];
        Frame::new(
            Status::Critical,
            pid,
            now.saturating_sub(self.opened),
            NONCE_TERMINAL,
            payload,
        )
        .encode(&mut frame);
        let send = |socket: &OwnedFd| {
            #[cfg(feature = "secure-udp")]
            if let Some(sealing) = &self.sealing {
                let sealed = sealing.seal(&frame, pid)?;
                return sys::send(socket.as_fd(), sealed.as_bytes());
            }
            sys::send(socket.as_fd(), &frame)
        };
        let outcome = outcome_of(send(&self.socket));
        match outcome {
            BeatOutcome::Dropped(DropReason::NoObserver | DropReason::PeerGone) => {
                match self.peer.connect() {
                    Ok(fresh) => outcome_of(send(&fresh)),
                    Err(_) => outcome,
                }
            }
            _ => outcome,
        }
    }
}

fn outcome_of(sent: io::Result<usize>) -> BeatOutcome {
    match sent {
        Ok(_) => BeatOutcome::Sent,
        Err(error) => classify_send_error(&error),
    }
}

impl fmt::Debug for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastWords").field("socket", &self.socket).finish_non_exhaustive()
    }
}
