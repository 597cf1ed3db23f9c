//! Process liveness: a program sends a heartbeat a few times a second, and an observer
//! reports the processes that have gone silent.
//!
//! ```
//! use varta::{Status, Varta};
//!
//! # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! # let endpoint = format!("udp://{}", observer.local_addr()?);
//! # let endpoint = endpoint.as_str();
//! let mut agent = Varta::open(endpoint)?; // "/run/varta.sock", "udp://127.0.0.1:9000", ...
//! for work in 0..3 {
//!     let outcome = agent.beat(Status::Ok, work);
//!     println!("{outcome}");
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Varta`] is the agent. A [`Task`] is a part of a process that is watched on its own: a
//! thread, a worker, a kind of job. [`Frame`] is the wire format. [`secure`] seals frames for a
//! network, and [`v1`] is for observers that only know version 1. On a target without an
//! operating system the crate is `no_std` and contains only the wire format.

#![cfg_attr(any(not(unix), bare), no_std)]

#[cfg(all(unix, not(bare)))]
mod agent;
#[cfg(all(unix, not(bare)))]
mod call_lock;
#[cfg(all(unix, not(bare)))]
mod clock;
mod crc32c;
#[cfg(all(unix, not(bare)))]
mod endpoint;
#[cfg(all(unix, not(bare)))]
mod escape;
#[cfg(all(unix, not(bare)))]
mod fork;
mod frame;
#[cfg(all(unix, not(bare)))]
mod lane;
#[cfg(all(unix, not(bare), feature = "panic-handler"))]
mod last_words;
#[cfg(all(unix, not(bare)))]
mod nonce;
#[cfg(all(unix, not(bare)))]
mod notify;
#[cfg(all(unix, not(bare)))]
mod outcome;
#[cfg(all(unix, not(bare), feature = "panic-handler"))]
mod panic;
#[cfg(all(unix, not(bare), feature = "secure-udp"))]
pub mod secure;
mod status;
#[cfg(all(unix, not(bare)))]
mod sys;
#[cfg(all(unix, not(bare)))]
mod task;
#[cfg(all(unix, not(bare)))]
mod transport;
pub mod v1;

/// Helpers for the libraries built on this crate. Not part of the stable API: programs must
/// not use them.
#[cfg(all(unix, not(bare)))]
#[doc(hidden)]
pub mod internal {
    pub use crate::call_lock::{CallGuard, CallLock};
    pub use crate::endpoint::LONGEST_NAME as LONGEST_SOCKET_NAME;
    pub use crate::escape::write_escaped;
    pub use crate::fork::ProcessToken;
    pub use crate::outcome::{ERRNO_OF_KIND, errno_or_that_of_kind, with_message};
    #[cfg(feature = "secure-udp")]
    pub use crate::secure::{derive_agent_bytes, derive_epoch_key, wipe_stack};
    #[cfg(feature = "secure-udp")]
    pub use zeroize::Zeroizing;

    /// Frames from a socket at which the kernel names the sender, which may be pid 1.
    pub mod local {
        use crate::frame::{DecodeError, FRAME_BYTES, Frame};
        use crate::v1;

        /// Decodes a frame of version 2, in which pid 1 is valid too.
        ///
        /// # Errors
        ///
        /// As for [`Frame::decode`].
        pub fn decode(wire: &[u8; FRAME_BYTES]) -> Result<Frame, DecodeError> {
            Frame::decode_with(wire, 1)
        }

        /// Decodes a frame of version 1, in which pid 1 is valid too.
        ///
        /// # Errors
        ///
        /// As for [`v1::Frame::decode`].
        pub fn decode_v1(wire: &[u8; FRAME_BYTES]) -> Result<v1::Frame, DecodeError> {
            v1::Frame::decode_with(wire, 1)
        }
    }

    /// Beats through shared memory, as the agent writes and the observer reads them.
    pub mod lane {
        pub use crate::lane::{layout, line, message};
    }

    /// What a task promises, with times as arguments, and what its line means.
    pub mod task {
        pub use crate::task::broken;
        pub use crate::task::promises::{Promises, Violations};
    }
}

pub use crc32c::crc32c;
pub use frame::{DecodeError, FRAME_BYTES, Frame, MAGIC, NONCE_TERMINAL, VERSION};
pub use status::{Status, UnknownStatus};

#[cfg(all(unix, not(bare)))]
pub use agent::{Options, Varta};
#[cfg(all(unix, not(bare)))]
pub use endpoint::{
    DEFAULT_ENDPOINT, ENDPOINT_VARIABLE, Endpoint, EndpointError, KeyFile, UnixSocket,
};
#[cfg(all(unix, not(bare), feature = "panic-handler"))]
pub use last_words::LastWords;
#[cfg(all(unix, not(bare)))]
pub use outcome::{BeatError, BeatOutcome, DropReason, classify_send_error};
#[cfg(all(unix, not(bare), feature = "panic-handler"))]
pub use panic::install_panic_handler;
#[cfg(all(unix, not(bare), feature = "panic-handler", feature = "secure-udp"))]
pub use panic::install_panic_handler_secure_udp;
#[cfg(all(unix, not(bare), feature = "panic-handler", feature = "udp"))]
pub use panic::install_panic_handler_udp;
#[cfg(all(unix, not(bare)))]
pub use task::{
    Edge, NEVER, Promise, Rule, Span, SpanId, SpanLimits, Task, TaskCounts, TaskName,
    TaskOptions, TaskReport,
};
#[cfg(all(unix, not(bare), feature = "secure-udp"))]
pub use transport::SecureUdpTransport;
#[cfg(all(unix, not(bare), feature = "udp"))]
pub use transport::UdpTransport;
#[cfg(all(unix, not(bare)))]
pub use transport::{AnyTransport, BeatTransport, UdsTransport};
