//! What one process can cost the observer that misuses its page and its connections without pause.

#![allow(clippy::unwrap_used, reason = "in the process that misuses them")]

mod support;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use varta::internal::lane::layout::{Cold, Head, Hot, Info, PAIRS, State, Words, lines};
use varta::internal::lane::line;
use varta::internal::lane::message::Message;
use varta::{Promise, Status, TaskName};
use varta_observer::Counters;

use self::support::lane::{Answer, LaneAgent, LaneSocket, monotonic_ns};
use super::{THRESHOLD, observer};
use crate::measure::Plan;
use crate::processes::{self, Child};
use crate::report::{Figure, Findings};
use crate::stage::Stage;
use crate::sys;

/// The share of a CPU that a process may cost.
const MOST: f64 = 2.0;

/// One way to misuse the lane.
struct Misuse {
    name: &'static str,
    run: fn(&Path),
    /// What the observer counts if it notices it.
    seen: fn(&Counters) -> u64,
}

const ALL: [Misuse; 9] = [
    Misuse { name: "rings", run: ring, seen: |counters| counters.lane_muted },
    Misuse {
        name: "fills its page with garbage and rings",
        run: fill,
        seen: |counters| counters.lane_muted,
    },
    Misuse {
        name: "declares and ends 31 tasks and rings",
        run: declare,
        seen: |counters| counters.tasks_ended,
    },
    Misuse {
        name: "declares and ends 31 tasks and rings every millisecond",
        run: declare_slowly,
        seen: |counters| counters.tasks_ended,
    },
    Misuse {
        name: "breaks the promises of 31 tasks",
        run: break_promises,
        seen: |counters| counters.task_stalls,
    },
    Misuse {
        name: "renews the promises of 31 tasks just in time",
        run: renew_promises,
        seen: |counters| counters.task_beats,
    },
    Misuse { name: "connects", run: connect, seen: |_| 1 },
    Misuse { name: "attaches", run: attach, seen: |counters| counters.lane_attached },
    Misuse {
        name: "sends messages of no kind",
        run: babble,
        seen: |counters| counters.lane_bad_messages,
    },
];

pub(crate) fn all(plan: Plan, stage: &Stage) -> io::Result<Findings> {
    let time = Duration::from_secs(if plan.budget < Duration::from_secs(5) { 2 } else { 5 });
    sys::stay_on(stage.receiver_cpu)?;
    let mut figures = Vec::new();
    for misuse in &ALL {
        let (share, noticed) = cost(misuse, time, stage)?;
        let name = format!("lane: CPU of the observer while a process {}", misuse.name);
        figures.push(Figure::new(name, share, "% of one").at_most(MOST, noticed));
    }
    sys::stay_on(stage.sender_cpu)?;
    Ok((Vec::new(), figures))
}

/// The share of a CPU in percent, and whether the misuse was noticed.
fn cost(misuse: &Misuse, time: Duration, stage: &Stage) -> io::Result<(f64, bool)> {
    let path = stage.path("hostile.sock")?;
    let mut observer = observer(&path, THRESHOLD)?;
    let [ready] = processes::shared_numbers(1)? else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let _hostile = Child::fork(|| {
        let _ = sys::stay_on(stage.sender_cpu);
        ready.store(1, Ordering::SeqCst);
        loop {
            (misuse.run)(&path);
        }
    })?;
    // It begins.
    let begun = Instant::now();
    while ready.load(Ordering::SeqCst) == 0 || begun.elapsed() < Duration::from_millis(300) {
        observer.poll_timeout(Duration::from_millis(1))?;
    }
    let (cpu, from) = (processes::thread_cpu_ns(), Instant::now());
    while from.elapsed() < time {
        observer.poll_timeout(Duration::from_millis(100))?;
    }
    let took = from.elapsed().as_nanos() as f64;
    let share = (processes::thread_cpu_ns() - cpu) as f64 / took;
    Ok((share * 100.0, (misuse.seen)(&observer.stats()?) > 0))
}

fn ring(path: &Path) {
    let mut agent = LaneAgent::attach(path);
    while agent.socket.bell(0).is_ok() || !agent.is_closed() {
        agent.beat();
    }
}

fn fill(path: &Path) {
    let agent = LaneAgent::attach(path);
    let mut random = monotonic_ns() | 1;
    loop {
        for word in agent.page {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            word.store(random, Ordering::Relaxed);
        }
        let (head, _) = lines(agent.page, agent.offer.offset, 0).unwrap();
        let own = Head { layout: 1, live: u32::MAX, thread: 0 };
        head.iter()
            .zip(own.to_words())
            .for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        let _ = agent.socket.bell(0);
    }
}

/// A task that is due after this many nanoseconds.
fn task(number: u32, within: u64) -> (Words, Hot) {
    let cold = Cold {
        number,
        state: State::Live,
        vital: false,
        roams: true,
        ended: State::Closed,
        threshold_ns: within,
        finest_ns: within,
        thread: 0,
        violations: number,
        last_violation: None,
        name: TaskName::new("hostile").unwrap(),
    };
    let info = Info {
        status: Status::Ok,
        which: Some(Promise::Beat),
        idle: false,
        broken: 0,
        checkpoint: 0,
        payload: number,
    };
    let at = monotonic_ns();
    (cold.to_words(), Hot { at, until: at + within, info: info.to_word(), last: 0 })
}

fn store(words: Words, line: &[AtomicU64; 8]) {
    line.iter().zip(words).for_each(|(word, value)| word.store(value, Ordering::Release));
}

/// Writes tasks into all pairs of a page, again and again.
fn write_tasks(agent: &LaneAgent, within: u64, mut each_time: impl FnMut()) {
    let place = |pair| lines(agent.page, agent.offer.offset, pair).unwrap();
    store(Head { layout: 1, live: u32::MAX, thread: 0 }.to_words(), place(0).0);
    let mut number = 0;
    loop {
        for pair in 1..PAIRS {
            number += 1;
            let (words, hot) = task(number, within);
            let (cold, line) = place(pair);
            store([0; 8], cold);
            let _ = line::write(line, line::sequence(line), &hot);
            store(words, cold);
        }
        each_time();
    }
}

fn declare(path: &Path) {
    let agent = LaneAgent::attach(path);
    write_tasks(&agent, 1_000_000_000, || drop(agent.socket.bell(0)));
}

fn declare_slowly(path: &Path) {
    let agent = LaneAgent::attach(path);
    write_tasks(&agent, 1_000_000_000, || {
        let _ = agent.socket.bell(0);
        std::thread::sleep(Duration::from_millis(1));
    });
}

fn break_promises(path: &Path) {
    let agent = LaneAgent::attach(path);
    write_tasks(&agent, 1_000_000, || std::thread::sleep(Duration::from_millis(1)));
}

/// Each of the tasks is due after a millisecond, and none at the same time as another.
fn renew_promises(path: &Path) {
    let agent = LaneAgent::attach(path);
    let place = |pair| lines(agent.page, agent.offer.offset, pair).unwrap();
    let mut is_declared = false;
    loop {
        for pair in 1..PAIRS {
            let (words, hot) = task(pair, 1_000_000);
            let (cold, line) = place(pair);
            let _ = line::write(line, line::sequence(line), &hot);
            if !is_declared {
                store(words, cold);
            }
            std::thread::sleep(Duration::from_micros(1));
        }
        if !std::mem::replace(&mut is_declared, true) {
            store(Head { layout: 1, live: u32::MAX, thread: 0 }.to_words(), place(0).0);
        }
    }
}

fn connect(path: &Path) {
    drop(LaneSocket::connect(path));
}

fn attach(path: &Path) {
    let Ok(socket) = LaneSocket::connect(path) else { return };
    let _ = socket.hello();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(100) {
        match socket.answer() {
            Some(Answer::Page(..)) => return drop(socket.say(&Message::Mapped)),
            Some(_) => return,
            None => {}
        }
    }
}

fn babble(path: &Path) {
    let Ok(socket) = LaneSocket::connect(path) else { return };
    while socket.send(&[7; 128]).is_ok() {}
}
