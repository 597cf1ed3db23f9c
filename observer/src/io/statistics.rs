//! What an observer has counted.

use std::io;

use super::Observer;
use crate::counters::Counters;
use crate::event::Lateness;
use crate::judge::{Flood, UidCounts};

impl Observer {
    /// All counters since the observer started.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn stats(&self) -> io::Result<Counters> {
        self.owner.check()?;
        let cause_stuck = self.processes.lost_readers();
        Ok(Counters { cause_stuck, ..*self.judge.counters() })
    }

    /// How many agents were evicted since the last call.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn drain_evictions(&mut self) -> io::Result<u64> {
        self.owner.check()?;
        Ok(self.judge.drain_evictions())
    }

    /// How many beats of new agents were refused since the last call because there was no
    /// room.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn drain_capacity_exceeded(&mut self) -> io::Result<u64> {
        self.owner.check()?;
        Ok(self.judge.drain_capacity_exceeded())
    }

    /// What has filled the queues of the Unix sockets since the last call, and which users
    /// sent it. While a queue is full the kernel refuses beats, and the observer [puts Stalls
    /// off](crate::judge::Judge::looked).
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// let flood = observer.drain_flood()?;
    /// for (uid, datagrams) in flood.senders.iter() {
    ///     println!("uid {uid} sent {datagrams} datagrams");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn drain_flood(&mut self) -> io::Result<Flood> {
        self.owner.check()?;
        Ok(self.judge.drain_flood())
    }

    /// The users whose new agents were refused since the last call because there was no room,
    /// with the number of their datagrams.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn drain_refused(&mut self) -> io::Result<UidCounts> {
        self.owner.check()?;
        Ok(self.judge.drain_refused())
    }

    /// Takes the first time, of those not taken yet, when the observer ran late by more than
    /// 50 ms or after a suspend, whether or not that was reported as a
    /// [pause](crate::What::Paused). The latest 64 are kept.
    ///
    /// ```
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// while let Some(lateness) = observer.take_lateness() {
    ///     eprintln!("late by {} ms", lateness.late_ns / 1_000_000);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_lateness(&mut self) -> Option<Lateness> {
        self.pause_detector.take_lateness()
    }
}
