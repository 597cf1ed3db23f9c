//! The event loop: reads datagrams, notices exits and silence, and decides what to wait for.

mod calls;

use std::io;
use std::time::Duration;

use super::{Observer, TIMER, WAKER};
use crate::event::Event;
use crate::io::clock::Clock;
use crate::io::lane::{LOOK_INTERVAL_NS, Lanes};
use crate::io::processes::{ExitProgress, Processes};
use crate::io::sockets::{REST_NS, Read, Taken};
use crate::judge::{Datagram, Sender};
use crate::time::nanoseconds;

/// While agents are tracked, the observer checks at least this often whether it is late.
const TICK_NS: u64 = LOOK_INTERVAL_NS;

/// While there is always more to read, exits are checked this often.
const UNDER_LOAD_NS: u64 = 1_000_000;

impl Observer {
    /// Writes the next event that is available without waiting to `place`, and returns whether
    /// there was one. If it keeps reading datagrams that cause no event, it stops after those
    /// that had arrived by `until`, which it sets on first use.
    pub(super) fn event_without_waiting(
        &mut self,
        place: &mut Event,
        timeout: Duration,
        until: &mut Option<u64>,
    ) -> io::Result<bool> {
        loop {
            if self.judge.next_event_into(place) {
                return Ok(true);
            }
            if self.process_datagram()
                || self.serve_lane()
                || self.report_exits()
                || self.report_silence()
            {
                continue;
            }
            if !self.sockets.is_ready() {
                return Ok(false);
            }
            let now = self.clock.now();
            let until = *until.get_or_insert_with(|| now.saturating_add(nanoseconds(timeout)));
            if self.is_caught_up(until) {
                return Ok(false);
            }
            self.read(now)?;
        }
    }

    /// Waits for the next event and writes it to `place`. Returns whether there was one.
    pub(super) fn next_event(
        &mut self,
        place: &mut Event,
        timeout: Duration,
    ) -> io::Result<bool> {
        let mut until = None;
        let mut is_last = false;
        loop {
            if self.event_without_waiting(place, timeout, &mut until)? {
                return Ok(true);
            }
            let now = self.clock.now();
            // The host may have been stopped between two polls.
            self.record_wakeup(now);
            if self.judge.has_events() {
                continue;
            }
            let until = *until.get_or_insert_with(|| now.saturating_add(nanoseconds(timeout)));
            if self.is_caught_up(until) || self.ends_for_notes && self.judge.has_notes() {
                return Ok(false);
            }
            self.wait(now, until)?;
            // Whatever else was ready is handled in the host's next poll.
            let is_over = self.now >= until && self.is_idle();
            // Agents that ring without pause must not keep the host from returning.
            if self.woken || is_over && (is_last || !self.lane_is_ready()) {
                return Ok(false);
            }
            is_last = is_over;
        }
    }

    /// Whether everything that arrived by `until`, beats and exits, has been processed, even
    /// if more keeps arriving.
    pub(super) fn is_caught_up(&self, until: u64) -> bool {
        self.processes.alive_until(self.checked_at) >= until
            && self.sockets.read_until().is_some_and(|read| read >= until)
    }

    /// Passes the next datagram that was read to the judge.
    fn process_datagram(&mut self) -> bool {
        let Some(Taken { listener, sealed, notification, mut message }) = self.sockets.take()
        else {
            return false;
        };
        let unnamed = message.is_unnamed();
        let sender = match (message.credentials, message.source) {
            (None, Some(source)) => Sender::Network { address: source.ip(), sealed },
            (Some(credentials), _) => {
                // For a datagram that is refused it does not matter which process sent it.
                let pidfd = message.pidfd.take().and_then(Result::ok);
                let pidfd = pidfd.filter(|_| self.judge.admits(credentials.uid));
                let process = self.processes.sent_by(self.now, credentials.pid, pidfd);
                Sender::Kernel { pid: credentials.pid, uid: credentials.uid, process }
            }
            (None, None) => Sender::Kernel { pid: 0, uid: u32::MAX, process: None },
        };
        let datagram = Datagram {
            listener,
            sender,
            bytes: message.bytes,
            truncated: message.data_truncated,
            control_truncated: message.control_truncated || unnamed,
        };
        self.judge.set_fresh(self.fresh);
        match notification {
            None => self.judge.hear(self.now, &datagram, &mut self.processes),
            Some(attached_pid) => {
                self.processes.attach(attached_pid);
                self.judge.notify(self.now, &datagram, &mut self.processes);
            }
        }
        self.processes.heard();
        if let Some(total) = message.overflow {
            let dropped = self.sockets.overflowed(listener, total);
            self.judge.kernel_dropped(dropped);
        }
        true
    }

    /// Reports or records the next exit of a process whose datagrams have all been processed.
    fn report_exits(&mut self) -> bool {
        if let Some(seen) = self.processes.gone_since() {
            self.sockets.look_again(seen);
        }
        let read_until = self.sockets.read_until().unwrap_or(self.now);
        match self.processes.next_exit(read_until, self.now) {
            Some(ExitProgress::Reaped(slot, cause)) => {
                self.judge.exited(self.now, slot, cause, &mut self.processes);
                true
            }
            Some(ExitProgress::Unreaped(slot)) => {
                self.judge.exiting(slot);
                true
            }
            None => false,
        }
    }

    /// Reports the next silence that has reached its threshold, once everything has been read
    /// that could have broken it, and all processes have been checked that could have exited
    /// instead.
    fn report_silence(&mut self) -> bool {
        let Some(due) = self.judge.next_deadline().filter(|due| *due <= self.now) else {
            return false;
        };
        let read_until = self.sockets.read_until().unwrap_or(self.now);
        let horizon = read_until.min(self.processes.alive_until(self.checked_at));
        if horizon < due {
            self.sockets.look_again(due);
            return false;
        }
        self.judge.expire(horizon, &mut self.processes)
    }

    /// Reads a batch, if there is one.
    fn read(&mut self, now: u64) -> io::Result<()> {
        if now.saturating_sub(self.checked_at) > UNDER_LOAD_NS {
            self.wait_for_descriptors(Some(Duration::ZERO))?;
        } else {
            self.record_wakeup(now);
        }
        let (unidentified, followed) = (self.judge.unidentified(), self.judge.followed());
        let wanted = self.processes.wants_pidfds(unidentified, followed);
        if wanted != self.passing_pidfds {
            self.passing_pidfds = wanted;
            self.sockets.pass_pidfds(wanted);
        }
        match self.sockets.read(|| self.clock.now(), self.processes.epoll()) {
            Read::Some(now) => {
                self.now = now;
                self.fresh = std::mem::take(&mut self.waited);
            }
            Read::Nothing => {}
            Read::Failed { error, notify } => {
                self.judge.io(self.now, error.raw_os_error().unwrap_or_default());
                if notify {
                    self.judge.notify_failed(self.now, self.now.saturating_add(REST_NS));
                }
            }
        }
        if let Some(full) = self.sockets.take_full() {
            self.judge.looked(self.now, full);
        }
        Ok(())
    }

    fn wait(&mut self, now: u64, until: u64) -> io::Result<()> {
        let retry_at = self.sockets.resume(now, self.processes.epoll());
        let due =
            [self.due(), retry_at, self.tick(now), Some(until)].into_iter().flatten().min();
        self.pause_detector.expect(due);
        // A host that neither waits here nor for the descriptor comes when it likes.
        let waits = self.embedded.get() || due.is_none_or(|due| due > now);
        self.waited = waits && !self.sockets.is_ready();
        let timeout = due.filter(|due| *due != u64::MAX);
        let timeout = timeout.map(|due| Duration::from_nanos(due.saturating_sub(now)));
        self.wait_for_descriptors(timeout)
    }

    /// Waits until a descriptor is ready, and records those that are.
    fn wait_for_descriptors(&mut self, mut timeout: Option<Duration>) -> io::Result<()> {
        loop {
            let found = self.processes.epoll().wait(&mut self.ready, timeout);
            let now = self.clock.now();
            self.record_wakeup(now);
            let mut found_exit = false;
            for at in 0..found? {
                let Some(ready) = self.ready.get(at) else { break };
                match ready.token {
                    TIMER => {
                        self.timer.drain();
                        self.timer_at.set(None);
                    }
                    WAKER => self.woken = true,
                    token if Processes::is_pidfd(token) => {
                        found_exit |= self.processes.ready(token, now, self.checked_at);
                    }
                    token if Lanes::is_lane(token) => {
                        if let Some(lanes) = self.processes.lanes_mut() {
                            lanes.set_ready(token, self.checked_at);
                        }
                    }
                    token => self.sockets.set_ready(token, ready.hung_up),
                }
            }
            // When many processes have exited at once, one wait does not return all of them.
            if !found_exit {
                self.checked_at = now;
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
    }

    fn record_wakeup(&mut self, now: u64) {
        self.now = now;
        if let Some(due) = self.requested_deadline.take() {
            self.pause_detector.expect(due);
        }
        let pause = self.pause_detector.look(now, Clock::asleep);
        if let Some(lanes) = self.processes.lanes_mut() {
            let asleep = self.pause_detector.asleep();
            let monotonic_ns = self.clock.since_boot(now).saturating_sub(asleep);
            self.judge.set_clocks(now, monotonic_ns);
            lanes.look(now, monotonic_ns);
        }
        if let Some(pause) = pause {
            self.waited = false;
            self.judge.pause(now, pause);
        }
        // Until the next wait or the end of the poll, it is due at once.
        self.pause_detector.expect(Some(now));
    }

    /// When there is something to report even if nothing arrives.
    pub(super) fn due(&self) -> Option<u64> {
        match self.lane_is_ready() {
            true => Some(self.now),
            false => self.due_besides_lane(),
        }
    }

    /// As [`due`](Self::due), apart from what agents have sent over their connections.
    fn due_besides_lane(&self) -> Option<u64> {
        if self.judge.has_events()
            || self.sockets.has_backlog()
            || self.processes.gone_since().is_some()
        {
            return Some(self.now);
        }
        let deadlines = [
            self.judge.next_deadline(),
            self.judge.next_look(),
            self.processes.next_deadline(),
            self.processes.lanes().and_then(Lanes::next_deadline),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn lane_is_ready(&self) -> bool {
        self.processes.lanes().is_some_and(Lanes::is_ready)
    }

    /// When to check whether the observer is late.
    pub(super) fn tick(&self, now: u64) -> Option<u64> {
        let has_pages = self.processes.lanes().is_some_and(Lanes::has_pages);
        (self.judge.followed() > 0 || has_pages).then(|| now.saturating_add(TICK_NS))
    }

    fn is_idle(&self) -> bool {
        !self.sockets.is_ready() && self.due_besides_lane().is_none_or(|due| due > self.now)
    }
}

#[cfg(test)]
mod tests;
