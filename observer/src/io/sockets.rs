//! The sockets that an observer reads in turn, and how far each has been read.

use std::io;
use std::os::fd::AsFd;

use crate::io::listener::Listener;
use crate::sys::{Epoll, Interest, Message};

/// A socket that failed is tried again after this time.
pub(crate) const REST_NS: u64 = 1_000_000_000;

/// All of an observer's sockets.
pub(crate) struct Sockets {
    sockets: Vec<SocketState>,
    /// The socket that was read last.
    turn: usize,
    /// Whether a look at a Unix socket that has ended found the queue full; `None` if none has
    /// ended.
    full: Option<bool>,
}

struct SocketState {
    listener: Listener,
    /// Whether it accepts sealed frames only.
    sealed: bool,
    /// Whether there may be something to read.
    ready: bool,
    /// Whether the kernel reports that no more will arrive; the socket then stays readable
    /// forever.
    hung_up: bool,
    /// When a socket that failed is tried again.
    rests_until: Option<u64>,
    /// The range of datagrams of the last read that have not been taken yet.
    next: usize,
    end: usize,
    /// Everything that arrived before this time has been read.
    read_until: u64,
    /// Under a flood a queue is never seen empty. But once as many datagrams have been read as
    /// fit into it, everything that was in it at this time has been read.
    mark: u64,
    read_since_mark: usize,
    /// Whether the queue was found full, if the last read ended a look: it is full if at least
    /// as many datagrams as fit into it were read without finding it empty.
    full: Option<bool>,
    /// The number of dropped datagrams that the kernel reported last; it wraps.
    overflow: u32,
}

/// The result of a read.
pub(crate) enum Read {
    /// A batch was read at this time.
    Some(u64),
    Nothing,
    /// A socket failed, for beats or for notifications.
    Failed {
        error: io::Error,
        notify: bool,
    },
}

/// A datagram that was read.
pub(crate) struct Taken<'a> {
    /// The index of its socket.
    pub(crate) listener: u16,
    /// Whether that socket accepts sealed frames only.
    pub(crate) sealed: bool,
    /// Whether it is a notification, and of a pidfd that is attached to it, the process.
    pub(crate) notification: Option<Option<u32>>,
    pub(crate) message: Message<'a>,
}

impl Sockets {
    pub(crate) const fn new() -> Self {
        Self { sockets: Vec::new(), turn: 0, full: None }
    }

    /// Adds a socket. Its token is its index in the list.
    pub(crate) fn add(
        &mut self,
        listener: Listener,
        sealed: bool,
        epoll: &Epoll,
    ) -> io::Result<()> {
        epoll.add(listener.as_fd(), self.sockets.len() as u64, Interest::Readable)?;
        self.sockets.push(SocketState {
            listener,
            sealed,
            ready: true,
            hung_up: false,
            rests_until: None,
            next: 0,
            end: 0,
            read_until: 0,
            mark: 0,
            read_since_mark: 0,
            full: None,
            overflow: 0,
        });
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.sockets.iter().map(|socket| &socket.listener)
    }

    pub(crate) fn set_ready(&mut self, token: u64, hung_up: bool) {
        if let Some(socket) =
            usize::try_from(token).ok().and_then(|at| self.sockets.get_mut(at))
        {
            socket.ready = true;
            socket.hung_up = hung_up;
        }
    }

    /// Whether a socket may have something to read.
    pub(crate) fn is_ready(&self) -> bool {
        self.sockets.iter().any(|socket| socket.ready)
    }

    /// Whether datagrams that were read have not been taken yet.
    pub(crate) fn has_backlog(&self) -> bool {
        self.sockets.iter().any(|socket| socket.next < socket.end)
    }

    /// Takes the next datagram that was read.
    pub(crate) fn take(&mut self) -> Option<Taken<'_>> {
        let socket = self.sockets.get_mut(self.turn)?;
        if socket.next >= socket.end {
            return None;
        }
        let at = socket.next;
        socket.next += 1;
        let (sealed, notification) = (socket.sealed, socket.listener.notification());
        let message = socket.listener.take(at)?;
        let listener = u16::try_from(self.turn).unwrap_or(u16::MAX);
        Some(Taken { listener, sealed, notification, message })
    }

    /// Records the number of datagrams that the kernel has dropped so far, and returns how
    /// many of them are new.
    pub(crate) fn overflowed(&mut self, listener: u16, total: u32) -> u64 {
        let Some(socket) = self.sockets.get_mut(usize::from(listener)) else { return 0 };
        let new = total.wrapping_sub(socket.overflow);
        socket.overflow = total;
        new.into()
    }

    /// Reads one batch from the next socket that may have something to read. `now` returns the
    /// time and is called before the read.
    pub(crate) fn read(&mut self, now: impl Fn() -> u64, epoll: &Epoll) -> Read {
        for step in 1..=self.sockets.len() {
            let at = (self.turn + step) % self.sockets.len();
            let Some(socket) = self.sockets.get_mut(at) else { continue };
            if !socket.ready {
                continue;
            }
            let now = now();
            let read = socket.read(now);
            if socket.listener.is_local() {
                self.full = match (self.full, socket.full.take()) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (before, now) => now.or(before),
                };
            }
            match read {
                Ok(0) => {}
                Ok(_) => {
                    self.turn = at;
                    return Read::Some(now);
                }
                Err(error) => {
                    // It would be readable again at once, forever.
                    socket.rests_until = Some(now.saturating_add(REST_NS));
                    socket.ready = false;
                    let notify = socket.listener.notification().is_some();
                    let removed = epoll.remove(socket.listener.as_fd());
                    return Read::Failed { error: removed.err().unwrap_or(error), notify };
                }
            }
        }
        Read::Nothing
    }

    /// Whether the looks at Unix sockets that have ended since the last call found a queue
    /// full; `None` if none has ended.
    pub(crate) fn take_full(&mut self) -> Option<bool> {
        self.full.take()
    }

    /// The time before which everything that arrived has been read, at every socket that
    /// works.
    pub(crate) fn read_until(&self) -> Option<u64> {
        self.sockets
            .iter()
            .filter(|socket| socket.rests_until.is_none())
            .map(|socket| socket.read_until)
            .min()
    }

    /// Marks every socket for reading that has not been read up to this time.
    pub(crate) fn look_again(&mut self, until: u64) {
        for socket in &mut self.sockets {
            socket.ready |= socket.read_until < until && socket.rests_until.is_none();
        }
    }

    /// When the next failed socket is tried again.
    pub(crate) fn next_retry(&self) -> Option<u64> {
        self.sockets.iter().filter_map(|socket| socket.rests_until).min()
    }

    /// Resumes the failed sockets whose time has come. Returns when the next one is tried
    /// again.
    pub(crate) fn resume(&mut self, now: u64, epoll: &Epoll) -> Option<u64> {
        for (token, socket) in self.sockets.iter_mut().enumerate() {
            if socket.rests_until.is_none_or(|until| until > now) {
                continue;
            }
            let back = epoll.add(socket.listener.as_fd(), token as u64, Interest::Readable);
            socket.ready = back.is_ok();
            socket.rests_until = back.is_err().then(|| now.saturating_add(REST_NS));
        }
        self.next_retry()
    }

    /// Sets whether the kernel sends a pidfd with each datagram.
    pub(crate) fn pass_pidfds(&mut self, on: bool) {
        for socket in &mut self.sockets {
            if let Some(uds) = socket.listener.uds() {
                // Before Linux 6.5 this fails, and agents are tracked by pid.
                let _ = uds.pass_pidfds(on);
            }
        }
    }
}

impl SocketState {
    fn read(&mut self, now: u64) -> io::Result<usize> {
        let read = match self.listener.receive() {
            // Another process that holds the socket has shut it down.
            Ok(0) if self.hung_up => {
                return Err(io::Error::from_raw_os_error(libc::ESHUTDOWN));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            read => read?,
        };
        self.next = 0;
        self.end = read;
        // A batch that is not full has found the queue empty; confirming that would cost a
        // system call. If an error ended the batch, the socket becomes readable again.
        if self.read_since_mark == 0 {
            self.mark = now;
        }
        self.read_since_mark = self.read_since_mark.saturating_add(read);
        let bound = self.listener.queue_bound();
        if read < self.listener.most() {
            self.ready = false;
            self.read_until = now;
        } else if self.read_since_mark > bound {
            self.read_until = self.mark;
        } else {
            return Ok(read);
        }
        self.full = Some(self.read_since_mark >= bound);
        self.read_since_mark = 0;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    use crate::io::listener::{UdpListener, UdsListener};
    use crate::sys::BATCH;
    use crate::testing::Folder;

    #[test]
    fn a_socket_that_cannot_be_resumed_rests_again() {
        let epoll = Epoll::new().unwrap();
        let mut sockets = Sockets::new();
        let listener = UdpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        sockets.add(listener.into(), false, &epoll).unwrap();
        sockets.sockets[0].ready = false;
        sockets.sockets[0].rests_until = Some(7);
        assert_eq!(sockets.resume(6, &epoll), Some(7));
        // It is already in the epoll set, so that it cannot be added.
        assert_eq!(sockets.resume(8, &epoll), Some(8 + REST_NS));
        assert!(!sockets.is_ready() && sockets.read_until().is_none());

        epoll.remove(sockets.sockets[0].listener.as_fd()).unwrap();
        assert_eq!(sockets.resume(8 + REST_NS, &epoll), None);
        assert!(sockets.is_ready());
    }

    #[test]
    fn a_batch_that_is_not_full_is_the_end_of_the_queue() {
        let epoll = Epoll::new().unwrap();
        let mut sockets = Sockets::new();
        let listener = UdpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_address();
        sockets.add(listener.into(), false, &epoll).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..=BATCH {
            sender.send_to(b"anything", address).unwrap();
        }
        let mut read = |at| {
            assert!(matches!(sockets.read(|| at, &epoll), Read::Some(_)));
            let count = std::iter::from_fn(|| sockets.take().map(drop)).count();
            (count, sockets.is_ready(), sockets.read_until())
        };
        assert_eq!(read(7), (BATCH, true, Some(0)));
        assert_eq!(read(9), (1, false, Some(9)));
    }

    #[test]
    fn a_read_of_as_many_datagrams_as_the_queue_holds_found_it_full() {
        let folder = Folder::new();
        let path = folder.join("queue.sock");
        let epoll = Epoll::new().unwrap();
        let mut sockets = Sockets::new();
        let listener = UdsListener::bind(&path, 0o600).unwrap();
        sockets.add(listener.into(), false, &epoll).unwrap();
        let bound = sockets.sockets[0].listener.queue_bound();
        let mut read_all = |queued: usize| {
            // The amount of queued data of one sender is limited.
            let senders: Vec<_> =
                (0..queued).map(|_| UnixDatagram::unbound().unwrap()).collect();
            for sender in &senders {
                sender.send_to(b"anything", &path).unwrap();
            }
            sockets.set_ready(0, false);
            while sockets.is_ready() {
                sockets.read(|| 7, &epoll);
            }
            drop(senders);
            sockets.take_full()
        };
        assert_eq!(read_all(bound), Some(true));
        assert_eq!(read_all(bound - 1), Some(false));
        assert_eq!(read_all(0), Some(false));
    }
}
