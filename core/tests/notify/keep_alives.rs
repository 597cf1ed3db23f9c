//! Keep-alives, which beats send.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, Withheld};
use varta::{Status, TaskOptions, Varta, v1};

use super::support::{Folder, PATIENCE, Receiver, in_child, system_calls_of, wait_until};
use super::{
    ALIVE, HOURS, Manager, TINY, agent, let_it_be_due, set, with_agent, with_attached_agent,
};

#[test]
fn an_ok_beat_sends_a_keep_alive_when_half_of_the_interval_has_passed() {
    with_agent("40000", |manager, mut agent| {
        let half = Duration::from_millis(20);
        let (start, mut count) = (Instant::now(), 0);
        while count < 8 {
            assert!(start.elapsed() < PATIENCE);
            assert_eq!(agent.beat(Status::Ok, 0), Sent);
            for message in manager.messages() {
                assert!(message.starts_with("WATCHDOG=1"), "{message}");
                count += 1;
                assert!(start.elapsed() >= half * (count - 1), "{count}");
            }
        }
    });
}

#[test]
fn a_keep_alive_is_one_system_call_and_a_beat_that_is_not_due_makes_none() {
    const BEATS: usize = 1_000;
    let manager = Manager::new();
    let all_beats = |is_full: bool| {
        let sends = system_calls_of(
            || {
                manager.start(HOURS);
                if is_full {
                    manager.fill_queue();
                }
                let (mut agent, receiver) = agent();
                let mut others = [Varta::connect_udp(receiver.address()).unwrap()];
                move || {
                    for _ in 0..BEATS / 2 {
                        assert_eq!(agent.beat(Status::Ok, 0), Sent);
                        assert_eq!(others[0].beat(Status::Ok, 0), Sent);
                    }
                    let _stays = &receiver;
                }
            },
            || (),
        );
        sends.into_iter().filter(|(call, _)| *call != libc::SYS_clock_gettime)
    };
    assert!(all_beats(false).eq([(libc::SYS_sendto, BEATS + 1)]));
    assert_eq!(manager.messages(), ["WATCHDOG=1"]);
    // The next attempt would be after a part of the interval.
    assert!(all_beats(true).eq([(libc::SYS_sendto, BEATS + 1)]));
    assert!(manager.messages().iter().all(|message| message == "X_FILLER=1"));
}

#[test]
fn a_beat_into_a_page_sends_keep_alives_too() {
    with_attached_agent(HOURS, |manager, agent| {
        for _ in 0..100 {
            assert_eq!(agent.beat(Status::Ok, 0), Sent);
        }
        assert_eq!(manager.messages(), ["WATCHDOG=1"]);
    });
    with_attached_agent(TINY, |manager, agent| {
        manager.messages();
        let_it_be_due();
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert!(agent.watched().is_some());
        assert_eq!(manager.messages().len(), 1);
    });
}

#[test]
fn a_beat_whose_status_is_not_ok_sends_no_keep_alive() {
    with_agent(TINY, |manager, mut agent| {
        for status in [Status::Degraded, Status::Critical, Status::Stall] {
            let _ = agent.beat(status, 0);
            let_it_be_due();
        }
        let _ = agent.last_words(0);
        assert_eq!(manager.messages(), [""; 0]);
        let _ = agent.beat(Status::Ok, 0);
        assert_eq!(manager.messages(), ["WATCHDOG=1"]);
    });
}

#[test]
fn a_process_without_an_observer_sends_keep_alives() {
    let manager = Manager::new();
    in_child(|| {
        manager.start(TINY);
        let mut agent = Varta::open(manager.folder.join("absent")).unwrap();
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
        assert_eq!(manager.messages(), ["WATCHDOG=1"]);
        let mut old = v1::Varta::open(manager.folder.join("absent")).unwrap();
        let_it_be_due();
        assert_eq!(old.beat(Status::Ok, 0), Dropped(NoObserver));
        assert_eq!((manager.messages().len(), old.ready()), (1, Sent));
    });
}

#[test]
fn a_late_vital_task_ends_the_keep_alives_whether_an_observer_reads_it_or_not() {
    let ms = Duration::from_millis(1);
    with_agent(TINY, |manager, mut agent| {
        let mut task = agent.task_with("heart", TaskOptions::new(ms).vital(true)).unwrap();
        wait_until(PATIENCE, || agent.tasks().any(|task| task.is_late()));
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(Withheld));
        assert_eq!(manager.messages(), [""; 0]);
        // Its own calls send none: it is only a part of the process.
        task.idle();
        assert_eq!(manager.messages(), [""; 0]);
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(manager.messages(), ["WATCHDOG=1"]);
    });
    with_attached_agent(TINY, |manager, agent| {
        let mut other = agent.task("other", ms).unwrap();
        let mut task = agent.task_with("heart", TaskOptions::new(ms).vital(true)).unwrap();
        wait_until(PATIENCE, || agent.tasks().all(|task| task.is_late()));
        manager.messages();
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(manager.messages(), [""; 0]);
        // The other one is not vital.
        task.idle();
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(manager.messages().len(), 1);
        other.idle();
    });
}

#[test]
fn an_invalid_interval_and_that_of_another_process_send_no_keep_alives() {
    let manager = Manager::new();
    for (variable, value) in [
        ("WATCHDOG_PID", "1"),
        ("WATCHDOG_PID", "x"),
        ("WATCHDOG_USEC", "0"),
        ("WATCHDOG_USEC", "18446744073709551615"),
        ("WATCHDOG_USEC", "2s"),
    ] {
        in_child(|| {
            manager.start(TINY);
            set(variable, value);
            let (mut agent, _receiver) = agent();
            assert_eq!((agent.beat(Status::Ok, 0), agent.ready()), (Sent, Sent));
            assert_eq!(manager.messages(), ["READY=1"], "{variable}={value}");
        });
    }
}

#[test]
fn keep_alives_end_with_stopping_if_that_was_sent() {
    let manager = Manager::new();
    in_child(|| {
        manager.start(TINY);
        let (mut agent, receiver) = agent();
        manager.fill_queue();
        assert_eq!(agent.stopping(), Dropped(KernelQueueFull));
        manager.messages();
        let _ = agent.beat(Status::Ok, 0);
        assert_eq!(manager.messages(), ["WATCHDOG=1"]);
        assert_eq!(agent.stopping(), Sent);
        let mut another = Varta::connect_udp(receiver.address()).unwrap();
        let_it_be_due();
        assert_eq!((agent.beat(Status::Ok, 0), another.beat(Status::Ok, 0)), (Sent, Sent));
        assert_eq!(manager.messages(), ["STOPPING=1"]);
    });
}

#[test]
fn an_observer_gets_no_keep_alives_of_the_agents_whose_beats_it_hears() {
    let folder = Folder::new();
    let receiver = Receiver::uds(folder.join("notify.sock"));
    let messages = |endpoint: &Path| {
        in_child(|| {
            set("VARTA_NOTIFY", "1");
            set("NOTIFY_SOCKET", folder.join("notify.sock").to_str().unwrap());
            set("WATCHDOG_USEC", TINY);
            let mut agent = Varta::open(endpoint).unwrap();
            let _ = agent.beat(Status::Ok, 0);
            assert_eq!(agent.ready(), Sent);
        });
        receiver.queued_datagrams()
    };
    assert_eq!(messages(&folder.join("varta.sock")), [b"READY=1"]);
    let elsewhere = Folder::new();
    assert_eq!(messages(&elsewhere.join("varta.sock")), [ALIVE, b"READY=1"]);
}

#[test]
fn beats_that_come_too_seldom_are_reported_once() {
    with_agent("40000", |manager, mut agent| {
        let mut message = || {
            assert_eq!(agent.beat(Status::Ok, 0), Sent);
            let messages = manager.messages();
            thread::sleep(Duration::from_millis(45));
            messages
        };
        assert_eq!(message(), ["WATCHDOG=1"]);
        let report = message().concat();
        assert!(
            report.starts_with("WATCHDOG=1\nSTATUS=The last keep-alives came "),
            "{report}"
        );
        assert!(report.ends_with(" of at most 40.0ms: beat at least every 10.0ms"), "{report}");
        assert_eq!([message(), message()].concat(), ["WATCHDOG=1"; 2]);
    });
}

#[test]
fn the_debug_output_shows_when_keep_alives_are_due() {
    let manager = Manager::new();
    in_child(|| {
        let shown = || format!("{:?}", agent().0);
        assert!(shown().contains("keep_alives: off"), "{}", shown());
        manager.start("2000000");
        assert!(shown().contains("keep_alives: every 1s"), "{}", shown());
        let _ = agent().0.stopping();
        assert!(shown().contains("keep_alives: ended"), "{}", shown());
    });
}
