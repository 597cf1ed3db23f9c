//! What a host observes beside datagrams.

use super::{Environment, Exits, Judge, Slot};
use crate::event::{ExitCause, What};

impl Judge {
    /// Reports the end of a look at a Unix socket: its queue has been emptied, or as many
    /// datagrams as it holds have been read. `full` is whether the queue was at its length.
    ///
    /// While a queue is full the kernel refuses beats, so beats sent before a look that found
    /// it full may be lost. If that is true of a sixteenth of recent time or more, the
    /// observer is half deaf. A Stall that is due is then put off until one threshold after
    /// the last such look, but for ten thresholds at most. If there was such a look when the
    /// Stall was due or later, it is marked as `deaf`.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// judge.looked(5_000_000, true);
    /// assert_eq!(judge.counters().full_looks, 1);
    /// ```
    pub fn looked(&mut self, now: u64, full: bool) {
        self.now = self.now.max(now);
        self.full = full;
        if full {
            self.counters.full_looks += 1;
            self.flood.full_looks += 1;
        }
        self.flood.half_deaf |= self.tracker.looked(self.now, full);
    }

    /// Reports datagrams that the kernel dropped at a network socket. Beats may be among them,
    /// so Stalls of network agents are put off, as after a [look](Self::looked) that found a
    /// queue full.
    pub fn kernel_dropped(&mut self, datagrams: u64) {
        self.counters.kernel_drops += datagrams;
        if datagrams > 0 {
            self.tracker.dropped(self.now);
        }
    }

    /// Reports that the process in this slot has ended and that all it sent has been passed to
    /// [`hear`](Self::hear), but that it is not yet known how it ended. From now on the agent
    /// cannot stall, and a beat with its pid comes from another process.
    pub fn exiting(&mut self, slot: Slot) {
        if self.tracker.is_followed(slot) {
            self.tracker.exiting(slot);
        }
    }

    /// Emits the Exit of the agent in this slot and stops tracking it. Does nothing if the
    /// slot is free.
    pub fn exited<E: Environment>(
        &mut self,
        now: u64,
        slot: Slot,
        cause: ExitCause,
        environment: &mut E,
    ) {
        self.now = self.now.max(now);
        if !self.tracker.is_followed(slot) {
            return;
        }
        let about = self.tracker.about(slot);
        let last_status = self.tracker.status(slot);
        self.counters.exits += 1;
        self.service_exited(slot);
        self.push(Some(about), What::Exit { cause, last_status });
        self.release(slot, environment);
    }

    /// Changes how the end of a local agent will become known, for example because its pidfd
    /// was given up.
    pub fn set_exits(&mut self, slot: Slot, exits: Exits) {
        if self.tracker.is_followed(slot) {
            self.tracker.set_exits(slot, exits);
        }
    }

    /// Sets the number of a local agent's process, if the host did not learn it from a
    /// datagram. The agent stays unconfirmed until a datagram carries the same number.
    pub fn set_process(&mut self, slot: Slot, process: u64) {
        if self.tracker.is_followed(slot) {
            self.tracker.set_process(slot, process, false);
        }
    }

    /// Reports that the observer was away for `amount` until `ended_at`. The deadline of every
    /// agent that was silent during the whole pause is extended by that time, once per
    /// silence.
    ///
    /// ```
    /// use varta_observer::{Policy, What, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// judge.pause(12_000_000_000, 10_000_000_000);
    /// assert_eq!(judge.next_event().unwrap().what, What::Paused { ns: 10_000_000_000 });
    /// ```
    pub fn pause(&mut self, ended_at: u64, amount: u64) {
        self.now = self.now.max(ended_at);
        let suspended = self.lanes.take_suspended();
        self.tracker.pause(ended_at, amount, suspended);
        self.counters.pauses += 1;
        self.emit(What::Paused { ns: amount });
    }

    /// Reports that a socket failed.
    ///
    /// ```
    /// use varta_observer::{Policy, What, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// judge.io(0, 105);
    /// assert_eq!(judge.next_event().unwrap().what, What::Io { errno: 105 });
    /// ```
    pub fn io(&mut self, now: u64, errno: i32) {
        self.now = self.now.max(now);
        self.counters.io_errors += 1;
        self.emit(What::Io { errno });
    }
}
