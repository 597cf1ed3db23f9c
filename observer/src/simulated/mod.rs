//! An observer without sockets in simulated time: for the conformance stories and for users'
//! own tests.

mod delays;
mod environment;
mod lane;
mod processes;
mod settings;

use std::collections::VecDeque;
use std::time::Duration;

use self::environment::SimulatedEnvironment;
use crate::counters::Counters;
use crate::event::Event;
use crate::io::pause::PauseDetector;
use crate::judge::tracker::AgentInfo;
use crate::judge::{Datagram, Environment, Exits, Judge, ServiceInfo, Settings, Slot};
use crate::policy::Policy;
use crate::time::nanoseconds;

/// An observer for tests: the caller supplies the datagrams, the exits and the time. It makes
/// the same decisions as an [`Observer`](crate::Observer). Time never goes back.
///
/// ```
/// use varta::{Frame, Status};
/// use varta_observer::judge::{Datagram, Sender};
/// use varta_observer::{Observer, What};
///
/// let mut observer = Observer::simulated();
/// let mut beat = [0; 32];
/// Frame::new(Status::Ok, 4321, 0, 1, 7).encode(&mut beat);
/// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
/// observer.feed(1_000_000_000, &Datagram::new(0, sender, &beat));
/// observer.advance(2_999_999_999);
/// assert_eq!(observer.poll().unwrap().what.name(), "beat");
/// assert_eq!(observer.poll(), None);
///
/// observer.advance(3_000_000_000); // two seconds of silence
/// let stall = observer.poll().unwrap();
/// assert_eq!(stall.what, What::Stall { last_nonce: 1, last_ns: 1_000_000_000, deaf: false, late: None, why: None });
/// ```
///
/// By default it admits uid 0; [`Builder::simulate`](crate::Builder::simulate) creates one
/// with other settings.
#[derive(Debug)]
pub struct Simulated {
    judge: Judge,
    environment: SimulatedEnvironment,
    /// Events that have not been polled yet.
    events: VecDeque<Event>,
    pause_detector: PauseDetector,
    now: u64,
    asleep: u64,
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new(Judge::new(Settings::new(Policy::same_uid(0))), None, Exits::Reported)
    }
}

impl Simulated {
    pub(crate) fn new(mut judge: Judge, pause_after: Option<Duration>, exits: Exits) -> Self {
        let pause_after = pause_after.map(nanoseconds);
        judge.set_clocks(0, 0);
        Self {
            pause_detector: PauseDetector::new(pause_after, judge.shortest_threshold(), 0),
            judge,
            environment: SimulatedEnvironment::new(exits),
            events: VecDeque::new(),
            now: 0,
            asleep: 0,
        }
    }

    /// Passes in a datagram that arrives at this time.
    ///
    /// ```
    /// use varta_observer::Observer;
    /// use varta_observer::judge::{Datagram, Sender};
    ///
    /// let mut observer = Observer::simulated();
    /// let sender = Sender::Network { address: [192, 0, 2, 1].into(), sealed: false };
    /// observer.feed(0, &Datagram::new(1, sender, b"hello"));
    /// assert_eq!(observer.stats().wrong_length, 1);
    /// ```
    pub fn feed(&mut self, at_ns: u64, datagram: &Datagram<'_>) {
        self.set_time(at_ns);
        self.judge.hear(self.now, datagram, &mut self.environment);
        self.collect_events();
    }

    /// Passes in a notification that arrives at this time, as
    /// [`Judge::notify`](crate::judge::Judge::notify) does. They count if
    /// [`Builder::notify`](crate::Builder::notify) was called.
    pub fn notify(&mut self, at_ns: u64, datagram: &Datagram<'_>) {
        self.set_time(at_ns);
        self.judge.notify(self.now, datagram, &mut self.environment);
        self.collect_events();
    }

    /// The service of an agent, if it is one.
    #[must_use]
    pub fn service(&self, agent: u64) -> Option<ServiceInfo> {
        self.judge.service(agent)
    }

    /// The time to [`advance`](Self::advance) to next, if nothing else happens before: a
    /// deadline, or earlier.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.judge.next_deadline().into_iter().chain(self.judge.next_look()).min()
    }

    /// Advances the time: all that arrived by then has been fed, and due deadlines are
    /// handled.
    pub fn advance(&mut self, at_ns: u64) {
        self.look_at_queue(at_ns, false);
    }

    /// As [`advance`](Self::advance), but the queue is found full, so beats may have been
    /// refused.
    ///
    /// ```
    /// let mut observer = varta_observer::Observer::simulated();
    /// observer.advance_full(1_000_000_000);
    /// assert_eq!(observer.stats().full_looks, 1);
    /// ```
    pub fn advance_full(&mut self, at_ns: u64) {
        self.look_at_queue(at_ns, true);
    }

    fn look_at_queue(&mut self, at_ns: u64, full: bool) {
        self.set_time(at_ns);
        self.judge.looked(self.now, full);
        while let Some(page) = self.judge.due_page(self.now) {
            self.look_at(page);
        }
        while self.judge.expire(self.now, &mut self.environment) {
            self.collect_events();
        }
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// All tracked agents.
    #[must_use]
    pub fn snapshot(&self) -> Vec<AgentInfo> {
        let agents = self.judge.agents_with(self.now, &self.environment);
        agents.map(|(slot, info)| self.named(slot, info)).collect()
    }

    /// A tracked agent by its number, if there is one.
    #[must_use]
    pub fn agent(&self, agent: u64) -> Option<AgentInfo> {
        let slot = self.judge.find(agent)?;
        let info = self.judge.agent_with(slot, self.now, &self.environment)?;
        Some(self.named(slot, info))
    }

    fn named(&self, slot: Slot, info: AgentInfo) -> AgentInfo {
        let name = self.environment.program(slot).unwrap_or_default();
        AgentInfo { name, label: self.environment.label(slot), ..info }
    }

    /// All counters.
    #[must_use]
    pub fn stats(&self) -> Counters {
        *self.judge.counters()
    }

    fn set_time(&mut self, at_ns: u64) {
        self.now = self.now.max(at_ns);
        (self.environment.now, self.environment.asleep) = (self.now, self.asleep);
    }

    fn collect_events(&mut self) {
        while let Some(event) = self.judge.next_event() {
            self.events.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Sender;

    #[test]
    fn polled_events_are_not_kept() {
        let mut observer = crate::Observer::simulated();
        let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
        for at in 0..1_000 {
            observer.feed(at, &Datagram::new(0, sender, &[0; 32]));
            assert!(observer.poll().is_some());
        }
        assert!(observer.events.capacity() < 100);
    }
}
