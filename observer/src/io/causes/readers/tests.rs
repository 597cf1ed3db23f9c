use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::*;
use crate::testing::{Idle, PATIENCE, allocations_of, in_child, wait_until};

const SHORT: Duration = Duration::from_millis(5);

/// Processes from this pid on do not exist. Their reader waits until [`OPEN`] is set.
const HUNG: u32 = 5_000_000;

static OPEN: AtomicBool = AtomicBool::new(false);

fn wait_for_the_hung(desk: &mut Desk, question: &Question) {
    while question.pid() >= HUNG && !OPEN.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
    desk.answer(question);
}

/// Reads a process until that is done.
fn read(readers: &mut Readers, pid: u32) -> Result<Sample, NotYet> {
    let mut sample = Sample::try_new().unwrap();
    let started = Instant::now();
    loop {
        match readers.read(pid, Depth::Whole, &[], &mut sample) {
            Ok(_) => return Ok(sample),
            Err(NotYet::Late) => assert!(started.elapsed() < PATIENCE, "pid {pid}"),
            Err(stuck) => return Err(stuck),
        }
    }
}

#[test]
fn reading_allocates_nothing_not_even_the_first_time() {
    let idle = Idle::start();
    let mut readers = Readers::new(PATIENCE, Duration::ZERO).unwrap();
    let mut sample = Sample::try_new().unwrap();
    let allocations = allocations_of(|| {
        for depth in [Depth::Clock, Depth::Schedule, Depth::Half, Depth::Whole] {
            readers.read(idle.pid(), depth, &[1], &mut sample).unwrap().unwrap();
        }
        let mut thread = sample.threads()[0];
        readers.read_wait(idle.pid(), &mut thread, &mut Lacks::default()).unwrap().unwrap();
        readers.lock_owner(idle.pid(), 4_096).unwrap();
    });
    assert_eq!(allocations, 0);
    assert_eq!(sample.threads()[0].thread, idle.pid());
}

#[test]
fn a_reading_that_does_not_return_is_not_waited_for_and_costs_one_thread() {
    let idle = Idle::start();
    let mut readers = Readers::with(wait_for_the_hung, SHORT, Duration::ZERO).unwrap();
    for hung in 0..4 {
        assert!(read(&mut readers, idle.pid()).is_ok(), "{hung} threads are lost");
        for _ in 0..3 {
            let stuck = NotYet::Stuck(HUNG + hung);
            assert_eq!(read(&mut readers, HUNG + hung).err(), Some(stuck));
        }
        assert_eq!(readers.lost(), u64::from(hung) + 1);
    }
    // There is no other thread.
    assert_eq!(read(&mut readers, idle.pid()).err(), Some(NotYet::Stuck(HUNG)));
    drop(Readers::with(wait_for_the_hung, SHORT, Duration::ZERO).unwrap());

    // Once they return, they read again.
    OPEN.store(true, Ordering::Relaxed);
    wait_until(|| read(&mut readers, idle.pid()).is_ok());
    wait_until(|| read(&mut readers, HUNG).is_ok());
    assert_eq!(readers.lost(), 4);
}

#[test]
fn an_answer_that_comes_late_is_used_soon_after() {
    fn slowly(desk: &mut Desk, question: &Question) {
        thread::sleep(SHORT * 4);
        desk.answer(question);
    }
    let own = std::process::id();
    for depth in [Depth::Whole, Depth::Schedule] {
        let mut readers = Readers::with(slowly, Duration::ZERO, Duration::ZERO).unwrap();
        let mut read = || readers.read(own, depth, &[], &mut Sample::try_new().unwrap());
        assert_eq!(read().err(), Some(NotYet::Late));
        let started = Instant::now();
        if depth == Depth::Whole {
            wait_until(|| matches!(read(), Ok(Ok(()))));
        } else {
            // The process may have beaten since.
            while started.elapsed() < SHORT * 20 {
                assert_eq!(read().err(), Some(NotYet::Late));
            }
        }
    }
}

#[test]
fn a_forked_child_asks_no_thread() {
    let mut readers = Readers::new(PATIENCE, Duration::ZERO).unwrap();
    let own = std::process::id();
    assert!(read(&mut readers, own).is_ok());
    in_child(|| {
        assert_eq!(read(&mut readers, own).err(), Some(NotYet::Stuck(0)));
        drop(readers);
    });
}
