//! Shows what becomes of agents for whom there is no descriptor to spare: they are followed
//! all the same, and looked for when they have been silent too long.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use support::{
    Folder, NEVER, Puppet, count, hear_all, hear_for, hear_until, in_child, is, kill,
    limit_descriptors, ms, open_descriptors, spelled, wait_until,
};
use varta::BeatError;
use varta_observer::{Builder, Event, ExitCause, Observer, What};

fn listening(path: &Path) -> Builder {
    Builder::new().listen(path.to_str().unwrap().parse().unwrap())
}

/// Processes that have been heard twice, one after the other.
fn heard_twice(observer: &mut Observer, path: &Path, how_many: usize) -> Vec<Puppet> {
    let puppets: Vec<_> = (0..how_many).map(|_| Puppet::at(path)).collect();
    for puppet in &puppets {
        for nonce in [1, 2] {
            puppet.beat(nonce);
            hear_until(observer, is("beat"));
        }
    }
    puppets
}

fn end(puppet: &mut Puppet) {
    kill(puppet.pid(), libc::SIGKILL);
    puppet.reap();
}

/// Whose event of this name was heard, by their places among the puppets.
fn whose(heard: &[Event], name: &str, puppets: &[Puppet]) -> Vec<usize> {
    let mut whose: Vec<_> = heard
        .iter()
        .filter(|event| event.what.name() == name)
        .filter_map(|event| {
            puppets.iter().position(|puppet| puppet.pid() == event.about.unwrap().pid)
        })
        .collect();
    whose.sort_unstable();
    whose
}

#[test]
fn beyond_the_bound_the_dead_are_looked_for() {
    the_dead_are_looked_for(3);
}

#[test]
fn without_any_the_dead_are_looked_for() {
    the_dead_are_looked_for(0);
}

fn the_dead_are_looked_for(bound: usize) {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(250);
    let mut observer = listening(&path).threshold(threshold).descriptors(bound).bind().unwrap();
    let mut puppets = heard_twice(&mut observer, &path, 8);
    assert_eq!(observer.snapshot().unwrap().len(), 8);
    hear_all(&mut observer);
    // Everybody is back, should the machine have been slow.
    for (nonce, puppet) in (3..).zip(&puppets) {
        puppet.beat(nonce);
        hear_until(&mut observer, is("beat"));
    }
    let gone = [0, 5, 6];
    gone.into_iter().for_each(|nth| end(&mut puppets[nth]));
    let mut heard = Vec::new();
    while count(&heard, "exit") < 3 || count(&heard, "stall") < 5 {
        assert!(heard.len() < 100, "{}", spelled(&heard));
        heard.extend(observer.poll().unwrap());
    }
    assert_eq!(whose(&heard, "exit", &puppets), gone);
    assert_eq!(whose(&heard, "stall", &puppets), [1, 2, 3, 4, 7], "{}", spelled(&heard));
    for event in heard.iter().filter(|event| event.what.name() == "exit") {
        let What::Exit { cause, .. } = event.what else { panic!("{event}") };
        let held = bound > 0 && event.about.unwrap().pid == puppets[0].pid();
        let known = if held { ExitCause::Signal(libc::SIGKILL) } else { ExitCause::Unknown };
        assert_eq!(cause, known);
    }
    // One that dies after its Stall is found too, if late.
    end(&mut puppets[7]);
    let heard = hear_until(&mut observer, is("exit"));
    assert_eq!(whose(&heard, "exit", &puppets), [7], "{}", spelled(&heard));
    assert_eq!(observer.snapshot().unwrap().len(), 4);
}

#[test]
fn no_more_are_held_than_allowed_and_none_is_lost() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        for (bound, expected) in [(0, 0), (4, 4), (100, 12)] {
            let mut observer =
                listening(&path).threshold(NEVER).descriptors(bound).bind().unwrap();
            let before = open_descriptors();
            let mut puppets: Vec<_> = (0..12).map(|_| Puppet::at(&path)).collect();
            let of_puppets = open_descriptors() - before;
            for puppet in &puppets {
                for nonce in [1, 2, 3] {
                    puppet.beat(nonce);
                    hear_until(&mut observer, is("beat"));
                }
            }
            hear_all(&mut observer);
            assert_eq!(open_descriptors(), before + of_puppets + expected);
            puppets.iter_mut().for_each(end);
            wait_until(|| {
                hear_all(&mut observer);
                observer.stats().unwrap().exits == expected as u64
            });
            drop(puppets);
            assert_eq!(open_descriptors(), before);
        }
    });
}

/// As when the host has opened all that it may.
#[test]
fn when_they_run_out_all_the_same() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let threshold = ms(400);
        let mut observer = listening(&path).threshold(threshold).bind().unwrap();
        let mut puppets: Vec<_> = (0..10).map(|_| Puppet::at(&path)).collect();
        let next = File::open("/dev/null").unwrap().as_raw_fd();
        limit_descriptors(u64::try_from(next).unwrap() + 3);
        let hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(!hoard.is_empty());

        for puppet in &puppets {
            for nonce in [1, 2] {
                puppet.beat(nonce);
                hear_until(&mut observer, |event| support::nonce(event) == Some(nonce));
            }
        }
        assert_eq!(observer.snapshot().unwrap().len(), 10);
        for (nonce, puppet) in (3..).zip(&puppets) {
            puppet.beat(nonce);
            hear_until(&mut observer, is("beat"));
        }
        let gone = [2, 3];
        gone.into_iter().for_each(|nth| end(&mut puppets[nth]));
        let mut heard = Vec::new();
        while count(&heard, "exit") < 2 || count(&heard, "stall") < 8 {
            assert!(heard.len() < 100, "{}", spelled(&heard));
            heard.extend(observer.poll().unwrap());
        }
        assert_eq!(whose(&heard, "exit", &puppets), gone, "{}", spelled(&heard));

        // Now there are some again. Whoever beats is followed as all are.
        drop(hoard);
        for nonce in [100, 101] {
            puppets[9].beat(nonce);
            hear_until(&mut observer, |event| support::nonce(event) == Some(nonce));
        }
        end(&mut puppets[9]);
        let heard = hear_until(&mut observer, is("exit"));
        let What::Exit { cause, .. } = heard.last().unwrap().what else { panic!() };
        assert_eq!(cause, ExitCause::Signal(libc::SIGKILL), "{}", spelled(&heard));
        let _ = hear_for(&mut observer, Duration::ZERO);
    });
}

/// However many of them are left: the error says so, and no file stays behind.
#[test]
fn binding_takes_what_there_is_or_leaves_nothing() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    for left in 0..12 {
        in_child(|| {
            let next = u64::try_from(File::open("/dev/null").unwrap().as_raw_fd()).unwrap();
            limit_descriptors(next + left);
            match Observer::bind(&path, NEVER, 0o640) {
                Ok(observer) => {
                    assert!(path.exists() && left > 3);
                    limit_descriptors(0);
                    drop(observer);
                }
                Err(error) => {
                    assert_eq!(BeatError::from_io(&error).errno, libc::EMFILE, "{error}");
                    assert!(left < 11, "{error}");
                }
            }
        });
        assert!(!path.exists(), "with {left} descriptors left");
    }
}
