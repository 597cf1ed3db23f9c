//! The sockets at which an observer listens.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::Observer;
use super::lane::Lanes;
use super::listener::Listener;

impl Observer {
    /// How many datagrams the kernel queues at the Unix socket with the shortest queue, as far
    /// as is known: an inherited socket may have been created with another length. `None`
    /// without a Unix socket.
    #[must_use]
    pub fn queue_length(&self) -> Option<usize> {
        let local = self.sockets.listeners().filter(|listener| listener.is_local());
        local.map(Listener::queue_bound).min()
    }

    /// The UDP addresses that the observer listens at.
    pub fn udp_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.listeners().filter_map(Listener::udp_address)
    }

    /// The sockets that the observer reads, in the order in which they were added, for example
    /// to query their buffer sizes. Do not read from them: that takes beats away from the
    /// observer.
    ///
    /// With [`lane`](crate::Builder::lane), the sockets that hand out shared memory come last.
    /// What agents send over a connection is read at the [deadline](Self::next_deadline) at the
    /// latest.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let lanes = self.processes.lanes().into_iter().flat_map(Lanes::listeners);
        self.sockets.listeners().map(AsFd::as_fd).chain(lanes)
    }

    /// A warning for the operator: the kernel's queue is too short for the capacity, or there is
    /// no shared memory for agents although [`lane`](crate::Builder::lane) asked for it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let lane = self.processes.lanes().and_then(Lanes::advice).map(str::to_owned);
        let advice = [self.queue_advice(), lane].into_iter().flatten();
        advice.reduce(|first, second| format!("{first}; {second}"))
    }

    fn queue_advice(&self) -> Option<String> {
        let capacity = self.capacity;
        let queue = self.queue_length()?;
        (queue < capacity).then(|| {
            format!(
                "the kernel queues only {queue} beats at a time for up to {capacity} agents; set a \
                 larger sysctl net.unix.max_dgram_qlen before the observer starts to avoid drops"
            )
        })
    }
}
