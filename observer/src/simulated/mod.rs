//! An observer without sockets in simulated time: for the conformance stories and for users'
//! own tests.

mod environment;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use varta::internal::lane::layout::{Head, LAYOUT_VERSION, PAGE_WORDS, Page, lines};
use varta::secure::Key;

use self::environment::{Reading, SimulatedEnvironment};
use crate::cause::CauseInfo;
use crate::counters::Counters;
use crate::event::{Event, ExitCause, Lateness};
use crate::io::causes::call_named;
use crate::io::pause::PauseDetector;
use crate::judge::tracker::AgentInfo;
use crate::judge::{
    Attached, Attaching, Call, Datagram, Environment, Exits, Judge, Namespace, PageIndex,
    Refusal, Sample, ServiceInfo, Settings, Slot, TaskInfo,
};
use crate::names::Label;
use crate::policy::{Policy, Rate};
use crate::program_name::ProgramName;
use crate::slack::Slack;
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

    /// Gives a process a page of shared memory, if it may have one. Pages are offered with
    /// [`Builder::lane`](crate::Builder::lane). Times in lines are the observer's, less those
    /// for which it was [`suspended`](Self::suspended).
    ///
    /// ```
    /// use varta::Status;
    /// use varta::internal::lane::layout::{Hot, Info, lines};
    /// use varta::internal::lane::line;
    /// use varta_observer::judge::Attaching;
    /// use varta_observer::{Builder, Uids, What};
    ///
    /// let mut observer = Builder::new().uids(Uids::Any).lane(true).simulate()?;
    /// let (pid, uid) = (4321, 0);
    /// let process =
    ///     Attaching { pid, uid, process: None, claimed_pid: pid, nonce: 0, clock_offset: 0 };
    /// let page = observer.attach(0, &process).unwrap().page;
    /// observer.mapped(0, page);
    ///
    /// // The process beats, which is a few stores.
    /// let words = observer.page(page).unwrap();
    /// let (_, hot) = lines(words, page.offset(), 0).unwrap();
    /// let info = Info { status: Status::Ok, which: None, idle: false, broken: 0, checkpoint: 0, payload: 7 };
    /// let _ = line::write(hot, 0, &Hot { at: 500, until: 0, info: info.to_word(), last: 1 });
    ///
    /// // The observer looks twice per threshold.
    /// observer.advance(1_000_000_000);
    /// let what = observer.poll().unwrap().what;
    /// assert_eq!(what, What::Beat { status: Status::Ok, payload: 7, nonce: 1, missed: 0, count: 1 });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The reason, if it may not have a page.
    pub fn attach(&mut self, at_ns: u64, process: &Attaching) -> Result<Attached, Refusal> {
        self.set_time(at_ns);
        let attached = self.judge.attach(self.now, process, &mut self.environment)?;
        let words: Box<Page> = Box::new([const { AtomicU64::new(0) }; PAGE_WORDS]);
        if let Some((cold, _)) = lines(&words, attached.page.offset(), 0) {
            let head = Head { layout: LAYOUT_VERSION, live: 0, thread: 0 };
            for (word, value) in cold.iter().zip(head.to_words()) {
                word.store(value, Ordering::Relaxed);
            }
        }
        let index = attached.page.index();
        if self.environment.pages.len() <= index {
            self.environment.pages.resize_with(index + 1, || None);
        }
        if let Some(place) = self.environment.pages.get_mut(index) {
            *place = Some(words);
        }
        Ok(attached)
    }

    /// The process has mapped its page, which is looked at for the first time.
    pub fn mapped(&mut self, at_ns: u64, page: PageIndex) {
        self.set_time(at_ns);
        self.judge.mapped(self.now, page);
        self.look_at(page);
    }

    /// The process asks the observer to look at its page.
    pub fn bell(&mut self, at_ns: u64, page: PageIndex) {
        self.set_time(at_ns);
        self.look_at(page);
    }

    /// The process gives up its page.
    pub fn detach(&mut self, at_ns: u64, page: PageIndex) {
        self.set_time(at_ns);
        self.judge.detached(self.now, page, &mut self.environment);
        self.environment.page_released(page);
        self.collect_events();
    }

    /// The words of a page, into which the process writes, until the page is given up.
    #[must_use]
    pub fn page(&self, page: PageIndex) -> Option<&Page> {
        self.environment.page(page)
    }

    /// A thread of the process with this pid has ended.
    pub fn thread_gone(&mut self, pid: u32, thread: u32) {
        self.environment.gone_threads.insert((pid, thread));
    }

    /// Sets the name of the program that the process with this pid runs, before it is heard.
    pub fn set_program(&mut self, pid: u32, name: &str) {
        self.environment.programs.insert(pid, ProgramName::from_bytes(name.as_bytes()));
    }

    /// Sets the name that the process with this pid declares. It is the
    /// [`label`](Self::label) of its agent from now on; without it, that is the name of its program.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Sender};
    /// use varta_observer::{ExitCause, Label, Observer};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.set_name(4321, Label::new(b"indexer"));
    /// let mut beat = [0; 32];
    /// Frame::new(Status::Ok, 4321, 0, 1, 0).encode(&mut beat);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// observer.feed(0, &Datagram::new(0, sender, &beat));
    /// observer.exit(1_000_000_000, 4321, ExitCause::Code(1));
    /// let last = std::iter::from_fn(|| observer.poll()).last().unwrap();
    /// assert_eq!(
    ///     last.named(observer.label(1)).to_string(),
    ///     "1.000 s: agent 1 (indexer, pid 4321): exit, exit code 1, last status ok"
    /// );
    /// ```
    pub fn set_name(&mut self, pid: u32, name: Label) {
        self.environment.declared.insert(pid, name);
    }

    /// The name to show for an agent, as [`Observer::label`](crate::Observer::label). It stays
    /// known after the agent has exited.
    #[must_use]
    pub fn label(&self, agent: u64) -> Label {
        match self.judge.find(agent) {
            Some(slot) => self.environment.label(slot),
            None => self.environment.label_of_departed(agent).unwrap_or_default(),
        }
    }

    /// As [`Observer::set_slack`](crate::Observer::set_slack).
    pub fn set_slack(&mut self, slack: &Slack) {
        self.judge.set_slack(slack, &self.environment);
    }

    /// As [`Observer::set_agent_slack`](crate::Observer::set_agent_slack).
    pub fn set_agent_slack(&mut self, agent: u64, slack_ns: Option<u64>) -> bool {
        self.judge.set_agent_slack(agent, slack_ns)
    }

    /// The tasks of an agent.
    #[must_use]
    pub fn tasks(&self, agent: u64) -> Vec<TaskInfo> {
        self.judge.tasks(agent, self.now, &self.environment).collect()
    }

    fn look_at(&mut self, page: PageIndex) {
        self.judge.look(self.now, page, &mut self.environment);
        self.collect_events();
    }

    /// Reports that a process has ended, and how. Returns false if no agent has that pid, or
    /// if [exits are not detected](crate::Builder::detect_exits).
    pub fn exit(&mut self, at_ns: u64, pid: u32, cause: ExitCause) -> bool {
        self.set_time(at_ns);
        if self.environment.exits == Exits::Unseen {
            return false;
        }
        let Some(slot) = self.judge.find_pid(pid) else { return false };
        let pages: Vec<_> = self.judge.pages_of(slot).collect();
        for page in pages {
            self.look_at(page);
        }
        self.judge.exited(self.now, slot, cause, &mut self.environment);
        self.collect_events();
        true
    }

    /// Simulates an observer that is late: it was due at `due_ns` and runs only at `at_ns`.
    ///
    /// ```
    /// use varta_observer::{Observer, What};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.late(5_000_000_000, 1_000_000_000);
    /// assert_eq!(observer.poll().unwrap().what, What::Paused { ns: 4_000_000_000 });
    /// ```
    pub fn late(&mut self, at_ns: u64, due_ns: u64) {
        self.pause_detector.has_looked(due_ns);
        self.pause_detector.expect(Some(due_ns));
        self.look(at_ns);
    }

    /// Simulates that the observer was away, from the three numbers by which it knows: it runs
    /// at `at_ns`, this long after it was due and that long after it last ran, and within that
    /// time the system was suspended for `suspended_ns`. Whether that is a pause depends on the
    /// shortest threshold.
    ///
    /// ```
    /// use varta_observer::{Observer, What};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.away(2_000_000_000, 900_000_000, 950_000_000, 0);
    /// assert_eq!(observer.poll(), None, "it is less than half of the threshold of 2 s");
    /// observer.away(5_000_000_000, 1_200_000_000, 1_250_000_000, 0);
    /// assert_eq!(observer.poll().unwrap().what, What::Paused { ns: 1_250_000_000 });
    /// ```
    pub fn away(&mut self, at_ns: u64, late_ns: u64, away_ns: u64, suspended_ns: u64) {
        self.asleep = self.asleep.saturating_add(suspended_ns);
        self.pause_detector.has_looked(at_ns.saturating_sub(away_ns));
        self.pause_detector.expect(Some(at_ns.saturating_sub(late_ns)));
        self.look(at_ns);
    }

    /// Simulates a suspend of this length that has just ended.
    ///
    /// ```
    /// use varta_observer::{Observer, What};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.suspended(60_000_000_000, 59_000_000_000);
    /// assert_eq!(observer.poll().unwrap().what, What::Paused { ns: 59_000_000_000 });
    /// ```
    pub fn suspended(&mut self, at_ns: u64, ns: u64) {
        self.asleep = self.asleep.saturating_add(ns);
        // The last look was before the suspend.
        self.pause_detector.has_looked(at_ns.saturating_sub(ns));
        self.look(at_ns);
    }

    /// As [`Observer::take_lateness`](crate::Observer::take_lateness).
    pub fn take_lateness(&mut self) -> Option<Lateness> {
        self.pause_detector.take_lateness()
    }

    /// As [`Observer::set_threshold`](crate::Observer::set_threshold), in nanoseconds.
    pub fn set_threshold(&mut self, agent: u64, threshold_ns: u64) -> bool {
        let known = self.judge.set_threshold(agent, threshold_ns);
        self.pause_detector.set_shortest_threshold(self.judge.shortest_threshold());
        known
    }

    /// As [`Observer::set_default_threshold`](crate::Observer::set_default_threshold), in
    /// nanoseconds; 0 counts as 1.
    pub fn set_default_threshold(&mut self, threshold_ns: u64) {
        self.judge.set_default_threshold(threshold_ns);
        self.pause_detector.set_shortest_threshold(self.judge.shortest_threshold());
    }

    /// As [`Observer::set_rates`](crate::Observer::set_rates).
    pub fn set_rates(&mut self, per_agent: Option<Rate>, all: Option<Rate>) {
        self.judge.set_rates(per_agent, all);
    }

    /// As [`Observer::set_keys`](crate::Observer::set_keys).
    pub fn set_keys(&mut self, shared: Vec<Key>, master: Option<Key>) {
        self.judge.set_keys(&shared, master);
    }

    /// Sets the pid namespace of the process with this pid. By default every process is in the
    /// observer's namespace.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Namespace, Sender};
    ///
    /// let mut observer = varta_observer::Observer::simulated();
    /// observer.set_namespace(4321, Namespace::Other);
    /// let mut beat = [0; 32];
    /// Frame::new(Status::Ok, 7, 0, 1, 0).encode(&mut beat);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// observer.feed(0, &Datagram::new(0, sender, &beat));
    /// assert_eq!(observer.stats().namespace_refused, 1);
    /// ```
    pub fn set_namespace(&mut self, pid: u32, namespace: Namespace) {
        self.environment.namespaces.insert(pid, namespace);
        self.environment.innermost.remove(&pid);
    }

    /// Puts the process with this pid into another namespace, in which its pid is `innermost`.
    /// With [`set_namespace`](Self::set_namespace) it has whichever pid its frames name.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Sender};
    /// use varta_observer::{Builder, Uids};
    ///
    /// let mut observer = Builder::new().uids(Uids::Any).namespaces(true).simulate()?;
    /// observer.set_innermost_pid(4321, 7);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// for (claimed, kind) in [(8, "auth-failure"), (7, "beat")] {
    ///     let mut beat = [0; 32];
    ///     Frame::new(Status::Ok, claimed, 0, 1, 0).encode(&mut beat);
    ///     observer.feed(0, &Datagram::new(0, sender, &beat));
    ///     assert_eq!(observer.poll().unwrap().what.name(), kind);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_innermost_pid(&mut self, pid: u32, innermost: u32) {
        self.environment.namespaces.insert(pid, Namespace::Other);
        self.environment.innermost.insert(pid, innermost);
    }

    /// Sets what can be read of the process with this pid from now on, if
    /// [causes](crate::Builder::causes) are looked up. The judge reads it after half of its
    /// threshold of silence, when it reports the Stall, and from time to time afterwards. The
    /// times in it are set when it is read.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Sample, Sender, ThreadReading};
    /// use varta_observer::{Builder, Cause, Simulated, Uids, What};
    ///
    /// let mut observer = Builder::new().uids(Uids::Any).causes(true).simulate()?;
    /// let mut beat = [0; 32];
    /// Frame::new(Status::Ok, 4321, 0, 1, 7).encode(&mut beat);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// observer.feed(0, &Datagram::new(0, sender, &beat));
    /// observer.poll();
    ///
    /// // It waits for a lock: a futex whose value says that others wait too.
    /// let call = Simulated::call("futex", [0x7000, 0x80, 2, 0]).unwrap();
    /// let mut reading = Sample::try_new()?;
    /// reading.push(ThreadReading { thread: 4321, state: b'S', call, ..ThreadReading::NOTHING });
    /// observer.set_reading(4321, &reading);
    /// observer.advance(1_000_000_000);
    /// observer.advance(2_000_000_000);
    /// let What::Stall { why: Some(why), .. } = observer.poll().unwrap().what else { panic!() };
    /// assert_eq!(why.cause, Cause::Lock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_reading(&mut self, pid: u32, reading: &Sample) {
        self.set_slow_reading(pid, reading, 0);
    }

    /// As [`set_reading`](Self::set_reading), for a process that takes this long to read. In
    /// 10 ms processes are read for 2 ms at most, and once more.
    pub fn set_slow_reading(&mut self, pid: u32, reading: &Sample, spent_ns: u64) {
        self.environment.readings.insert(pid, Reading { sample: reading.clone(), spent_ns });
    }

    /// What can be read of the process with this pid, to change it.
    pub fn reading_mut(&mut self, pid: u32) -> Option<&mut Sample> {
        self.environment.readings.get_mut(&pid).map(|reading| &mut reading.sample)
    }

    /// The system call of this name, with its first four arguments; `running` if a thread is in
    /// none, and `outside` if it waits in the kernel outside of calls. `None` if there is no
    /// such call on this machine, or not in the list of those in which threads often wait.
    #[must_use]
    pub fn call(name: &str, arguments: [u64; 4]) -> Option<Call> {
        match name {
            "running" => Some(Call::Running),
            "outside" => Some(Call::Outside),
            name => call_named(name, arguments),
        }
    }

    /// Sets whether the datagrams that are fed from now on are
    /// [fresh](crate::judge::Judge::set_fresh), so that something is learned about their senders.
    pub const fn set_fresh(&mut self, fresh: bool) {
        self.judge.set_fresh(fresh);
    }

    /// As [`Observer::cause`](crate::Observer::cause).
    #[must_use]
    pub fn cause(&self, agent: u64, task: u32) -> Option<CauseInfo> {
        self.judge.cause(agent, task)
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

    fn look(&mut self, at_ns: u64) {
        self.set_time(at_ns);
        let asleep = self.asleep;
        let pause = self.pause_detector.look(self.now, || asleep);
        self.judge.set_clocks(self.now, self.now.saturating_sub(asleep));
        if let Some(pause) = pause {
            self.judge.pause(self.now, pause);
            self.collect_events();
        }
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
