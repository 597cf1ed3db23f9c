//! Polling allocates nothing after bind, whatever arrives: beats, invalid datagrams, new
//! agents, forged pids, exits and stalls.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]
#![allow(unsafe_code, reason = "an allocator")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::lane::{LaneAgent, LaneSocket};
use support::{
    Child, End, Folder, NEVER, PATIENCE, TestAgent, forget_socket_option, frame, in_child, ms,
    open_descriptors, send_with_descriptors, wait_until,
};
use varta::Endpoint;
use varta::internal::lane::layout::{
    self, Head, Hot, LAYOUT_VERSION, Line, Page, Words, lines,
};
use varta::internal::lane::line;
use varta::secure::{Cipher, Iv, Key};
use varta_observer::judge::{Attaching, Environment, Judge, PageIndex, Settings};
use varta_observer::{AgentInfo, Builder, Event, ExitCause, Observer, Policy, What};

/// An allocator that counts the allocations of a thread that has asked for it.
struct Counting;

thread_local! {
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

// SAFETY: delegates to the system allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNTED.set(COUNTED.get().map(|count| count + 1));
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of allocations of `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNTED.set(Some(0));
    work();
    COUNTED.take().unwrap()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(Box::new(1))), 1);
    assert_eq!(allocations(|| ()), 0);
}

/// An observer whose allocations are counted while it polls.
struct Counted {
    observer: Observer,
    events: [Event; 16],
    allocations: u64,
    exits: usize,
    stalls: usize,
}

impl Counted {
    fn poll(&mut self, timeout: Duration) {
        let mut count = 0;
        self.allocations += allocations(|| {
            count = self.observer.poll_many(&mut self.events, timeout).unwrap();
        });
        for event in self.events.iter().take(count) {
            self.exits += usize::from(matches!(event.what, What::Exit { .. }));
            self.stalls += usize::from(matches!(event.what, What::Stall { .. }));
        }
    }

    fn poll_until(&mut self, condition: impl Fn(&Self) -> bool) {
        let start = std::time::Instant::now();
        while !condition(self) {
            self.poll(ms(10));
            assert!(start.elapsed() < PATIENCE, "waited in vain");
        }
    }
}

#[test]
fn polling_allocates_nothing_whatever_arrives() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    // Some of it is set up after bind, which makes no difference afterwards.
    let mut observer = Builder::new()
        .listen(path.to_str().unwrap().parse().unwrap())
        .secure_udp((Ipv4Addr::LOCALHOST, 0).into())
        .secure_state_file(folder.join("sessions"))
        .causes(true)
        .bind()
        .unwrap();
    observer.listen(Endpoint::Udp((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let [shared, master] = [7, 8].map(|byte| Key::from_bytes([byte; 32]));
    let sealing = Cipher::new(&shared);
    observer.set_keys(vec![shared], Some(master)).unwrap();
    observer.set_default_threshold(ms(200)).unwrap();
    let addresses: Vec<_> = observer.udp_addresses().collect();
    let own_socket = UnixDatagram::unbound().unwrap();
    own_socket.connect(&path).unwrap();
    own_socket.set_nonblocking(true).unwrap();
    let network = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let events = [Event::NOTHING; 16];
    let mut counted = Counted { observer, events, allocations: 0, exits: 0, stalls: 0 };
    let mut infos = [AgentInfo::NOBODY; 64];

    for round in 1..=40_u32 {
        // New agents, few enough for the queue, that end in different ways. In half of the
        // rounds they are reaped at once, in the others after the observer has stopped waiting
        // for that.
        let mut agents: Vec<_> = (0..3).map(|_| TestAgent::at(&path)).collect();
        for (agent, (end, how)) in
            agents.iter().zip([(End::Exit, 7), (End::Signal, 9), (End::Exit, 0)])
        {
            agent.beat_and_end(3, end, how);
            agent.wait_for_end();
        }
        let reap_at_once = round % 2 == 0;
        if reap_at_once {
            for agent in &mut agents {
                agent.reap();
            }
        }
        // An agent that beats all the time.
        let own_pid = std::process::id();
        for nonce in 0..4 {
            let _ = own_socket.send(&frame(own_pid, u64::from(round * 4 + nonce)));
            counted.poll(Duration::ZERO);
        }
        // Invalid datagrams at every socket.
        let _ = own_socket.send(&[]);
        let _ = own_socket.send(&[b'V'; 100]);
        let _ = own_socket.send(&frame(1_000_000, 1));
        for address in &addresses {
            for bytes in [&[0_u8; 32][..], &[1; 60], &[2; 64], &frame(40_000 + round, 1)] {
                network.send_to(bytes, address).unwrap();
            }
        }
        // New and known sessions, which are recorded.
        for prefix in [[0; 8], [u8::try_from(round).unwrap(); 8]] {
            let iv = Iv { prefix, counter: round };
            let sealed = sealing.seal(iv, &frame(50_000, round.into())).unwrap();
            network.send_to(&sealed, addresses[0]).unwrap();
        }
        counted.poll_until(|counted| {
            counted.exits == 3 * round as usize
                && counted.observer.stats().unwrap().auth_failures == u64::from(round)
        });
        if !reap_at_once {
            for agent in &mut agents {
                agent.reap();
            }
        }
        counted.allocations += allocations(|| {
            let _ = counted.observer.snapshot_into(&mut infos).unwrap();
            let _ = counted.observer.stats().unwrap();
            let _ = counted.observer.next_deadline().unwrap();
            let _ = counted.observer.as_fd();
        });
    }
    counted.poll_until(|counted| counted.stalls > 0);
    let counters = counted.observer.stats().unwrap();
    assert_eq!(counters.replays, 40, "the second prefix's nonce does not move forward");
    assert!(counters.auth_failures > 0 && counters.decrypt_failures > 0 && counters.probes > 0);
    assert_eq!(counted.allocations, 0);
}

/// Connections, pages, looks, bells, wrong messages and ends.
#[test]
fn polling_allocates_nothing_whatever_happens_on_the_lane() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let builder = Builder::new().listen(Endpoint::Path(path.clone())).threshold(ms(200));
    let observer = builder.lane(true).tasks(true).bind().unwrap();
    let events = [Event::NOTHING; 16];
    let mut counted = Counted { observer, events, allocations: 0, exits: 0, stalls: 0 };
    let mut agent = LaneAgent::attach_with(&path, || counted.poll(Duration::ZERO));
    for round in 1..=10 {
        let mut children: Vec<_> = [0, 50, 1]
            .into_iter()
            .map(|bells| {
                Child::start(|| {
                    let mut agent = LaneAgent::attach(&path);
                    agent.beat();
                    let _ = (0..bells).try_for_each(|pair| agent.socket.bell(pair % 32));
                    if bells == 1 {
                        agent.socket.send(&[7; 3]).unwrap();
                    }
                })
            })
            .collect();
        agent.beat();
        drop(LaneSocket::connect(&path).unwrap());
        counted.poll_until(|counted| counted.exits == 3 * round);
        for child in &mut children {
            child.wait();
        }
    }
    counted.poll_until(|counted| counted.stalls > 0);
    counted.allocations += allocations(|| {
        let mut infos = [AgentInfo::NOBODY; 4];
        let agents = counted.observer.snapshot_into(&mut infos).unwrap();
        assert_eq!(agents, 1);
        assert!(counted.observer.task(infos[0].agent, 1).unwrap().is_none());
        let _ = counted.observer.next_deadline().unwrap();
    });
    let counters = counted.observer.stats().unwrap();
    assert!(counters.lane_muted >= 10 && counters.lane_bad_messages == 10, "{counters:?}");
    assert_eq!(counted.allocations, 0);
}

const SO_PASSRIGHTS: libc::c_int = 83;

/// Lets attached descriptors through, as kernels before 6.16 always do. Returns whether the
/// kernel can refuse them.
fn let_descriptors_through(socket: &OwnedFd) -> bool {
    let (on, size) = (1_i32, size_of::<libc::c_int>().try_into().unwrap());
    // SAFETY: reads a number of the given size.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const on).cast(),
            size,
        )
    };
    set == 0
}

/// A sender that attaches descriptors cannot fill the observer's descriptor table: the kernel
/// refuses them, or the observer closes them.
#[test]
fn attached_descriptors_do_not_stay_open() {
    attached_descriptors_do_not_stay(|| ());
}

#[test]
fn attached_descriptors_do_not_stay_open_where_the_kernel_cannot_refuse_them() {
    attached_descriptors_do_not_stay(|| forget_socket_option(SO_PASSRIGHTS));
}

fn attached_descriptors_do_not_stay(before: fn()) {
    in_child(|| {
        before();
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let observer = Observer::bind(&path, NEVER, 0o600).unwrap();
        let socket = observer.sockets().next().unwrap().try_clone_to_owned().unwrap();
        let own_socket = UnixDatagram::unbound().unwrap();
        own_socket.connect(&path).unwrap();
        let attached = [own_socket.as_fd(); 100];
        let own_pid = std::process::id();
        let events = [Event::NOTHING; 16];
        let mut counted = Counted { observer, events, allocations: 0, exits: 0, stalls: 0 };
        counted.poll(Duration::ZERO);

        let refused = send_with_descriptors(&own_socket, &frame(own_pid, 1), &attached[..1]);
        if let_descriptors_through(&socket) {
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
        } else {
            refused.unwrap();
            counted.poll_until(|counted| counted.observer.stats().unwrap().received == 1);
        }
        // Until an agent is followed the kernel passes pidfds, so that there is room for
        // control data, in which attached descriptors could arrive. Later there is none.
        for nonce in [1, 3] {
            let before = open_descriptors();
            let mut sent = counted.observer.stats().unwrap().received;
            for count in [1, 2, 3, 100] {
                for bytes in [&frame(own_pid, 9)[..], &[], &[7; 99]] {
                    send_with_descriptors(&own_socket, bytes, &attached[..count]).unwrap();
                    sent += 1;
                    counted.poll_until(|counted| {
                        counted.observer.stats().unwrap().received == sent
                    });
                    wait_until(|| open_descriptors() == before);
                }
            }
            let stats = counted.observer.stats().unwrap();
            assert_eq!(stats.settled(), sent);
            assert!(stats.beats < nonce, "{stats:?}");
            // An honest sender still counts, and is confirmed by its second beat.
            for nonce in [nonce, nonce + 1] {
                own_socket.send(&frame(own_pid, nonce)).unwrap();
                counted.poll_until(|counted| counted.observer.stats().unwrap().beats == nonce);
            }
        }
        assert_eq!(counted.allocations, 0);
    });
}

/// The pages of processes, and nothing else.
struct Pages(Vec<Box<Page>>);

impl Environment for Pages {
    fn page(&self, page: PageIndex) -> Option<&Page> {
        self.0.get(page.index()).map(|page| &**page)
    }
}

impl Pages {
    /// Writes the lines of a process and of a task that is due 10 ms later.
    fn write(&self, index: u32, at: u64, number: u32) {
        let line_of =
            |pair| lines(&self.0[index as usize], layout::offset(index), pair).unwrap();
        let store = |line: &Line, words: Words| {
            for (word, value) in line.iter().zip(words) {
                word.store(value, Ordering::Relaxed);
            }
        };
        store(line_of(0).0, Head { layout: LAYOUT_VERSION, live: 2, thread: 0 }.to_words());
        let mut cold = [u64::from(number) | 1 << 32, 10_000_000, 10_000_000, 0, 0, 0, 0, 0];
        cold[5] = u64::from(b'x');
        store(line_of(1).0, cold);
        for (pair, until) in [(0, 0), (1, at + 10_000_000)] {
            let hot = Hot { at, until, info: 1 << 8, last: u64::from(number) };
            let _ = line::write(line_of(pair).1, line::sequence(line_of(pair).1), &hot);
        }
    }
}

#[test]
fn judging_lines_allocates_nothing() {
    const MS: u64 = 1_000_000;
    let mut settings = Settings::new(Policy::same_uid(0));
    (settings.pages, settings.tasks, settings.capacity) = (64, true, 256);
    settings.threshold_ns = 100 * MS;
    let mut judge = Judge::new(settings);
    let new = || Box::new([const { AtomicU64::new(0) }; layout::PAGE_WORDS]);
    let mut pages = Pages((0..64).map(|_| new()).collect());
    let count = allocations(|| {
        for round in 1..=8_u64 {
            let start = round * 10_000 * MS;
            for index in 0..64_u32 {
                let pid = 100 + index;
                let (uid, process, nonce, clock_offset) = (0, None, 0, 0);
                let claimed_pid = pid;
                let attaching =
                    Attaching { pid, uid, process, claimed_pid, nonce, clock_offset };
                let page = judge.attach(start, &attaching, &mut pages).unwrap().page;
                judge.mapped(start, page);
            }
            for step in 1..100_u32 {
                let now = start + u64::from(step) * 7 * MS;
                for index in 0..64 {
                    if (step / 20 + index) % 3 > 0 {
                        pages.write(index, now - MS, 1 + step / 50);
                    }
                }
                while let Some(page) = judge.due_page(now) {
                    judge.look(now, page, &mut pages);
                    while judge.next_event().is_some() {}
                }
                while judge.expire(now, &mut pages) {
                    while judge.next_event().is_some() {}
                }
                judge.agents_with(now, &pages).for_each(drop);
                judge.tasks(1, now, &pages).for_each(drop);
            }
            let end = start + 1_000 * MS;
            loop {
                let Some(slot) = judge.agents(end).next().map(|(slot, _)| slot) else { break };
                judge.exited(end, slot, ExitCause::Unknown, &mut pages);
                while judge.next_event().is_some() {}
            }
        }
    });
    let counters = judge.counters();
    assert_eq!((counters.lane_attached, counters.exits), (8 * 64, 8 * 64));
    assert!(counters.task_stalls > 500 && counters.stalls > 100, "{counters:?}");
    assert!(counters.tasks_ended > 200 && counters.task_recoveries > 200, "{counters:?}");
    assert_eq!(count, 0);
}
