//! An agent notifies the service manager of its process: keep-alives with its beats, and
//! `ready`, `stopping` and `status`. Each test runs in a forked child, which has an environment
//! of its own.

#![cfg(all(target_os = "linux", feature = "udp"))]
#![allow(unsafe_code, reason = "the environment of a child, and closing its descriptors")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use support::observer::LaneObserver;
use support::{Child, Folder, PATIENCE, Receiver, in_child, system_calls_of, wait_until};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, NotConfigured, Withheld};
use varta::{AnyTransport, Endpoint, Options, Status, TaskOptions, UdpTransport, Varta, v1};

const ALIVE: &[u8] = b"WATCHDOG=1";
/// An interval of which each beat is after the half.
const TINY: &str = "1";
/// An interval of which only the first beat of a test is due.
const HOURS: &str = "36000000000";

/// What a service manager sets for its process.
struct Manager {
    folder: Folder,
    receiver: Receiver,
}

impl Manager {
    fn new() -> Self {
        let folder = Folder::new();
        let receiver = Receiver::uds(folder.join("manager"));
        Self { folder, receiver }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("manager")
    }

    /// Sets what it sets for this process, in which notifications are on.
    fn start(&self, usec: &str) {
        set("VARTA_NOTIFY", "1");
        set("NOTIFY_SOCKET", self.socket().to_str().unwrap());
        set("WATCHDOG_USEC", usec);
        set("WATCHDOG_PID", &process::id().to_string());
    }

    fn messages(&self) -> Vec<String> {
        let text = |message| String::from_utf8(message).unwrap();
        self.receiver.queued_datagrams().into_iter().map(text).collect()
    }

    fn fill_queue(&self) {
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"X_FILLER=1", self.socket()).is_ok() {}
    }
}

/// In a child, which has one thread.
fn set(name: &str, value: &str) {
    // SAFETY: no other thread uses the environment.
    unsafe { env::set_var(name, value) };
}

fn unset(name: &str) {
    // SAFETY: as above.
    unsafe { env::remove_var(name) };
}

/// An agent whose beats arrive somewhere.
fn agent() -> (Varta<UdpTransport>, Receiver) {
    let receiver = Receiver::udp();
    (Varta::connect_udp(receiver.address()).unwrap(), receiver)
}

/// Time enough for a tiny interval.
fn let_it_be_due() {
    thread::sleep(Duration::from_millis(1));
}

#[test]
fn an_ok_beat_sends_a_keep_alive_when_half_of_the_interval_has_passed() {
    let manager = Manager::new();
    in_child(|| {
        manager.start("40000");
        let half = Duration::from_millis(20);
        let (mut agent, _receiver) = agent();
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
    let manager = Manager::new();
    in_child(|| {
        manager.start(HOURS);
        let folder = Folder::new();
        let observer = LaneObserver::bind(&folder.join("varta.sock"));
        let (mut agent, _connection, _page) = observer.attach(&folder.join("varta.sock"));
        for _ in 0..100 {
            assert_eq!(agent.beat(Status::Ok, 0), Sent);
        }
        assert_eq!(manager.messages(), ["WATCHDOG=1"]);
    });
    in_child(|| {
        manager.start(TINY);
        let folder = Folder::new();
        let observer = LaneObserver::bind(&folder.join("varta.sock"));
        let (mut agent, _connection, _page) = observer.attach(&folder.join("varta.sock"));
        manager.messages();
        let_it_be_due();
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert!(agent.watched().is_some());
        assert_eq!(manager.messages().len(), 1);
    });
}

#[test]
fn a_beat_whose_status_is_not_ok_sends_no_keep_alive() {
    let manager = Manager::new();
    in_child(|| {
        manager.start(TINY);
        let (mut agent, _receiver) = agent();
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
    let manager = Manager::new();
    in_child(|| {
        manager.start(TINY);
        let (mut agent, _receiver) = agent();
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
    in_child(|| {
        manager.start(TINY);
        let folder = Folder::new();
        let observer = LaneObserver::bind(&folder.join("varta.sock"));
        let (mut agent, _connection, _page) = observer.attach(&folder.join("varta.sock"));
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
fn a_full_queue_neither_blocks_nor_fails_a_beat_and_the_keep_alive_is_tried_again() {
    let manager = Manager::new();
    in_child(|| {
        manager.start("320000");
        manager.fill_queue();
        let (mut agent, _receiver) = agent();
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(agent.ready(), Dropped(KernelQueueFull));
        manager.messages();
        wait_until(PATIENCE, || {
            assert_eq!(agent.beat(Status::Ok, 0), Sent);
            manager.receiver.queued_datagram().is_some_and(|message| message == ALIVE)
        });
    });
}

#[test]
fn the_socket_may_come_late_and_be_replaced() {
    let manager = Manager::new();
    in_child(|| {
        manager.start("4000");
        let path = manager.socket();
        fs::remove_file(&path).unwrap();
        let (mut agent, _receiver) = agent();
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(agent.ready(), Dropped(NoObserver));
        for _ in 0..2 {
            let receiver = Receiver::uds(&path);
            wait_until(PATIENCE, || {
                assert_eq!(agent.beat(Status::Ok, 0), Sent);
                receiver.queued_datagram().is_some()
            });
            drop(receiver);
            assert_eq!(agent.ready(), Dropped(NoObserver));
            fs::remove_file(&path).unwrap();
        }
    });
}

#[test]
fn an_abstract_socket_receives_notifications() {
    in_child(|| {
        let name = format!("varta-core-notify-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = Receiver::of(UnixDatagram::bind_addr(&address).unwrap());
        for (name, value) in [
            ("VARTA_NOTIFY", "1"),
            ("NOTIFY_SOCKET", &format!("@{name}")),
            ("WATCHDOG_USEC", TINY),
        ] {
            set(name, value);
        }
        let (mut agent, _receiver) = agent();
        assert_eq!((agent.beat(Status::Ok, 0), agent.ready()), (Sent, Sent));
        assert_eq!(receiver.queued_datagrams(), [ALIVE, b"READY=1"]);
    });
}

#[test]
fn a_child_sends_no_keep_alive_but_may_notify() {
    let manager = Manager::new();
    in_child(|| {
        manager.start(TINY);
        unset("WATCHDOG_PID");
        let (mut agent, receiver) = agent();
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        manager.messages();
        Child::start(|| {
            let mut own = Varta::connect_udp(receiver.address()).unwrap();
            for _ in 0..3 {
                let_it_be_due();
                assert_eq!((agent.beat(Status::Ok, 0), own.beat(Status::Ok, 0)), (Sent, Sent));
            }
            assert_eq!((own.ready(), agent.status("a child")), (Sent, Sent));
            assert_eq!(agent.stopping(), Sent);
        })
        .finish();
        assert_eq!(manager.messages(), ["READY=1", "STATUS=a child", "STOPPING=1"]);
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert!(manager.messages().concat().starts_with("WATCHDOG=1"));
    });
    // One that opens the first agent: the interval is that of another process.
    in_child(|| {
        manager.start(TINY);
        in_child(|| {
            let (mut agent, _receiver) = agent();
            assert_eq!((agent.beat(Status::Ok, 0), agent.ready()), (Sent, Sent));
        });
        assert_eq!(manager.messages(), ["READY=1"]);
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
fn nothing_is_sent_unless_the_environment_or_the_option_turns_it_on() {
    let not_configured = Dropped(NotConfigured);
    let manager = Manager::new();
    let all = |agent: &mut Varta<AnyTransport>| {
        let _ = agent.beat(Status::Ok, 0);
        [agent.ready(), agent.status("x"), agent.stopping()]
    };
    let open = |notify| {
        let endpoint = Endpoint::Path(manager.folder.join("absent"));
        Varta::open_with(&endpoint, Options::default().notify(notify)).unwrap()
    };
    in_child(|| {
        manager.start(TINY);
        for value in ["0", "yes", "", "01"] {
            set("VARTA_NOTIFY", value);
            assert_eq!(all(&mut open(false)), [not_configured; 3]);
        }
        unset("VARTA_NOTIFY");
        assert_eq!(all(&mut open(false)), [not_configured; 3]);
        assert_eq!(manager.messages(), [""; 0]);
        // Each agent has its own option.
        let mut agent = open(true);
        assert_eq!(all(&mut open(false)), [not_configured; 3]);
        assert_eq!(all(&mut agent), [Sent; 3]);
        assert_eq!(manager.messages(), ["WATCHDOG=1", "READY=1", "STATUS=x", "STOPPING=1"]);
    });
    in_child(|| {
        manager.start(TINY);
        for socket in ["", "manager", "vsock:2:9999", "@"] {
            set("NOTIFY_SOCKET", socket);
            assert_eq!(all(&mut open(true)), [not_configured; 3]);
        }
        unset("NOTIFY_SOCKET");
        assert_eq!(all(&mut open(true)), [not_configured; 3]);
    });
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
fn a_status_is_one_line_of_at_most_256_bytes() {
    let manager = Manager::new();
    in_child(|| {
        manager.start(HOURS);
        let (agent, _receiver) = agent();
        for text in ["3 of 4", "a\nWATCHDOG=trigger\nb", ""] {
            assert_eq!(agent.status(text), Sent);
        }
        let lines = ["STATUS=3 of 4", "STATUS=a WATCHDOG=trigger b", "STATUS="];
        assert_eq!(manager.messages(), lines);
        assert_eq!(agent.status(&"\u{fc}".repeat(200)), Sent);
        assert_eq!(manager.messages(), [format!("STATUS={}", "\u{fc}".repeat(128))]);
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
    let manager = Manager::new();
    in_child(|| {
        manager.start("40000");
        let (mut agent, _receiver) = agent();
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
fn a_program_that_closes_all_descriptors_still_sends_keep_alives() {
    let manager = Manager::new();
    in_child(|| {
        manager.start(TINY);
        let (mut agent, _receiver) = agent();
        // SAFETY: what owns them is not used any more, but for the agent, which is the test.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        let is_failed = matches!(agent.beat(Status::Ok, 0), Failed(_));
        // The descriptors must not be closed a second time, and no message can be sent.
        process::exit(i32::from(!(is_failed && agent.ready() == Sent)));
    });
    assert_eq!(manager.messages(), ["WATCHDOG=1", "READY=1"]);
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
