//! Shows that the end of a process is an Exit, with its cause, long before its silence
//! would be one; after all it has said; and once.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::time::{Duration, Instant};

use support::{
    Child, End, Folder, NEVER, PATIENCE, Puppet, agent, assert_accounted, count, hear_all,
    hear_for, hear_until, is, is_about, kill, ms, names, nonce, shared_numbers, spelled,
    wait_until,
};
use varta::{Status, Varta};
use varta_observer::{Event, ExitCause, Observer, What};

fn cause(event: &Event) -> ExitCause {
    match event.what {
        What::Exit { cause, .. } => cause,
        _ => panic!("{event}"),
    }
}

#[test]
fn each_end_has_its_cause() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    type Ending = fn(&Puppet);
    let ends: [(Ending, ExitCause); 4] = [
        (|puppet| kill(puppet.pid(), libc::SIGKILL), ExitCause::Signal(libc::SIGKILL)),
        (|puppet| puppet.exit(7), ExitCause::Code(7)),
        (|puppet| puppet.exit(0), ExitCause::Code(0)),
        (|puppet| puppet.die_of(libc::SIGSEGV), ExitCause::Signal(libc::SIGSEGV)),
    ];
    for reaped_first in [false, true] {
        for (end, expected) in ends {
            let mut puppet = Puppet::at(&path);
            puppet.beat(1);
            let first = hear_until(&mut observer, is("beat"))[0];
            end(&puppet);
            if reaped_first {
                puppet.reap();
            }
            let exit = hear_until(&mut observer, is("exit")).pop().unwrap();
            assert_eq!((exit.about, cause(&exit)), (first.about, expected));
            assert!(agent(&observer, puppet.pid()).is_none());
        }
    }
    assert!(observer.snapshot().unwrap().is_empty());
    assert_accounted(&observer, 8);
}

/// As under a service manager: the observer is nobody's parent.
#[test]
fn of_another_process_child_too() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let [pid, go] = shared_numbers();
    let _parent = Child::start(|| {
        let mut child = Child::start(|| {
            let mut agent = Varta::connect(&path).unwrap();
            let _ = agent.beat(Status::Degraded, 0);
            wait_until(|| go.load(std::sync::atomic::Ordering::SeqCst) == 1);
            // SAFETY: ends this child.
            #[allow(unsafe_code, reason = "an exit code")]
            unsafe {
                libc::_exit(7)
            };
        });
        pid.store(child.pid().into(), std::sync::atomic::Ordering::SeqCst);
        child.wait();
        wait_until(|| false);
    });
    hear_until(&mut observer, is("beat"));
    go.store(1, std::sync::atomic::Ordering::SeqCst);
    let exit = hear_until(&mut observer, is("exit")).pop().unwrap();
    assert_eq!(
        exit.what,
        What::Exit { cause: ExitCause::Code(7), last_status: Status::Degraded }
    );
    let pid = u32::try_from(pid.load(std::sync::atomic::Ordering::SeqCst)).unwrap();
    assert!(is_about(&exit, pid));
}

#[test]
fn after_all_that_was_still_queued() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, ms(300), 0o600).unwrap();
    for already_followed in [false, true] {
        // As many as the kernel queues at least, wherever this runs.
        let beats = 10;
        let mut puppet = Puppet::at(&path);
        let pid = puppet.pid();
        if already_followed {
            puppet.beat(1 << 40);
            hear_until(&mut observer, is("beat"));
        }
        // So that the next look finds the end and the beats together.
        assert!(names(&hear_all(&mut observer)).is_empty());
        puppet.beat_and_end(beats, End::Exit, 3);
        puppet.wait_for_end();
        let heard = hear_until(&mut observer, is("exit"));
        let nonces: Vec<_> = heard.iter().filter_map(nonce).collect();
        assert_eq!(nonces, (1..=beats.into()).collect::<Vec<u64>>(), "{}", spelled(&heard));
        assert!(heard.iter().all(|event| event.about.is_none() || is_about(event, pid)));
        assert_eq!(cause(heard.last().unwrap()), ExitCause::Code(3));
        assert!(agent(&observer, pid).is_none());
        puppet.reap();
        // Nothing of it is heard again.
        let later = hear_for(&mut observer, ms(700));
        assert!(names(&later).is_empty(), "{}", spelled(&later));
    }
}

/// More than one look at the descriptors tells of, and all of them past their deadlines.
#[test]
fn of_many_at_once_none_is_a_stall() {
    const MANY: usize = 200;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(400);
    let mut observer = Observer::bind(&path, threshold, 0o600).unwrap();
    let mut puppets = Vec::new();
    for _ in 0..MANY {
        let puppet = Puppet::at(&path);
        // Not for the first time, so that all pidfds have come with datagrams.
        for nonce in [1, 2] {
            puppet.beat(nonce);
            hear_until(&mut observer, is("beat"));
        }
        puppets.push(puppet);
    }
    // What has stalled meanwhile, because making them took long, is back.
    for puppet in &puppets {
        puppet.beat(3);
        hear_all(&mut observer);
    }
    let mut heard = hear_all(&mut observer);
    let stalled_before = observer.stats().unwrap().stalls;
    for puppet in &mut puppets {
        kill(puppet.pid(), libc::SIGKILL);
        puppet.reap();
    }
    // The host has other things to do.
    std::thread::sleep(threshold * 2);
    let start = Instant::now();
    while count(&heard, "exit") < MANY {
        assert!(start.elapsed() < PATIENCE, "{}", spelled(&heard));
        heard.extend(observer.poll_timeout(Duration::ZERO).unwrap());
    }
    assert_eq!(observer.stats().unwrap().stalls, stalled_before, "{}", spelled(&heard));
    assert!(
        heard
            .iter()
            .filter(|event| event.what.name() == "exit")
            .all(|exit| { cause(exit) == ExitCause::Signal(libc::SIGKILL) })
    );
    assert!(observer.snapshot().unwrap().is_empty());
}

#[test]
fn turned_off_silence_does_the_work() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let endpoint = path.to_str().unwrap().parse().unwrap();
    let mut observer = Observer::builder()
        .listen(endpoint)
        .threshold(ms(200))
        .detect_exits(false)
        .bind()
        .unwrap();
    let mut puppet = Puppet::at(&path);
    puppet.beat(1);
    hear_until(&mut observer, is("beat"));
    puppet.exit(0);
    puppet.reap();
    let heard = hear_until(&mut observer, is("stall"));
    assert_eq!(names(&heard), ["stall"]);
    assert!(agent(&observer, puppet.pid()).unwrap().stalled);
}
