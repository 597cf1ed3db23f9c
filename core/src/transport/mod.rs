//! The transports that carry beats.

pub(crate) mod any;
#[cfg(feature = "secure-udp")]
mod secure_udp;
mod socket;
#[cfg(feature = "udp")]
pub(crate) mod udp;
pub(crate) mod uds;

use std::ffi::OsStr;
use std::io;

pub use any::AnyTransport;
#[cfg(feature = "secure-udp")]
pub use secure_udp::SecureUdpTransport;
#[cfg(feature = "udp")]
pub use udp::UdpTransport;
pub use uds::UdsTransport;

use crate::frame::FRAME_BYTES;

/// Carries beats to one observer. A program may implement its own.
///
/// ```
/// use std::io;
/// use varta::{BeatOutcome, BeatTransport, Status, Varta};
///
/// /// Keeps the last frame instead of sending it.
/// #[derive(Default)]
/// struct Kept([u8; 32]);
///
/// impl BeatTransport for Kept {
///     fn send(&mut self, frame: &[u8; 32]) -> io::Result<usize> {
///         self.0 = *frame;
///         Ok(frame.len())
///     }
///     fn reconnect(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// let mut agent = Varta::with_transport(Kept::default())?;
/// assert_eq!(agent.beat(Status::Ok, 7), BeatOutcome::Sent);
/// # Ok::<(), io::Error>(())
/// ```
pub trait BeatTransport: Send + 'static {
    /// Sends one frame at once or not at all; it must neither block nor allocate. Returns how
    /// many bytes of the frame were accepted; fewer than all is a failed beat.
    ///
    /// # Errors
    ///
    /// [`classify_send_error`](crate::classify_send_error) decides whether the beat counts as
    /// dropped or failed.
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize>;

    /// Makes a new session to the same endpoint. In a forked child this is called before
    /// anything is sent, and must replace everything that must not be shared with the
    /// parent. If it fails, the old session must be unchanged.
    ///
    /// # Errors
    ///
    /// No new session could be made.
    fn reconnect(&mut self) -> io::Result<()>;

    /// The endpoint that the transport sends to. All agents of a process whose transports
    /// return the same endpoint share a nonce counter; with None, an agent has its own.
    fn endpoint(&self) -> Option<&OsStr> {
        None
    }
}
