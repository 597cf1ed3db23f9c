//! The lane: agents that beat into shared memory. A second socket beside each Unix socket hands
//! out the pages and tells of ends; the pages are read by the judge.
//!
//! Whatever an agent sends costs a limited amount of work: it is muted until the next turn if
//! it rings too often, and so is a listening socket if too many of its connections come to
//! nothing. All tables are made when the observer is.

mod accept;
mod attempts;
mod connections;
mod listening;
mod offer;
mod serve;
mod tasks;
mod turn;

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use varta::internal::lane::layout::{PAIRS, Page};
use varta::internal::lane::message::{Hello, MESSAGE_BYTES, Message, MessageError};

use self::attempts::Attempts;
use self::connections::{Connections, Stage};
pub(crate) use self::connections::{Peer, Place};
use self::listening::Listening;
use self::turn::{BELLS, Turn};
use crate::io::identity::Descriptors;
use crate::io::listener::LaneListener;
use crate::judge::{PageIndex, Slot};
use crate::memory;
use crate::sys::{self, CommonPage, Discarder, Epoll, Interest, Owner, Pages, Received};

/// Advice if only datagram sockets were inherited.
pub(crate) const NOT_INHERITED: &str = "agents beat by datagrams only, because no SOCK_SEQPACKET \
    socket was inherited; let the service manager listen on one too, at the path of the first \
    with .lane at its end";

/// How long a connection may take until HELLO, and then until MAPPED.
const PATIENCE_NS: u64 = 1_000_000_000;

/// How long after the end of a connection its process may take to exit.
const UNTIL_EXIT_NS: u64 = 50_000_000;

/// The most connections of one process.
const PER_PROCESS: usize = 4;

/// While an agent has a page, the observer stores the time of its last look at least this often.
pub(crate) const LOOK_INTERVAL_NS: u64 = 1_000_000_000;

/// While much happens, the time of the last look is stored this often.
const STORE_AFTER_NS: u64 = 100_000_000;

/// Words of the common page.
const LAST_LOOK: usize = 0;
const INTERVAL: usize = 1;

/// Marks the token of a connection, and of a listening socket. Tokens of pidfds have a higher
/// bit.
const CONNECTION: u64 = 1 << 62;
const LISTENING: u64 = 1 << 61;

/// As much of a generation as fits into a token.
const GENERATION: u32 = (1 << 29) - 1;

/// How many agents can have a page, and how many connections can be without one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) pages: usize,
    greeting: usize,
}

impl Limits {
    /// Each page is a mapping and each connection a descriptor, of which this process keeps
    /// most for other purposes.
    pub(crate) fn of_this_process(capacity: usize) -> Self {
        /// If it is unknown: the kernel's default.
        const MAPPINGS: usize = 65_530;
        let mappings = fs::read_to_string("/proc/sys/vm/max_map_count");
        let mappings = mappings.ok().and_then(|most| most.trim().parse().ok());
        let descriptors = usize::try_from(sys::descriptor_limit()).unwrap_or(usize::MAX);
        let pages = (mappings.unwrap_or(MAPPINGS) / 4 * 3).min(descriptors / 4);
        Self {
            pages: pages.min(capacity).max(1),
            greeting: (descriptors / 16).clamp(PER_PROCESS, 256),
        }
    }
}

/// The connections, pages and listening sockets of the lane.
pub(crate) struct Lanes {
    limits: Limits,
    listening: Listening,
    connections: Connections,
    pages: Pages,
    common: CommonPage,
    attempts: Attempts,
    turn: Turn,
    /// Connections that may have something to read, or whose page is to be looked at.
    ready: VecDeque<Place>,
    /// Set if messages may carry descriptors.
    discarder: Option<Discarder>,
    /// When the time of the last look was stored.
    stored_at: u64,
    /// Why agents at some endpoint beat by datagrams only.
    advice: Option<String>,
    owner: Owner,
}

/// What the observer has to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// The process of this connection asks for a page.
    Hello(Place, Hello),
    /// The agent has mapped its page.
    Mapped(PageIndex),
    /// The agent rang, or its process has exited.
    Look(PageIndex),
    /// The agent rang too often in this turn.
    Muted(PageIndex),
    /// The agent sends no more.
    Ended(Place),
    /// A message is not one that is allowed now.
    Malformed(Place),
    /// The connection is to be ended.
    Close(Place),
    /// There is nothing more to do about what was ready.
    Done,
    /// A listening socket failed.
    Failed(io::Error),
}

impl Lanes {
    pub(crate) fn new(limits: Limits) -> io::Result<Self> {
        let connections = Connections::new(limits.pages, limits.greeting)?;
        let common = CommonPage::new()?;
        common.store(INTERVAL, LOOK_INTERVAL_NS);
        common.store(LAST_LOOK, sys::monotonic_ns());
        Ok(Self {
            listening: Listening::new(),
            ready: memory::queue(connections.most())?,
            connections,
            pages: Pages::reserve(limits.pages)?,
            limits,
            common,
            attempts: Attempts::new(),
            turn: Turn::default(),
            discarder: None,
            stored_at: 0,
            advice: None,
            owner: Owner::here(),
        })
    }

    pub(crate) fn add(&mut self, listener: LaneListener, epoll: &Epoll) -> io::Result<()> {
        if !listener.refuses_descriptors() {
            self.discarder.get_or_insert_with(Discarder::new);
        }
        self.listening.add(listener, epoll)
    }

    pub(crate) fn listeners(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listening.sockets()
    }

    pub(crate) fn advise(&mut self, advice: String) {
        self.advice.get_or_insert(advice);
    }

    pub(crate) fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    pub(crate) const fn is_lane(token: u64) -> bool {
        token & (CONNECTION | LISTENING) != 0
    }

    /// Records that a descriptor of the lane is ready.
    ///
    /// At `before`, it was not.
    pub(crate) fn set_ready(&mut self, token: u64, before: u64) {
        #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
        let index = token as u32;
        if token & LISTENING != 0 {
            return self.listening.set_ready(index, before);
        }
        #[allow(clippy::cast_possible_truncation, reason = "the upper half")]
        let generation = (token >> 32) as u32 & GENERATION;
        let place = Place(index);
        if self.connections.generation(place) & GENERATION == generation {
            self.queue(place);
        }
    }

    /// Whether something that was found ready has not been served yet.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty() || self.listening.is_ready()
    }

    /// When there is something to do even if nothing arrives.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let until = |stage| self.connections.until(stage);
        let stages = [Stage::Greeting, Stage::Offered, Stage::Ended].map(until);
        let turn = (self.listening.is_paused()
            || self.connections.first(Stage::Muted).is_some())
        .then_some(self.turn.until);
        stages.into_iter().chain([turn, self.listening.next_retry()]).flatten().min()
    }

    /// Whether an agent has a page.
    pub(crate) fn has_pages(&self) -> bool {
        self.connections.has_pages()
    }

    /// Stores the time of this look, for all agents to see.
    pub(crate) fn look(&mut self, now: u64, monotonic_ns: u64) {
        if now.saturating_sub(self.stored_at) >= STORE_AFTER_NS {
            self.stored_at = now;
            self.common.store(LAST_LOOK, monotonic_ns);
        }
    }

    pub(crate) fn page(&self, page: PageIndex) -> Option<&Page> {
        self.pages.get(page.index())
    }

    /// The agent of a page is known from now on.
    pub(crate) fn joined(&mut self, page: PageIndex, slot: Slot) -> Option<Place> {
        let place = self.connections.of_page(page)?;
        self.connections.get_mut(place)?.slot = Some(slot);
        Some(place)
    }

    pub(crate) fn of_page(&self, page: PageIndex) -> Option<Place> {
        self.connections.of_page(page)
    }

    pub(crate) fn peer(&self, place: Place) -> Option<Peer> {
        self.connections.get(place).map(|found| found.peer)
    }

    pub(super) fn peer_and_user(&self, place: Place) -> Option<(Peer, u32)> {
        self.connections.get(place).map(|found| (found.peer, found.uid))
    }

    /// The socket of a connection, which knows its process.
    pub(crate) fn socket(&self, place: Place) -> Option<BorrowedFd<'_>> {
        self.connections.get(place)?.socket()
    }

    /// Takes the pidfd that was opened when the process connected.
    pub(crate) fn take_pidfd(&mut self, place: Place) -> Option<OwnedFd> {
        self.connections.get_mut(place)?.pidfd.take()
    }

    /// Has all pages of a process looked at, because it has exited: what it wrote last counts.
    pub(crate) fn look_at_all(&mut self, peer: Peer) {
        for place in self.connections.of(peer) {
            if let Some(found) = self.connections.get_mut(place) {
                found.to_look = true;
                self.queue(place);
            }
        }
    }

    /// The agent of the connection at `place` is no longer listed, although it may live.
    pub(crate) fn unlisted(&mut self, place: Place, slot: Slot) {
        let Some(peer) = self.peer(place) else { return };
        for place in self.connections.of(peer) {
            if let Some(found) = self.connections.get_mut(place) {
                found.slot = found.slot.filter(|its| *its != slot);
            }
        }
    }

    fn queue(&mut self, place: Place) {
        if self.connections.queue(place) {
            // Each place is in it at most once, so there is room.
            self.ready.push_back(place);
        }
    }

    /// The next thing to do, if something is ready or due.
    pub(super) fn next_step(
        &mut self,
        now: u64,
        descriptors: Descriptors,
        epoll: &Epoll,
    ) -> Option<Step> {
        self.begin_turn(now, epoll);
        if let Some(place) = self.ready.pop_front() {
            self.connections.unqueue(place);
            return Some(self.serve(place, epoll));
        }
        if let Some(listener) = self.listening.next_ready() {
            return Some(match self.accept(listener, now, descriptors, epoll) {
                Ok(()) => Step::Done,
                Err(error) => Step::Failed(error),
            });
        }
        let due = |stage| {
            let is_due = self.connections.until(stage).is_some_and(|until| until <= now);
            is_due.then(|| self.connections.first(stage)).flatten()
        };
        if let Some(place) = due(Stage::Greeting).or_else(|| due(Stage::Offered)) {
            // What arrived in time counts, even if the host polls late.
            return Some(match self.serve(place, epoll) {
                Step::Done => Step::Close(place),
                step => step,
            });
        }
        due(Stage::Ended).map(Step::Close)
    }

    fn begin_turn(&mut self, now: u64, epoll: &Epoll) {
        if !self.turn.advance(now) {
            return;
        }
        self.listening.resume(now, epoll);
        while let Some(place) = self.connections.first(Stage::Muted) {
            self.connections.enter(place, Stage::Open);
            let token = self.token(place);
            if let Some(socket) = self.socket(place) {
                // If this fails, the sweep still sees what the agent writes.
                let _ = epoll.change(socket, token, Interest::Readable);
            }
        }
    }

    fn token(&self, place: Place) -> u64 {
        CONNECTION
            | u64::from(self.connections.generation(place) & GENERATION) << 32
            | u64::from(place.0)
    }

    /// Reads what a connection has to say.
    fn serve(&mut self, place: Place, epoll: &Epoll) -> Step {
        // One byte more than any message, so that a longer one can be recognized.
        let mut buffer = [0; MESSAGE_BYTES + 1];
        let mut rang = false;
        loop {
            let Some(found) = self.connections.get_mut(place) else { return Step::Done };
            if found.turn != self.turn.number {
                (found.turn, found.bells) = (self.turn.number, 0);
            }
            let is_over = found.stage == Stage::Ended;
            let is_loud = found.bells >= BELLS;
            let (Some(socket), stage) = (found.socket(), found.stage) else {
                return Step::Done;
            };
            let received = match is_over || is_loud {
                true => Ok(Received::Nothing),
                false => receive(socket, &mut buffer, self.discarder.as_ref()),
            };
            let length = match received {
                Ok(Received::Message(length)) => length,
                Ok(Received::Nothing) if is_loud && !is_over => {
                    self.mute(place, epoll);
                    return self.page_of(place).map_or(Step::Done, Step::Muted);
                }
                Ok(Received::Nothing) => return self.look_if(place, rang),
                Ok(Received::End) | Err(_) => return Step::Ended(place),
            };
            let message = buffer.get(..length).ok_or(MessageError::Malformed);
            match (stage, message.and_then(Message::decode)) {
                (Stage::Greeting, Ok(Message::Hello(hello))) => {
                    return Step::Hello(place, hello);
                }
                (Stage::Greeting, Err(MessageError::Version(_))) => {
                    self.refuse(place, libc::EPROTONOSUPPORT, "the observer knows version 1");
                    return Step::Close(place);
                }
                (Stage::Offered, Ok(Message::Mapped)) => {
                    self.connections.enter(place, Stage::Open);
                    return self.page_of(place).map_or(Step::Done, Step::Mapped);
                }
                (Stage::Open | Stage::Muted, Ok(Message::Bell { pair })) if pair < PAIRS => {
                    rang = true;
                    if let Some(found) = self.connections.get_mut(place) {
                        found.bells += 1;
                    }
                }
                _ => return Step::Malformed(place),
            }
        }
    }

    fn look_if(&mut self, place: Place, rang: bool) -> Step {
        let Some(found) = self.connections.get_mut(place) else { return Step::Done };
        match (std::mem::take(&mut found.to_look) || rang, found.page) {
            (true, Some(page)) => Step::Look(page),
            _ => Step::Done,
        }
    }

    /// Reads no more from a connection in this turn. The kernel still reports its end.
    fn mute(&mut self, place: Place, epoll: &Epoll) {
        let token = self.token(place);
        if let Some(socket) = self.socket(place) {
            // If this fails, it is read again at once, and muted again.
            let _ = epoll.change(socket, token, Interest::HangUp);
        }
        self.connections.enter(place, Stage::Muted);
    }

    /// No more is read from a connection whose page is kept until a time.
    pub(super) fn end(&mut self, place: Place, until: u64, epoll: &Epoll) {
        if let Some(socket) = self.socket(place) {
            // It would stay ready forever.
            let _ = epoll.remove(socket);
        }
        self.connections.enter(place, Stage::Ended);
        self.postpone(place, until);
    }

    /// Sets when the stage of a connection is over, which must be later than for all others.
    pub(super) fn postpone(&mut self, place: Place, until: u64) {
        if let Some(found) = self.connections.get_mut(place) {
            let stage = found.stage;
            found.until = until;
            self.connections.enter(place, stage);
        }
    }

    /// Ends a connection and gives up its page, which the judge has forgotten.
    pub(crate) fn close(&mut self, place: Place, epoll: &Epoll) {
        if self.stage(place) == Some(Stage::Greeting) {
            self.turn.waste();
        }
        let Some((socket, page)) = self.connections.remove(place) else { return };
        // A forked child may hold a copy of it.
        let _ = epoll.remove(socket.as_fd());
        self.discard(socket);
        if let Some(page) = page {
            self.pages.unmap(page.index());
        }
    }

    /// Ends a connection that is no longer in the table.
    fn discard(&self, socket: OwnedFd) {
        discard(socket, self.discarder.as_ref());
    }

    pub(super) fn stage(&self, place: Place) -> Option<Stage> {
        self.connections.get(place).map(|found| found.stage)
    }

    pub(super) fn page_of(&self, place: Place) -> Option<PageIndex> {
        self.connections.get(place)?.page
    }

    pub(super) fn slot_of(&self, place: Place) -> Option<Slot> {
        self.connections.get(place)?.slot
    }
}

fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    discarder: Option<&Discarder>,
) -> io::Result<Received> {
    match discarder {
        None => sys::receive(socket, buffer),
        Some(discarder) => sys::receive_discarding(socket, buffer, discarder),
    }
}

/// Ends a connection for both sides.
fn discard(socket: OwnedFd, discarder: Option<&Discarder>) {
    sys::shut_down(socket.as_fd());
    if discarder.is_some() {
        // Closing it would drop queued descriptors in this thread.
        while let Ok(Received::Message(_)) = receive(socket.as_fd(), &mut [], discarder) {}
    }
}

impl Drop for Lanes {
    /// Agents notice at once, even if a forked child holds copies of the sockets.
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return;
        }
        let discarder = self.discarder.as_ref();
        self.connections.take_sockets().for_each(|socket| discard(socket, discarder));
        if discarder.is_some() {
            self.listening.take_waiting().for_each(|socket| discard(socket, discarder));
        }
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("pages", &self.pages).finish_non_exhaustive()
    }
}
