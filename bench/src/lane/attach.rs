//! How long it takes to get a page, and what it costs in memory on both sides.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::Varta;

use super::{ASK, PATIENCE, THRESHOLD, observer};
use crate::measure::{Group, Plan, Row};
use crate::processes::{self, Child, Children};
use crate::report::{Figure, Findings, Target};
use crate::stage::Stage;
use crate::sys;

const ATTACH: &str = "lane, attach";
const OPEN: &str = "open, until the page is mapped";
/// What any process needs to get an answer from another that sleeps on another CPU.
const BARE: &str = "bare: connect, ask, get an answer";
/// Bytes of a question, and of an answer.
const MESSAGE: usize = 128;

/// Processes that attach one after the other, and that have a page at the same time.
const ALONE: u64 = 300;
const TOGETHER: u64 = 1_000;
const STEP: u64 = 200;

/// The limits are in units of this many bytes.
const KB: f64 = 1_024.0;

pub(crate) const TARGETS: &[Target] =
    &[Target::median_ns(ATTACH, OPEN, 150e3), Target::median(ATTACH, OPEN, BARE, 1.6)];

pub(crate) fn all(_: Plan, stage: &Stage) -> io::Result<Findings> {
    let rows = alone(stage)?;
    let figures = together(stage)?;
    Ok((vec![Group { name: ATTACH, rows }], figures))
}

/// One process after the other asks an observer that sleeps on another CPU, and one asks a bare
/// process there.
fn alone(stage: &Stage) -> io::Result<Vec<Row>> {
    let path = stage.path("attach.sock")?;
    let bare_path = stage.path("bare.sock")?;
    let _observer = super::Apart::start(&path, stage.receiver_cpu)?;
    let _answerer = answerer(&bare_path, stage.receiver_cpu)?;
    // In a process of its own: those below inherit nothing of an agent.
    Child::fork(|| drop(super::attached(&path)))?.reap();
    let [got_page, took] = processes::shared_numbers(2)? else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    let (mut opens, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ALONE {
        opens.push(time_in_a_child(took, || {
            // The first handle of a process makes what all of them share.
            drop(Varta::open(format!("{}?lane=off", path.display())));
            let begun = Instant::now();
            let agent = Varta::open(&path).ok()?;
            let time = begun.elapsed();
            // One that did not get the page while it waited counts with all that time.
            got_page.fetch_add(u64::from(agent.watched().is_some()), Ordering::Relaxed);
            Some(time)
        })?);
        bare.push(time_in_a_child(took, || {
            let begun = Instant::now();
            let mut socket = UnixStream::connect(&bare_path).ok()?;
            socket.write_all(&[1; MESSAGE]).ok()?;
            socket.read_exact(&mut [0; MESSAGE]).ok()?;
            Some(begun.elapsed())
        })?);
    }
    if got_page.load(Ordering::Relaxed) == 0 {
        return Err(io::Error::other("no process got a page"));
    }
    Ok(vec![Row::of_rounds(OPEN, opens), Row::of_rounds(BARE, bare)])
}

/// Runs this in a new process, and returns the time that it measured, in nanoseconds.
fn time_in_a_child(
    took: &AtomicU64,
    run: impl FnOnce() -> Option<Duration>,
) -> io::Result<f64> {
    took.store(0, Ordering::Relaxed);
    Child::fork(|| {
        if let Some(time) = run() {
            took.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    })?
    .reap();
    match took.load(Ordering::Relaxed) {
        0 => Err(io::Error::other("a process got no answer")),
        ns => Ok(ns as f64),
    }
}

/// A process on this CPU that answers each question. It ends when this is dropped.
fn answerer(path: &Path, cpu: usize) -> io::Result<Child> {
    let listener = UnixListener::bind(path)?;
    Child::fork(|| {
        let answer = || -> io::Result<()> {
            sys::stay_on(cpu)?;
            loop {
                let (mut socket, _) = listener.accept()?;
                let mut message = [0; MESSAGE];
                socket.read_exact(&mut message)?;
                socket.write_all(&message)?;
            }
        };
        let _ = answer();
    })
}

/// The memory that grows when many processes that were running already get their pages, one after
/// the other. What other programs do to the kernel's memory meanwhile falls into some of the steps,
/// so the median of the steps counts.
fn together(stage: &Stage) -> io::Result<Vec<Figure>> {
    let path = stage.path("memory.sock")?;
    let mut observer = observer(&path, THRESHOLD)?;
    let (gate, mut opener) = io::pipe()?;
    let [running, attached, measured, private] = processes::shared_numbers(4)? else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    sys::stay_on_any(&[stage.sender_cpu, stage.receiver_cpu])?;
    let mut agents = Children::default();
    for _ in 0..TOGETHER {
        agents.0.push(Child::fork(|| {
            // First without a lane, and with one that nobody offers, so that what any agent needs
            // is there, and the memory that a child copies when it writes to it is its own.
            let off = Varta::open(format!("{}?lane=off", path.display()));
            let nobody = Varta::open(format!("{}-absent", path.display()));
            let before = private_bytes();
            running.fetch_add(1, Ordering::Relaxed);
            // Each byte lets one process through.
            if (&gate).read_exact(&mut [0]).is_err() {
                return;
            }
            let Ok(agent) = super::attached(&path) else { return };
            attached.fetch_add(1, Ordering::Relaxed);
            // Then the observer has the page too, so that it is not this process's own.
            thread::sleep(ASK);
            let grown = private_bytes().saturating_sub(before);
            private.fetch_add(grown, Ordering::Relaxed);
            measured.fetch_add(1, Ordering::Relaxed);
            processes::sleep_on();
            drop((off, nobody, agent));
        })?);
    }
    let mut until = |count: &AtomicU64, wanted: u64| -> io::Result<()> {
        let begun = Instant::now();
        while count.load(Ordering::Relaxed) < wanted {
            observer.poll_timeout(Duration::from_millis(20))?;
            if begun.elapsed() > 2 * PATIENCE {
                return Err(io::Error::other("the processes were not ready"));
            }
        }
        Ok(())
    };
    until(running, TOGETHER)?;
    let is_measured = free_caches();
    let mut steps = Vec::new();
    for step in 1..=TOGETHER / STEP {
        let before = kernel_bytes()?;
        for number in 1..=STEP {
            opener.write_all(&[0])?;
            until(attached, (step - 1) * STEP + number)?;
        }
        free_caches();
        steps.push((kernel_bytes()? - before) / STEP as f64);
    }
    let kernel = Row::of_samples("", steps).median();
    until(measured, TOGETHER)?;
    let private = private.load(Ordering::Relaxed) as f64 / TOGETHER as f64;
    sys::stay_on(stage.sender_cpu)?;
    let figure = |what: &str, bytes: f64, at_most: f64, is_measured: bool| {
        Figure::new(
            format!("lane, memory of an attached agent: {what}"),
            bytes.round(),
            "bytes",
        )
        .at_most(at_most, is_measured && bytes > 0.0)
    };
    Ok(vec![
        figure("kernel and page, both ends", kernel, 14.0 * KB, is_measured),
        figure("private, in its process", private, 12.0 * KB, true),
    ])
}

/// What the kernel holds in its own objects and in shared pages.
fn kernel_bytes() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kilobytes = ["Slab:", "Shmem:"].into_iter().map(|name| kilobytes(&text, name));
    Ok(kilobytes.sum::<u64>() as f64 * KB)
}

/// Makes the kernel free the names and inodes that nobody uses: it keeps several kilobytes for each
/// process that any program has looked up in `/proc`. Only root may do this; returns whether it
/// succeeded.
fn free_caches() -> bool {
    fs::write("/proc/sys/vm/drop_caches", "2").is_ok()
}

/// The memory of this process that no other process shares.
fn private_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    kilobytes(&text, "Private_Dirty:") * 1_024
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
