//! The answers that the operating system would give.

use std::collections::{HashMap, HashSet};

use varta::internal::lane::layout::Page;

use crate::judge::{
    Call, Depth, Environment, Exits, Found, Lacks, Looked, Namespace, PageIndex,
    ProcessReading, Sample, Slot, Text, ThreadReading,
};
use crate::names::{Label, Names};
use crate::program_name::ProgramName;

/// What is known about the simulated processes.
#[derive(Debug)]
pub(super) struct SimulatedEnvironment {
    pub(super) exits: Exits,
    pub(super) namespaces: HashMap<u32, Namespace>,
    /// The pids of processes in their own namespaces, by pid, if they are set.
    pub(super) innermost: HashMap<u32, u32>,
    /// By index.
    pub(super) pages: Vec<Option<Box<Page>>>,
    /// Threads that have ended, with the pid of their process.
    pub(super) gone_threads: HashSet<(u32, u32)>,
    /// Names of programs by pid.
    pub(super) programs: HashMap<u32, ProgramName>,
    /// Names that processes declare, by pid.
    pub(super) declared: HashMap<u32, Label>,
    /// The labels of agents that are no longer followed, for events that wait for a poll.
    departed: HashMap<u64, Label>,
    /// The pids of agents by slot.
    pub(super) pids: HashMap<Slot, u32>,
    /// What can be read of processes, by pid.
    pub(super) readings: HashMap<u32, Reading>,
    /// The observer's time, and for how long the system was suspended until then.
    pub(super) now: u64,
    pub(super) asleep: u64,
}

impl SimulatedEnvironment {
    pub(super) fn new(exits: Exits) -> Self {
        Self {
            exits,
            namespaces: HashMap::new(),
            innermost: HashMap::new(),
            pages: Vec::new(),
            gone_threads: HashSet::new(),
            programs: HashMap::new(),
            declared: HashMap::new(),
            departed: HashMap::new(),
            pids: HashMap::new(),
            readings: HashMap::new(),
            now: 0,
            asleep: 0,
        }
    }

    pub(super) fn label(&self, slot: Slot) -> Label {
        let declared = self.pids.get(&slot).and_then(|pid| self.declared.get(pid)).copied();
        let names = Names { declared: declared.unwrap_or_default(), ..Names::default() };
        names.label(self.program(slot).unwrap_or_default().as_bytes())
    }

    pub(super) fn label_of_departed(&self, agent: u64) -> Option<Label> {
        self.departed.get(&agent).copied()
    }
}

impl Environment for SimulatedEnvironment {
    fn namespace(&mut self, pid: u32, claimed_pid: u32) -> Namespace {
        match self.innermost.get(&pid) {
            // As for an observer with sockets: it is not the pid of the sender anywhere.
            Some(innermost) if *innermost != claimed_pid => Namespace::Same,
            _ => self.namespaces.get(&pid).copied().unwrap_or(Namespace::Same),
        }
    }

    fn admitted(&mut self, slot: Slot, _: u64, pid: u32, _: Option<u64>) -> Exits {
        self.pids.insert(slot, pid);
        self.exits
    }

    fn identified(&mut self, _: Slot, _: u64) -> Exits {
        self.exits
    }

    fn released(&mut self, slot: Slot, agent: u64) {
        let label = self.label(slot);
        if !label.is_empty() {
            self.departed.insert(agent, label);
        }
        self.pids.remove(&slot);
    }

    fn page(&self, page: PageIndex) -> Option<&Page> {
        self.pages.get(page.index())?.as_deref()
    }

    fn page_released(&mut self, page: PageIndex) {
        if let Some(page) = self.pages.get_mut(page.index()) {
            *page = None;
        }
    }

    fn thread_gone(&mut self, _: Slot, pid: u32, thread: u32) -> bool {
        self.gone_threads.contains(&(pid, thread))
    }

    fn read_process(
        &mut self,
        _: Slot,
        pid: u32,
        depth: Depth,
        _: &[u32],
        sample: &mut Sample,
    ) -> Looked {
        sample.clear();
        // The monotonic clock stands still while the system is suspended.
        sample.process.read_at = self.now.saturating_sub(self.asleep);
        sample.process.asleep_ns = self.asleep;
        match self.readings.get(&pid) {
            Some(reading) => {
                reading.read(depth, sample);
                Looked { found: Found::Read, spent_ns: reading.spent_ns }
            }
            None => Looked { found: Found::Hidden, spent_ns: 0 },
        }
    }

    fn read_thread(
        &mut self,
        _: Slot,
        pid: u32,
        thread: &mut ThreadReading,
        lacks: &mut Lacks,
    ) -> Looked {
        let reading = self.readings.get(&pid);
        if let Some(reading) = reading {
            lacks.add(reading.sample.process.lacks);
        }
        let found = reading.and_then(|reading| reading.sample.thread(thread.thread));
        if let Some(found) = found {
            (thread.wait_channel, thread.call) = (found.wait_channel, found.call);
        }
        let found = if found.is_some() { Found::Read } else { Found::Ended };
        Looked { found, spent_ns: 0 }
    }

    fn program(&self, slot: Slot) -> Option<ProgramName> {
        self.programs.get(self.pids.get(&slot)?).copied()
    }
}

/// What can be read of a process.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) sample: Sample,
    pub(super) spent_ns: u64,
}

impl Reading {
    /// Reads as much as a real host does, except for the times. In what a thread waits is read
    /// later.
    fn read(&self, depth: Depth, sample: &mut Sample) {
        let ProcessReading { read_at, asleep_ns, .. } = sample.process;
        if depth == Depth::Clock {
            sample.process.clock_ns = self.sample.process.clock_ns;
            return;
        }
        sample.process = ProcessReading { read_at, asleep_ns, ..self.sample.process };
        for thread in self.sample.threads() {
            sample.push(ThreadReading {
                read_at,
                wait_channel: Text::EMPTY,
                call: Call::Unknown,
                ..*thread
            });
        }
        let count = u32::try_from(sample.threads().len()).unwrap_or(u32::MAX);
        sample.process.threads = sample.process.threads.max(count);
    }
}
