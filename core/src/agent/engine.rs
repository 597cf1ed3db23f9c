//! What both versions' agents do with each beat.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use crate::clock::Stamps;
use crate::fork::{ForkGuard, Process};
use crate::frame::{FRAME_BYTES, Frame};
use crate::nonce::Nonces;
use crate::outcome::{BeatError, BeatOutcome, DropReason, classify_send_error, is_absence};
use crate::status::Status;
use crate::sys::{Wiping, monotonic_ns};
use crate::transport::BeatTransport;

/// A new session is looked for at most this often.
const BETWEEN_LOOKS_NS: u64 = 100_000_000;

/// What the versions of the wire do differently.
pub(super) trait Version {
    type Payload;
    fn take_nonce(nonces: &Nonces) -> u64;
    fn encode(
        status: Status,
        pid: u32,
        timestamp: u64,
        nonce: u64,
        payload: Self::Payload,
    ) -> [u8; FRAME_BYTES];
}

pub(super) struct V2;

impl Version for V2 {
    type Payload = u32;

    #[inline]
    fn take_nonce(nonces: &Nonces) -> u64 {
        nonces.take_wrapping()
    }

    #[inline]
    fn encode(
        status: Status,
        pid: u32,
        timestamp: u64,
        nonce: u64,
        payload: u32,
    ) -> [u8; FRAME_BYTES] {
        let mut wire = [0; FRAME_BYTES];
        Frame::new(status, pid, timestamp, nonce, payload).encode(&mut wire);
        wire
    }
}

pub(super) struct Engine<T> {
    transport: T,
    fork_guard: &'static ForkGuard,
    /// Whose session, clock and run these are.
    process: Process,
    nonces: Nonces,
    stamps: Stamps,
    link: Link,
    /// When the next look for a lost observer is due, whatever became of the last one.
    look_at: u64,
    /// Dropped beats in a row.
    run: u32,
    /// The run at which a beat reconnects; 0 for never.
    reconnect_after: u32,
    fork_recoveries: u64,
    not_sync: PhantomData<Cell<()>>,
}

/// How an agent stands to its observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// As connected; found again only when told to.
    Fixed,
    /// Followed, and there when last heard of.
    Up,
    /// Followed, and lost.
    Lost,
    /// Followed, and never met.
    NeverConnected,
}

impl<T: BeatTransport> Engine<T> {
    pub(super) fn new(transport: T) -> io::Result<Self> {
        Self::linked(transport, Link::Fixed)
    }

    pub(super) fn following(transport: T, met: bool) -> io::Result<Self> {
        Self::linked(transport, if met { Link::Up } else { Link::NeverConnected })
    }

    fn linked(transport: T, link: Link) -> io::Result<Self> {
        let fork_guard = ForkGuard::of_process()?;
        let now = monotonic_ns();
        Ok(Self {
            fork_guard,
            process: fork_guard.process().ok_or(io::ErrorKind::WouldBlock)?,
            nonces: Nonces::of(transport.endpoint())?,
            stamps: Stamps::from(now),
            link,
            look_at: now.saturating_add(BETWEEN_LOOKS_NS),
            run: 0,
            reconnect_after: 0,
            fork_recoveries: 0,
            not_sync: PhantomData,
            transport,
        })
    }

    #[inline]
    pub(super) fn beat<V: Version>(
        &mut self,
        status: Status,
        payload: V::Payload,
    ) -> BeatOutcome {
        if status == Status::Stall {
            return BeatOutcome::Failed(BeatError::of_kind(io::ErrorKind::InvalidInput));
        }
        let now = monotonic_ns();
        if !self.fork_guard.is_still(self.process) {
            match self.settle_in_child(now) {
                Ok(()) => self.fork_recoveries = self.fork_recoveries.saturating_add(1),
                Err(error) => return BeatOutcome::Failed(BeatError::from_io(&error)),
            }
        }
        if let Link::Lost | Link::NeverConnected = self.link {
            if let Some(outcome) = self.look_for_observer(now) {
                return outcome;
            }
        }
        let nonce = V::take_nonce(&self.nonces);
        let frame = V::encode(status, self.process.pid(), self.stamps.at(now), nonce, payload);
        match self.send(&frame) {
            BeatOutcome::Dropped(reason) => self.after_drop(&frame, reason),
            other => {
                self.run = 0;
                self.mark_connected();
                other
            }
        }
    }

    pub(super) fn reconnect(&mut self) -> io::Result<()> {
        self.transport.reconnect()?;
        if self.fork_guard.process() != Some(self.process) {
            self.start_anew(monotonic_ns())?;
        }
        self.mark_connected();
        Ok(())
    }

    pub(super) fn set_reconnect_after(&mut self, drops: u32) {
        self.reconnect_after = drops;
        self.run = 0;
    }

    pub(super) fn clock_regressions(&self) -> u64 {
        self.stamps.regressions()
    }

    pub(super) fn fork_recoveries(&self) -> u64 {
        self.fork_recoveries
    }

    #[inline]
    fn send(&mut self, frame: &[u8; FRAME_BYTES]) -> BeatOutcome {
        match self.transport.send(frame) {
            Ok(FRAME_BYTES) => BeatOutcome::Sent,
            Ok(_) => BeatOutcome::Failed(BeatError::of_kind(io::ErrorKind::WriteZero)),
            Err(error) => classify_send_error(&error),
        }
    }

    /// A child's own session comes first: what was inherited must not send anything.
    #[cold]
    fn settle_in_child(&mut self, now: u64) -> io::Result<()> {
        match self.transport.reconnect() {
            Ok(()) => self.mark_connected(),
            Err(error) if self.link == Link::NeverConnected && is_absence(&error) => {}
            Err(error) => return Err(error),
        }
        self.start_anew(now)
    }

    fn start_anew(&mut self, now: u64) -> io::Result<()> {
        self.process = self.fork_guard.process().ok_or(io::ErrorKind::WouldBlock)?;
        self.nonces.start_anew_in_child();
        self.stamps.restart(now);
        self.run = 0;
        Ok(())
    }

    #[inline]
    fn mark_connected(&mut self) {
        if self.link != Link::Fixed {
            self.link = Link::Up;
        }
    }

    #[inline]
    fn lost(&mut self) {
        if self.link == Link::Up {
            self.link = Link::Lost;
        }
    }

    /// Tries a new session, if it is time to. Without any session the beat ends here.
    #[cold]
    fn look_for_observer(&mut self, now: u64) -> Option<BeatOutcome> {
        let mut outcome = BeatOutcome::Dropped(DropReason::NoObserver);
        if now >= self.look_at {
            self.look_at = now.saturating_add(BETWEEN_LOOKS_NS);
            match self.transport.reconnect() {
                Ok(()) => {
                    self.mark_connected();
                    return None;
                }
                Err(error) => outcome = classify_send_error(&error),
            }
        }
        (self.link == Link::NeverConnected).then_some(outcome)
    }

    #[inline]
    fn after_drop(&mut self, frame: &[u8; FRAME_BYTES], reason: DropReason) -> BeatOutcome {
        self.run = self.run.saturating_add(1);
        if self.reconnect_after != 0 && self.run >= self.reconnect_after {
            return self.send_again(frame, reason);
        }
        self.link_after(reason);
        BeatOutcome::Dropped(reason)
    }

    /// Over a new session, if there is one to be had.
    #[cold]
    fn send_again(&mut self, frame: &[u8; FRAME_BYTES], reason: DropReason) -> BeatOutcome {
        let outcome = match self.transport.reconnect() {
            Ok(()) => self.send(frame),
            Err(_) => BeatOutcome::Dropped(reason),
        };
        match outcome {
            BeatOutcome::Dropped(reason) => self.link_after(reason),
            BeatOutcome::Sent | BeatOutcome::Failed(_) => {
                self.run = 0;
                self.mark_connected();
            }
        }
        outcome
    }

    #[inline]
    fn link_after(&mut self, reason: DropReason) {
        match reason {
            DropReason::NoObserver | DropReason::PeerGone => self.lost(),
            DropReason::KernelQueueFull | DropReason::StorageFull => self.mark_connected(),
        }
    }

    pub(super) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fork_detection = match self.fork_guard.wiping() {
            Wiping::Kernel => "wipe-on-fork",
            Wiping::Hook => "at-fork hook",
            Wiping::Nobody => "getpid",
        };
        f.debug_struct(name)
            .field("endpoint", &self.transport.endpoint())
            .field("pid", &self.process.pid())
            .field("nonce", &self.nonces.last().load(Ordering::Relaxed))
            .field("reconnect_after", &self.reconnect_after)
            .field("clock_regressions", &self.clock_regressions())
            .field("fork_recoveries", &self.fork_recoveries)
            .field("fork_detection", &fork_detection)
            .finish_non_exhaustive()
    }
}
