//! Accepting connections.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::connections::{Peer, Stage};
use super::{Lanes, PATIENCE_NS, PER_PROCESS};
use crate::io::identity::Descriptors;
use crate::judge::WAKE_NS;
use crate::sys::{self, Epoll, Interest};

impl Lanes {
    /// Accepts the next connection that waits on a listening socket. It is served before another
    /// one is accepted, because its process waits for an answer.
    pub(super) fn accept(
        &mut self,
        index: usize,
        now: u64,
        descriptors: Descriptors,
        epoll: &Epoll,
    ) -> io::Result<()> {
        if self.turn.is_spent() {
            self.listening.pause(index, epoll);
            return Ok(());
        }
        let begun = sys::thread_cpu_ns();
        match self.listening.accept(index) {
            Ok(None) => {}
            Ok(Some((socket, made_after))) => {
                let woke = self.listening.take_woke(index);
                if self.greet(socket, made_after, now, descriptors, epoll).is_none() {
                    self.turn.waste(cpu_ns_since(begun) + if woke { WAKE_NS } else { 0 });
                }
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) if self.turn_away(index, begun) => {}
                _ => {
                    self.listening.rest(index, now, epoll);
                    return Err(error);
                }
            },
        }
        Ok(())
    }

    /// Takes up a connection; `None` if it is not to be served.
    fn greet(
        &mut self,
        socket: OwnedFd,
        made_after: u64,
        now: u64,
        descriptors: Descriptors,
        epoll: &Epoll,
    ) -> Option<()> {
        let known = peer_of(&socket, descriptors);
        let Some((peer, uid)) = known.filter(|(peer, _)| self.attempts.count(*peer, now))
        else {
            self.discard(socket);
            return None;
        };
        let open = self.connections.of(peer);
        let open = open.filter(|place| self.stage(*place) != Some(Stage::Ended)).count();
        if open >= PER_PROCESS {
            self.refuse_unheard(socket, libc::EBUSY, "this process already has 4 connections");
            return None;
        }
        if self.connections.greeting() >= self.limits.greeting {
            // The one that has waited for longest; others send HELLO at once.
            let oldest = self.connections.first(Stage::Greeting)?;
            self.close(oldest, epoll);
        }
        let pidfd = match (descriptors, peer) {
            (Descriptors::Opened, Peer::Pid(pid)) => sys::open_pidfd(pid).ok(),
            _ => None,
        };
        let place = self.connections.add(socket, peer)?;
        let token = self.token(place);
        let found = self.connections.get_mut(place)?;
        (found.uid, found.pidfd) = (uid, pidfd);
        found.made_after = made_after;
        found.until = now.saturating_add(PATIENCE_NS);
        if epoll.add(found.socket()?, token, Interest::Readable).is_err() {
            self.close(place, epoll);
            return None;
        }
        self.queue(place);
        Some(())
    }

    /// Refuses a connection when there is no descriptor for it. Returns whether it could.
    fn turn_away(&mut self, index: usize, begun: u64) -> bool {
        let Some(socket) = self.listening.accept_without_descriptors(index) else {
            return false;
        };
        self.refuse_unheard(socket, libc::EMFILE, super::offer::NO_DESCRIPTOR);
        self.listening.restore_spare();
        self.turn.waste(cpu_ns_since(begun));
        true
    }

    /// Refuses a connection that was just accepted. What its process has sent is read first:
    /// otherwise the kernel would report an error to it in place of the answer.
    fn refuse_unheard(&self, socket: OwnedFd, errno: i32, reason: &str) {
        // In any case there is nothing to do but to answer.
        let _ = super::receive(socket.as_fd(), &mut [], self.discarder.as_ref());
        super::offer::send_refusal(socket.as_fd(), errno, reason);
        self.discard(socket);
    }
}

/// The CPU time of this thread since then.
pub(super) fn cpu_ns_since(begun: u64) -> u64 {
    sys::thread_cpu_ns().saturating_sub(begun)
}

/// The process at the other end of a connection, and its user; `None` if the kernel cannot
/// tell.
fn peer_of(socket: &OwnedFd, descriptors: Descriptors) -> Option<(Peer, u32)> {
    let credentials = sys::peer(socket.as_fd()).ok()?;
    let peer = match (credentials.pid, descriptors) {
        (0, Descriptors::WithDatagram) => {
            let pidfd = sys::peer_pidfd(socket.as_fd()).ok()?;
            Peer::Number(sys::process_number(pidfd.as_fd()).unwrap_or(0))
        }
        (0, _) => Peer::Number(0),
        (pid, _) => Peer::Pid(pid),
    };
    Some((peer, credentials.uid))
}
