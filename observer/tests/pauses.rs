//! Shows that an observer which was away itself blames nobody else for it, and that one
//! whose host merely comes seldom still says what there is to say.

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

/// What the test tells the hosts.
const STOP_BETWEEN: u64 = 1;
const REPORT: u64 = 2;

/// A process that does nothing but observe. It says every event but beats on a stream.
struct Environment {
    process: Child,
    said: BufReader<UnixStream>,
    told: &'static AtomicU64,
    path: PathBuf,
}

impl Environment {
    fn start(path: PathBuf, exits: bool, run: fn(&mut Observer, &mut Saying)) -> Self {
        let (said, saying) = UnixStream::pair().unwrap();
        said.set_read_timeout(Some(PATIENCE)).unwrap();
        let [told] = shared_numbers();
        let endpoint = path.to_str().unwrap().parse().unwrap();
        let builder = Observer::builder().listen(endpoint).threshold(THRESHOLD);
        let process = Child::start(|| {
            let mut observer = builder.detect_exits(exits).bind().unwrap();
            let mut saying = Saying { to: saying, told };
            loop {
                run(&mut observer, &mut saying);
                if told.load(SeqCst) == REPORT {
                    let followed = observer.snapshot().unwrap().len();
                    writeln!(saying.to, "followed {followed} 0 0").unwrap();
                    wait_until(|| false);
                }
            }
        });
        wait_until(|| path.exists());
        Self { process, said: BufReader::new(said), told, path }
    }

    /// The next thing it says: a word and two numbers, and when.
    fn next(&mut self) -> (String, u64, u64, u64) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse().unwrap();
        (words[0].to_owned(), number(1), number(2), number(3))
    }
}

struct Saying {
    to: UnixStream,
    told: &'static AtomicU64,
}

impl Saying {
    fn say(&mut self, event: &Event) {
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

    fn stop_if_told(&self) {
        if self.told.compare_exchange(STOP_BETWEEN, 0, SeqCst, SeqCst).is_ok() {
            stop_here();
        }
    }
}

/// Blocks in poll, as most do.
fn blocking(observer: &mut Observer, saying: &mut Saying) {
    let event = observer.poll_timeout(THRESHOLD).unwrap();
    saying.stop_if_told();
    event.iter().for_each(|event| saying.say(event));
}

/// Waits by a poll(2) of its own.
fn embedding(observer: &mut Observer, saying: &mut Saying) {
    readable_within(observer.as_fd(), PATIENCE);
    saying.stop_if_told();
    while let Some(event) = observer.poll_timeout(Duration::ZERO).unwrap() {
        saying.say(&event);
    }
}

/// Beats at each of the places at least ten times per threshold. Notes the longest time for which
/// one of them took no beat; until `begin`, in nanoseconds since the start, that is fine.
/// Has itself counted once each has taken a beat.
fn beat_at(paths: &[&Path], start: Instant, [begin, longest, beating]: &[AtomicU64; 3]) {
    let mut agents: Vec<_> =
        paths.iter().map(|path| (Varta::connect(path).unwrap(), 0)).collect();
    let mut counted = false;
    // Each at a pace of its own: who always beat in the same instant as all others, and late
    // among them, would never find room.
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

/// Who is accused only because the observer was stopped is so before this has passed.
const SOON: u64 = THRESHOLD.as_nanos() as u64 / 2;

#[test]
fn an_observer_stopped_for_ten_thresholds_reports_no_false_stall() {
    let folder = Folder::new();
    let mut hosts = [
        Environment::start(folder.join("blocking"), true, blocking),
        Environment::start(folder.join("silences"), false, blocking),
        Environment::start(folder.join("embedding"), true, embedding),
        Environment::start(folder.join("blocking-between"), true, blocking),
        Environment::start(folder.join("embedding-between"), true, embedding),
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
    between.iter().for_each(|host| host.told.store(STOP_BETWEEN, SeqCst));
    hosts.iter().for_each(|host| wait_until_stopped(host.process.pid()));
    std::thread::sleep(THRESHOLD * 5);
    let died = agents.pop().unwrap();
    let pid = u64::from(died.pid());
    drop(died);
    std::thread::sleep(THRESHOLD * 5);
    hosts.iter().for_each(|host| kill(host.process.pid(), libc::SIGCONT));
    begin.store(start.elapsed().as_nanos() as u64, SeqCst);
    std::thread::sleep(THRESHOLD * 5 / 2);

    // On a machine so busy that some agent got no beat through, it is silent.
    let starved = Duration::from_nanos(longest.load(SeqCst)) > THRESHOLD * 4 / 5;
    for host in &mut hosts {
        let sees_exits = !host.path.ends_with("silences");
        let (mut said, mut resumed, mut found, mut deaf) = (Vec::new(), None, None, false);
        loop {
            let (word, about, ns, at) = host.next();
            said.push(format!("{word} {about} {ns} {at}"));
            let all = || format!("{}:\n{}", host.path.display(), said.join("\n"));
            match word.as_str() {
                // A busy machine makes short ones of its own, though none that are not late.
                "paused"
                    if (THRESHOLD / 2..THRESHOLD * 8).contains(&Duration::from_nanos(ns)) => {}
                "paused" if resumed.is_none() => resumed = Some(at),
                "exit" if about == pid && sees_exits => found = Some(at),
                "stall" if about == pid && !sees_exits => (found, deaf) = (Some(at), ns == 1),
                "stall" | "recovered" if starved => {}
                // And where the queue stays full, a live one goes unheard; but not so soon.
                "stall" | "recovered" if resumed.is_none_or(|resumed| at > resumed + SOON) => {}
                "followed" => {
                    let expected = if sees_exits { AGENTS - 1 } else { AGENTS };
                    assert_eq!(about, expected as u64, "{}", all());
                    let resumed = resumed.unwrap_or_else(|| panic!("not paused; {}", all()));
                    let found = found.unwrap_or_else(|| panic!("{pid} not found; {}", all()));
                    // Its last beat may have been queued all the while. It is found one
                    // threshold after that was read; later on a busy machine, and where the
                    // queue was full.
                    let after = Duration::from_nanos(found - resumed);
                    let excused = starved || deaf;
                    assert!(after <= THRESHOLD * 3 || excused, "{after:?}; {}", all());
                    break;
                }
                _ => panic!("{}", all()),
            }
            if found.is_some() {
                host.told.store(REPORT, SeqCst);
            }
        }
    }
}

/// Pauses are what nobody could have meant. This one means to come so seldom.
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
    // Were its absence a pause, each silence would be forgiven once. On a busy machine one
    // may be, for a pause within the round.
    for _ in 0..20 {
        nonce += 1;
        agent.beat(nonce);
        let heard = round();
        assert!(heard.iter().any(is("beat")));
        let silent = round();
        if !heard.iter().chain(&silent).any(is("paused")) {
            assert!(silent.iter().any(is("stall")), "{silent:?}");
            return;
        }
    }
    panic!("it is always said to be late");
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
        // All is given back, and no more than that; but a busy machine may hold the host again.
        let stall = poll_until(&mut observer, is("stall")).pop().unwrap();
        let late = stall.observer_ns - first.observer_ns;
        in_time += u32::from(late <= (threshold * 2).as_nanos() as u64);
        if in_time == 3 {
            return;
        }
    }
    panic!("more is given back");
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

const LONG: Duration = Duration::from_secs(1_000);
const TIME_NAMESPACES: &str = "a kernel with time namespaces (CONFIG_TIME_NS)";

/// A suspend shows in nothing but the clock that counts from boot.
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
        // From here on it comes when it likes, and is never late.
        assert!(poll_all(&mut observer).is_empty());
        if !let_time_pass(LONG.as_secs(), true) {
            return skipped(TIME_NAMESPACES);
        }
        let first = observer.poll().unwrap().unwrap();
        let What::Paused { ns } = first.what else { panic!("{first}") };
        let paused = Duration::from_nanos(ns);
        // The two clocks are not read at one instant.
        assert!(paused + ms(100) >= LONG && paused < LONG + PATIENCE, "{first}");
        let between = Duration::from_nanos(first.observer_ns - beat.observer_ns);
        assert!(between >= LONG, "its time counts suspend");

        // Silent for many thresholds, it has what it had left.
        assert!(!poll_all(&mut observer).iter().any(is("stall")));
        assert!(observer.next_deadline().unwrap().unwrap() <= threshold);
        agent.beat(2);
        assert_eq!(names(&poll_until(&mut observer, is("beat"))), ["beat"]);
        assert_eq!(observer.stats().unwrap().pauses, 1);
    });
}

/// It was due at a deadline, and may have been deaf since it looked last: who was silent has
/// what was left then, not what was left at the deadline, which is nothing.
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
