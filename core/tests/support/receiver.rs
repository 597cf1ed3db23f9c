//! An observer's ear: takes datagrams, decides nothing.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use varta::{FRAME_BYTES, Frame};

use super::{Child, PATIENCE};

/// Longer than any datagram of this protocol.
const ROOM: usize = 128;

/// A bound socket, Unix or UDP.
pub(crate) struct Receiver {
    /// Only `recv` is asked of it, which is the same for both.
    socket: UdpSocket,
}

impl Receiver {
    /// On a Unix socket. The file stays when the receiver goes, as an observer's that
    /// was killed; whoever follows removes it.
    #[track_caller]
    pub(crate) fn uds(path: impl AsRef<Path>) -> Self {
        Self::of(UnixDatagram::bind(path).unwrap())
    }

    /// On a UDP port of 127.0.0.1 that no receiver of this process had before: an address
    /// is counted for as long as the process lives.
    #[track_caller]
    pub(crate) fn udp() -> Self {
        static HAD: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
        let mut others = Vec::new();
        loop {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            let (word, bit) = (&HAD[usize::from(port) / 64], 1 << (port % 64));
            if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                return Self::of(socket);
            }
            others.push(socket);
        }
    }

    /// On any bound socket.
    pub(crate) fn of(socket: impl Into<OwnedFd>) -> Self {
        let socket = UdpSocket::from(socket.into());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// Where a UDP receiver listens.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The next datagram, waited for.
    #[track_caller]
    pub(crate) fn next_datagram(&self) -> Vec<u8> {
        let mut room = [0; ROOM];
        let length = self.socket.recv(&mut room).expect("a datagram");
        room.iter().copied().take(length).collect()
    }

    /// The next frame, waited for.
    #[track_caller]
    pub(crate) fn next_frame(&self) -> Frame {
        decode(&self.next_datagram())
    }

    /// A datagram that is there now. One sent over a Unix socket is there once it is
    /// sent; over UDP it may take a moment.
    pub(crate) fn queued_datagram(&self) -> Option<Vec<u8>> {
        let mut room = [0_u8; ROOM];
        // SAFETY: pointer and length are those of a live array of ours.
        let length = unsafe {
            libc::recv(
                self.socket.as_raw_fd(),
                room.as_mut_ptr().cast(),
                ROOM,
                libc::MSG_DONTWAIT,
            )
        };
        let length = usize::try_from(length).ok()?;
        Some(room.iter().copied().take(length).collect())
    }

    /// All datagrams that are there now.
    pub(crate) fn queued_datagrams(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.queued_datagram()).collect()
    }

    /// All frames that are there now.
    #[track_caller]
    pub(crate) fn queued_frames(&self) -> Vec<Frame> {
        self.queued_datagrams().iter().map(|datagram| decode(datagram)).collect()
    }

    /// All datagrams that come until the child has ended, which must be cleanly. Keeps
    /// the queue short meanwhile.
    #[track_caller]
    pub(crate) fn datagrams_until_finished(&self, mut child: Child) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while child.ended().is_none() {
            match self.queued_datagram() {
                Some(datagram) => datagrams.push(datagram),
                None => std::thread::yield_now(),
            }
        }
        child.finish();
        datagrams.extend(self.queued_datagrams());
        datagrams
    }

    /// All frames that come until the child has ended, which must be cleanly.
    #[track_caller]
    pub(crate) fn frames_until_finished(&self, child: Child) -> Vec<Frame> {
        let datagrams = self.datagrams_until_finished(child);
        datagrams.iter().map(|datagram| decode(datagram)).collect()
    }
}

/// A UDP port that refuses what is sent there. It is bound, so that it is nobody else's,
/// and connected, so that it takes nothing from others.
#[track_caller]
pub(crate) fn refusing_port() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    socket
}

/// The version 2 frame that a datagram is.
#[track_caller]
pub(crate) fn decode(datagram: &[u8]) -> Frame {
    let wire: &[u8; FRAME_BYTES] = datagram.try_into().expect("32 bytes");
    Frame::decode(wire).unwrap()
}
