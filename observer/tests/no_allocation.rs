//! Shows that polling allocates nothing after bind, whatever arrives: beats and rubbish,
//! newcomers, forged pids, exits and stalls.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "an allocator")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use support::{End, Folder, PATIENCE, Puppet, frame, ms};
use varta::Endpoint;
use varta::secure::Key;
use varta_observer::{AgentInfo, Builder, Event, Observer, What};

/// Counts what the thread that asked for it allocates.
struct Counting;

thread_local! {
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNTED.set(COUNTED.get().map(|count| count + 1));
        // SAFETY: as the caller vouches for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller vouches for.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
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

/// An observer whose polls are counted.
struct Counted {
    observer: Observer,
    events: [Event; 16],
    allocations: u64,
    exits: usize,
    stalls: usize,
}

impl Counted {
    fn poll(&mut self, timeout: Duration) {
        let mut heard = 0;
        self.allocations += allocations(|| {
            heard = self.observer.poll_many(&mut self.events, timeout).unwrap();
        });
        for event in self.events.iter().take(heard) {
            self.exits += usize::from(matches!(event.what, What::Exit { .. }));
            self.stalls += usize::from(matches!(event.what, What::Stall { .. }));
        }
    }

    fn poll_until(&mut self, said: impl Fn(&Self) -> bool) {
        let start = std::time::Instant::now();
        while !said(self) {
            self.poll(ms(10));
            assert!(start.elapsed() < PATIENCE, "it was not said");
        }
    }
}

#[test]
fn polling_allocates_nothing_whatever_arrives() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    // Part of it later than bind, which makes no difference afterwards.
    let mut observer = Builder::new()
        .listen(path.to_str().unwrap().parse().unwrap())
        .secure_udp((Ipv4Addr::LOCALHOST, 0).into())
        .bind()
        .unwrap();
    observer.listen(Endpoint::Udp((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let [shared, master] = [7, 8].map(|byte| Key::from_bytes([byte; 32]));
    observer.set_keys(vec![shared], Some(master)).unwrap();
    observer.set_default_threshold(ms(200)).unwrap();
    let addresses: Vec<_> = observer.udp_addresses().collect();
    let mine = UnixDatagram::unbound().unwrap();
    mine.connect(&path).unwrap();
    mine.set_nonblocking(true).unwrap();
    let network = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let events = [Event::NOTHING; 16];
    let mut counted = Counted { observer, events, allocations: 0, exits: 0, stalls: 0 };
    let mut agents = [AgentInfo::NOBODY; 64];

    for round in 1..=40_u32 {
        // Newcomers that end each in its own way, and fit into the queue. Half of them are
        // reaped at once, half after the observer has given up waiting for that.
        let mut puppets: Vec<_> = (0..3).map(|_| Puppet::at(&path)).collect();
        for (puppet, (end, how)) in
            puppets.iter().zip([(End::Exit, 7), (End::Signal, 9), (End::Exit, 0)])
        {
            puppet.beat_and_end(3, end, how);
            puppet.wait_for_end();
        }
        let reap_at_once = round % 2 == 0;
        if reap_at_once {
            for puppet in &mut puppets {
                puppet.reap();
            }
        }
        // One that beats all the time.
        let me = std::process::id();
        for nonce in 0..4 {
            let _ = mine.send(&frame(me, u64::from(round * 4 + nonce)));
            counted.poll(Duration::ZERO);
        }
        // What is no beat, on every way in.
        let _ = mine.send(&[]);
        let _ = mine.send(&[b'V'; 100]);
        let _ = mine.send(&frame(1_000_000, 1));
        for address in &addresses {
            for bytes in [&[0_u8; 32][..], &[1; 60], &[2; 64], &frame(40_000 + round, 1)] {
                network.send_to(bytes, address).unwrap();
            }
        }
        counted.poll_until(|counted| {
            counted.exits == 3 * round as usize
                && counted.observer.stats().unwrap().auth_failures == u64::from(round)
        });
        if !reap_at_once {
            for puppet in &mut puppets {
                puppet.reap();
            }
        }
        counted.allocations += allocations(|| {
            let _ = counted.observer.snapshot_into(&mut agents).unwrap();
            let _ = counted.observer.stats().unwrap();
            let _ = counted.observer.next_deadline().unwrap();
            let _ = counted.observer.as_fd();
        });
    }
    counted.poll_until(|counted| counted.stalls > 0);
    let counters = counted.observer.stats().unwrap();
    assert!(counters.auth_failures > 0 && counters.decrypt_failures > 0 && counters.probes > 0);
    assert_eq!(counted.allocations, 0);
}
