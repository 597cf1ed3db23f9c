//! Processes that misuse the lane. Whatever one of them does, the verdicts on all others stay
//! the same, and the observer neither blocks nor crashes nor is kept busy.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "misuse of memory and sockets")]

mod support;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::lane::{Answer, LaneAgent, LaneSocket, checked, hello, map, monotonic_ns};
use support::{
    Child, Folder, LingeringSocket, count, forget_socket_option, in_child, is_about, kill, ms,
    open_descriptors, poll_all, poll_for, shared_numbers, stop_here, text_of, wait_until,
};
use varta::internal::lane::layout::{PAGE_BYTES, PAIRS};
use varta::internal::lane::message::Message;
use varta::{Endpoint, Status};
use varta_observer::{Builder, Counters, Event, Observer};

fn observer_at(path: &Path) -> Observer {
    let builder = Builder::new().listen(Endpoint::Path(path.to_owned()));
    builder.threshold(ms(500)).lane(true).tasks(true).bind().unwrap()
}

/// The processes whose verdicts must not change: one beats, the other has stopped beating.
struct Honest {
    beating: Child,
    silent: Child,
    written: &'static AtomicU64,
}

impl Honest {
    fn start(path: &Path, observer: &mut Observer) -> Self {
        let [written, go] = shared_numbers();
        let beating = Child::start(|| {
            let mut agent = LaneAgent::attach(path);
            loop {
                agent.beat();
                written.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(ms(10));
            }
        });
        let silent = Child::start(|| {
            let mut agent = LaneAgent::attach(path);
            while go.load(Ordering::SeqCst) == 0 {
                agent.beat();
                std::thread::sleep(ms(10));
            }
            stop_here();
        });
        wait_until(|| {
            poll_all(observer);
            observer.snapshot().unwrap().len() == 2
        });
        go.store(1, Ordering::SeqCst);
        Self { beating, silent, written }
    }
}

/// Lets a process misuse the lane for a while, and returns what the observer counted then.
#[track_caller]
fn withstands(misuse: impl Fn(&Path)) -> Counters {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = observer_at(&path);
    let honest = Honest::start(&path, &mut observer);
    let before = observer.stats().unwrap();
    let [ready] = shared_numbers();
    let hostile = Child::start(|| {
        ready.store(1, Ordering::SeqCst);
        loop {
            misuse(&path);
        }
    });
    wait_until(|| ready.load(Ordering::SeqCst) == 1);
    let (start, written) = (Instant::now(), honest.written.load(Ordering::SeqCst));
    let mut events = Vec::new();
    let about = |events: &[Event], pid, name| {
        let of_pid: Vec<_> =
            events.iter().filter(|event| is_about(event, pid)).copied().collect();
        count(&of_pid, name)
    };
    let (beating, silent) = (honest.beating.pid(), honest.silent.pid());
    // On a machine that is held for long, the agents themselves are late, and so is their observer.
    let is_shown = |events: &[Event]| {
        about(events, silent, "stall") > 0
            && about(events, beating, "beat") > 0
            && about(events, beating, "stall") == about(events, beating, "recovered")
    };
    let lasts = |events: &[Event]| match start.elapsed() {
        time if time < ms(1_500) => true,
        time => time < ms(60_000) && !is_shown(events),
    };
    while lasts(&events) {
        let before = Instant::now();
        events.extend(observer.poll_timeout(ms(20)).unwrap());
        assert!(before.elapsed() < ms(5_000), "a poll blocked");
    }
    let text = text_of(&events);
    assert!(honest.written.load(Ordering::SeqCst) > written);
    assert!(is_shown(&events), "{text}");
    assert_eq!(about(&events, beating, "exit"), 0, "{text}");
    assert_eq!(about(&events, silent, "stall"), 1, "{text}");
    assert_eq!(about(&events, silent, "recovered"), 0, "{text}");
    drop(hostile);
    // Afterwards others attach as ever.
    LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
    let mut counters = observer.stats().unwrap();
    counters.lane_looks -= before.lane_looks;
    counters.lane_attached -= before.lane_attached;
    counters
}

/// The errors of everything that could take the memory of a page away from its reader, or give
/// a second writer access to it.
fn take_away(file: &OwnedFd) -> [Option<i32>; 3] {
    let errno = |result: io::Result<i32>| result.err().and_then(|error| error.raw_os_error());
    // SAFETY: takes numbers alone.
    let shrunk = checked(unsafe { libc::ftruncate(file.as_raw_fd(), 0) });
    // SAFETY: takes numbers alone.
    let grown = checked(unsafe { libc::ftruncate(file.as_raw_fd(), 1 << 20) });
    let length = libc::off_t::try_from(PAGE_BYTES).unwrap();
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: takes numbers alone.
    let punched = checked(unsafe { libc::fallocate(file.as_raw_fd(), mode, 0, length) });
    [errno(shrunk), errno(grown), errno(punched)]
}

fn reopened(file: &OwnedFd) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).write(true).open(path)
}

#[test]
fn no_process_can_take_a_page_away_or_write_the_common_page() {
    const REFUSED: Option<i32> = Some(libc::EPERM);
    withstands(|path| {
        let mut agent = LaneAgent::attach(path);
        for _ in 0..1_000 {
            agent.beat();
            let [page, common] = &agent.files;
            assert_eq!(take_away(page), [REFUSED, REFUSED, None]);
            assert_eq!(take_away(common), [REFUSED; 3]);
            assert!(map(common, libc::PROT_READ | libc::PROT_WRITE).is_err());
            if let Ok(file) = reopened(common) {
                let file = OwnedFd::from(file);
                assert_eq!(take_away(&file), [REFUSED; 3]);
                assert!(map(&file, libc::PROT_READ | libc::PROT_WRITE).is_err());
            }
            // Its own page it may map as often as it likes.
            map(page, libc::PROT_READ | libc::PROT_WRITE).unwrap();
        }
        std::process::exit(0);
    });
}

#[test]
fn garbage_in_a_page_does_no_harm() {
    let counters = withstands(|path| {
        let agent = LaneAgent::attach(path);
        let mut random = monotonic_ns() | 1;
        loop {
            for word in agent.page {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let bits = [0, 1, u64::MAX, monotonic_ns(), random];
                let index = usize::try_from(random >> 32).unwrap() % bits.len();
                word.store(bits[index], Ordering::Relaxed);
            }
            let _ = agent.socket.bell(0);
        }
    });
    assert!(counters.lane_invalid > 0, "{counters:?}");
}

#[test]
fn jumping_times_and_nonces_concern_nobody_else() {
    withstands(|path| {
        let mut agent = LaneAgent::attach(path);
        let now = monotonic_ns();
        for at in [0, 1, now - 1_000_000_000, now, now + 3_600_000_000_000, u64::MAX] {
            for nonce in [0, 1, u64::MAX - 1, u64::MAX, 1 << 63] {
                agent.nonce = nonce.wrapping_sub(1);
                agent.nonce = agent.nonce.min(u64::MAX - 1);
                agent.beat_with(Status::Critical, at);
                let _ = agent.socket.bell(0);
                std::thread::sleep(ms(1));
            }
        }
    });
}

#[test]
fn an_agent_that_rings_without_pause_is_muted() {
    let counters = withstands(|path| {
        let mut agent = LaneAgent::attach(path);
        loop {
            agent.beat();
            let _ = agent.socket.bell(0);
        }
    });
    assert!(counters.lane_muted > 0, "{counters:?}");
    // In 1.5 s there are 300 turns, and the observer may be late.
    assert!(counters.lane_looks < 10_000, "{counters:?}");
}

/// Asks for a page, and reports it as mapped if it comes within this time.
fn attached_within(time: Duration, path: &Path) -> Option<LaneSocket> {
    let socket = LaneSocket::connect(path).ok()?;
    let _ = socket.hello();
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(Answer::Page(..)) = socket.answer() {
            let _ = socket.say(&Message::Mapped);
            return Some(socket);
        }
    }
    None
}

/// The end of a muted connection is noticed at once, and once.
#[test]
fn an_agent_that_rings_too_often_and_ends_is_not_looked_at_again_and_again() {
    let counters = withstands(|path| {
        if let Some(socket) = attached_within(ms(200), path) {
            while socket.bell(0).is_ok() {}
        }
    });
    assert!(counters.lane_looks < 2_000, "{counters:?}");
}

#[test]
fn connecting_without_pause_keeps_nobody_from_attaching() {
    let counters = withstands(|path| drop(LaneSocket::connect(path)));
    assert!(counters.lane_attached < 100, "{counters:?}");
}

#[test]
fn attaching_without_pause_is_limited() {
    let counters = withstands(|path| drop(attached_within(ms(100), path)));
    assert!(counters.lane_attached < 60, "{counters:?}");
}

#[test]
fn many_silent_connections_keep_nobody_from_attaching() {
    withstands(|path| {
        let hostile = std::process::id();
        let children: Vec<_> = (0..100)
            .map(|_| {
                Child::start(|| {
                    // Its parent is killed too.
                    // SAFETY: the arguments are numbers.
                    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                    if std::os::unix::process::parent_id() != hostile {
                        return;
                    }
                    let _sockets = [0; 8].map(|_| LaneSocket::connect(path));
                    stop_here();
                })
            })
            .collect();
        std::thread::sleep(ms(700));
        drop(children);
    });
}

#[test]
fn a_page_whose_agent_never_beats_or_has_another_layout_does_no_harm() {
    withstands(|path| {
        let agent = LaneAgent::attach(path);
        agent.page.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        for pair in 0..PAIRS {
            let _ = agent.socket.bell(pair);
        }
        std::thread::sleep(ms(200));
    });
}

/// Descriptors that a process attaches to its messages are not kept.
#[test]
fn attached_descriptors_do_not_stay_open() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = observer_at(&path);
        let file = File::open("/dev/null").unwrap();
        let before = open_descriptors();
        let socket = LaneSocket::connect(&path).unwrap();
        let (bytes, length) = Message::Hello(hello()).encode();
        let sent = send_with_descriptor(&socket, &bytes[..length], &file);
        if let Err(error) = sent {
            // The kernel refuses them (since 6.16).
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            socket.hello().unwrap();
        }
        let agent = LaneAgent::with(socket, || drop(poll_all(&mut observer)));
        poll_for(&mut observer, ms(50));
        drop(agent);
        wait_until(|| {
            poll_all(&mut observer);
            open_descriptors() == before
        });
    });
}

fn send_with_descriptor(
    socket: &LaneSocket,
    bytes: &[u8],
    file: &impl AsRawFd,
) -> io::Result<()> {
    let mut control = [0_u64; 4];
    let mut part =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: computes a length.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as _;
    // SAFETY: the header leads to a buffer with room for one item.
    let item = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: as above.
    let item = unsafe { &mut *item };
    item.cmsg_level = libc::SOL_SOCKET;
    item.cmsg_type = libc::SCM_RIGHTS;
    // SAFETY: computes a length.
    item.cmsg_len = unsafe { libc::CMSG_LEN(4) } as _;
    // SAFETY: computes where the data of the item begins.
    let data = unsafe { libc::CMSG_DATA(item) };
    // SAFETY: the item has room for a number.
    unsafe { std::ptr::write_unaligned(data.cast(), file.as_raw_fd()) };
    // SAFETY: the header leads to memory that lives until the call returns.
    let sent = unsafe { libc::sendmsg(socket.0.as_raw_fd(), &raw const header, 0) };
    usize::try_from(sent).map(drop).map_err(|_| io::Error::last_os_error())
}

/// Before Linux 6.16 the kernel cannot refuse descriptors, and closing one may sleep.
#[test]
fn attached_descriptors_whose_last_close_sleeps_do_not_block_the_observer() {
    in_child(|| {
        forget_socket_option(83); // SO_PASSRIGHTS
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = observer_at(&path);
        let (bytes, length) = Message::Hello(hello()).encode();
        let lingering = |socket: &LaneSocket| {
            LingeringSocket::new().send_by(|file| {
                send_with_descriptor(socket, &bytes[..length], &file).unwrap();
            })
        };
        let socket = LaneSocket::connect(&path).unwrap();
        let mut peers = vec![lingering(&socket)];
        assert!(matches!(
            socket.await_answer(|| drop(poll_all(&mut observer))),
            Answer::Closed
        ));
        // What is queued behind a message that ends the connection.
        let socket = LaneSocket::connect(&path).unwrap();
        socket.send(&[]).unwrap();
        peers.extend([lingering(&socket), lingering(&socket)]);
        assert!(matches!(
            socket.await_answer(|| drop(poll_all(&mut observer))),
            Answer::Closed
        ));
        LaneAgent::attach_with(&path, || drop(poll_all(&mut observer)));
        // Nor does one that is still queued when the observer is dropped.
        let sockets = [0; 2].map(|_| LaneSocket::connect(&path).unwrap());
        peers.push(lingering(&sockets[0]));
        poll_all(&mut observer);
        peers.push(lingering(&sockets[1]));
        let start = Instant::now();
        drop(observer);
        assert!(start.elapsed() < ms(60_000), "{:?}", start.elapsed());
    });
}

/// kill -9 in the middle of everything leaves no exit unreported.
#[test]
fn killed_agents_are_reported_and_leave_nothing_behind() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = observer_at(&path);
        let before = open_descriptors();
        let mut random = monotonic_ns();
        for _ in 0..60 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let delay = Duration::from_micros(random >> 32 & 0xfff);
            let [beats] = shared_numbers();
            let mut agent = Child::start(|| {
                let mut agent = LaneAgent::attach(&path);
                loop {
                    agent.beat();
                    beats.fetch_add(1, Ordering::SeqCst);
                    let _ = agent.socket.bell(0);
                }
            });
            let start = Instant::now();
            let mut events = Vec::new();
            while start.elapsed() < delay {
                events.extend(poll_all(&mut observer));
            }
            kill(agent.pid(), libc::SIGKILL);
            agent.wait();
            let pid = agent.pid();
            let is_exit = |event: &Event| is_about(event, pid) && event.what.name() == "exit";
            let beaten = beats.load(Ordering::SeqCst) > 0;
            wait_until(|| {
                events.extend(poll_for(&mut observer, ms(5)));
                !beaten || events.iter().any(is_exit)
            });
            assert_eq!(count(&events, "stall"), 0, "{}", text_of(&events));
        }
        wait_until(|| {
            poll_all(&mut observer);
            observer.snapshot().unwrap().is_empty()
        });
        poll_for(&mut observer, ms(200));
        assert_eq!(open_descriptors(), before);
    });
}
