//! Tasks of this process, and what observers report of them.

use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread;

use super::support::{
    Agent, Child, Ended, Folder, Observer, PATIENCE, Task, attached, init, patient, text,
};
use crate::agent::*;
use crate::constants::*;
use crate::event::varta_event;
use crate::handle::Handle;
use crate::observer::agents::*;
use crate::observer::options::*;
use crate::observer::tasks::varta_observer_tasks;
use crate::task::counters::*;
use crate::task::info::*;
use crate::task::options::*;
use crate::task::*;

const SECOND: u64 = 1_000_000_000;
const INVALID: i32 = -libc::EINVAL;
const BUSY: i32 = -libc::EBUSY;

/// An observer that follows tasks, and looks often enough to find soon that one has ended.
fn observer_of_tasks(folder: &Folder) -> Observer {
    let mut options = patient();
    options.threshold_ns = SECOND / 5;
    options.flags = VARTA_OBSERVER_LANE | VARTA_OBSERVER_TASKS;
    Observer::bind_with(&folder.socket(), &options)
}

fn name_of(name: &[std::ffi::c_char; 24]) -> &str {
    unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().unwrap()
}

fn counts(task: &Task) -> varta_task_counters {
    let mut counters = init();
    assert_eq!(unsafe { varta_task_counts(task.0, &raw mut counters) }.number(), 0);
    counters
}

fn tasks(agent: &Agent) -> Vec<varta_task_info> {
    let mut tasks: [varta_task_info; 40] = [init(); 40];
    let count = unsafe { varta_agent_tasks(agent.0, tasks.as_mut_ptr(), 40) }.number();
    tasks[..usize::try_from(count).unwrap()].to_vec()
}

#[test]
fn an_observer_reports_a_task_from_its_declaration_to_its_end() {
    let folder = Folder::new();
    let observer = observer_of_tasks(&folder);
    let agent = Agent::connect(&folder.socket());
    attached(&agent, &observer);

    let ingest = Task::open(&agent, "ingest", 3600 * SECOND);
    let declared = observer.wait(|event| event.kind == VARTA_EVENT_TASK);
    assert_eq!((declared.task, declared.pid), (1, std::process::id()));
    assert_eq!(name_of(&declared.task_name), "ingest");
    assert_eq!(declared.duration_ns, 3600 * SECOND);

    let calls = unsafe {
        [
            varta_task_progress(ingest.0, 5, 7),
            varta_task_reach(ingest.0, 3),
            varta_task_idle(ingest.0, VARTA_NEVER),
            varta_task_beat(ingest.0, VARTA_STATUS_DEGRADED, 42),
        ]
    };
    assert_eq!(calls.map(|code| code.number()), [0; 4]);
    let of_task = |kind| move |event: &varta_event| event.kind == kind && event.task == 1;
    let beat = observer.wait(|event| of_task(VARTA_EVENT_BEAT)(event) && event.payload == 42);
    assert_eq!(beat.status, VARTA_STATUS_DEGRADED);

    let mut info: varta_task_info = init();
    let list = |info, cap| unsafe { varta_observer_tasks(observer.0, beat.agent, info, cap) };
    assert_eq!(list(ptr::null_mut(), 0).number(), 1);
    assert_eq!(list(&raw mut info, 1).number(), 1);
    assert_eq!((info.number, name_of(&info.name), info.payload), (1, "ingest", 42));
    assert_eq!((info.done, info.left, info.checkpoint), (5, 7, 3));
    assert_eq!((info.flags, info.broken, info.promise), (0, 0, VARTA_PROMISE_BEAT));
    assert_eq!((info.threshold_ns, info.status), (3600 * SECOND, VARTA_STATUS_DEGRADED));
    assert_eq!(info.due_ns, info.last_ns + 3600 * SECOND);
    let mut process: varta_agent_info = init();
    unsafe { varta_observer_agents(observer.0, &raw mut process, 1) };
    assert_eq!((process.flags, process.tasks, process.tasks_late), (VARTA_AGENT_LANE, 1, 0));

    drop(ingest);
    let ended = observer.wait(of_task(VARTA_EVENT_ENDED));
    assert_eq!(ended.rule, VARTA_ENDED_CLOSED);
    let failing = Task::open(&agent, "failing", VARTA_NEVER);
    observer.wait(|event| event.kind == VARTA_EVENT_TASK);
    unsafe { varta_task_fail(failing.take()) };
    let ended = observer.wait(|event| event.kind == VARTA_EVENT_ENDED);
    assert_eq!((ended.rule, name_of(&ended.task_name)), (VARTA_ENDED_FAILED, "failing"));
}

#[test]
fn a_late_task_is_a_stall_of_its_promise_and_then_a_recovery() {
    let folder = Folder::new();
    let observer = observer_of_tasks(&folder);
    let agent = Agent::connect(&folder.socket());
    attached(&agent, &observer);
    let mut options: varta_task_options = init();
    options.finest_ns = SECOND / 50;
    let task = Task::open_with(&agent, "hangs", 3600 * SECOND, &options);
    let watch = unsafe { varta_task_watch_labelled(task.0, 0, SECOND / 50, 9) }.number();
    assert!(watch > 0);
    let stall = observer.wait(|event| event.kind == VARTA_EVENT_STALL && event.task != 0);
    assert_eq!((stall.promise, stall.checkpoint), (VARTA_PROMISE_SPAN, 9));
    assert!(stall.due_ns > stall.last_ns);
    let [late] = tasks(&agent)[..] else { panic!("one task") };
    assert_eq!((late.flags, late.broken), (VARTA_TASK_LATE, 1 << (VARTA_PROMISE_SPAN - 1)));

    assert_eq!(unsafe { varta_task_unwatch(task.0, watch) }.number(), 1);
    assert_eq!(unsafe { varta_task_unwatch(task.0, watch) }.number(), 0, "it was closed");
    let back = observer.wait(|event| event.kind == VARTA_EVENT_RECOVERED && event.task != 0);
    assert_eq!(back.promise, VARTA_PROMISE_SPAN);
    let violation = observer.wait(|event| event.kind == VARTA_EVENT_VIOLATION);
    assert_eq!((violation.rule, violation.count), (VARTA_RULE_TOO_LATE, 1));
    assert_eq!(violation.from, 9);
    assert_eq!(counts(&task).too_late, 1);
}

#[test]
fn a_task_counts_what_its_calls_did_wrong() {
    let agent = Agent::connect(&text("@varta-counts"));
    let edges = [
        varta_edge { from: 0, to: 1, reserved: 0, min_ns: 0, max_ns: 0 },
        varta_edge { from: 1, to: 2, reserved: 0, min_ns: 3600 * SECOND, max_ns: VARTA_NEVER },
    ];
    let mut options: varta_task_options = init();
    options.edges = edges.as_ptr();
    options.edge_count = edges.len();
    options.spans = 2;
    let task = Task::open_with(&agent, "steps", VARTA_NEVER, &options);
    for checkpoint in [1, 2, 1] {
        assert_eq!(unsafe { varta_task_reach(task.0, checkpoint) }.number(), 0);
    }
    let spans = [(); 3].map(|()| unsafe { varta_task_watch(task.0, SECOND, VARTA_NEVER) });
    let [first, _, third] = spans.map(|span| span.number());
    assert_eq!(third, 0, "two may be open");
    for span in [0, -1, i64::MIN, i64::MAX, first + 100] {
        assert_eq!(unsafe { varta_task_unwatch(task.0, span) }.number(), 0, "{span}");
    }
    assert_eq!(unsafe { varta_task_unwatch(task.0, first) }.number(), 1);
    let counted = counts(&task);
    assert_eq!((counted.too_early, counted.wrong_order, counted.unwatched), (2, 1, 1));
    assert_eq!((counted.number, counted.too_late, counted.undeclared), (1, 0, 0));
}

#[test]
fn an_invalid_declaration_is_refused_with_a_reason() {
    let agent = Agent::connect(&text("@varta-invalid"));
    let open = |name: &CStr, threshold, change: &dyn Fn(&mut varta_task_options)| {
        let mut why = [0_u8; 200];
        let mut options: varta_task_options = init();
        options.message = why.as_mut_ptr().cast();
        options.message_size = why.len();
        change(&mut options);
        let mut task = ptr::null_mut();
        let code = unsafe {
            varta_task_open(
                &raw mut task,
                agent.0,
                name.as_ptr(),
                threshold,
                &raw const options,
            )
        };
        unsafe { varta_task_close(task) };
        (code.number(), CStr::from_bytes_until_nul(&why).unwrap().to_str().unwrap().to_owned())
    };
    let refused = |name: &CStr, threshold, change: &dyn Fn(&mut varta_task_options)| {
        let (code, why) = open(name, threshold, change);
        assert_eq!(code, INVALID, "{name:?}, {threshold}");
        why
    };
    assert_eq!(open(c"23 bytes, as many as fit", SECOND, &|_| ()).0, INVALID);
    assert_eq!(open(c"23 bytes, which can be.", SECOND, &|_| ()).0, 0);
    for name in [c"", c"line\n", c"\xff"] {
        assert!(refused(name, SECOND, &|_| ()).contains("name"), "{name:?}");
    }
    for threshold in [0, 999_999, 30 * 24 * 3600 * SECOND + 1, VARTA_NEVER - 1] {
        assert!(refused(c"t", threshold, &|_| ()).contains("threshold"));
    }
    for time in 0..4 {
        let why = refused(c"t", SECOND, &|options| {
            let (startup, progress) = (&mut options.startup_ns, &mut options.progress_ns);
            let times = [startup, progress, &mut options.finest_ns, &mut options.cycle_ns];
            *times.into_iter().nth(time).unwrap() = 1;
        });
        assert_ne!(why, "");
    }
    for bit in 2..32 {
        refused(c"t", SECOND, &|options| options.flags = 1 << bit);
    }
    refused(c"t", SECOND, &|options| options.reserved = 1);
    refused(c"t", SECOND, &|options| options.least = 1);
    refused(c"t", SECOND, &|options| options.most = 1);
    refused(c"t", SECOND, &|options| options.spans = 65_537);
    refused(c"t", SECOND, &|options| options.edge_count = 1);
    refused(c"t", SECOND, &|options| {
        (options.cycle_ns, options.least, options.most) = (SECOND, 3, 2);
    });
    let edge = varta_edge { from: 1, to: 2, reserved: 0, min_ns: 5, max_ns: 5 };
    let reserved = varta_edge { reserved: 1, max_ns: 0, ..edge };
    for edges in [&[edge][..], &[reserved], &[varta_edge { min_ns: 0, ..edge }; 2]] {
        refused(c"t", SECOND, &|options| {
            (options.edges, options.edge_count) = (edges.as_ptr(), edges.len());
        });
    }
    let idle = varta_task_idle;
    assert_eq!(unsafe { idle(ptr::null_mut(), 0) }.number(), INVALID);

    // There are 31 tasks at most, and each has a number of its own.
    let all: Vec<_> = (0..31).map(|_| Task::open(&agent, "one of many", SECOND)).collect();
    let (code, why) = open(c"another", SECOND, &|_| ());
    assert_eq!(code, -libc::ENOSPC);
    assert_eq!(why, "cannot declare the task \"another\": the process has 31 tasks already");
    let mut numbers: Vec<_> = tasks(&agent).iter().map(|task| task.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 31);
    drop(all);
    assert_eq!(tasks(&agent).len(), 0);
    assert_eq!(open(c"another", SECOND, &|_| ()).0, 0);
}

#[test]
fn only_three_statuses_are_recorded() {
    let agent = Agent::connect(&text("@varta-statuses"));
    let task = Task::open(&agent, "task", SECOND);
    for status in 0..=u8::MAX {
        let expected = if status < 3 { 0 } else { INVALID };
        let code = unsafe { varta_task_beat(task.0, status, status.into()) };
        assert_eq!(code.number(), expected, "status {status}");
    }
    assert_eq!(tasks(&agent)[0].payload, 2);
}

#[test]
fn a_second_call_on_a_task_is_refused_and_the_task_moves_between_threads() {
    let agent = Agent::connect(&text("@varta-two-calls"));
    let task = Task::open(&agent, "task", SECOND);
    let again = |_: &mut varta::Task| {
        let span = unsafe { varta_task_watch(task.0, 0, 1) }.number();
        let mut counters: varta_task_counters = init();
        let others = unsafe {
            [
                varta_task_beat(task.0, 0, 0),
                varta_task_idle(task.0, 0),
                varta_task_unwatch(task.0, 1),
                varta_task_reach(task.0, 1),
                varta_task_progress(task.0, 1, 1),
                varta_task_counts(task.0, &raw mut counters),
            ]
        };
        assert_eq!((span, others.map(|code| code.number())), (BUSY.into(), [BUSY; 6]));
        Ok(())
    };
    assert_eq!(unsafe { Handle::<varta::Task>::with(task.0.cast(), again) }, Ok(()));
    let task = thread::spawn(move || {
        let task = task;
        assert_eq!(unsafe { varta_task_beat(task.0, 0, 8) }.number(), 0);
        task
    });
    let task = task.join().unwrap();
    assert_eq!(unsafe { varta_task_beat(task.0, 0, 9) }.number(), 0);
}

#[test]
fn a_forked_child_declares_the_task_anew_with_its_first_call() {
    let folder = Folder::new();
    let observer = observer_of_tasks(&folder);
    let agent = Agent::connect(&folder.socket());
    attached(&agent, &observer);
    let task = Task::open(&agent, "inherited", 3600 * SECOND);
    observer.wait(|event| event.kind == VARTA_EVENT_TASK);
    let (seen, mut until_seen) = UnixStream::pair().unwrap();
    let child = Child::start(|| {
        // Until the child has a page of its own.
        while agent.watched_ns() == VARTA_NEVER {
            agent.beat(0, 0);
            unsafe { varta_task_beat(task.0, 0, 5) };
            thread::yield_now();
        }
        assert_eq!(unsafe { varta_task_beat(task.0, 0, 6) }.number(), 0);
        until_seen.read_exact(&mut [0]).unwrap();
        unsafe { varta_task_close(task.0) };
        0
    });
    let pid = u32::try_from(child.0).unwrap();
    let of_child = |kind| move |event: &varta_event| event.pid == pid && event.kind == kind;
    let declared = observer.wait(of_child(VARTA_EVENT_TASK));
    assert_eq!(name_of(&declared.task_name), "inherited");
    (&seen).write_all(&[0]).unwrap();
    observer.wait(of_child(VARTA_EVENT_EXIT));
    assert_eq!(child.ended(), Ended::Exited(0));
    assert_eq!(unsafe { varta_task_beat(task.0, 0, 7) }.number(), 0, "the parent's goes on");
    observer.wait(|event| event.task != 0 && event.payload == 7);
}

#[test]
fn a_late_vital_task_withholds_the_beat_of_an_agent_without_a_lane() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    let mut options: varta_task_options = init();
    options.flags = VARTA_TASK_VITAL | VARTA_TASK_ROAMS;
    let task = Task::open_with(&agent, "vital", SECOND / 1000, &options);
    let start = std::time::Instant::now();
    while agent.beat(0, 1) != VARTA_DROPPED_WITHHELD {
        assert!(start.elapsed() < PATIENCE);
        observer.poll(0);
    }
    assert_eq!(tasks(&agent)[0].flags, VARTA_TASK_VITAL | VARTA_TASK_LATE);
    assert_eq!(unsafe { varta_task_idle(task.0, VARTA_NEVER) }.number(), 0);
    assert_eq!(tasks(&agent)[0].flags, VARTA_TASK_VITAL | VARTA_TASK_IDLE);
    assert_eq!(agent.beat(0, 2), VARTA_SENT);
    observer.wait(|event| event.payload == 2);
}

#[test]
fn an_agent_uses_the_lane_unless_it_is_told_not_to() {
    let folder = Folder::new();
    let observer = observer_of_tasks(&folder);
    let agent = Agent::connect(&folder.socket());
    attached(&agent, &observer);
    while observer.poll(0).is_some() {}
    assert_eq!((agent.beat(0, 5), agent.beat(0, 6), agent.beat(2, 7)), (0, 0, 0));
    let beat = observer.wait(|event| event.payload == 7);
    assert_eq!((beat.count, beat.missed), (3, 0), "one look found three beats");
    let flag = || {
        let mut options: varta_agent_options = init();
        options.flags = VARTA_AGENT_NO_LANE;
        Agent::connect_with(&folder.socket(), &options)
    };
    let in_the_endpoint = || {
        let endpoint = format!("{}?lane=off", folder.socket().to_str().unwrap());
        Agent::connect(&text(&endpoint))
    };
    for other in [flag(), in_the_endpoint()] {
        for payload in 10..13 {
            assert_eq!(other.beat(0, payload), VARTA_SENT);
            assert_eq!(observer.wait(|event| event.payload == u64::from(payload)).count, 1);
        }
        assert_eq!(other.watched_ns(), VARTA_NEVER);
    }
}

#[test]
fn last_words_arrive_whichever_way_beats_go() {
    let folder = Folder::new();
    let observer = observer_of_tasks(&folder);
    let agent = Agent::connect(&folder.socket());
    let say = |payload| unsafe { varta_last_words(agent.0, payload) }.number();
    let heard = |payload| {
        let last = observer.wait(|event| event.nonce == u64::MAX);
        assert_eq!((last.payload, last.status), (payload, VARTA_STATUS_CRITICAL));
    };
    assert_eq!(say(1), VARTA_SENT);
    heard(1);
    attached(&agent, &observer);
    assert_eq!(say(2), VARTA_SENT);
    heard(2);
    let child = Child::start(|| say(3));
    heard(3);
    assert_eq!(child.ended(), Ended::Exited(0));
    let nobody = Agent::connect(&text(folder.join("nobody").to_str().unwrap()));
    let code = unsafe { varta_last_words(nobody.0, 0) };
    assert_eq!(code.number(), VARTA_DROPPED_NO_OBSERVER);
}
