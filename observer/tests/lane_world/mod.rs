//! Processes that write into pages of shared memory, with the line code of the agent.
#![allow(dead_code, reason = "each test program uses only a part")]

use std::sync::atomic::{AtomicU64, Ordering};

use varta::internal::lane::layout::{
    self, Cold, Head, Hot, Info, LAYOUT_VERSION, NEVER, PAGE_WORDS, Page, State, Violation,
};
use varta::internal::lane::line;
use varta::{Promise, Status, TaskName};
use varta_observer::judge::{Attached, Attaching, PageIndex, Refusal, Settings};
use varta_observer::{Event, What};

use crate::tracker_world::{UID, World};

/// A world in which processes can have pages, and tasks are followed.
pub(crate) fn lane_world(change: impl FnOnce(&mut Settings)) -> World {
    World::with(|settings| {
        settings.pages = 16;
        settings.tasks = true;
        change(settings);
    })
}

impl World {
    pub(crate) fn try_attach(
        &mut self,
        now: u64,
        attaching: &Attaching,
    ) -> Result<Attached, Refusal> {
        let attached = self.judge.attach(now, attaching, &mut self.environment)?;
        let words: Box<Page> = Box::new([const { AtomicU64::new(0) }; PAGE_WORDS]);
        self.environment.pages.insert(attached.page.index(), words);
        Ok(attached)
    }

    /// A process that has just mapped its page.
    pub(crate) fn process(&mut self, now: u64, pid: u32) -> Process {
        self.process_as(now, &attaching(pid))
    }

    pub(crate) fn process_as(&mut self, now: u64, attaching: &Attaching) -> Process {
        self.process_with_lines(now, attaching, |_, _| ()).0
    }

    /// A process that fills its page before it is looked at for the first time.
    pub(crate) fn process_with_lines(
        &mut self,
        now: u64,
        attaching: &Attaching,
        fill: impl FnOnce(&mut Process, &Self),
    ) -> (Process, Vec<Event>) {
        let attached = self.try_attach(now, attaching).unwrap();
        let nonce = attaching.nonce;
        let mut process = Process { page: attached.page, live: 0, nonce, next_number: 1 };
        process.write_head(self);
        fill(&mut process, self);
        self.judge.mapped(now, process.page);
        let events = self.look(now, process.page);
        (process, events)
    }

    pub(crate) fn look(&mut self, now: u64, page: PageIndex) -> Vec<Event> {
        self.judge.look(now, page, &mut self.environment);
        self.events()
    }

    /// Whatever is due: looks, then verdicts.
    pub(crate) fn advance(&mut self, now: u64) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(page) = self.judge.due_page(now) {
            events.extend(self.look(now, page));
        }
        events.extend(self.judge(now));
        events
    }

    /// Lets time pass until `now`, waking up whenever the judge asks for it.
    pub(crate) fn live_until(&mut self, now: u64) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let wake = [self.judge.next_look(), self.judge.next_deadline()];
            let Some(wake) = wake.into_iter().flatten().min().filter(|wake| *wake <= now)
            else {
                events.extend(self.advance(now));
                return events;
            };
            events.extend(self.advance(wake));
        }
    }

    pub(crate) fn detach(&mut self, now: u64, process: &Process) -> Vec<Event> {
        self.judge.detached(now, process.page, &mut self.environment);
        self.environment.pages.remove(&process.page.index());
        self.events()
    }
}

pub(crate) fn attaching(pid: u32) -> Attaching {
    let process = None;
    Attaching { pid, uid: UID, process, claimed_pid: pid, nonce: 0, clock_offset: 0 }
}

/// A process with a page.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) page: PageIndex,
    live: u32,
    pub(crate) nonce: u64,
    next_number: u32,
}

impl Process {
    fn lines<'a>(&self, world: &'a World, pair: u32) -> (&'a layout::Line, &'a layout::Line) {
        let words = &world.environment.pages[&self.page.index()];
        layout::lines(words, self.page.offset(), pair).unwrap()
    }

    fn write_head(&mut self, world: &World) {
        let head = Head { layout: LAYOUT_VERSION, live: self.live, thread: 0 };
        store(self.lines(world, 0).0, head.to_words());
    }

    /// Sets the thread that made the last beat.
    pub(crate) fn write_thread(&self, world: &World, thread: u32) {
        let to = self.lines(world, 0).0;
        to[Head::THREAD].store(thread.into(), Ordering::Relaxed);
    }

    pub(crate) fn beat(&mut self, world: &World, at: u64) {
        self.beat_as(world, at, Status::Ok, 0);
    }

    pub(crate) fn beat_as(&mut self, world: &World, at: u64, status: Status, payload: u32) {
        self.nonce += 1;
        let info = Info { status, payload, ..plain() };
        self.write(world, 0, &Hot { at, until: 0, info: info.to_word(), last: self.nonce });
    }

    pub(crate) fn write(&self, world: &World, pair: u32, hot: &Hot) {
        let (_, to) = self.lines(world, pair);
        let _ = line::write(to, line::sequence(to), hot);
    }

    /// Declares a task. What `cold` leaves out is chosen.
    pub(crate) fn declare(
        &mut self,
        world: &World,
        pair: u32,
        name: &str,
        threshold_ns: u64,
        at: u64,
    ) {
        self.declare_as(world, pair, &cold(name, threshold_ns), at);
    }

    /// Returns the number of the task.
    pub(crate) fn declare_as(&mut self, world: &World, pair: u32, cold: &Cold, at: u64) -> u32 {
        let (to, _) = self.lines(world, pair);
        let before = Cold::from_words(load(to));
        let ended = before.map_or(State::Free, |cold| cold.state);
        let number = self.next_number;
        self.next_number += 1;
        store(to, Cold { number, ended, ..*cold }.to_words());
        self.live |= 1 << pair;
        self.call(world, pair, at, add(at, cold.threshold_ns), Some(Promise::Beat));
        self.write_head(world);
        number
    }

    /// A call of a task after which nothing is broken.
    pub(crate) fn call(
        &self,
        world: &World,
        pair: u32,
        at: u64,
        until: u64,
        which: Option<Promise>,
    ) {
        self.call_as(world, pair, at, until, Info { which, ..plain() });
    }

    pub(crate) fn call_as(&self, world: &World, pair: u32, at: u64, until: u64, info: Info) {
        self.write(world, pair, &Hot { at, until, info: info.to_word(), last: 0 });
    }

    pub(crate) fn write_progress(
        &self,
        world: &World,
        pair: u32,
        (at, until): (u64, u64),
        info: Info,
        last: u64,
    ) {
        self.write(world, pair, &Hot { at, until, info: info.to_word(), last });
    }

    /// Fills all pairs of tasks with words that mean nothing.
    pub(crate) fn garbage(&mut self, world: &World) {
        self.live = u32::MAX;
        self.write_head(world);
        let mut dice = crate::tracker_world::Dice(1);
        for pair in 1..32 {
            let (cold, hot) = self.lines(world, pair);
            for line in [cold, hot] {
                store(line, [(); 8].map(|()| dice.roll()));
            }
        }
    }

    pub(crate) fn change(&self, world: &World, pair: u32, change: impl FnOnce(&mut Cold)) {
        let (to, _) = self.lines(world, pair);
        let mut cold = Cold::from_words(load(to)).unwrap();
        change(&mut cold);
        store(to, cold.to_words());
    }

    pub(crate) fn violate(&self, world: &World, pair: u32, violation: Violation) {
        self.change(world, pair, |cold| {
            cold.violations += 1;
            cold.last_violation = Some(violation);
        });
    }

    pub(crate) fn end(&mut self, world: &World, pair: u32, state: State) {
        self.change(world, pair, |cold| cold.state = state);
        self.live &= !(1 << pair);
        self.write_head(world);
    }
}

pub(crate) fn plain() -> Info {
    Info { status: Status::Ok, which: None, idle: false, broken: 0, checkpoint: 0, payload: 0 }
}

pub(crate) fn cold(name: &str, threshold_ns: u64) -> Cold {
    Cold {
        number: 0,
        state: State::Live,
        vital: false,
        roams: false,
        ended: State::Free,
        threshold_ns,
        finest_ns: threshold_ns,
        thread: 0,
        violations: 0,
        last_violation: None,
        name: TaskName::new(name).unwrap(),
    }
}

fn add(at: u64, threshold_ns: u64) -> u64 {
    if threshold_ns == NEVER { NEVER } else { at + threshold_ns }
}

fn store(line: &layout::Line, words: layout::Words) {
    for (word, value) in line.iter().zip(words) {
        word.store(value, Ordering::Release);
    }
}

fn load(line: &layout::Line) -> layout::Words {
    let mut words = [0; 8];
    for (word, value) in line.iter().zip(&mut words) {
        *value = word.load(Ordering::Acquire);
    }
    words
}

/// Each event in short: `stall 1/2 span at 300` is of task 2 of agent 1.
pub(crate) fn short(events: &[Event]) -> Vec<String> {
    events.iter().map(in_short).collect()
}

fn in_short(event: &Event) -> String {
    let agent = event.about.map_or(0, |about| about.agent);
    let task = event.task.map_or(String::new(), |task| format!("/{}", task.number));
    let what = event.what.name();
    let detail = match event.what {
        What::Beat { count, .. } => format!(" x{count}"),
        What::Stall { late: Some(late), .. } => {
            format!(" {} due {}", late.promise, late.due_ns)
        }
        What::Stall { last_ns, .. } => format!(" last {last_ns}"),
        What::Recovered { silent_ns, promise } => format!(" {promise} after {silent_ns}"),
        What::Ended { how } => format!(" {how}"),
        What::Violation { rule, count, .. } => format!(" {rule} x{count}"),
        _ => String::new(),
    };
    format!("{}: {what} {agent}{task}{detail}", event.observer_ns)
}
