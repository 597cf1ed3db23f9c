//! An observer with the different sets of kernel features for following processes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use varta::{Frame, Status};

use super::Observer;
use crate::builder::Builder;
use crate::event::{Event, ExitCause, What};
use crate::io::identity::{Descriptors, KernelFeatures};
use crate::policy::Uids;
use crate::testing::{
    Child, Ended, Folder, Grandchild, PATIENCE, become_user, exit, is_root, kill,
};

/// A threshold that no test reaches.
const NEVER: Duration = Duration::from_secs(3_600);

/// The longest time that an exit waits for its cause.
const CAUSE: Duration = Duration::from_millis(50);

fn observer(path: &Path, features: KernelFeatures, threshold: Duration) -> Observer {
    let endpoint = path.to_str().unwrap().parse().unwrap();
    Builder::new()
        .listen(endpoint)
        .threshold(threshold)
        .kernel_features(features)
        .bind()
        .unwrap()
}

/// The features of this kernel, and subsets as on older ones, with whether exit causes of
/// other processes are always known.
fn older() -> [(KernelFeatures, bool); 5] {
    let here = KernelFeatures::detect();
    [
        (here, true),
        (KernelFeatures { exit_information: false, ..here }, false),
        (KernelFeatures { numbers: false, ..here }, true),
        (KernelFeatures { descriptors: Descriptors::Opened, ..here }, true),
        (
            KernelFeatures {
                descriptors: Descriptors::Opened,
                numbers: false,
                exit_information: false,
                ..here
            },
            false,
        ),
    ]
}

/// Beats twice, so that the process is confirmed by the second beat.
fn beat(path: &Path) {
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    for nonce in [1, 2] {
        let mut frame = [0; 32];
        Frame::new(Status::Ok, std::process::id(), 0, nonce, 0).encode(&mut frame);
        socket.send(&frame).unwrap();
    }
}

fn poll_until(observer: &mut Observer, name: &str) -> Vec<Event> {
    let start = Instant::now();
    let mut events: Vec<Event> = Vec::new();
    while events.last().is_none_or(|event| event.what.name() != name) {
        assert!(start.elapsed() < PATIENCE, "expected {name}, got {events:?}");
        events.extend(observer.poll().unwrap());
    }
    events
}

fn cause(events: &[Event]) -> ExitCause {
    match events.last().unwrap().what {
        What::Exit { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_exit_of_another_process_child_has_its_cause_if_the_kernel_reports_it() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for (features, known) in older() {
        let mut observer = observer(&path, features, NEVER);
        for (how, expected) in [(7, ExitCause::Code(7)), (-9, ExitCause::Signal(9))] {
            let (end, command) = UnixDatagram::pair().unwrap();
            let agent = Grandchild::start(
                || {},
                || {
                    beat(&path);
                    command.recv(&mut [0]).unwrap();
                    match how {
                        -9 => kill(std::process::id(), 9),
                        code => exit(code),
                    }
                },
            );
            agent.go();
            poll_until(&mut observer, "beat");
            poll_until(&mut observer, "beat");
            end.send(&[0]).unwrap();
            agent.reap();
            let cause = cause(&poll_until(&mut observer, "exit"));
            // Without a report of the kernel, the zombie may still have existed for long
            // enough.
            let unknown = !known && cause == ExitCause::Unknown;
            assert!(cause == expected || unknown, "{cause:?} with {features:?}");
            assert!(observer.snapshot().unwrap().is_empty());
        }
    }
}

#[test]
fn the_exit_of_an_own_child_has_its_cause_on_every_kernel() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for (features, _) in older() {
        let mut observer = observer(&path, features, NEVER);
        let mut agent = Child::start(|| {
            beat(&path);
            exit(7);
        });
        let events = poll_until(&mut observer, "exit");
        assert_eq!(cause(&events), ExitCause::Code(7), "{features:?}");
        agent.wait();
    }
}

#[test]
fn an_agent_that_was_found_by_pid_is_unconfirmed() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for (features, _) in older() {
        let mut observer = observer(&path, features, NEVER);
        beat(&path);
        poll_until(&mut observer, "beat");
        poll_until(&mut observer, "beat");
        let by_pid = features.descriptors == Descriptors::Opened;
        assert_eq!(observer.snapshot().unwrap()[0].unconfirmed, by_pid, "{features:?}");
    }
}

#[test]
fn without_pidfds_an_exited_agent_stalls() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = observer(&path, KernelFeatures::unused(), Duration::from_millis(100));
    let mut agent = Child::start(|| {
        beat(&path);
        exit(7);
    });
    agent.wait();
    let events = poll_until(&mut observer, "stall");
    assert!(events.iter().all(|event| event.what.name() != "exit"));
    assert_eq!(observer.snapshot().unwrap().len(), 1);
}

/// The observer has no access to processes of another user, and the parent does not reap the
/// agent.
#[test]
fn an_exit_waits_briefly_for_its_cause() {
    if !is_root() {
        return;
    }
    for reaped_at_once in [false, true] {
        // On a busy machine the parent may be late.
        let known = (0..if reaped_at_once { 20 } else { 3 }).any(|_| {
            let folder = Folder::new();
            let path = folder.join("varta.sock");
            let (end, command) = UnixDatagram::pair().unwrap();
            let (parent_end, child_end) = UnixDatagram::pair().unwrap();
            let agent = Grandchild::start(
                || {},
                || {
                    beat(&path);
                    command.recv(&mut [0]).unwrap();
                    exit(7);
                },
            );
            fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
            let mut observing = Child::start(|| {
                become_user(54_321);
                let endpoint = path.to_str().unwrap().parse().unwrap();
                let builder = Builder::new().listen(endpoint).threshold(NEVER);
                let builder = builder.socket_mode(0o666).uids(Uids::Any);
                let mut observer = builder.bind().unwrap();
                child_end.send(&[0]).unwrap();
                poll_until(&mut observer, "beat");
                poll_until(&mut observer, "beat");
                let alive = Instant::now();
                child_end.send(&[0]).unwrap();
                match cause(&poll_until(&mut observer, "exit")) {
                    ExitCause::Unknown => assert!(alive.elapsed() >= CAUSE),
                    cause => exit(if cause == ExitCause::Code(7) { 7 } else { 1 }),
                }
                assert!(observer.snapshot().unwrap().is_empty());
            });
            parent_end.recv(&mut [0]).unwrap();
            agent.go();
            parent_end.recv(&mut [0]).unwrap();
            end.send(&[0]).unwrap();
            if reaped_at_once {
                agent.reap();
            }
            match observing.wait() {
                Ended::Exited(7) => true,
                ended => {
                    assert_eq!(ended, Ended::Exited(0));
                    false
                }
            }
        });
        assert_eq!(known, reaped_at_once);
    }
}

#[test]
fn the_time_of_an_event_is_not_after_now() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = observer(&path, KernelFeatures::detect(), NEVER);
    let before = observer.now_ns();
    beat(&path);
    let time = poll_until(&mut observer, "beat").last().unwrap().observer_ns;
    assert!(before <= time && time <= observer.now_ns());
}

/// A host that waits only for the observer is woken by its own descriptor, even during a
/// flood, and loses no beat.
#[test]
fn a_descriptor_of_the_host_ends_a_wait() {
    use std::io::{Read, Write};

    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = observer(&path, KernelFeatures::detect(), NEVER);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    observer.wake_by(&reader).unwrap();
    assert!(!observer.take_woken());
    writer.write_all(&[1]).unwrap();
    beat(&path);
    let mut beats = 0;
    let mut events = [Event::NOTHING; 1];
    let start = Instant::now();
    while beats < 2 || !observer.take_woken() {
        assert!(start.elapsed() < PATIENCE);
        beats += observer.poll_many(&mut events, Duration::MAX).unwrap();
    }
    reader.read_exact(&mut [0]).unwrap();
    assert_eq!(observer.poll_timeout(Duration::ZERO).unwrap(), None);
    assert!(!observer.take_woken());

    writer.write_all(&[1]).unwrap();
    let start = Instant::now();
    while !observer.take_woken() {
        assert!(start.elapsed() < PATIENCE);
        beat(&path);
        observer.poll_many(&mut events, Duration::ZERO).unwrap();
    }
}
