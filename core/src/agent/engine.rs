//! Sends the beats of the agents of both wire versions.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use crate::clock::Stamps;
use crate::fork::{ForkGuard, Process};
use crate::frame::{FRAME_BYTES, Frame, NONCE_TERMINAL};
use crate::lane::beat::Way;
use crate::lane::handle::Handle;
use crate::lane::pairs::Pairs;
use crate::nonce::Nonces;
use crate::notify::Notify;
use crate::outcome::{BeatError, BeatOutcome, DropReason, classify_send_error, is_absence};
use crate::status::Status;
use crate::sys::{Wiping, monotonic_ns};
use crate::task::{Registry, fold, is_vital_task_late};
use crate::transport::BeatTransport;

/// The minimum time between two attempts to reconnect to an absent observer.
const RETRY_INTERVAL_NS: u64 = 100_000_000;

/// What differs between the wire versions.
pub(super) trait Version {
    type Payload: Copy;
    fn take_nonce(nonces: &Nonces) -> u64;
    /// The payload as a line of a page holds it, if it can.
    fn for_line(payload: Self::Payload) -> Option<u32>;
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
    fn for_line(payload: u32) -> Option<u32> {
        Some(payload)
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
    /// The page that this process shares with the observer, or may get.
    lane: Option<Handle>,
    /// The tasks of a process that has no lane.
    tasks: Registry,
    notify: Notify,
    fork_guard: &'static ForkGuard,
    /// The process that the session, the clock and the count of drops belong to.
    process: Process,
    nonces: Nonces,
    stamps: Stamps,
    link: Link,
    /// The earliest time of the next attempt to reconnect to a lost observer.
    retry_at: u64,
    /// Dropped beats in a row.
    drops: u32,
    /// The number of drops after which a beat reconnects; 0 for never.
    reconnect_after: u32,
    fork_recoveries: u64,
    not_sync: PhantomData<Cell<()>>,
}

/// The state of the connection to the observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Does not reconnect by itself.
    Fixed,
    /// Reconnects by itself; the last send reached the observer's socket.
    Up,
    /// Reconnects by itself; the observer was lost.
    Lost,
    /// Reconnects by itself; has never been connected.
    NeverConnected,
}

impl<T: BeatTransport> Engine<T> {
    pub(super) fn new(transport: T) -> io::Result<Self> {
        Self::with_link(transport, Link::Fixed)
    }

    pub(super) fn following(transport: T, connected: bool) -> io::Result<Self> {
        Self::with_link(transport, if connected { Link::Up } else { Link::NeverConnected })
    }

    /// An agent whose beats go into a page. It connects its transport when that is needed.
    pub(super) fn on_lane(transport: T, lane: Handle) -> io::Result<Self> {
        let engine = Self::with_link(transport, Link::NeverConnected)?;
        Ok(Self { lane: Some(lane), retry_at: 0, ..engine })
    }

    pub(super) fn set_lane(&mut self, lane: Option<Handle>) {
        self.lane = lane;
    }

    /// Notifies the service manager, whatever `$VARTA_NOTIFY` says.
    pub(super) fn turn_notifications_on(&mut self) -> io::Result<()> {
        self.notify = Notify::of(self.transport.endpoint(), true)?;
        Ok(())
    }

    fn with_link(transport: T, link: Link) -> io::Result<Self> {
        let fork_guard = ForkGuard::of_process()?;
        let now = monotonic_ns();
        Ok(Self {
            lane: None,
            tasks: Registry::of(transport.endpoint()),
            notify: Notify::of(transport.endpoint(), false)?,
            fork_guard,
            process: fork_guard.process().ok_or(io::ErrorKind::WouldBlock)?,
            nonces: Nonces::of(transport.endpoint())?,
            stamps: Stamps::from(now),
            link,
            retry_at: now.saturating_add(RETRY_INTERVAL_NS),
            drops: 0,
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
        if self.notify.is_due(now) {
            self.keep_alive(now, status);
        }
        if let (Some(lane), Some(payload)) = (&self.lane, V::for_line(payload)) {
            if self.fork_guard.is_still(self.process) && lane.beat_alone(now, status, payload) {
                self.drops = 0;
                return BeatOutcome::Sent;
            }
        }
        self.beat_with_care::<V>(now, status, payload)
    }

    /// As [`beat`](Self::beat), in every other case than that of a single handle on a lane.
    fn beat_with_care<V: Version>(
        &mut self,
        now: u64,
        status: Status,
        payload: V::Payload,
    ) -> BeatOutcome {
        if !self.fork_guard.is_still(self.process) {
            if let Err(error) = self.settle_in_child(now) {
                return BeatOutcome::Failed(BeatError::from_io(&error));
            }
        }
        let Some(folded) = fold(self.pairs(), now, status) else {
            return BeatOutcome::Dropped(DropReason::Withheld);
        };
        let status = folded.status;
        if let (Some(lane), Some(payload)) = (&mut self.lane, V::for_line(payload)) {
            match lane.beat(now, status, payload) {
                Way::Line => {
                    folded.sent();
                    self.drops = 0;
                    return BeatOutcome::Sent;
                }
                Way::Unread => return BeatOutcome::Dropped(DropReason::NoObserver),
                Way::Datagram => {}
            }
        }
        if let Link::Lost | Link::NeverConnected = self.link {
            if let Some(outcome) = self.retry_connection(now) {
                return outcome;
            }
        }
        let nonce = V::take_nonce(&self.nonces);
        let frame = V::encode(status, self.process.pid(), self.stamps.at(now), nonce, payload);
        let outcome = match self.send(&frame) {
            BeatOutcome::Dropped(reason) => self.after_drop(&frame, reason),
            other => {
                self.drops = 0;
                self.mark_connected();
                if let Some(lane) = &self.lane {
                    lane.rest();
                }
                other
            }
        };
        if outcome == BeatOutcome::Sent {
            folded.sent();
        }
        outcome
    }

    /// Tells the service manager that the process works, if this beat does. As an observer that
    /// does not read the tasks, it must not hear from a process with a vital task that is late.
    #[cold]
    fn keep_alive(&self, now: u64, status: Status) {
        let works = status == Status::Ok && !is_vital_task_late(self.pairs(), now);
        self.notify.keep_alive(now, works);
    }

    pub(super) fn notify(&self) -> Notify {
        self.notify
    }

    /// Sends the last words of the process. If the connection is lost, it reconnects first.
    pub(super) fn last_words(&mut self, payload: u32) -> BeatOutcome {
        let now = monotonic_ns();
        if !self.fork_guard.is_still(self.process) {
            if let Err(error) = self.settle_in_child(now) {
                return BeatOutcome::Failed(BeatError::from_io(&error));
            }
        }
        if let Link::Lost | Link::NeverConnected = self.link {
            match self.transport.reconnect() {
                Ok(()) => self.mark_connected(),
                Err(error) => return classify_send_error(&error),
            }
        }
        let (pid, timestamp) = (self.process.pid(), self.stamps.at(now));
        let frame = V2::encode(Status::Critical, pid, timestamp, NONCE_TERMINAL, payload);
        match self.send(&frame) {
            BeatOutcome::Dropped(reason @ (DropReason::NoObserver | DropReason::PeerGone)) => {
                self.send_again(&frame, reason)
            }
            outcome => outcome,
        }
    }

    /// The tasks of this process, if there ever were any.
    #[inline]
    pub(super) fn pairs(&self) -> Option<&'static Pairs> {
        self.lane.as_ref().map(Handle::pairs).or_else(|| self.tasks.pairs())
    }

    pub(super) fn pairs_for_tasks(&self) -> io::Result<&'static Pairs> {
        match &self.lane {
            Some(lane) => Ok(lane.pairs()),
            None => self.tasks.pairs_for_tasks(),
        }
    }

    pub(super) fn reconnect(&mut self) -> io::Result<()> {
        self.transport.reconnect()?;
        if let Some(lane) = &self.lane {
            lane.settle();
        }
        self.wake_lane();
        if self.fork_guard.process() != Some(self.process) {
            self.start_again(monotonic_ns())?;
        }
        self.mark_connected();
        Ok(())
    }

    pub(super) fn set_reconnect_after(&mut self, drops: u32) {
        self.reconnect_after = drops;
        self.drops = 0;
    }

    /// How long ago the observer looked at the page; None if beats go by the transport.
    pub(super) fn watched(&self) -> Option<Duration> {
        self.lane.as_ref()?.watched(monotonic_ns())
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

    /// Makes the child's own session first: the inherited one must not send anything.
    #[cold]
    fn settle_in_child(&mut self, now: u64) -> io::Result<()> {
        match self.transport.reconnect() {
            Ok(()) => self.mark_connected(),
            Err(error) if self.link == Link::NeverConnected && is_absence(&error) => {}
            Err(error) => return Err(error),
        }
        self.start_again(now)?;
        self.fork_recoveries = self.fork_recoveries.saturating_add(1);
        Ok(())
    }

    fn start_again(&mut self, now: u64) -> io::Result<()> {
        self.process = self.fork_guard.process().ok_or(io::ErrorKind::WouldBlock)?;
        self.nonces.reset_in_child();
        if let Some(pairs) = self.pairs() {
            pairs.settle();
        }
        self.stamps.restart(now);
        self.drops = 0;
        Ok(())
    }

    /// An observer may have come, or will be another one: it may offer a page.
    fn wake_lane(&self) {
        if let Some(lane) = &self.lane {
            lane.wake();
        }
    }

    #[inline]
    fn mark_connected(&mut self) {
        if self.link != Link::Fixed {
            self.link = Link::Up;
        }
    }

    #[inline]
    fn mark_lost(&mut self) {
        if self.link == Link::Up {
            self.link = Link::Lost;
        }
    }

    /// Makes a new session, if an attempt is due. Returns the beat's outcome if there has
    /// never been a session to send it on.
    #[cold]
    fn retry_connection(&mut self, now: u64) -> Option<BeatOutcome> {
        let mut outcome = BeatOutcome::Dropped(DropReason::NoObserver);
        if now >= self.retry_at {
            self.retry_at = now.saturating_add(RETRY_INTERVAL_NS);
            self.wake_lane();
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
        self.drops = self.drops.saturating_add(1);
        if self.reconnect_after != 0 && self.drops >= self.reconnect_after {
            return self.send_again(frame, reason);
        }
        self.update_link(reason);
        BeatOutcome::Dropped(reason)
    }

    /// Sends the frame again over a new session, if one can be made.
    #[cold]
    fn send_again(&mut self, frame: &[u8; FRAME_BYTES], reason: DropReason) -> BeatOutcome {
        let outcome = match self.transport.reconnect() {
            Ok(()) => self.send(frame),
            Err(_) => BeatOutcome::Dropped(reason),
        };
        match outcome {
            BeatOutcome::Dropped(reason) => self.update_link(reason),
            BeatOutcome::Sent | BeatOutcome::Failed(_) => {
                self.drops = 0;
                self.mark_connected();
            }
        }
        outcome
    }

    #[inline]
    fn update_link(&mut self, reason: DropReason) {
        match reason {
            DropReason::NoObserver | DropReason::PeerGone => {
                self.mark_lost();
                self.wake_lane();
            }
            DropReason::KernelQueueFull | DropReason::StorageFull => self.mark_connected(),
            // Nothing was sent, so nothing is known.
            DropReason::Withheld | DropReason::NotConfigured => {}
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
            .field("nonce", &self.nonces.latest())
            .field("reconnect_after", &self.reconnect_after)
            .field("clock_regressions", &self.clock_regressions())
            .field("fork_recoveries", &self.fork_recoveries)
            .field("fork_detection", &fork_detection)
            .field("keep_alives", &self.notify)
            .field("beats_go_by", &if self.watched().is_some() { "lane" } else { "datagram" })
            .finish_non_exhaustive()
    }
}
