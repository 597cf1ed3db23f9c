//! How the agent gets a page, looks after the connection, and gets another page when the
//! observer was replaced.
//!
//! One thread at a time does this, within a beat that finds that something is due. Each step
//! is taken at once or at a later beat; only opening an agent waits, for at most 20 ms.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::held::{Held, Use, from_word, to_word};
use super::layout::{LAST_LOOK, Line, PAIR_BYTES, PAIRS, is_offset};
use super::mark::{Mark, are_calm};
use super::message::{Hello, Message, NAME_BYTES, PageOffer};
use super::pairs::Pairs;
use crate::nonce::Nonces;
use crate::sys::barrier::register_if_single_threaded;
use crate::sys::lane::{
    Address, Descriptor, Lines, Owner, Private, close, connect, info, is_quiet, is_sealed,
    map_pages, receive, replace, send, shut_down, socket, wait,
};
use crate::sys::monotonic_ns;

/// The time between two attempts to connect, and between two checks of a connection.
const INTERVAL_NS: u64 = 100_000_000;
/// The shortest time between two checks whether the page has come.
const SHORTEST_NS: u64 = 1_000_000;
/// How long opening an agent waits.
const PATIENCE: Duration = Duration::from_millis(20);
/// An answer that is older than this may be to a stopped observer's idea of our clock.
const LATE_NS: u64 = 500_000_000;
/// How often a pair is copied whose holder keeps changing it.
const COPIES: u32 = 1_000;

type AgentPage = [Lines; PAIRS as usize];

/// The way to an observer's pages.
pub(crate) struct Lane {
    address: Address,
    /// The name of the service, for HELLO.
    name: [u8; NAME_BYTES],
    pub(super) nonces: Nonces,
    held: Held,
}

/// How far the connection is. The numbers are kept in private memory; a child begins with 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not connected; the next attempt may begin.
    Idle = 0,
    /// It is made; the page has not come yet.
    Asking = 1,
    /// The page is mapped.
    Attached = 2,
    /// There is no lane here, as long as datagrams are taken.
    Resting = 3,
}

impl Lane {
    pub(crate) fn new(address: Address, name: [u8; NAME_BYTES], nonces: Nonces) -> Self {
        Self { address, name, nonces, held: Held::default() }
    }

    pub(super) fn close_inherited(&self) {
        self.held.close_inherited();
    }
}

impl Pairs {
    /// Tries to get a page, and waits for it a little.
    pub(crate) fn open(&self) {
        let Some(tender) = self.tender() else { return };
        match tender.stage() {
            Stage::Idle | Stage::Resting => {
                tender.ask(monotonic_ns(), Some(PATIENCE));
                // Meanwhile the observer makes the page.
                register_if_single_threaded();
            }
            // The answer may have come when another handle no longer waited for it.
            Stage::Asking => tender.take_answer(monotonic_ns()),
            Stage::Attached => {}
        }
        // Where another handle has asked, the time runs from then.
        let left = || {
            let asked = self.private().attempted.load(Ordering::Relaxed);
            PATIENCE.saturating_sub(Duration::from_nanos(monotonic_ns().saturating_sub(asked)))
        };

        while let (Stage::Asking, Some(asking)) = (tender.stage(), tender.asking()) {
            let left = left();
            if left.is_zero() || !wait(asking, left) {
                break;
            }
            tender.take_answer(monotonic_ns());
        }
    }

    /// A datagram was taken: while there is no lane, none is looked for.
    #[inline]
    pub(crate) fn rest(&self) {
        let private = self.private();
        if private.due_to_tasks.load(Ordering::Relaxed) != u64::MAX && self.is_resting() {
            private.due_to_tasks.store(u64::MAX, Ordering::Release);
        }
    }

    fn is_resting(&self) -> bool {
        self.private().stage.load(Ordering::Acquire) == Stage::Resting as u64
    }

    /// Ends a rest: a datagram was refused, or the observer may be a new one.
    #[cold]
    pub(crate) fn wake(&self) {
        if self.is_resting() {
            if let Some(tender) = self.tender().filter(|it| it.stage() == Stage::Resting) {
                tender.retry_later(Stage::Idle);
            }
        }
    }

    /// Takes the next step, if it is due.
    pub(super) fn tend(&self, now: u64) {
        let is_due = || now >= self.private().next_step.load(Ordering::Acquire);
        if !is_due() {
            return;
        }
        // Another thread may have taken it just now.
        let Some(tender) = self.tender().filter(|_| is_due()) else { return };
        match tender.stage() {
            Stage::Idle => tender.ask(now, None),
            Stage::Asking => tender.take_answer(now),
            Stage::Attached => tender.check(now),
            Stage::Resting => {}
        }
    }

    /// The right to look after the connection; None if another thread has it, if there is no
    /// lane, or while another thread makes the pairs those of a child.
    pub(super) fn tender(&self) -> Option<Tender<'_>> {
        if !self.settle() {
            return None;
        }
        let private = self.private();
        let Some(lane) = &self.lane else {
            for due in [&private.next_step, &private.due_to_tasks] {
                due.store(u64::MAX, Ordering::Relaxed);
            }
            return None;
        };
        let is_free = private.tended.swap(1, Ordering::AcqRel) == 0;
        is_free.then(|| Tender { pairs: self, private, lane })
    }

    /// Sends a message over the connection that has the page.
    pub(super) fn send(&self, message: &[u8]) {
        let private = self.private();
        let Some(socket) = from_word(private.socket.load(Ordering::Acquire)) else { return };
        if send(socket, message).is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            // The next beat finds out whether the connection still lives.
            private.next_step.store(0, Ordering::Release);
            private.due.store(0, Ordering::Release);
        }
    }
}

/// The one thread that looks after the connection.
pub(super) struct Tender<'a> {
    pairs: &'a Pairs,
    private: &'a Private,
    lane: &'a Lane,
}

impl Drop for Tender<'_> {
    fn drop(&mut self) {
        self.private.tended.store(0, Ordering::Release);
    }
}

impl Tender<'_> {
    fn stage(&self) -> Stage {
        match self.private.stage.load(Ordering::Acquire) {
            0 => Stage::Idle,
            1 => Stage::Asking,
            2 => Stage::Attached,
            _ => Stage::Resting,
        }
    }

    fn set(&self, stage: Stage, due: u64) {
        self.private.stage.store(stage as u64, Ordering::Release);
        self.set_due(due);
    }

    fn set_due(&self, due: u64) {
        self.private.next_step.store(due, Ordering::Release);
        self.private.due.store(due, Ordering::Release);
        self.private.due_to_tasks.store(due, Ordering::Release);
    }

    fn retry_later(&self, stage: Stage) {
        let attempted = self.private.attempted.load(Ordering::Relaxed);
        let due = attempted.saturating_add(INTERVAL_NS);
        match stage {
            Stage::Resting => {
                self.set(stage, u64::MAX);
                self.private.due_to_tasks.store(due, Ordering::Release);
            }
            _ => self.set(stage, due),
        }
    }

    fn asking(&self) -> Option<RawFd> {
        from_word(self.private.asking.load(Ordering::Relaxed))
    }

    /// Connects and asks for a page.
    fn ask(&self, now: u64, within: Option<Duration>) {
        self.private.attempted.store(now, Ordering::Relaxed);
        let hello = || {
            let socket = socket(within)?;
            self.lane.held.note(Use::Asking, socket.number(), &info(socket.number())?);
            connect(socket.number(), &self.lane.address)?;
            let hello = Hello {
                pid: self.pairs.fork_guard.process().map_or(0, |process| process.pid()),
                flags: 0,
                monotonic_ns: monotonic_ns(),
                nonce: self.lane.nonces.latest(),
                name: self.lane.name,
            };
            let (bytes, length) = Message::Hello(hello).encode();
            send(socket.number(), bytes.get(..length).unwrap_or_default())?;
            Ok(socket)
        };
        match hello() {
            Ok(socket) => {
                self.private.asking.store(to_word(socket.keep()), Ordering::Relaxed);
                self.set(Stage::Asking, now.saturating_add(SHORTEST_NS));
            }
            Err(error) => self.retry_later(match is_nobody(&error) {
                true => Stage::Resting,
                false => Stage::Idle,
            }),
        }
    }

    /// Takes the observer's answer, if it has come.
    fn take_answer(&self, now: u64) {
        let Some(asking) = self.asking() else { return self.retry_later(Stage::Idle) };
        let next = match receive(asking) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let waited = now.saturating_sub(self.private.attempted.load(Ordering::Relaxed));
                let pause = waited.clamp(SHORTEST_NS, INTERVAL_NS);
                self.set_due(now.saturating_add(pause));
                return;
            }
            // The observer has ended, or closed the connection.
            Err(_) => Stage::Idle,
            Ok(received) if received.bytes().is_empty() && received.is_bare => Stage::Idle,
            Ok(received) => match Message::decode(received.bytes()) {
                Ok(Message::Page(offer)) => self.take_page(now, &offer, received.descriptors),
                // Refused, or not an observer that can be trusted with a lane.
                _ => Stage::Resting,
            },
        };
        match next {
            Stage::Attached => self.set(Stage::Attached, now.saturating_add(INTERVAL_NS)),
            stage => {
                self.close_asking();
                self.retry_later(stage);
            }
        }
    }

    fn close_asking(&self) {
        if let Some(asking) = from_word(self.private.asking.swap(0, Ordering::Relaxed)) {
            close(asking);
        }
    }

    /// Checks and maps the page that came, and fills it.
    fn take_page(
        &self,
        now: u64,
        offer: &PageOffer,
        descriptors: Option<[Descriptor; 2]>,
    ) -> Stage {
        let held = &self.lane.held;
        let Some([page, looks]) = descriptors else { return Stage::Resting };
        let (Ok(page_info), Ok(looks_info)) = (info(page.number()), info(looks.number()))
        else {
            return Stage::Resting;
        };
        held.note(Use::Page, page.number(), &page_info);
        held.note(Use::Looks, looks.number(), &looks_info);
        let is_sound = is_offset(offer.offset)
            && offer.pairs == PAIRS
            && is_sealed(page.number(), &page_info, Owner::Agent)
            && is_sealed(looks.number(), &looks_info, Owner::Observer);
        if !is_sound {
            return Stage::Resting;
        }
        let waited = now.saturating_sub(self.private.attempted.load(Ordering::Relaxed));
        if offer.clock_offset != 0 && waited > LATE_NS {
            return Stage::Idle;
        }
        match self.attach(offer, page.number(), looks.number()) {
            Ok(true) => Stage::Attached,
            Ok(false) => Stage::Idle,
            Err(_) => Stage::Idle,
        }
    }

    /// False if a thread was interrupted while it wrote a line.
    pub(super) fn attach(
        &self,
        offer: &PageOffer,
        page: RawFd,
        looks: RawFd,
    ) -> io::Result<bool> {
        let caught = &self.lane.held.caught;
        let (new, looks) = map_pages::<AgentPage, Line>(page, looks, caught)?;
        let private = self.private;
        let Some(copying) = Copying::begin(private) else { return Ok(false) };
        self.pairs.note_thread(None);
        let first = offer.offset / PAIR_BYTES;
        for pair in self.pairs.written() {
            copy(self.pairs, pair, new.get(), first);
        }
        let looks = looks.move_to(&private.looks)?;
        let page = new.move_to(&private.page)?;
        self.adopt_connection()?;
        let (mapped, length) = Message::Mapped.encode();
        let socket = from_word(private.socket.load(Ordering::Acquire));
        send(socket.ok_or(io::ErrorKind::NotConnected)?, mapped.get(..length).unwrap_or(&[]))?;

        private.threshold.store(offer.threshold_ns, Ordering::Relaxed);
        let clock_offset = u64::from_ne_bytes(offer.clock_offset.to_ne_bytes());
        private.clock_offset.store(clock_offset, Ordering::Relaxed);
        private.flags.store(offer.flags.into(), Ordering::Relaxed);
        for (pair, place) in (0..).zip(&private.places) {
            place.shared.set(lines(page, first, pair));
        }
        private.observer.set(Some(looks));
        copying.end(|pair| copy(self.pairs, pair, page, first));
        Ok(true)
    }

    /// Makes the new connection the one that has the page.
    fn adopt_connection(&self) -> io::Result<()> {
        let Some(asking) = self.asking() else { return Ok(()) };
        match from_word(self.private.socket.load(Ordering::Relaxed)) {
            Some(socket) => {
                self.lane.held.note_socket(socket);
                replace(socket, asking)?;
                self.close_asking();
            }
            None => {
                self.lane.held.note_socket(asking);
                self.private.asking.store(0, Ordering::Relaxed);
                self.private.socket.store(to_word(asking), Ordering::Release);
            }
        }
        Ok(())
    }

    /// A beat has to report the violations that the observer has not looked at before it ended.
    fn take_back_violations(&self) {
        let private = self.private;
        let Some(looks) = private.observer.get() else { return };
        let last_look = looks[LAST_LOOK]
            .load(Ordering::Acquire)
            .wrapping_add(private.clock_offset.load(Ordering::Relaxed));
        let left_at = private.left_at.swap(0, Ordering::Relaxed);
        if left_at > last_look {
            let others = private.violations.load(Ordering::Relaxed).wrapping_sub(1);
            private.reported.store(others, Ordering::Relaxed);
        }
    }

    /// Checks whether the connection still lives.
    fn check(&self, now: u64) {
        let socket = from_word(self.private.socket.load(Ordering::Relaxed));
        if socket.is_some_and(is_quiet) {
            return self.set(Stage::Attached, now.saturating_add(INTERVAL_NS));
        }
        self.take_back_violations();
        self.private.observer.set(None);
        for place in &self.private.places {
            place.shared.set(None);
        }
        if let Some(socket) = socket {
            shut_down(socket);
        }
        self.retry_later(Stage::Idle);
    }
}

/// Whether an error means that no observer with a lane is there.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ECONNREFUSED | libc::ENAMETOOLONG | libc::EPROTOTYPE)
    )
}

/// The lines of a pair in a page whose pair 0 is the one at `first`.
fn lines(page: &AgentPage, first: u32, pair: u32) -> Option<&Lines> {
    page.get(((first + pair) % PAIRS) as usize)
}

fn copy(pairs: &Pairs, pair: u32, page: &AgentPage, first: u32) {
    if let (Some(to), Some(own)) = (lines(page, first, pair), lines(page, first, 0)) {
        pairs.copy(pair, to, &own.cold);
    }
}

/// The marks of all pairs. Meanwhile calls write the private copies only.
struct Copying<'a>(&'a Private);

impl<'a> Copying<'a> {
    /// None if a call is writing.
    fn begin(private: &'a Private) -> Option<Self> {
        let marks = private.places.iter().map(|place| &place.mark);
        for (index, mark) in marks.clone().enumerate() {
            if !mark.take_to_copy() {
                marks.take(index).for_each(Mark::release);
                return None;
            }
        }
        let copying = Self(private);
        are_calm(marks).then_some(copying)
    }

    /// Releases the marks; `copy` copies a pair that has changed.
    fn end(self, copy: impl Fn(u32)) {
        for (pair, place) in (0..).zip(&self.0.places) {
            let mark = &place.mark;
            let mut is_released = mark.release_if_unchanged();
            for _ in 0..COPIES {
                if is_released {
                    break;
                }
                copy(pair);
                is_released = mark.release_if_unchanged();
            }
            if !is_released {
                // Its holder never pauses, so its next call writes the line.
                mark.release();
            }
        }
        std::mem::forget(self);
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        for place in &self.0.places {
            place.mark.release();
        }
    }
}
