//! A socket whose last close sleeps, such as a hostile sender attaches to a datagram.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

/// How long the last close sleeps. No test waits for this long.
pub(crate) const LINGER_SECONDS: libc::c_int = 300;

/// A connection with unsent data that its peer does not read.
pub(crate) struct LingeringSocket {
    socket: TcpStream,
    peer: TcpStream,
}

impl LingeringSocket {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        loop {
            match socket.write(&[0; 1 << 16]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        // Closing a non-blocking socket does not linger.
        socket.set_nonblocking(false).unwrap();
        let linger = libc::linger { l_onoff: 1, l_linger: LINGER_SECONDS };
        // SAFETY: reads a structure of the given size.
        let set = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of_val(&linger).try_into().unwrap(),
            )
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        Self { socket, peer }
    }

    /// Sends a datagram with the socket attached and closes all other copies of it. Returns
    /// the peer, which must stay open.
    pub(crate) fn send(self, to: &UnixDatagram, bytes: &[u8]) -> TcpStream {
        self.send_by(|socket| super::send_with_descriptors(to, bytes, &[socket]).unwrap())
    }

    /// As [`send`](Self::send), by another way to send.
    pub(crate) fn send_by(self, send: impl FnOnce(BorrowedFd<'_>)) -> TcpStream {
        send(self.socket.as_fd());
        self.peer
    }
}
