//! What carries a beat.

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

/// Carries beats to one observer. A program may bring its own.
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
    /// Hands one frame over, at once or not at all: it must not block and not allocate.
    /// Says how many bytes of the frame were taken; fewer than all is a failed beat.
    ///
    /// # Errors
    ///
    /// [`classify_send_error`](crate::classify_send_error) says which errors drop a beat
    /// and which fail it.
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> io::Result<usize>;

    /// Makes a new session to the same place. In a forked child this is called before
    /// anything is sent, and what the parent's session must not share is made anew. When
    /// it fails, the old session stays as it was.
    ///
    /// # Errors
    ///
    /// Why there is no new session.
    fn reconnect(&mut self) -> io::Result<()>;

    /// Where it leads. All agents of a process whose transports give the same answer
    /// count their beats together; without an answer an agent counts alone.
    fn endpoint(&self) -> Option<&OsStr> {
        None
    }
}
