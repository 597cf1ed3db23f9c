//! An observer on each kind of kernel, as far as it follows processes differently there.

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

/// No test waits for it.
const NEVER: Duration = Duration::from_secs(3_600);

/// How long an exit waits for its cause.
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

/// This kernel's means, as on an older one: pidfds from elsewhere, no numbers, no causes.
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

/// Beats twice, so that also who was not known at first is known by then.
fn beat(path: &Path) {
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    for nonce in [1, 2] {
        let mut frame = [0; 32];
        Frame::new(Status::Ok, std::process::id(), 0, nonce, 0).encode(&mut frame);
        socket.send(&frame).unwrap();
    }
}

fn hear_until(observer: &mut Observer, name: &str) -> Vec<Event> {
    let start = Instant::now();
    let mut heard: Vec<Event> = Vec::new();
    while heard.last().is_none_or(|event| event.what.name() != name) {
        assert!(start.elapsed() < PATIENCE, "no {name}, but {heard:?}");
        heard.extend(observer.poll().unwrap());
    }
    heard
}

fn cause(heard: &[Event]) -> ExitCause {
    match heard.last().unwrap().what {
        What::Exit { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_exit_of_another_process_child_has_its_cause_if_the_kernel_reports_it() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for (features, told) in older() {
        let mut observer = observer(&path, features, NEVER);
        for (how, wanted) in [(7, ExitCause::Code(7)), (-9, ExitCause::Signal(9))] {
            let (end, told_to_end) = UnixDatagram::pair().unwrap();
            let agent = Grandchild::start(
                || {},
                || {
                    beat(&path);
                    told_to_end.recv(&mut [0]).unwrap();
                    match how {
                        -9 => kill(std::process::id(), 9),
                        code => exit(code),
                    }
                },
            );
            agent.go();
            hear_until(&mut observer, "beat");
            hear_until(&mut observer, "beat");
            end.send(&[0]).unwrap();
            agent.reap();
            let cause = cause(&hear_until(&mut observer, "exit"));
            // Where the kernel does not tell, the zombie may have been there long enough.
            let unknown = !told && cause == ExitCause::Unknown;
            assert!(cause == wanted || unknown, "{cause:?} with {features:?}");
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
        let heard = hear_until(&mut observer, "exit");
        assert_eq!(cause(&heard), ExitCause::Code(7), "{features:?}");
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
        hear_until(&mut observer, "beat");
        hear_until(&mut observer, "beat");
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
    let heard = hear_until(&mut observer, "stall");
    assert!(heard.iter().all(|event| event.what.name() != "exit"));
    assert_eq!(observer.snapshot().unwrap().len(), 1);
}

/// The observer may not see what other users' processes leave behind, and who should take
/// note of this one's end does not.
#[test]
fn an_exit_waits_briefly_for_its_cause() {
    if !is_root() {
        return;
    }
    for reaped_at_once in [false, true] {
        // On a busy machine it is not at once.
        let known = (0..if reaped_at_once { 20 } else { 3 }).any(|_| {
            let folder = Folder::new();
            let path = folder.join("varta.sock");
            let (end, told_to_end) = UnixDatagram::pair().unwrap();
            let (heard, hears) = UnixDatagram::pair().unwrap();
            let agent = Grandchild::start(
                || {},
                || {
                    beat(&path);
                    told_to_end.recv(&mut [0]).unwrap();
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
                hears.send(&[0]).unwrap();
                hear_until(&mut observer, "beat");
                hear_until(&mut observer, "beat");
                let alive = Instant::now();
                hears.send(&[0]).unwrap();
                match cause(&hear_until(&mut observer, "exit")) {
                    ExitCause::Unknown => assert!(alive.elapsed() >= CAUSE),
                    cause => exit(if cause == ExitCause::Code(7) { 7 } else { 1 }),
                }
                assert!(observer.snapshot().unwrap().is_empty());
            });
            heard.recv(&mut [0]).unwrap();
            agent.go();
            heard.recv(&mut [0]).unwrap();
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
    let heard = hear_until(&mut observer, "beat").last().unwrap().observer_ns;
    assert!(before <= heard && heard <= observer.now_ns());
}

/// A host waits for nothing but the observer, and is woken when something else comes up;
/// also in the middle of a flood, and without losing a beat.
#[test]
fn a_descriptor_of_the_host_ends_a_wait() {
    use std::io::{Read, Write};

    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = observer(&path, KernelFeatures::detect(), NEVER);
    let (mut bell, mut rope) = std::io::pipe().unwrap();
    observer.wake_by(&bell).unwrap();
    assert!(!observer.take_woken());
    rope.write_all(&[1]).unwrap();
    beat(&path);
    let mut beats = 0;
    let mut events = [Event::NOTHING; 1];
    let start = Instant::now();
    while beats < 2 || !observer.take_woken() {
        assert!(start.elapsed() < PATIENCE);
        beats += observer.poll_many(&mut events, Duration::MAX).unwrap();
    }
    bell.read_exact(&mut [0]).unwrap();
    assert_eq!(observer.poll_timeout(Duration::ZERO).unwrap(), None);
    assert!(!observer.take_woken());

    rope.write_all(&[1]).unwrap();
    let start = Instant::now();
    while !observer.take_woken() {
        assert!(start.elapsed() < PATIENCE);
        beat(&path);
        observer.poll_many(&mut events, Duration::ZERO).unwrap();
    }
}
