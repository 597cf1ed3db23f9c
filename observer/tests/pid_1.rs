//! The first process of a pid namespace, as the main program of a container: it has pid 1 there.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "ending a child")]

mod support;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use support::lane::{Answer, LaneSocket, hello};
use support::{
    Child, Folder, TestAgent, assert_accounted, frame, in_new_pid_namespace, in_own_namespaces,
    is, ms, needs_root, poll_all, poll_for, poll_until, shared_numbers, wait_until,
};
use varta::internal::lane::message::{Hello, Message};
use varta::{BeatOutcome, DecodeError, Endpoint, Options, Status, Varta};
use varta_observer::{About, Builder, ExitCause, Observer, Origin, What};

/// Where the observer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the agent's namespace.
    Same,
    /// Above it, where the agent has another pid.
    Above,
    /// In one beside it, where the agent has no pid.
    Beside,
}

fn bind(path: &Path, namespaces: bool) -> Observer {
    let listening = Builder::new().listen(path.to_str().unwrap().parse().unwrap());
    listening.threshold(ms(300)).lane(true).namespaces(namespaces).bind().unwrap()
}

/// What the first process of a namespace does: it beats twice, with a silence between, and exits
/// with 3 or goes on, each when `step` allows it.
fn beat_and_exit(path: &Path, lane: bool, step: &AtomicU64) {
    assert_eq!(std::process::id(), 1);
    let endpoint: Endpoint = path.to_str().unwrap().parse().unwrap();
    wait_until(|| step.load(SeqCst) == 1);
    let mut agent = Varta::open_with(&endpoint, Options::default().lane(lane)).unwrap();
    wait_until(|| {
        agent.beat(Status::Ok, 1) == BeatOutcome::Sent && agent.watched().is_some() == lane
    });
    step.store(2, SeqCst);
    wait_until(|| step.load(SeqCst) == 3);
    assert_eq!(agent.beat(Status::Degraded, 2), BeatOutcome::Sent);
    wait_until(|| step.load(SeqCst) >= 4);
    if step.load(SeqCst) == 4 {
        // SAFETY: ends this child at once.
        unsafe { libc::_exit(3) };
    }
}

/// Reports all verdicts about that process, and returns how they describe it.
fn observe(observer: &mut Observer, lane: bool, step: &AtomicU64) -> About {
    step.store(1, SeqCst);
    let mut agents = Vec::new();
    wait_until(|| {
        poll_for(observer, ms(1));
        agents = observer.snapshot().unwrap();
        step.load(SeqCst) == 2 && agents.first().is_some_and(|agent| agent.stalled)
    });
    assert!(matches!(&agents[..], [agent] if agent.lane == lane), "{agents:?}");
    step.store(3, SeqCst);
    let recovered = poll_until(observer, is("recovered")).pop().unwrap();
    let counters = observer.stats().unwrap();
    assert_eq!(
        (counters.bad_pid, counters.auth_failures, counters.namespace_refused),
        (0, 0, 0)
    );
    recovered.about.unwrap()
}

fn observe_to_the_end(
    observer: &mut Observer,
    lane: bool,
    step: &AtomicU64,
    cause: ExitCause,
) -> About {
    let about = observe(observer, lane, step);
    step.store(4, SeqCst);
    let exit = poll_until(observer, is("exit")).pop().unwrap();
    assert_eq!(exit.about, Some(about));
    assert_eq!(exit.what, What::Exit { cause, last_status: Status::Degraded });
    about
}

fn first_process_is_judged(place: Place, lane: bool) {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let [step] = shared_numbers();
    let first = || Child::start(|| beat_and_exit(&path, lane, step));
    match place {
        Place::Same => in_own_namespaces(|| {
            let observer = Child::start(|| {
                let mut observer = bind(&path, false);
                let about = observe(&mut observer, lane, step);
                assert_eq!((about.pid, about.claimed_pid), (1, 1));
                assert_eq!(about.origin, Origin::KernelAttested);
                step.store(5, SeqCst);
            });
            // It is not to exit, which would end the observer too.
            beat_and_exit(&path, lane, step);
            observer.finish();
        }),
        Place::Above => {
            let mut observer = bind(&path, true);
            let mut agent = in_new_pid_namespace(first);
            let about = observe_to_the_end(&mut observer, lane, step, ExitCause::Code(3));
            assert_eq!((about.pid, about.claimed_pid), (agent.pid(), 1));
            assert_eq!(about.origin, Origin::KernelAttested);
            agent.wait();
        }
        Place::Beside => {
            let observing = in_new_pid_namespace(|| {
                Child::start(|| {
                    let mut observer = bind(&path, true);
                    // The kernel tells only those who can see the process how it ended.
                    let unknown = ExitCause::Unknown;
                    let about = observe_to_the_end(&mut observer, lane, step, unknown);
                    assert_eq!((about.pid, about.claimed_pid), (0, 1));
                    assert_eq!(about.origin, Origin::KernelAttested);
                })
            });
            let mut agent = in_new_pid_namespace(first);
            agent.wait();
            observing.finish();
        }
    }
}

#[test]
fn the_first_process_of_the_observers_own_namespace_is_judged() {
    first_process_is_judged(Place::Same, false);
}

#[test]
fn the_first_process_of_the_observers_own_namespace_is_judged_by_its_page() {
    first_process_is_judged(Place::Same, true);
}

#[test]
fn the_first_process_of_a_namespace_below_is_judged() {
    first_process_is_judged(Place::Above, false);
}

#[test]
fn the_first_process_of_a_namespace_below_is_judged_by_its_page() {
    first_process_is_judged(Place::Above, true);
}

#[test]
fn the_first_process_of_a_namespace_beside_is_judged() {
    first_process_is_judged(Place::Beside, false);
}

#[test]
fn the_first_process_of_a_namespace_beside_is_judged_by_its_page() {
    first_process_is_judged(Place::Beside, true);
}

/// The answer to a process that asks for a page as pid 1.
fn page_for_pid_1(path: &Path, observer: &mut Observer) -> Answer {
    let socket = LaneSocket::connect(path).unwrap();
    socket.say(&Message::Hello(Hello { pid: 1, ..hello() })).unwrap();
    socket.await_answer(|| drop(poll_all(observer)))
}

/// Only the kernel can say who is pid 1.
#[test]
fn no_other_process_can_pass_for_pid_1() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    for admitted in [false, true] {
        let path = folder.join("varta.sock");
        let mut observer = bind(&path, admitted);
        let refused = |observer: &mut Observer| {
            let what = poll_until(observer, is("decode")).pop().unwrap().what;
            assert_eq!(what, What::Decode(DecodeError::BadPid(1)));
        };
        // In the observer's namespace, whether it was heard before or not.
        let outside = TestAgent::at(&path);
        outside.send(&frame(1, 1));
        refused(&mut observer);
        outside.beat(1);
        outside.send(&frame(1, 2));
        refused(&mut observer);
        assert!(matches!(page_for_pid_1(&path, &mut observer), Answer::Refused(_)));
        // In a container: only its first process is pid 1 there.
        let (first, second) =
            in_new_pid_namespace(|| (TestAgent::at(&path), TestAgent::at(&path)));
        second.send(&frame(1, 1));
        refused(&mut observer);
        first.send(&frame(1, 1));
        second.send(&frame(2, 1));
        second.send(&frame(1, 2));
        refused(&mut observer);
        let pids: Vec<_> = observer
            .snapshot()
            .unwrap()
            .iter()
            .map(|agent| (agent.pid, agent.claimed_pid))
            .collect();
        let mut expected = vec![(outside.pid(), outside.pid())];
        if admitted {
            expected.extend([(first.pid(), 1), (second.pid(), 2)]);
        }
        assert_eq!(pids, expected);
        let stats = observer.stats().unwrap();
        assert_eq!((stats.bad_pid, stats.auth_failures), (4, 0));
        assert_eq!(stats.namespace_refused, if admitted { 0 } else { 2 });
        assert_accounted(&observer, expected.len() as u64);
    }
}
