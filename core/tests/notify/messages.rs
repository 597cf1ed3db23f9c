//! The socket of the service manager, and what is sent to it beside keep-alives.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::{fs, process};

use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{KernelQueueFull, NoObserver, NotConfigured};
use varta::{AnyTransport, Endpoint, Options, Status, Varta};

use super::support::{Child, PATIENCE, Receiver, in_child, wait_until};
use super::{ALIVE, HOURS, Manager, TINY, agent, let_it_be_due, set, unset, with_agent};

#[test]
fn a_full_queue_neither_blocks_nor_fails_a_beat_and_the_keep_alive_is_tried_again() {
    with_agent("320000", |manager, mut agent| {
        manager.fill_queue();
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
fn a_status_is_one_line_of_at_most_256_bytes() {
    with_agent(HOURS, |manager, agent| {
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
