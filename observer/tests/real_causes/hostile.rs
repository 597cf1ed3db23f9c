//! Processes that do what they can to mislead or to block who reads them.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};
use varta_observer::{Builder, Cause, CauseFlags, CauseInfo, Observer, Uids, What};

use crate::hangs::{end_with_parent, files, forever, memory};
use crate::needs::Need;
use crate::support::{
    Child, Folder, PATIENCE, become_user, in_child, kernel_lacks, ms, needs_root,
};

/// A poll that takes longer than this was blocked: nothing would ever end it.
const LONGEST_POLL: Duration = Duration::from_secs(20);

const THRESHOLD: Duration = ms(300);

fn observer(path: &Path) -> Observer {
    Builder::new()
        .listen(path.to_str().unwrap().parse().unwrap())
        .uids(Uids::Any)
        .threshold(THRESHOLD)
        .causes(true)
        .bind()
        .unwrap()
}

/// Beats until the observer knows the program and its threads.
fn beat(path: &Path) {
    let mut agent = Varta::connect(path).unwrap();
    for _ in 0..10 {
        while agent.beat(Status::Ok, 0) != BeatOutcome::Sent {
            thread::sleep(ms(1));
        }
        thread::sleep(ms(10));
    }
}

/// Looks three times at an agent that becomes like this when it has beaten. No poll may block.
fn look_at(hostile: impl FnOnce(&Path)) -> CauseInfo {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = observer(&path);
    let agent = Child::start(|| {
        std::env::set_current_dir(folder.path()).unwrap();
        hostile(&path);
        forever();
    });
    let (polled, polls) = mpsc::channel();
    let pid = agent.pid();
    let looks = thread::spawn(move || {
        let started = Instant::now();
        let mut info = None;
        while observer.stats().unwrap().cause_looks < 3 || info.is_none() {
            assert!(started.elapsed() < PATIENCE, "{:?}", observer.stats());
            let event = observer.poll_timeout(ms(20)).unwrap();
            polled.send(()).unwrap();
            let about = event.as_ref().and_then(|event| event.about);
            if let Some(about) = about.filter(|about| about.pid == pid) {
                info = observer.cause(about.agent, 0).unwrap().or(info);
            }
        }
        info.unwrap()
    });
    let blocked = loop {
        match polls.recv_timeout(LONGEST_POLL) {
            Ok(()) => {}
            Err(error) => break error == mpsc::RecvTimeoutError::Timeout,
        }
    };
    assert!(!blocked, "a poll has taken {LONGEST_POLL:?}");
    drop(agent);
    looks.join().unwrap()
}

#[test]
fn a_process_cannot_look_frozen_or_stopped_by_its_name() {
    for name in ["x) T 1 (", "x\nCoreDumping:\t1", "get_signal", ") t"] {
        let info = look_at(|path| {
            fs::write("/proc/self/comm", name).unwrap();
            beat(path);
        });
        assert_eq!(info.why.cause, Cause::Idle, "{name:?}: {info:?}");
    }
}

#[test]
fn a_process_with_thousands_of_threads_is_read_in_part() {
    let info = look_at(|path| {
        for _ in 0..3_000 {
            let thread = thread::Builder::new().stack_size(16 << 10);
            // There may be a limit.
            if thread.spawn(|| forever()).is_err() {
                break;
            }
        }
        beat(path);
    });
    assert_eq!(info.why.cause, Cause::Idle, "{info:?}");
    assert!(info.why.flags.has(CauseFlags::MANY_THREADS), "{info:?}");
}

#[test]
fn a_process_that_changes_its_threads_all_the_time_is_read_as_it_is() {
    let info = look_at(|path| {
        beat(path);
        for _ in 0..4 {
            thread::spawn(|| {
                loop {
                    let _ = thread::spawn(|| ()).join();
                }
            });
        }
    });
    assert_ne!(info.looked_ns, 0, "{info:?}");
}

#[test]
fn a_page_that_nobody_provides_blocks_no_poll() {
    if !needs_root() {
        return;
    }
    let info = look_at(|path| {
        beat(path);
        memory::in_a_page_fault(&mut || ());
    });
    assert_eq!(info.why.cause, Cause::Memory, "{info:?}");
}

/// The word of a mutex lies in such a page, and another thread waits for the page itself.
#[test]
fn a_lock_in_a_page_that_nobody_provides_blocks_no_poll() {
    if !needs_root() {
        return;
    }
    look_at(|path| {
        let page = memory::new_pages();
        let handler = memory::withhold(page);
        let address = page.addr();
        thread::spawn(move || {
            // SAFETY: the call fails or waits; the page is never freed.
            unsafe { libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAIT, 2, 0, 0, 0) };
        });
        beat(path);
        std::mem::forget(handler);
        // SAFETY: it is ours.
        unsafe { page.cast::<u8>().write_volatile(1) };
    });
}

#[test]
fn a_process_in_a_folder_of_a_hung_file_system_blocks_no_poll() {
    if !needs_root() || lacks(Need::Fuse) {
        return;
    }
    let info = look_at(|path| {
        std::env::set_current_dir(files::hung_folder()).unwrap();
        beat(path);
    });
    assert_eq!(info.why.cause, Cause::Idle, "{info:?}");
}

const AGENT: &str = "hostile::beats_when_executed_from_a_file_system_that_hangs_then";

/// The program is on a file system that does not answer any more, and it is mapped.
#[test]
fn a_program_on_a_hung_file_system_blocks_no_poll() {
    if !needs_root() || lacks(Need::Fuse) {
        return;
    }
    let info = look_at(|path| {
        let (program, hang) = files::program_that_hangs();
        let mut command = Command::new(program);
        command.args(["--ignored", "--exact", AGENT]).stdout(std::process::Stdio::null());
        panic!("{}", command.env("VARTA_SOCKET", path).stdin(hang).exec());
    });
    // It waits for its next page, or does not need one.
    assert!(matches!(info.why.cause, Cause::Io | Cause::Idle | Cause::Waiting), "{info:?}");
}

#[test]
#[ignore = "only another test executes it"]
fn beats_when_executed_from_a_file_system_that_hangs_then() {
    beat(Path::new(&std::env::var_os("VARTA_SOCKET").unwrap()));
    // From now on the file system does not answer.
    // SAFETY: one byte, which lives until it is written.
    assert_eq!(unsafe { libc::write(0, [0_u8].as_ptr().cast(), 1) }, 1);
    forever();
}

/// The stall is reported in time, without a cause, and those of others are explained.
#[test]
fn a_process_that_keeps_its_readers_waiting_blocks_no_poll() {
    if !needs_root() || lacks(Need::Fuse) {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = observer(&path);
    let (mut start, go) = std::io::pipe().unwrap();
    let mut go = Some(go);
    let hostile = Child::start(|| {
        std::env::set_current_dir(folder.path()).unwrap();
        beat(&path);
        files::in_an_exec_that_hangs(Command::new("sleep").arg("1000"));
    });
    let other = Child::start(|| {
        beat(&path);
        start.read_exact(&mut [0]).unwrap();
        beat(&path);
        forever();
    });
    let started = Instant::now();
    let detail = format!("a reading of process {} does not return", hostile.pid());
    let is_known = |observer: &Observer, agent| {
        let info = observer.cause(agent, 0).unwrap();
        info.is_some_and(|info| info.detail.to_string() == detail)
    };
    let (mut stalled, mut explained) = (None, false);
    while !explained || !stalled.is_some_and(|agent| is_known(&observer, agent)) {
        assert!(started.elapsed() < PATIENCE, "{:?}", observer.stats());
        let polled = Instant::now();
        let event = observer.poll_timeout(ms(20)).unwrap();
        assert!(polled.elapsed() < LONGEST_POLL, "the poll was blocked");
        // Now the thread is lost that reads it.
        if observer.stats().unwrap().cause_stuck == 1
            && let Some(mut go) = go.take()
        {
            go.write_all(b"!").unwrap();
        }
        let Some((what, about)) = event.and_then(|event| Some((event.what, event.about?)))
        else {
            continue;
        };
        match what {
            What::Stall { why: Some(why), .. } | What::Cause { why } => {
                if about.pid == hostile.pid() {
                    assert_eq!(why.cause, Cause::Unknown, "{why:?}");
                    stalled = Some(about.agent);
                } else {
                    explained |= go.is_none() && why.cause == Cause::Idle;
                }
            }
            _ => {}
        }
    }
    drop((observer, hostile, other));
}

#[test]
fn a_process_that_hides_is_silent_for_unknown_reasons() {
    if !needs_root() {
        return;
    }
    in_child(|| {
        files::own_mounts();
        let (kind, target) = (c"proc".as_ptr(), c"/proc".as_ptr());
        let options = c"hidepid=2".as_ptr().cast();
        // SAFETY: strings that end with zero.
        let mounted = unsafe { libc::mount(kind, target, kind, 0, options) };
        assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
        let folder = Folder::new();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let path = folder.join("varta.sock");
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let agent = Child::start(|| {
            become_user(65_533);
            reader.read_exact(&mut [0]).unwrap();
            beat(&path);
            forever();
        });
        become_user(65_534);
        let mut observer = observer(&path);
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        writer.write_all(b"!").unwrap();
        let started = Instant::now();
        let why = loop {
            assert!(started.elapsed() < PATIENCE, "{:?}", observer.stats());
            match observer.poll_timeout(ms(20)).unwrap().map(|event| event.what) {
                Some(What::Stall { why: Some(why), .. }) => break why,
                _ => continue,
            }
        };
        assert_eq!(why.cause, Cause::Unknown, "{why:?}");
        assert!(why.flags.has(CauseFlags::NO_PERMISSION), "{why:?}");
        std::mem::forget(agent);
    });
}

fn lacks(need: Need) -> bool {
    need.missing().is_some_and(|missing| {
        kernel_lacks(&missing);
        true
    })
}

/// How many agents fall silent in the same moment.
const CROWD: usize = 1_000;

/// No poll reads more than this many of them: two milliseconds are enough for no more.
const MOST_READ: u64 = 200;

#[test]
fn a_thousand_agents_that_fall_silent_at_once_are_read_little_by_little_and_no_beat_is_lost() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Builder::new()
        .listen(path.to_str().unwrap().parse().unwrap())
        .threshold(Duration::from_secs(4))
        .causes(true)
        .bind()
        .unwrap();
    let quiet = shared_flag();
    let crowd = Child::start(|| {
        for _ in 0..CROWD {
            // SAFETY: this process has one thread.
            if unsafe { libc::fork() } == 0 {
                end_with_parent();
                be_one_of_many(&path, quiet);
            }
        }
        forever();
    });
    let mut steady = Varta::connect(&path).unwrap();
    let started = Instant::now();
    let (mut known, mut silent, mut sent, mut heard) = (0, 0, 0, 0);
    let (mut next, mut beaten) = (Instant::now(), HashSet::new());
    let own = std::process::id();
    while known < CROWD {
        let all = beaten.len();
        // On a busy machine it takes many tries until the first beats of all are heard.
        assert!(started.elapsed() < 4 * PATIENCE, "{known} of {silent} of {all} are explained");
        if next <= Instant::now() {
            sent += u64::from(steady.beat(Status::Ok, 0) == BeatOutcome::Sent);
            next += ms(50);
        }
        let before = observer.stats().unwrap().cause_looks;
        let event = observer.poll_timeout(ms(5)).unwrap();
        let read = observer.stats().unwrap().cause_looks - before;
        assert!(read <= MOST_READ, "one poll has read {read} processes");
        let Some(event) = event else { continue };
        let is_own = event.about.is_some_and(|about| about.pid == own);
        match event.what {
            What::Beat { count, .. } if is_own => heard += u64::from(count),
            What::Stall { .. } if is_own => panic!("the steady agent: {event}"),
            What::Beat { .. } => {
                beaten.extend(event.about.map(|about| about.pid));
                quiet.store(beaten.len() == CROWD, Ordering::Relaxed);
            }
            What::Stall { why: Some(why), .. } => {
                silent += 1;
                known += usize::from(why.cause != Cause::Unknown);
            }
            What::Cause { why } => known += usize::from(why.cause != Cause::Unknown),
            _ => {}
        }
    }
    while heard < sent {
        assert!(started.elapsed() < 5 * PATIENCE, "{heard} of {sent} beats");
        match observer.poll_timeout(ms(5)).unwrap() {
            Some(event) if event.about.is_some_and(|about| about.pid == own) => {
                if let What::Beat { count, .. } = event.what {
                    heard += u64::from(count);
                }
            }
            _ => {}
        }
    }
    drop(crowd);
}

/// A flag that processes share.
fn shared_flag() -> &'static AtomicBool {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, whose address the kernel chooses.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4_096, protection, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: it is zeroed, aligned, and never unmapped.
    unsafe { &*page.cast() }
}

/// Beats twice a second until all are quiet.
fn be_one_of_many(path: &Path, quiet: &AtomicBool) -> ! {
    let mut agent = Varta::connect(path).unwrap();
    while !quiet.load(Ordering::Relaxed) {
        let _ = agent.beat(Status::Ok, 0);
        thread::sleep(ms(500));
    }
    forever();
}
