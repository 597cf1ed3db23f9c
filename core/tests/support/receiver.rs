//! A bound socket that receives the datagrams of the agents under test.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use varta::{FRAME_BYTES, Frame};

use super::{Child, PATIENCE, uninterrupted};

/// Longer than any datagram of this protocol.
const ROOM: usize = 512;

/// A bound socket, Unix or UDP.
pub(crate) struct Receiver {
    /// Used for `recv` only, which is the same for both kinds.
    socket: UdpSocket,
}

impl Receiver {
    /// Binds a Unix socket. The file stays when the receiver is dropped, as that of a killed
    /// observer does; the next one to bind has to remove it.
    #[track_caller]
    pub(crate) fn uds(path: impl AsRef<Path>) -> Self {
        Self::of(UnixDatagram::bind(path).unwrap())
    }

    /// Binds a UDP port of 127.0.0.1 that no receiver of this process had before, because the
    /// nonce counter of an address is kept as long as the process lives.
    #[track_caller]
    pub(crate) fn udp() -> Self {
        static USED: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
        let mut others = Vec::new();
        loop {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            let (word, bit) = (&USED[usize::from(port) / 64], 1 << (port % 64));
            if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                return Self::of(socket);
            }
            others.push(socket);
        }
    }

    /// Uses a bound socket of any kind.
    pub(crate) fn of(socket: impl Into<OwnedFd>) -> Self {
        let socket = UdpSocket::from(socket.into());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// The address of a UDP receiver.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Waits for the next datagram.
    #[track_caller]
    pub(crate) fn next_datagram(&self) -> Vec<u8> {
        let mut room = [0; ROOM];
        let length = uninterrupted(|| self.socket.recv(&mut room)).expect("a datagram");
        room.iter().copied().take(length).collect()
    }

    /// Waits for the next frame.
    #[track_caller]
    pub(crate) fn next_frame(&self) -> Frame {
        decode(&self.next_datagram())
    }

    /// The first datagram in the queue. A datagram is in the queue of a Unix socket as soon
    /// as it is sent; over UDP that may take a moment.
    pub(crate) fn queued_datagram(&self) -> Option<Vec<u8>> {
        let mut room = [0_u8; ROOM];
        // SAFETY: pointer and length describe a local array.
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

    /// All datagrams in the queue.
    pub(crate) fn queued_datagrams(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.queued_datagram()).collect()
    }

    /// All frames in the queue.
    #[track_caller]
    pub(crate) fn queued_frames(&self) -> Vec<Frame> {
        self.queued_datagrams().iter().map(|datagram| decode(datagram)).collect()
    }

    /// All datagrams received until the child exits, which must be with 0. They are read as
    /// they arrive, so that the queue stays short.
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

    /// All frames received until the child exits, which must be with 0.
    #[track_caller]
    pub(crate) fn frames_until_finished(&self, child: Child) -> Vec<Frame> {
        let datagrams = self.datagrams_until_finished(child);
        datagrams.iter().map(|datagram| decode(datagram)).collect()
    }
}

/// A UDP socket whose port refuses datagrams. It is bound, so that no other process has the
/// port, and connected, so that it accepts nothing from other senders.
#[track_caller]
pub(crate) fn refusing_port() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    socket
}

/// Decodes a datagram as a version 2 frame.
#[track_caller]
pub(crate) fn decode(datagram: &[u8]) -> Frame {
    let wire: &[u8; FRAME_BYTES] = datagram.try_into().expect("32 bytes");
    Frame::decode(wire).unwrap()
}
