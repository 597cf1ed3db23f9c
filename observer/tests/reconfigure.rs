//! Changes to a running observer: endpoints, keys, thresholds and rates. None of them loses an
//! agent.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod support;

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{
    Folder, NEVER, TestAgent, agent_info, assert_accounted, count, frame, in_child, is,
    is_about, ms, names, nonce, poll_all, poll_until, readable_within, text_of, wait_until,
};
use varta::secure::{Cipher, Iv, Key};
use varta::{Endpoint, KeyFile, Status, Varta};
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{Builder, Observer, Origin, Rate, What};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn endpoint(path: &Path) -> Endpoint {
    path.to_str().unwrap().parse().unwrap()
}

fn secure(address: SocketAddr, key: KeyFile) -> Endpoint {
    Endpoint::SecureUdp { address, key }
}

fn sealed(byte: u8, prefix: u8, counter: u32, frame: &[u8; 32]) -> [u8; 60] {
    Cipher::new(&key(byte)).seal(Iv { prefix: [prefix; 8], counter }, frame).unwrap()
}

#[test]
fn every_endpoint_can_be_added() {
    let folder = Folder::new();
    let [first, second] = ["first.sock", "second.sock"].map(|name| folder.join(name));
    let file = folder.key_file("key", &[7; 32]);
    let mut observer = Builder::new()
        .listen(endpoint(&first))
        .socket_mode(0o640)
        .threshold(NEVER)
        .bind()
        .unwrap();
    let agent = TestAgent::at(&first);
    agent.beat(1);
    poll_until(&mut observer, is("beat"));

    observer.listen(endpoint(&second)).unwrap();
    assert_eq!(fs::metadata(&second).unwrap().permissions().mode() & 0o777, 0o640);
    let name = format!("@varta-changes-{}", std::process::id());
    observer.listen(name.parse().unwrap()).unwrap();
    observer.listen(Endpoint::Udp((HERE, 0).into())).unwrap();
    observer.listen(secure((HERE, 0).into(), KeyFile::Shared(file))).unwrap();
    let [plain, secure] = observer.udp_addresses().collect::<Vec<_>>().try_into().unwrap();

    let elsewhere = TestAgent::at(&second);
    elsewhere.beat(1);
    let events = poll_until(&mut observer, is("beat"));
    assert!(is_about(events.last().unwrap(), elsewhere.pid()), "{}", text_of(&events));
    let mut abstract_agent = Varta::open(&name).unwrap();
    let _ = abstract_agent.beat(Status::Ok, 0);
    let events = poll_until(&mut observer, is("beat"));
    assert!(is_about(events.last().unwrap(), std::process::id()));
    drop(abstract_agent);

    let network = UdpSocket::bind((HERE, 0)).unwrap();
    for (bytes, to, origin) in [
        (frame(77, 1).to_vec(), plain, Origin::Network),
        (sealed(7, 1, 1, &frame(78, 1)).to_vec(), secure, Origin::SecureNetwork),
    ] {
        network.send_to(&bytes, to).unwrap();
        let events = poll_until(&mut observer, is("beat"));
        assert_eq!(events.last().unwrap().about.unwrap().origin, origin);
    }
    assert_eq!(observer.snapshot().unwrap().len(), 5);
    drop(observer);
    assert!(!first.exists() && !second.exists());
}

/// As long as an agent is unconfirmed the kernel passes pidfds, at a new socket too.
#[test]
fn an_agent_at_a_new_endpoint_is_confirmed_by_its_first_beat() {
    let folder = Folder::new();
    let [first, second] = ["first.sock", "second.sock"].map(|name| folder.join(name));
    let mut observer = Observer::bind(&first, NEVER, 0o600).unwrap();
    assert!(poll_all(&mut observer).is_empty());
    observer.listen(endpoint(&second)).unwrap();
    let agent = TestAgent::at(&second);
    agent.beat(1);
    poll_until(&mut observer, is("beat"));
    assert!(!agent_info(&observer, agent.pid()).unwrap().unconfirmed);
}

#[test]
fn an_endpoint_that_cannot_be_added_changes_nothing() {
    let folder = Folder::new();
    let [path, taken] = ["own.sock", "taken.sock"].map(|name| folder.join(name));
    let [file, master] =
        [("key", 7), ("master", 8)].map(|(name, byte)| folder.key_file(name, &[byte; 32]));
    let mut other = Observer::bind(&taken, NEVER, 0o600).unwrap();
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let mut refused = |endpoint| {
        let error = observer.listen(endpoint).unwrap_err().to_string();
        assert_eq!(observer.udp_addresses().count(), 0);
        error
    };
    let in_use = "an observer is already listening there";
    let shown = taken.display();
    assert_eq!(refused(endpoint(&taken)), format!("cannot bind {shown}: {in_use}"));
    let holder = UdpSocket::bind((HERE, 0)).unwrap();
    let address = holder.local_addr().unwrap();
    let with_key = |address| secure(address, KeyFile::Shared(file.clone()));
    assert_eq!(refused(with_key(address)), format!("cannot bind udp://{address}: {in_use}"));
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let error = refused(with_key((HERE, 0).into()));
    assert!(error.contains(file.to_str().unwrap()), "{error}");

    let with_master = || secure((HERE, 0).into(), KeyFile::Master(master.clone()));
    observer.listen(with_master()).unwrap();
    let error = observer.listen(with_master()).unwrap_err().to_string();
    assert_eq!(error, "cannot bind: more than one master key was given");

    // The key of the refused endpoint is not used.
    let address = observer.udp_addresses().next().unwrap();
    let network = UdpSocket::bind((HERE, 0)).unwrap();
    network.send_to(&sealed(7, 1, 1, &frame(78, 1)), address).unwrap();
    wait_until(|| {
        poll_all(&mut observer);
        observer.stats().unwrap().decrypt_failures == 1
    });
    assert!(poll_all(&mut other).is_empty());
}

#[test]
fn a_forked_child_changes_nothing() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    in_child(|| {
        let refused = [
            observer.listen(endpoint(&folder.join("child.sock"))),
            observer.set_keys(vec![key(1)], None),
            observer.set_default_threshold(ms(1)),
            observer.set_rates(None, None),
        ];
        for answer in refused {
            assert_eq!(answer.unwrap_err().raw_os_error(), Some(libc::ECHILD));
        }
    });
    assert!(!folder.join("child.sock").exists());
}

#[test]
fn keys_are_changed_without_losing_agents() {
    let mut observer = Builder::new()
        .secure_udp((HERE, 0).into())
        .shared_key(key(1))
        .threshold(NEVER)
        .bind()
        .unwrap();
    let address: SocketAddr = observer.udp_addresses().next().unwrap();
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    let send = |bytes: &[u8]| socket.send_to(bytes, address).unwrap();
    let recorded = sealed(1, b'a', 1, &frame(4321, 1));
    send(&recorded);
    let agent = poll_until(&mut observer, is("beat"))[0].about.unwrap().agent;

    // First both keys, then only the new one.
    observer.set_keys(vec![key(2), key(1)], None).unwrap();
    send(&sealed(1, b'a', 2, &frame(4321, 2)));
    send(&sealed(2, b'b', 1, &frame(4321, 3)));
    let events = poll_until(&mut observer, |event| nonce(event) == Some(3));
    assert_eq!(names(&events), ["beat", "beat"]);
    observer.set_keys(vec![key(2)], None).unwrap();
    send(&sealed(1, b'a', 3, &frame(4321, 4)));
    send(&sealed(2, b'b', 2, &frame(4321, 5)));
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(events[0].about.unwrap().agent, agent);
    assert_eq!(observer.stats().unwrap().decrypt_failures, 1);
    // If the old key is set again, beats that were already accepted under it are replays.
    observer.set_keys(vec![key(1)], None).unwrap();
    send(&recorded);
    send(&sealed(1, b'a', 9, &frame(4321, 6)));
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(events[0].about.unwrap().agent, agent);
    assert_eq!(observer.stats().unwrap().replays, 1);

    // A master key replaces all shared keys, and another replaces it.
    for byte in [8, 9] {
        observer.set_keys(vec![], Some(key(byte))).unwrap();
        let mut own = Varta::connect_secure_udp_with_master(address, key(byte)).unwrap();
        let _ = own.beat(Status::Ok, 0);
        let events = poll_until(&mut observer, is("beat"));
        assert_eq!(events[0].about.unwrap().claimed_pid, std::process::id());
    }
    let mut late = Varta::connect_secure_udp_with_master(address, key(8)).unwrap();
    let _ = late.beat(Status::Ok, 0);
    wait_until(|| {
        assert!(poll_all(&mut observer).is_empty());
        observer.stats().unwrap().decrypt_failures == 2
    });
    assert_eq!(observer.snapshot().unwrap().len(), 2);
    assert_accounted(&observer, 7);
}

#[test]
fn an_observer_remembers_senders_from_its_first_key_on() {
    let mut observer =
        Builder::new().secure_udp((HERE, 0).into()).threshold(NEVER).bind().unwrap();
    let address = observer.udp_addresses().next().unwrap();
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    let send = |counter| {
        socket
            .send_to(&sealed(1, b'a', counter, &frame(4321, counter.into())), address)
            .unwrap()
    };
    send(1);
    wait_until(|| {
        poll_all(&mut observer).is_empty() && observer.stats().unwrap().received == 1
    });
    observer.set_keys(vec![key(1)], None).unwrap();
    for counter in [2, 2, 3] {
        send(counter);
    }
    let events = poll_until(&mut observer, |event| nonce(event) == Some(3));
    assert_eq!(count(&events, "beat"), 2);
    let stats = observer.stats().unwrap();
    assert_eq!((stats.decrypt_failures, stats.replays), (1, 1));
}

/// A host that waits for the descriptor is woken, too.
#[test]
fn a_new_default_threshold_applies_at_once() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
    let [follower, own] = [TestAgent::at(&path), TestAgent::at(&path)];
    for agent in [&follower, &own] {
        agent.beat(1);
        poll_until(&mut observer, is("beat"));
    }
    let id = agent_info(&observer, own.pid()).unwrap().agent;
    assert!(observer.set_threshold(id, NEVER / 2).unwrap());
    let descriptor = observer.as_fd().try_clone_to_owned().unwrap();
    wait_until(|| {
        poll_all(&mut observer).is_empty() && !readable_within(descriptor.as_fd(), ms(0))
    });

    // The new threshold has already passed. The regular tick would wake the host only after a
    // second.
    observer.set_default_threshold(ms(1)).unwrap();
    assert!(readable_within(descriptor.as_fd(), ms(500)));
    let events = poll_until(&mut observer, is("stall"));
    assert_eq!(names(&events), ["stall"]);
    assert!(is_about(events.last().unwrap(), follower.pid()));
    assert_eq!(agent_info(&observer, own.pid()).unwrap().threshold_ns, 1_800_000_000_000);

    observer.set_default_threshold(NEVER).unwrap();
    follower.beat(2);
    let events = poll_until(&mut observer, is("beat"));
    assert_eq!(names(&events), ["recovered", "beat"]);
    assert_eq!(agent_info(&observer, follower.pid()).unwrap().threshold_ns, 3_600_000_000_000);
}

const SECOND: u64 = 1_000_000_000;

fn feed(observer: &mut varta_observer::Simulated, at: u64, nonce: u64) -> Vec<&'static str> {
    let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    observer.feed(at, &Datagram::new(0, sender, &frame(4321, nonce)));
    std::iter::from_fn(|| observer.poll()).map(|event| event.what.name()).collect()
}

#[test]
fn a_simulated_observer_can_be_changed_too() {
    let mut observer = Observer::simulated();
    assert_eq!(feed(&mut observer, 0, 1), ["beat"]);
    observer.set_default_threshold(SECOND / 2);
    observer.advance(SECOND / 2);
    assert_eq!(
        observer.poll().unwrap().what,
        What::Stall { last_nonce: 1, last_ns: 0, deaf: false, late: None, why: None }
    );

    // Anything longer than half the shortest threshold is a pause.
    observer.late(SECOND, SECOND - SECOND / 4);
    assert_eq!(observer.poll(), None);
    observer.late(2 * SECOND, 2 * SECOND - SECOND / 3);
    assert_eq!(observer.poll().unwrap().what.name(), "paused");
    observer.set_default_threshold(2 * SECOND);
    observer.late(3 * SECOND, 3 * SECOND - SECOND / 3);
    assert_eq!(observer.poll(), None);

    // A slow rate allows a burst of three; a new rate starts with an empty bucket.
    observer.set_rates(Some(Rate { per_second: 1, burst: 3 }), None);
    let at = 10 * SECOND;
    let counts: Vec<_> = (2..7).map(|nonce| feed(&mut observer, at, nonce).len()).collect();
    assert_eq!(counts, [2, 1, 1, 0, 0], "the first beat is a recovery too");
    observer.set_rates(Some(Rate { per_second: 10, burst: 1 }), None);
    assert_eq!(feed(&mut observer, at + 1, 7), ["beat"]);
    assert_eq!(feed(&mut observer, at + 2, 8).len(), 0);
    observer.set_rates(None, None);
    assert_eq!(feed(&mut observer, at + 3, 9), ["beat"]);

    let sender = Sender::Network { address: HERE.into(), sealed: true };
    let wire = sealed(7, 1, 1, &frame(77, 1));
    for (keys, count) in [(vec![], 0), (vec![key(7)], 1), (vec![key(8)], 0)] {
        observer.set_keys(keys, None);
        observer.feed(at + 4, &Datagram::new(1, sender, &wire));
        assert_eq!(std::iter::from_fn(|| observer.poll()).count(), count);
    }
    assert_eq!(observer.stats().decrypt_failures, 2);
}

/// A delay that was no pause before is one by half of the new threshold.
#[test]
fn a_new_default_threshold_changes_what_counts_as_a_pause() {
    let folder = Folder::new();
    let mut observer = Observer::bind(folder.join("varta.sock"), NEVER, 0o600).unwrap();
    let late = |observer: &mut Observer| {
        observer.poll_timeout(ms(1)).unwrap();
        std::thread::sleep(ms(120));
        names_of_all(observer)
    };
    assert!(late(&mut observer).is_empty());
    observer.set_default_threshold(ms(1)).unwrap();
    assert_eq!(late(&mut observer), ["paused"]);
}

fn names_of_all(observer: &mut Observer) -> Vec<&'static str> {
    poll_all(observer).iter().map(|event| event.what.name()).collect()
}
