//! An observer that was stopped itself reports no false stalls, and one whose host polls
//! rarely still reports all events.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "helpers of tests"
)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use support::{
    Child, Folder, PATIENCE, TestAgent, in_child, is, kill, let_time_pass, ms, names,
    needs_root, poll_all, poll_until, readable_within, shared_numbers, skipped, stop_here,
    wait_until, wait_until_stopped,
};
use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Event, Observer, What};

const THRESHOLD: Duration = Duration::from_secs(1);
const AGENTS: usize = 200;

/// Commands of the test to the hosts.
const STOP_BETWEEN: u64 = 1;
const REPORT: u64 = 2;

/// A process that only observes. It writes every event except beats to a stream.
struct Host {
    process: Child,
    lines: BufReader<UnixStream>,
    command: &'static AtomicU64,
    path: PathBuf,
}

impl Host {
    fn start(path: PathBuf, exits: bool, run: fn(&mut Observer, &mut Output)) -> Self {
        let (lines, output) = UnixStream::pair().unwrap();
        lines.set_read_timeout(Some(PATIENCE)).unwrap();
        let [command] = shared_numbers();
        let endpoint = path.to_str().unwrap().parse().unwrap();
        let builder = Observer::builder().listen(endpoint).threshold(THRESHOLD);
        let process = Child::start(|| {
            let mut observer = builder.detect_exits(exits).bind().unwrap();
            let mut output = Output { to: output, command };
            loop {
                run(&mut observer, &mut output);
                if command.load(SeqCst) == REPORT {
                    let followed = observer.snapshot().unwrap().len();
                    writeln!(output.to, "followed {followed} 0 0").unwrap();
                    wait_until(|| false);
                }
            }
        });
        wait_until(|| path.exists());
        Self { process, lines: BufReader::new(lines), command, path }
    }

    /// The next line: a name, two numbers, and a time.
    fn next(&mut self) -> (String, u64, u64, u64) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse().unwrap();
        (words[0].to_owned(), number(1), number(2), number(3))
    }
}

struct Output {
    to: UnixStream,
    command: &'static AtomicU64,
}

impl Output {
    fn write(&mut self, event: &Event) {
        let name = event.what.name();
        let pid = event.about.map_or(0, |about| about.pid);
        let ns = match event.what {
            What::Beat { .. } => return,
            What::Paused { ns } => ns,
            What::Stall { deaf, .. } => deaf.into(),
            _ => 0,
        };
        writeln!(self.to, "{name} {pid} {ns} {}", event.observer_ns).unwrap();
    }

    fn stop_if_requested(&self) {
        if self.command.compare_exchange(STOP_BETWEEN, 0, SeqCst, SeqCst).is_ok() {
            stop_here();
        }
    }
}

/// Blocks in poll, as most hosts do.
fn blocking(observer: &mut Observer, output: &mut Output) {
    let event = observer.poll_timeout(THRESHOLD).unwrap();
    output.stop_if_requested();
    event.iter().for_each(|event| output.write(event));
}

/// Waits with its own poll(2).
fn embedding(observer: &mut Observer, output: &mut Output) {
    readable_within(observer.as_fd(), PATIENCE);
    output.stop_if_requested();
    while let Some(event) = observer.poll_timeout(Duration::ZERO).unwrap() {
        output.write(&event);
    }
}

/// Beats at each path at least ten times per threshold. Records in `longest` the longest time
/// after `begin` (nanoseconds since the start) in which one of them accepted no beat.
/// Increments `beating` once each has accepted a beat.
fn beat_at(paths: &[&Path], start: Instant, [begin, longest, beating]: &[AtomicU64; 3]) {
    let mut agents: Vec<_> =
        paths.iter().map(|path| (Varta::connect(path).unwrap(), 0)).collect();
    let mut counted = false;
    // Each process has its own pace. One that always beats in the same instant as all others,
    // and late among them, would never find room in the queue.
    let pace = THRESHOLD / 10 - ms(u64::from(std::process::id() % 40));
    loop {
        for (agent, last_taken) in &mut agents {
            let taken = agent.beat(Status::Ok, 0) == BeatOutcome::Sent;
            let now = start.elapsed().as_nanos() as u64;
            let since = (*last_taken).max(begin.load(SeqCst));
            longest.fetch_max(now.saturating_sub(since), SeqCst);
            if taken {
                *last_taken = now;
            }
        }
        if !counted && agents.iter().all(|(_, last_taken)| *last_taken > 0) {
            beating.fetch_add(1, SeqCst);
            counted = true;
        }
        std::thread::sleep(pace);
    }
}

/// A false stall due to the stop would be reported before this time has passed.
const SOON: u64 = THRESHOLD.as_nanos() as u64 / 2;

#[test]
fn an_observer_stopped_for_ten_thresholds_reports_no_false_stall() {
    let folder = Folder::new();
    let mut hosts = [
        Host::start(folder.join("blocking"), true, blocking),
        Host::start(folder.join("silences"), false, blocking),
        Host::start(folder.join("embedding"), true, embedding),
        Host::start(folder.join("blocking-between"), true, blocking),
        Host::start(folder.join("embedding-between"), true, embedding),
    ];
    let paths: Vec<_> = hosts.iter().map(|host| host.path.clone()).collect();
    let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
    let (start, numbers) = (Instant::now(), shared_numbers());
    let [begin, longest, beating] = numbers;
    let beat = || beat_at(&paths, start, numbers);
    let mut agents: Vec<_> = (0..AGENTS).map(|_| Child::start(beat)).collect();
    wait_until(|| beating.load(SeqCst) == AGENTS as u64);

    begin.store(u64::MAX, SeqCst);
    let (at_any_time, between) = hosts.split_at(3);
    at_any_time.iter().for_each(|host| kill(host.process.pid(), libc::SIGSTOP));
    between.iter().for_each(|host| host.command.store(STOP_BETWEEN, SeqCst));
    hosts.iter().for_each(|host| wait_until_stopped(host.process.pid()));
    std::thread::sleep(THRESHOLD * 5);
    let died = agents.pop().unwrap();
    let pid = u64::from(died.pid());
    drop(died);
    std::thread::sleep(THRESHOLD * 5);
    hosts.iter().for_each(|host| kill(host.process.pid(), libc::SIGCONT));
    begin.store(start.elapsed().as_nanos() as u64, SeqCst);
    std::thread::sleep(THRESHOLD * 5 / 2);

    // On a very busy machine an agent may get no beat through, and is silent.
    let starved = Duration::from_nanos(longest.load(SeqCst)) > THRESHOLD * 4 / 5;
    for host in &mut hosts {
        let sees_exits = !host.path.ends_with("silences");
        let (mut lines, mut resumed, mut found, mut deaf) = (Vec::new(), None, None, false);
        loop {
            let (word, about, ns, at) = host.next();
            lines.push(format!("{word} {about} {ns} {at}"));
            let all = || format!("{}:\n{}", host.path.display(), lines.join("\n"));
            match word.as_str() {
                // A busy machine can cause short pauses of its own, but each is at least this
                // long.
                "paused"
                    if (THRESHOLD / 2..THRESHOLD * 8).contains(&Duration::from_nanos(ns)) => {}
                "paused" if resumed.is_none() => resumed = Some(at),
                "exit" if about == pid && sees_exits => found = Some(at),
                "stall" if about == pid && !sees_exits => (found, deaf) = (Some(at), ns == 1),
                "stall" | "recovered" if starved => {}
                // While the queue stays full, a live agent may stall too, but not this soon.
                "stall" | "recovered" if resumed.is_none_or(|resumed| at > resumed + SOON) => {}
                "followed" => {
                    let expected = if sees_exits { AGENTS - 1 } else { AGENTS };
                    assert_eq!(about, expected as u64, "{}", all());
                    let resumed = resumed.unwrap_or_else(|| panic!("no pause; {}", all()));
                    let found = found.unwrap_or_else(|| panic!("{pid} not found; {}", all()));
                    // Its last beat may have been queued during the stop. The exit is found
                    // one threshold after that was read, or later on a busy machine or if the
                    // queue was full.
                    let after = Duration::from_nanos(found - resumed);
                    let excused = starved || deaf;
                    assert!(after <= THRESHOLD * 3 || excused, "{after:?}; {}", all());
                    break;
                }
                _ => panic!("{}", all()),
            }
            if found.is_some() {
                host.command.store(REPORT, SeqCst);
            }
        }
    }
}

/// A host that polls rarely by intention is not paused.
#[test]
fn a_host_that_polls_rarely_on_its_own_timer_still_gets_stalls() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(60);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    let mut round = || {
        std::thread::sleep(threshold * 5);
        poll_all(&mut observer)
    };
    let agent = TestAgent::at(&path);
    let mut nonce = 0;
    // If the time between polls were a pause, each silence would be extended once. On a busy
    // machine that may happen, for a pause within the round.
    for _ in 0..20 {
        nonce += 1;
        agent.beat(nonce);
        let events = round();
        assert!(events.iter().any(is("beat")));
        let silent = round();
        if !events.iter().chain(&silent).any(is("paused")) {
            assert!(silent.iter().any(is("stall")), "{silent:?}");
            return;
        }
    }
    panic!("there was a pause in each round");
}

#[test]
fn a_host_that_is_late_between_two_polls_is_paused() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(100);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    let agent = TestAgent::at(&path);
    let mut in_time = 0;
    for nonce in 1..=20 {
        agent.beat(nonce);
        poll_until(&mut observer, is("beat"));
        std::thread::sleep(threshold * 10);
        let first = observer.poll().unwrap().unwrap();
        let What::Paused { ns } = first.what else { panic!("{first}") };
        assert!(Duration::from_nanos(ns) >= threshold * 9, "{first}");
        // Exactly the pause is given back. On a busy machine the host may be late again.
        let stall = poll_until(&mut observer, is("stall")).pop().unwrap();
        let late = stall.observer_ns - first.observer_ns;
        in_time += u32::from(late <= (threshold * 2).as_nanos() as u64);
        if in_time == 3 {
            return;
        }
    }
    panic!("more than the pause is given back");
}

#[test]
fn a_host_that_misses_the_next_deadline_is_paused() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(100);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    let agent = TestAgent::at(&path);
    agent.beat(1);
    wait_until(|| poll_all(&mut observer).iter().any(is("beat")));
    assert!(observer.next_deadline().unwrap().unwrap() <= threshold);
    std::thread::sleep(threshold * 10);
    let first = observer.poll_timeout(Duration::ZERO).unwrap().unwrap();
    assert!(matches!(first.what, What::Paused { .. }), "{first}");
}

#[test]
fn a_host_learns_how_late_it_was_even_if_that_is_too_short_for_a_pause() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, PATIENCE, 0o600).unwrap();
    let agent = TestAgent::at(&path);
    agent.beat(1);
    poll_until(&mut observer, is("beat"));
    while observer.take_lateness().is_some() {}
    std::thread::sleep(ms(60));
    let before = observer.now_ns();
    assert!(poll_all(&mut observer).is_empty());
    let lateness = observer.take_lateness().unwrap();
    assert!(lateness.late_ns >= ms(60).as_nanos() as u64, "{lateness:?}");
    assert!(lateness.away_ns >= lateness.late_ns && lateness.observer_ns >= before);
    assert_eq!((lateness.suspended_ns, lateness.forgiven_ns), (0, 0));
}

const LONG: Duration = Duration::from_secs(1_000);
const TIME_NAMESPACES: &str = "a kernel with time namespaces (CONFIG_TIME_NS)";

/// Only the boot-time clock shows a suspend.
#[test]
fn suspended_time_is_given_back() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    in_child(|| {
        let threshold = PATIENCE;
        let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
        let agent = TestAgent::at(&path);
        agent.beat(1);
        let beat = poll_until(&mut observer, is("beat")).pop().unwrap();
        // From here on no deadline was requested, so that the host is never late.
        assert!(poll_all(&mut observer).is_empty());
        if !let_time_pass(LONG.as_secs(), true) {
            return skipped(TIME_NAMESPACES);
        }
        let first = observer.poll().unwrap().unwrap();
        let What::Paused { ns } = first.what else { panic!("{first}") };
        let paused = Duration::from_nanos(ns);
        // The two clocks are not read at the same instant.
        assert!(paused + ms(100) >= LONG && paused < LONG + PATIENCE, "{first}");
        let between = Duration::from_nanos(first.observer_ns - beat.observer_ns);
        assert!(between >= LONG, "the time of events includes suspend");

        // After a silence of many thresholds, the agent has the rest of its threshold left.
        assert!(!poll_all(&mut observer).iter().any(is("stall")));
        assert!(observer.next_deadline().unwrap().unwrap() <= threshold);
        agent.beat(2);
        assert_eq!(names(&poll_until(&mut observer, is("beat"))), ["beat"]);
        assert_eq!(observer.stats().unwrap().pauses, 1);
    });
}

/// The observer missed a deadline, and may have been stopped at any time since its last poll.
/// A silent agent has the time that was left at that poll, not at the deadline, when none was
/// left.
#[test]
fn all_time_since_the_last_poll_is_given_back() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    in_child(|| {
        let threshold = PATIENCE;
        let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
        let agent = TestAgent::at(&path);
        agent.beat(1);
        poll_until(&mut observer, is("beat"));
        assert!(poll_all(&mut observer).is_empty());
        let due = observer.next_deadline().unwrap().unwrap();
        assert!(due <= threshold && due > threshold / 2, "{due:?}");
        if !let_time_pass(LONG.as_secs(), false) {
            return skipped(TIME_NAMESPACES);
        }
        let first = observer.poll().unwrap().unwrap();
        let What::Paused { ns } = first.what else { panic!("{first}") };
        assert!(Duration::from_nanos(ns) >= LONG, "{first}");
        assert!(poll_all(&mut observer).is_empty());
        let left = observer.next_deadline().unwrap().unwrap();
        assert!(left <= threshold && left > threshold / 2, "{left:?}");
    });
}
