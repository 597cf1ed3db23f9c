//! Asking the host for readings, and reporting what they show.

use std::fmt::Write;

use super::Causes;
use super::classify::{First, look_at_all, look_at_suspects};
use super::reading::{Depth, Found, Lacks, ThreadReading};
use super::silences::{Silence, Silences};
use super::suspects::Suspects;
use super::thread::lock_address;
use crate::cause::{Cause, CauseFlags, CauseInfo, Certainty, Why};
use crate::event::{Event, What};
use crate::judge::tracker::Flags;
use crate::judge::{Environment, Judge, Slot};

/// The silence of a process or of one of its tasks.
#[derive(Debug, Clone, Copy)]
pub(in crate::judge) struct Silent {
    pub(in crate::judge) slot: Slot,
    /// When it gave its last sign of life.
    pub(in crate::judge) last_ns: u64,
    /// How long it may be silent.
    pub(in crate::judge) threshold_ns: u64,
    /// How often it has beaten; 0 for a task.
    pub(in crate::judge) beats: u64,
    /// The thread that made the last call, if it is known.
    pub(in crate::judge) told: Option<u32>,
    /// Whether it may be the task of another program than the one that beat last.
    pub(in crate::judge) may_be_another: bool,
}

/// The silences of agents, or those of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Agents,
    Tasks,
}

/// A process as the host knows it.
#[derive(Debug, Clone, Copy)]
struct Process {
    slot: Slot,
    agent: u64,
    pid: u32,
}

/// Why a process could not be read.
enum NotRead {
    Late,
    /// A reading of this process does not return.
    Stuck(u32),
}

impl Judge {
    /// When there is time for a reading, if there is none now.
    pub(in crate::judge) fn next_reading(&mut self) -> Option<u64> {
        let now = self.now;
        let budget = &mut self.causes.as_deref_mut()?.budget;
        (!budget.allows(now)).then(|| budget.next(now))
    }

    /// An agent has been silent for a while: reads it, so that there is something to compare
    /// with when its silence must be explained.
    pub(in crate::judge) fn read_early<E: Environment>(
        &mut self,
        slot: Slot,
        last_ns: u64,
        depth: Depth,
        environment: &mut E,
    ) {
        let Some((process, causes)) = self.process(slot) else { return };
        // An earlier reading of the same silence shows more.
        let made_at = causes.befores.made_at(slot.index(), process.agent);
        if made_at.is_some_and(|made_at| made_at >= last_ns) {
            return;
        }
        let now = self.now;
        if !self.read(process, depth, environment) {
            return;
        }
        if let Some(causes) = &mut self.causes {
            causes.befores.keep(slot.index(), process.agent, now, &causes.now);
        }
    }

    /// Why an agent is silent whose silence is reported now. `None` if causes are not looked
    /// up, or the agent is not a process of this system.
    pub(in crate::judge) fn explain<E: Environment>(
        &mut self,
        slot: Slot,
        environment: &mut E,
    ) -> Option<Why> {
        let silent = self.silence_of(slot, environment);
        let Silent { last_ns, threshold_ns, .. } = silent;
        let (process, causes) = self.process(slot)?;
        causes.agents.begin(slot.0, (process.agent, 0), last_ns, threshold_ns);
        let info = self.find_out(process, silent, environment);
        let now = self.now;
        self.causes.as_mut()?.agents.renew(slot.0, now, info);
        Some(info.why)
    }

    /// Keeps the cause of a silence that is not looked at again.
    pub(in crate::judge) fn keep_cause(&mut self, slot: Slot, info: CauseInfo) {
        let last_ns = self.tracker.last_ns(slot);
        let Some((process, causes)) = self.process(slot) else { return };
        causes.agents.begin(slot.0, (process.agent, 0), last_ns, u64::MAX);
        causes.agents.settle(slot.0, info);
    }

    /// The agent executes another program, which is not judged before it gives a sign of life.
    pub(in crate::judge) fn await_new_program<E: Environment>(
        &mut self,
        slot: Slot,
        environment: &mut E,
    ) {
        self.end_tasks_before_exec(slot, environment);
        let info = self.causes.as_deref().and_then(|causes| causes.agents.get(slot.0));
        if let Some(info) = info.map(|silence| silence.info) {
            self.keep_cause(slot, info);
        }
        self.unlearn(slot);
        self.tracker.executed(slot);
        self.tracker.wait_on(slot, self.now);
    }

    /// As [`explain`](Self::explain), for a task by its index.
    pub(in crate::judge) fn explain_task<E: Environment>(
        &mut self,
        silent: Silent,
        index: u32,
        number: u32,
        environment: &mut E,
    ) -> Option<Why> {
        let (process, causes) = self.process(silent.slot)?;
        let of = (process.agent, number);
        causes.tasks.begin(index, of, silent.last_ns, silent.threshold_ns);
        let info = self.find_out(process, silent, environment);
        let now = self.now;
        self.causes.as_mut()?.tasks.renew(index, now, info);
        Some(info.why)
    }

    /// Looks again at the next silence for which it is time, and reports its cause if that has
    /// changed. Returns false if there is none by `horizon`, or no time left for readings.
    pub(in crate::judge) fn look_again<E: Environment>(
        &mut self,
        horizon: u64,
        environment: &mut E,
    ) -> bool {
        let now = self.now;
        let Some(causes) = self.causes.as_deref_mut() else { return false };
        if !causes.budget.allows(now) {
            return false;
        }
        let (table, index) = match causes.agents.next_due(horizon) {
            Some(index) => (Table::Agents, index),
            None => match causes.tasks.next_due(horizon) {
                Some(index) => (Table::Tasks, index),
                None => return false,
            },
        };
        let Some(silence) = causes.silences(table).get(index).copied() else { return true };
        let silent = match table {
            Table::Agents => self.silent_agent(Slot(index), environment),
            Table::Tasks => self.silent_task(index),
        };
        match silent {
            Some(silent) => {
                let silent = Silent { last_ns: silence.last_ns, ..silent };
                self.renew_cause(table, index, silent, &silence, environment);
            }
            None => causes_of(self, |causes| causes.silences(table).end(index)),
        }
        true
    }

    /// The agent in this slot, if it is silent and lives.
    fn silent_agent<E: Environment>(&self, slot: Slot, environment: &E) -> Option<Silent> {
        let stalled = self.tracker.has(slot, Flags::STALLED) || self.is_late(slot);
        let silent = stalled && !self.tracker.has(slot, Flags::DEAD);
        silent.then(|| self.silence_of(slot, environment))
    }

    fn silence_of<E: Environment>(&self, slot: Slot, environment: &E) -> Silent {
        Silent {
            slot,
            last_ns: self.tracker.last_ns(slot),
            threshold_ns: self.tracker.threshold(slot),
            beats: self.tracker.count(slot),
            told: self.told_by(slot, environment),
            may_be_another: false,
        }
    }

    fn renew_cause<E: Environment>(
        &mut self,
        table: Table,
        index: u32,
        silent: Silent,
        silence: &Silence,
        environment: &mut E,
    ) {
        let now = self.now;
        let Some((process, _)) = self.process(silent.slot) else { return };
        let before = silence.info;
        let info = self.find_out(process, silent, environment);
        if info.looked_ns == 0 {
            // What was known is still the best that is known.
            return causes_of(self, |causes| causes.silences(table).retry(index, now));
        }
        if table == Table::Tasks && info.why.cause == Cause::Exec {
            return self.end_tasks_before_exec(silent.slot, environment);
        }
        causes_of(self, |causes| causes.silences(table).renew(index, now, info));
        // It may become known why the cause is unknown.
        let is_unknown = info.why.cause == Cause::Unknown;
        if info.why.cause != before.why.cause || is_unknown && info.detail != before.detail {
            let about = Some(self.tracker.about(silent.slot));
            let task = (table == Table::Tasks).then(|| self.task_event(index));
            let what = What::Cause { why: info.why };
            self.events.push(Event { observer_ns: now, about, task, what });
        }
    }

    /// Reads a process that is silent, and finds out why.
    fn find_out<E: Environment>(
        &mut self,
        process: Process,
        silent: Silent,
        environment: &mut E,
    ) -> CauseInfo {
        let now = self.now;
        let allowed =
            self.causes.as_deref_mut().is_some_and(|causes| causes.budget.allows(now));
        if !allowed {
            self.counters.cause_refused += 1;
            return CauseInfo::UNKNOWN;
        }
        let was_read = self.read_whole(process, silent.told, environment);
        let Some(causes) = self.causes.as_deref_mut() else { return CauseInfo::UNKNOWN };
        let found = match was_read {
            Found::Ended => {
                let mut info = CauseInfo::UNKNOWN;
                (info.why.cause, info.why.certainty) = (Cause::Dying, Certainty::Certain);
                Ok(info)
            }
            Found::Read | Found::Hidden => causes.classify(process, silent, environment),
            Found::Late => Err(NotRead::Late),
            Found::Stuck(pid) => Err(NotRead::Stuck(pid)),
        };
        let mut info = match found {
            Ok(info) => {
                let (slot, agent) = (process.slot.index(), process.agent);
                causes.befores.keep(slot, agent, now, &causes.now);
                info
            }
            Err(NotRead::Late) => {
                causes.budget.use_up();
                return CauseInfo::UNKNOWN;
            }
            Err(NotRead::Stuck(pid)) => stuck(pid),
        };
        if was_read == Found::Hidden {
            info.why.flags |= CauseFlags::NO_PERMISSION;
        }
        info.looked_ns = now.max(1);
        info
    }

    /// Reads all of a process.
    fn read_whole<E: Environment>(
        &mut self,
        process: Process,
        told: Option<u32>,
        environment: &mut E,
    ) -> Found {
        let Some(causes) = self.causes.as_deref_mut() else { return Found::Hidden };
        let (wanted, count) = causes.wanted(process.slot, told);
        let wanted = wanted.get(..count).unwrap_or_default();
        let Process { slot, pid, .. } = process;
        let looked = environment.read_process(slot, pid, Depth::Whole, wanted, &mut causes.now);
        causes.budget.spend(looked.spent_ns);
        let was_read = !matches!(looked.found, Found::Late | Found::Stuck(_));
        self.counters.cause_looks += u64::from(was_read);
        self.counters.cause_ns = self.counters.cause_ns.saturating_add(looked.spent_ns);
        looked.found
    }

    /// Reads part of a process, if there is time. Returns whether there was anything to read.
    pub(super) fn read_part<E: Environment>(
        &mut self,
        slot: Slot,
        depth: Depth,
        environment: &mut E,
    ) -> bool {
        let Some((process, _)) = self.process(slot) else { return false };
        self.read(process, depth, environment)
    }

    fn read<E: Environment>(
        &mut self,
        process: Process,
        depth: Depth,
        environment: &mut E,
    ) -> bool {
        let now = self.now;
        let Some(causes) = self.causes.as_deref_mut() else { return false };
        if !causes.budget.allows(now) {
            self.counters.cause_refused += 1;
            return false;
        }
        let (wanted, count) = causes.wanted(process.slot, None);
        let wanted = wanted.get(..count).unwrap_or_default();
        let Process { slot, pid, .. } = process;
        let looked = environment.read_process(slot, pid, depth, wanted, &mut causes.now);
        causes.budget.spend(looked.spent_ns);
        if looked.found == Found::Late {
            causes.budget.use_up();
        }
        self.counters.cause_ns = self.counters.cause_ns.saturating_add(looked.spent_ns);
        matches!(looked.found, Found::Read | Found::Hidden)
    }

    /// The process in this slot, if causes are looked up and it is one of this system.
    fn process(&mut self, slot: Slot) -> Option<(Process, &mut Causes)> {
        let causes = self.causes.as_deref_mut()?;
        let about = self.tracker.about(slot);
        let process = Process { slot, agent: about.agent, pid: about.pid };
        (about.pid != 0).then_some((process, causes))
    }

    /// The agent in this slot beats again after a silence, or not `forward`, as another program
    /// would that it executes now.
    #[cold]
    pub(in crate::judge) fn is_back(&mut self, slot: Slot, forward: bool) {
        let was = self.causes.as_deref().and_then(|causes| causes.agents.get(slot.0));
        if !forward || was.is_some_and(|silence| silence.info.why.cause == Cause::Exec) {
            self.unlearn(slot);
        }
        self.forget_silence(slot);
    }

    /// The agent in this slot beats again, or is no longer tracked.
    pub(in crate::judge) fn forget_silence(&mut self, slot: Slot) {
        causes_of(self, |causes| causes.agents.end(slot.0));
    }

    /// A task keeps its promises again, or is over.
    pub(in crate::judge) fn forget_task_silence(&mut self, index: u32) {
        causes_of(self, |causes| causes.tasks.end(index));
    }

    /// When a silence is looked at again.
    pub(in crate::judge) fn next_look_again(&self) -> Option<u64> {
        let causes = self.causes.as_deref()?;
        let deadlines = [causes.agents.next_deadline(), causes.tasks.next_deadline()];
        let due = deadlines.into_iter().flatten().min()?;
        Some(causes.budget.next(due))
    }

    /// Why an agent is silent, or one of its tasks; the process is task 0. `None` if no Stall
    /// was reported, or it has recovered since, or causes are not looked up. The cause of an
    /// agent that is not judged is [`Exec`](Cause::Exec).
    #[must_use]
    pub fn cause(&self, agent: u64, task: u32) -> Option<CauseInfo> {
        let causes = self.causes.as_deref()?;
        let slot = self.find(agent)?;
        let silence = match task {
            0 if self.is_stalled(slot) || self.tracker.has_executed(slot) => {
                causes.agents.get(slot.0)?
            }
            0 => return None,
            number => causes.tasks.get(self.task_index(slot, number)?)?,
        };
        (silence.agent == agent && silence.task == task).then_some(silence.info)
    }
}

fn causes_of(judge: &mut Judge, change: impl FnOnce(&mut Causes)) {
    if let Some(causes) = judge.causes.as_deref_mut() {
        change(causes);
    }
}

/// What is known of a process that cannot be read.
fn stuck(pid: u32) -> CauseInfo {
    let mut info = CauseInfo::UNKNOWN;
    // Writing to a text does not fail.
    let _ = match pid {
        0 => info.detail.write_str("no thread can be started to read it"),
        pid => write!(info.detail, "a reading of process {pid} does not return"),
    };
    info
}

impl Causes {
    const fn silences(&mut self, table: Table) -> &mut Silences {
        match table {
            Table::Agents => &mut self.agents,
            Table::Tasks => &mut self.tasks,
        }
    }

    /// Finds the cause from what was read now and before, and reads in what the suspects wait.
    fn classify<E: Environment>(
        &mut self,
        process: Process,
        silent: Silent,
        environment: &mut E,
    ) -> Result<CauseInfo, NotRead> {
        let Process { slot, agent, pid } = process;
        let since = silent.last_ns;
        let has_before = self.befores.restore(slot.index(), agent, since, &mut self.before);
        let mut learned = self.learned(slot, agent, silent.beats, since);
        if silent.may_be_another {
            learned.executable = None;
        }
        let before = has_before.then_some(&self.before);
        let suspects = match look_at_all(before, &self.now, &learned, silent.told) {
            First::Cause(info) => return Ok(info),
            First::Suspects(suspects) => suspects,
        };
        let suspects = self.read_suspects(process, &suspects, environment)?;
        let before = has_before.then_some(&self.before);
        let mut info = look_at_suspects(before, &self.now, &learned, silent.told, &suspects);
        if info.why.cause == Cause::Lock {
            let address = self.now.thread(info.why.thread).and_then(lock_address);
            let owner = address.and_then(|address| environment.lock_owner(slot, pid, address));
            if let Some(owner) = owner {
                self.add_owner(&mut info, process, owner, environment);
            }
        }
        Ok(info)
    }

    /// Reads in what the suspects wait, and returns those of which that is known if the readings
    /// of others are late.
    fn read_suspects<E: Environment>(
        &mut self,
        process: Process,
        suspects: &Suspects,
        environment: &mut E,
    ) -> Result<Suspects, NotRead> {
        let read =
            suspects.places().try_for_each(|place| self.read_wait(process, place, environment));
        match read {
            Ok(()) => Ok(*suspects),
            // On a machine that is busy all the time, it would be late again.
            Err(NotRead::Late) => {
                let threads = self.now.threads();
                let is_known =
                    |place: usize| threads.get(place).is_some_and(ThreadReading::knows_wait);
                let known = suspects.only(is_known);
                if known.is_empty() { Err(NotRead::Late) } else { Ok(known) }
            }
            Err(stuck) => Err(stuck),
        }
    }

    fn read_wait<E: Environment>(
        &mut self,
        process: Process,
        place: usize,
        environment: &mut E,
    ) -> Result<(), NotRead> {
        let mut lacks = Lacks::default();
        let thread = self.now.threads_mut().get_mut(place);
        let Some(thread) = thread.filter(|thread| !thread.knows_wait()) else { return Ok(()) };
        let looked = environment.read_thread(process.slot, process.pid, thread, &mut lacks);
        self.budget.spend(looked.spent_ns);
        self.now.process.lacks.add(lacks);
        match looked.found {
            Found::Late => Err(NotRead::Late),
            Found::Stuck(pid) => Err(NotRead::Stuck(pid)),
            Found::Read | Found::Ended | Found::Hidden => Ok(()),
        }
    }

    /// Adds the thread that holds the lock, and what it waits for.
    fn add_owner<E: Environment>(
        &mut self,
        info: &mut CauseInfo,
        process: Process,
        owner: u32,
        environment: &mut E,
    ) {
        info.why.other = owner;
        info.why.flags |= CauseFlags::OWNER;
        let place = self.now.threads().iter().position(|thread| thread.thread == owner);
        let Some(place) = place else { return };
        // Without that, it is only not known whether it waits for a lock itself.
        let _ = self.read_wait(process, place, environment);
        let Some(owner) = self.now.threads().get(place) else { return };
        if lock_address(owner).is_some() {
            info.why.flags |= CauseFlags::CYCLE;
        }
    }
}
