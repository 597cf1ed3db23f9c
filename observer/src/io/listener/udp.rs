//! Listening on UDP, for both plain and sealed beats.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::{RECEIVE_BUFFER, TAKEN, bind_soon, cannot_bind, cannot_bind_for};
use crate::sys::{self, Batch};

/// The kernel charges at least this much for a queued datagram, however short it is.
const LEAST_CHARGE: usize = 512;

#[derive(Debug)]
pub(crate) struct UdpListener {
    socket: UdpSocket,
    local_address: SocketAddr,
    queue_bound: usize,
    batch: Batch,
}

impl UdpListener {
    /// Listens at an address. An IPv6 address receives IPv6 only.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bound(address).map_err(|error| {
            let what = format!("udp://{address}");
            match error.kind() {
                io::ErrorKind::AddrInUse => cannot_bind(what, error, TAKEN),
                io::ErrorKind::AddrNotAvailable => {
                    cannot_bind(what, error, "this host has no such address")
                }
                _ => cannot_bind_for(what, error),
            }
        })
    }

    fn bound(address: SocketAddr) -> io::Result<Self> {
        let mut bound = None;
        bind_soon(|| match sys::bind_udp(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
            socket => {
                bound = Some(socket?);
                Ok(true)
            }
        })?;
        let socket = UdpSocket::from(
            bound.ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRINUSE))?,
        );
        sys::count_overflows(socket.as_fd())?;
        let local_address = socket.local_addr()?;
        let batch = Batch::for_udp();
        let mut listener = Self { socket, local_address, queue_bound: 0, batch };
        listener.set_receive_buffer(RECEIVE_BUFFER)?;
        Ok(listener)
    }

    pub(super) fn set_receive_buffer(&mut self, bytes: usize) -> io::Result<usize> {
        sys::set_receive_buffer(self.as_fd(), bytes)?;
        let bytes = sys::receive_buffer(self.as_fd())?;
        // One datagram may exceed it. What was queued while the buffer was larger stays.
        self.queue_bound = self.queue_bound.max(bytes / LEAST_CHARGE + 1);
        Ok(bytes)
    }

    /// The address that it listens at, with the port that the kernel chose if it was 0.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    pub(super) fn receive(&mut self) -> io::Result<usize> {
        self.batch.receive(self.socket.as_fd())
    }

    pub(super) fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    pub(super) fn queue_bound(&self) -> usize {
        self.queue_bound
    }
}

impl AsFd for UdpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::listener::Listener;
    use crate::testing::wait_until;

    fn bind(address: &str) -> io::Result<UdpListener> {
        UdpListener::bind(address.parse().unwrap())
    }

    #[test]
    fn each_address_family_has_its_own_listener() {
        // If an IPv6 socket received both families, none of these ports would be free for
        // IPv4. Some are in use by other programs.
        let both = || {
            let v6 = bind("[::]:0").unwrap();
            let v4 = bind(&format!("0.0.0.0:{}", v6.local_address().port()));
            Some((v6, v4.ok()?))
        };
        let (v6, mut v4) = std::iter::repeat_with(both).take(50).flatten().next().unwrap();
        let port = v6.local_address().port();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(&[7], ("127.0.0.1", port)).unwrap();
        wait_until(|| v4.receive().unwrap() == 1);
        assert_eq!(v4.batch().take(0).unwrap().source, Some(sender.local_addr().unwrap()));
    }

    #[test]
    fn an_unavailable_address_is_reported() {
        let holder = bind("127.0.0.1:0").unwrap();
        let taken = holder.local_address();
        let error = UdpListener::bind(taken).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!("cannot bind udp://{taken}: an observer is already listening there"),
        );
        let error = bind("192.0.2.1:9000").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(
            error.to_string(),
            "cannot bind udp://192.0.2.1:9000: this host has no such address",
        );
    }

    #[test]
    fn the_queue_holds_at_most_queue_bound_datagrams() {
        let listener = bind("127.0.0.1:0").unwrap();
        let address = listener.local_address();
        let mut listener = Listener::from(listener);
        assert!(!listener.is_local() && listener.uds().is_none());
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bound = listener.queue_bound();
        for _ in 0..2 * bound {
            sender.send_to(&[], address).unwrap();
        }
        // Over the loopback interface, a sent datagram has already arrived or was dropped.
        let mut queued = 0;
        loop {
            match listener.receive().unwrap() {
                0 => break,
                count => queued += count,
            }
        }
        assert!(queued <= bound && queued < 2 * bound, "{queued} of {bound}");
        assert!(queued > sys::BATCH);

        sender.send_to(&[], address).unwrap();
        wait_until(|| listener.receive().unwrap() == 1);
        let dropped = listener.take(0).unwrap().overflow.unwrap();
        assert_eq!(dropped as usize, 2 * bound - queued);

        let before = listener.queue_bound();
        assert!(listener.set_receive_buffer(1).unwrap() < 1 << 20);
        assert_eq!(listener.queue_bound(), before, "datagrams that were queued before stay");
        assert!(listener.set_receive_buffer(1 << 20).unwrap() >= 1 << 20);
    }
}
