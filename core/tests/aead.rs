//! No AEAD nonce is ever used twice with one key: over many beats, reconnects, forks, panics
//! and threads, and when sending fails.

#![cfg(all(feature = "panic-handler", feature = "secure-udp"))]
#![allow(unsafe_code, reason = "limiting the descriptors of a forked child")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

#[path = "support/peers.rs"]
mod peers;
mod support;

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use peers::{MASTER_KEY, Opened, Opener, SHARED_KEY, run_again};
use support::{
    Child, Folder, PATIENCE, Receiver, in_child, shared_numbers, uninterrupted, wait_until,
};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::NoObserver;
use varta::secure::Key;
use varta::{
    AnyTransport, BeatTransport, LastWords, NONCE_TERMINAL, SecureUdpTransport, Status, Varta,
};

fn connect(shared: bool, address: SocketAddr) -> Varta<SecureUdpTransport> {
    match shared {
        true => Varta::connect_secure_udp(address, Key::from_bytes(SHARED_KEY)),
        false => Varta::connect_secure_udp_with_master(address, Key::from_bytes(MASTER_KEY)),
    }
    .unwrap()
}

// ---------------------------------------------------------------------- the long run

/// Counters that all processes of the long run share.
#[derive(Clone, Copy)]
struct Counts {
    sent: &'static AtomicU64,
    received: &'static AtomicU64,
    last_words: &'static AtomicU64,
    /// Sessions that have sealed a beat.
    sessions: &'static AtomicU64,
    processes: &'static AtomicU64,
    /// The number of this process; a pid might be reused.
    process: u32,
}

impl Counts {
    fn new() -> Self {
        let [sent, received, last_words, sessions, processes] = shared_numbers();
        Self { sent, received, last_words, sessions, processes, process: 0 }.in_new_process()
    }

    fn in_new_process(self) -> Self {
        let process = self.processes.fetch_add(1, Ordering::Relaxed);
        Self { process: process.try_into().unwrap(), ..self }
    }

    /// Waits until there is room in the observer's queue, so that nothing is lost.
    fn wait_for_room(self) {
        const IN_FLIGHT: u64 = 64;
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        wait_until(PATIENCE, || number < self.received.load(Ordering::Relaxed) + IN_FLIGHT);
    }
}

/// An agent, and the process that its session belongs to.
struct Agent<T: BeatTransport> {
    varta: Varta<T>,
    session_of: Option<u32>,
}

impl<T: BeatTransport> Agent<T> {
    fn new(varta: Varta<T>) -> Self {
        Self { varta, session_of: None }
    }

    fn beat(&mut self, times: u32, counts: Counts) {
        if self.session_of.replace(counts.process) != Some(counts.process) {
            counts.sessions.fetch_add(1, Ordering::Relaxed);
        }
        for _ in 0..times {
            counts.wait_for_room();
            assert_eq!(self.varta.beat(Status::Ok, counts.process), Sent);
        }
    }

    fn reconnect(&mut self) {
        self.varta.reconnect().unwrap();
        self.session_of = None;
    }
}

/// Everything in a process that seals. A forked child inherits all of it.
struct Sealers {
    connected: Vec<Agent<SecureUdpTransport>>,
    opened: Vec<Agent<AnyTransport>>,
    last_words: Vec<LastWords>,
    counts: Counts,
}

impl Sealers {
    /// Also installs the panic handlers.
    fn new(address: SocketAddr, folder: &Folder, counts: Counts) -> Self {
        let shared = folder.key_file("shared", &SHARED_KEY);
        let master = folder.key_file("master", &MASTER_KEY);
        let endpoints = [
            format!("udp+secure://{address}?key-file={}", shared.display()),
            format!("udp+secure://{address}?master-key-file={}", master.display()),
        ];
        panic::set_hook(Box::new(|_| ()));
        for endpoint in &endpoints {
            varta::install_panic_handler(endpoint).unwrap();
        }
        Self {
            connected: [true, false, true, false]
                .map(|shared| Agent::new(connect(shared, address)))
                .into(),
            opened: endpoints.iter().map(|it| Agent::new(Varta::open(it).unwrap())).collect(),
            last_words: endpoints.iter().map(|it| LastWords::open(it).unwrap()).collect(),
            counts,
        }
    }

    fn beat(&mut self, times: u32) {
        for agent in &mut self.connected {
            agent.beat(times, self.counts);
        }
        for agent in &mut self.opened {
            agent.beat(times, self.counts);
        }
    }

    fn say_last_words(&self) {
        for last_words in &self.last_words {
            self.counts.wait_for_room();
            self.counts.last_words.fetch_add(1, Ordering::Relaxed);
            assert_eq!(last_words.say(1), Sent);
        }
    }

    /// Beats, reconnects, sends last words, panics and forks, `generations` deep.
    fn run(&mut self, generations: u32) {
        for round in 0..3 * generations + 2 {
            self.beat(10);
            let place = round as usize % self.connected.len();
            self.connected[place].reconnect();
            self.opened[round as usize % 2].reconnect();
            self.say_last_words();
            survive_a_panic(self.counts);
            if let Some(generations) = generations.checked_sub(1) {
                let counts = self.counts;
                let child = Child::start(|| {
                    self.counts = counts.in_new_process();
                    self.run(generations);
                });
                // Parent and child run at the same time, with the same agents.
                self.beat(10);
                survive_a_panic(counts);
                child.finish();
            }
        }
    }
}

/// Both panic handlers send last words.
fn survive_a_panic(counts: Counts) {
    for _ in 0..2 {
        counts.wait_for_room();
        counts.last_words.fetch_add(1, Ordering::Relaxed);
    }
    panic::catch_unwind(|| panic!("on purpose")).unwrap_err();
}

/// Several threads connect, beat and panic at the same time.
fn run_in_threads(address: SocketAddr, counts: Counts) {
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                for _ in 0..5 {
                    let mut agent = Agent::new(connect(number % 2 == 0, address));
                    for _ in 0..5 {
                        agent.beat(20, counts);
                        survive_a_panic(counts);
                        agent.reconnect();
                    }
                }
            });
        }
    });
}

/// Receives everything until the long run is done and all that was sent has arrived.
fn receive_all(receiver: &Receiver, counts: Counts, done: &AtomicBool) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    let mut drain = || {
        while let Some(datagram) = receiver.queued_datagram() {
            counts.received.fetch_add(1, Ordering::Relaxed);
            received.push(datagram);
        }
    };
    while !done.load(Ordering::Acquire) {
        drain();
        thread::yield_now();
    }
    wait_until(PATIENCE, || {
        drain();
        counts.received.load(Ordering::Relaxed) == counts.sent.load(Ordering::Relaxed)
    });
    received
}

#[test]
fn no_nonce_repeats_over_100_000_beats_forks_panics_and_reconnects() {
    const THIS: &str = "no_nonce_repeats_over_100_000_beats_forks_panics_and_reconnects";

    // In its own process, so that no other test uses the panic hook.
    if peers::part().is_none() {
        run_again(THIS, "all", |it| it);
        return;
    }
    let folder = Folder::new();
    let receiver = Receiver::udp();
    let address = receiver.address();
    let counts = Counts::new();
    let done = Arc::new(AtomicBool::new(false));
    let is_done = done.clone();
    let receiving = thread::spawn(move || receive_all(&receiver, counts, &is_done));

    let mut sealers = Sealers::new(address, &folder, counts);
    sealers.run(3);
    run_in_threads(address, counts);
    sealers.run(0);

    done.store(true, Ordering::Release);
    let mut opener = Opener::new();
    let received = receiving.join().unwrap();
    let opened: Vec<_> = received.iter().map(|datagram| opener.open(datagram)).collect();
    check(&opened, counts);
}

fn check(opened: &[Opened], counts: Counts) {
    assert!(opened.len() >= 100_000, "only {} were received", opened.len());
    let mut seen = HashSet::new();
    for sealed in opened {
        assert!(seen.insert((sealed.agent, sealed.iv)), "a nonce repeats: {sealed:?}");
    }
    let shared = opened.iter().filter(|sealed| sealed.agent.is_none()).count();
    assert!(shared.min(opened.len() - shared) > 30_000, "{shared} with the shared key");

    let (last_words, beats): (Vec<&Opened>, Vec<_>) =
        opened.iter().partition(|sealed| sealed.frame.nonce == NONCE_TERMINAL);
    assert_eq!(last_words.len() as u64, counts.last_words.load(Ordering::Relaxed));

    // Each session has its own prefix and counts from 1 without gaps.
    let mut sessions: HashMap<_, Vec<u32>> = HashMap::new();
    for beat in &beats {
        sessions.entry(beat.iv.prefix).or_default().push(beat.iv.counter);
    }
    assert_eq!(sessions.len() as u64, counts.sessions.load(Ordering::Relaxed));
    for counters in sessions.values_mut() {
        counters.sort_unstable();
        assert!(counters.iter().copied().eq((1..).take(counters.len())));
    }
    // So do all last words.
    let prefixes: HashSet<_> = last_words.iter().map(|sealed| sealed.iv.prefix).collect();
    assert_eq!(prefixes.len(), last_words.len());
    assert!(prefixes.iter().all(|prefix| !sessions.contains_key(prefix)));

    // The frames inside have one counter per process, for all its keys and agents.
    let mut processes: HashMap<u32, Vec<u64>> = HashMap::new();
    for beat in &beats {
        processes.entry(beat.frame.payload).or_default().push(beat.frame.nonce);
    }
    assert_eq!(processes.len() as u64, counts.processes.load(Ordering::Relaxed));
    assert!(processes.len() > 100, "only {} processes", processes.len());
    for nonces in processes.values_mut() {
        nonces.sort_unstable();
        assert!(nonces.iter().copied().eq((1..).take(nonces.len())));
    }
}

// ------------------------------------------------------------- when something fails

#[test]
fn a_refused_send_uses_a_nonce() {
    for shared in [true, false] {
        let observer = UdpSocket::bind("127.0.0.1:0").unwrap();
        observer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut agent = connect(shared, observer.local_addr().unwrap());
        let mut beats = 0;
        let mut beat = || {
            beats += 1;
            (agent.beat(Status::Ok, 0), beats)
        };
        let mut wire = [0; 128];
        let mut receive = || {
            let (length, from) = uninterrupted(|| observer.recv_from(&mut wire)).unwrap();
            (Opener::new().open(&wire[..length]), from)
        };
        assert_eq!(beat(), (Sent, 1));
        let (first, from) = receive();
        assert_eq!(first.iv.counter, 1);

        // A socket that is connected to another address refuses this agent and keeps its port.
        observer.connect("127.0.0.1:9").unwrap();
        let mut refused = 0;
        wait_until(PATIENCE, || {
            let (outcome, _) = beat();
            assert!(matches!(outcome, Sent | Dropped(NoObserver)), "{outcome}");
            refused += u32::from(outcome != Sent);
            refused == 5
        });
        observer.connect(from).unwrap();
        let mut number = 0;
        wait_until(PATIENCE, || {
            let (outcome, beats) = beat();
            number = beats;
            outcome == Sent
        });
        let (last, _) = receive();
        // Every beat has sealed once, whether it arrived or not.
        assert_eq!((last.iv.prefix, last.iv.counter), (first.iv.prefix, number));
        assert_eq!(last.frame.nonce, u64::from(number));
        assert!(number >= 7);
    }
}

/// Runs a closure while this child cannot open a descriptor, so that it cannot make a new
/// session.
fn without_descriptors<R>(run: impl FnOnce() -> R) -> R {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a local variable.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let none = libc::rlimit { rlim_cur: 0, ..limit };
    // SAFETY: `none` is a local variable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
    let result = run();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    result
}

#[test]
fn a_child_that_cannot_make_a_session_sends_nothing() {
    for shared in [true, false] {
        let receiver = Receiver::udp();
        let mut agent = connect(shared, receiver.address());
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        in_child(|| {
            without_descriptors(|| {
                for _ in 0..3 {
                    let outcome = agent.beat(Status::Ok, 0);
                    assert!(matches!(outcome, Failed(error) if error.errno == libc::EMFILE));
                }
            });
            assert_eq!(agent.beat(Status::Ok, 0), Sent);
        });
        assert_eq!(agent.beat(Status::Ok, 0), Sent);

        let mut opener = Opener::new();
        let [first, child, second] = [(); 3].map(|()| opener.open(&receiver.next_datagram()));
        assert_eq!([first, child, second].map(|sealed| sealed.iv.counter), [1, 1, 2]);
        assert_eq!([first, child, second].map(|sealed| sealed.frame.nonce), [1, 1, 2]);
        assert_eq!(first.iv.prefix, second.iv.prefix);
        assert_ne!(first.iv.prefix, child.iv.prefix);
    }
}

#[test]
fn a_transport_without_an_agent_detects_a_fork_by_itself() {
    let receiver = Receiver::udp();
    let key = Key::from_bytes(SHARED_KEY);
    let mut transport = SecureUdpTransport::connect(receiver.address(), key).unwrap();
    let frame = {
        let mut wire = [0; 32];
        varta::Frame::new(Status::Ok, std::process::id(), 0, 1, 0).encode(&mut wire);
        wire
    };
    assert_eq!(transport.send(&frame).unwrap(), 32);
    for _ in 0..2 {
        in_child(|| {
            let error = without_descriptors(|| transport.send(&frame).unwrap_err());
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            assert_eq!(transport.send(&frame).unwrap(), 32);
            assert_eq!(transport.send(&frame).unwrap(), 32);
        });
    }
    assert_eq!(transport.send(&frame).unwrap(), 32);

    let mut opener = Opener::new();
    let ivs = [(); 6].map(|()| opener.open(&receiver.next_datagram()).iv);
    assert_eq!(ivs.map(|iv| iv.counter), [1, 1, 2, 1, 2, 2]);
    assert_eq!(ivs[0].prefix, ivs[5].prefix);
    let prefixes: HashSet<_> = ivs.iter().map(|iv| iv.prefix).collect();
    assert_eq!(prefixes.len(), 3);
}
