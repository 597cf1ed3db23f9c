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
mod read;
mod serve;
mod tasks;
mod turn;

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use varta::internal::lane::layout::{INTERVAL, LAST_LOOK, Page};

use self::attempts::Attempts;
use self::connections::{Connections, Stage};
pub(crate) use self::connections::{Peer, Place};
use self::listening::Listening;
pub(in crate::io) use self::read::Step;
use self::read::receive;
use self::turn::Turn;
use crate::io::listener::LaneListener;
use crate::judge::{PageIndex, Slot};
use crate::memory;
use crate::names::Label;
use crate::sys::{self, CommonPage, Discarder, Epoll, Owner, Pages, Received};

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
    /// The page that the next process gets, mapped here, and its file.
    prepared: Option<(PageIndex, OwnedFd)>,
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
            prepared: None,
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

    /// Records that a descriptor of the lane is ready, which it was not at `before`.
    pub(crate) fn set_ready(&mut self, token: u64, before: u64) {
        #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
        let index = token as u32;
        if token & LISTENING != 0 {
            return self.listening.set_ready(index, before);
        }
        #[allow(clippy::cast_possible_truncation, reason = "the upper half")]
        let generation = (token >> 32) as u32 & GENERATION;
        let place = Place(index);
        if self.connections.generation(place) & GENERATION != generation {
            return;
        }
        if let Some(found) = self.connections.get_mut(place) {
            // Nothing else is reported about a connection that is muted.
            found.hung_up |= found.stage == Stage::Muted;
        }
        self.queue(place);
    }

    /// Whether something that was found ready has not been served yet.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty() || self.listening.is_ready()
    }

    /// Whether the next connection to be served is one whose process is to map its page.
    pub(super) fn is_next_to_map(&self) -> bool {
        self.ready.front().is_some_and(|place| self.stage(*place) == Some(Stage::Offered))
    }

    /// When there is something to do even if nothing arrives.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let until = |stage| self.connections.until(stage);
        let turn = (self.listening.is_paused()
            || self.connections.first(Stage::Muted).is_some())
        .then_some(self.turn.until);
        let deadlines = [
            until(Stage::Greeting),
            until(Stage::Offered),
            until(Stage::Ended),
            turn,
            self.listening.next_retry(),
        ];
        deadlines.into_iter().flatten().min()
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
    /// Returns the page's connection, and the name that its process declared.
    pub(crate) fn joined(&mut self, page: PageIndex, slot: Slot) -> Option<(Place, Label)> {
        let place = self.connections.of_page(page)?;
        let found = self.connections.get_mut(place)?;
        found.slot = Some(slot);
        Some((place, found.name))
    }

    pub(super) fn set_name(&mut self, place: Place, name: Label) {
        if let Some(found) = self.connections.get_mut(place) {
            found.name = name;
        }
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

    fn token(&self, place: Place) -> u64 {
        CONNECTION
            | u64::from(self.connections.generation(place) & GENERATION) << 32
            | u64::from(place.0)
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
        let wasted = self.stage(place) == Some(Stage::Greeting);
        let begun = if wasted { sys::thread_cpu_ns() } else { 0 };
        let Some((socket, page)) = self.connections.remove(place) else { return };
        // A forked child may hold a copy of it.
        let _ = epoll.remove(socket.as_fd());
        self.discard(socket);
        if wasted {
            self.turn.waste(accept::cpu_ns_since(begun));
        }
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
