#![allow(clippy::cast_possible_truncation, reason = "of small numbers")]

use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use super::*;
use crate::sys::{self, unix_socket};
use crate::testing::{
    Folder, Idle, exit, in_child, leave_one_descriptor, open_descriptors,
    send_with_descriptors, wait_until,
};

/// A socket that passes credentials, one that sends to it, and a batch.
fn pair() -> (UnixDatagram, UnixDatagram, Batch) {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    sys::pass_credentials(receiver.as_fd()).unwrap();
    (sender, receiver, Batch::for_unix())
}

fn pass_pidfds(receiver: &UnixDatagram, batch: &mut Batch, on: bool) {
    sys::pass_pidfds(receiver.as_fd(), on).unwrap();
    batch.expect_pidfds(on);
}

fn this_process() -> Credentials {
    // SAFETY: takes nothing and cannot fail.
    let gid = unsafe { libc::getegid() };
    Credentials { pid: std::process::id(), uid: sys::effective_uid(), gid }
}

#[test]
fn a_batch_receives_each_datagram_with_its_sender() {
    let (sender, receiver, mut batch) = pair();
    let this = this_process();
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 0);
    // The queue of a socket pair has no length limit, so that it can hold more than a batch.
    in_child(|| {
        for number in 0..BATCH / 2 {
            sender.send(&[number as u8; 32]).unwrap();
        }
    });
    for number in BATCH / 2..BATCH + 5 {
        sender.send(&[number as u8; 32]).unwrap();
    }
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), BATCH);
    for number in 0..BATCH {
        let message = batch.take(number).unwrap();
        assert_eq!(message.bytes, [number as u8; 32]);
        assert!(!message.data_truncated && !message.control_truncated);
        assert!(message.pidfd.is_none() && message.source.is_none());
        let credentials = message.credentials.unwrap();
        assert_eq!(credentials.pid == this.pid, number >= BATCH / 2, "datagram {number}");
        assert_eq!((credentials.uid, credentials.gid), (this.uid, this.gid));
    }
    assert!(batch.take(BATCH).is_none());

    // The buffers can be used again, even for a batch that is not full.
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 5);
    for number in 0..5 {
        let message = batch.take(number).unwrap();
        assert_eq!(message.bytes, [(BATCH + number) as u8; 32]);
        assert_eq!(message.credentials, Some(this));
    }
    assert!(batch.take(5).is_none());
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 0);
    assert!(batch.take(0).is_none());
}

#[test]
fn a_batch_still_works_after_it_has_moved() {
    let (sender, receiver, batch) = pair();
    let mut batch = std::thread::spawn(move || Box::new(batch)).join().unwrap();
    sender.send(b"moved").unwrap();
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
    assert_eq!(batch.take(0).unwrap().bytes, b"moved");
}

#[test]
fn datagrams_of_every_length_are_received_and_truncation_is_reported() {
    let (sender, receiver, mut batch) = pair();
    for length in (0..=DATA_ROOM + 1).chain([1_000, 100_000]) {
        sender.send(&vec![7; length]).unwrap();
        assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
        let message = batch.take(0).unwrap();
        assert_eq!(message.bytes, vec![7; length.min(DATA_ROOM)], "{length}");
        assert_eq!(message.data_truncated, length > DATA_ROOM, "{length}");
        assert!(!message.control_truncated && message.credentials.is_some());
    }
}

#[test]
fn truncated_data_and_truncated_control_data_are_distinguished() {
    let (sender, receiver, mut batch) = pair();
    let attached = [sender.as_fd()];
    for (length, rights, data_truncated, control_truncated) in [
        (32, false, false, false),
        (99, false, true, false),
        (32, true, false, true),
        (99, true, true, true),
    ] {
        let attached = if rights { &attached[..] } else { &[] };
        match rights {
            true => send_with_descriptors(&sender, &[7; 99][..length], attached).unwrap(),
            false => assert_eq!(sender.send(&[7; 99][..length]).unwrap(), length),
        }
        assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
        let message = batch.take(0).unwrap();
        assert_eq!(message.data_truncated, data_truncated, "{length}, {rights}");
        assert_eq!(message.control_truncated, control_truncated, "{length}, {rights}");
        assert_eq!(message.credentials, Some(this_process()), "credentials are first");
    }
}

#[test]
fn attached_descriptors_never_stay_open() {
    in_child(|| {
        let (sender, receiver, mut batch) = pair();
        let counts = [0, 1, 2, 3, 4, 16, 253];
        let before = open_descriptors();
        for pidfds in [false, true] {
            pass_pidfds(&receiver, &mut batch, pidfds);
            for count in counts.into_iter().cycle().take(20 * BATCH) {
                let attached = vec![receiver.as_fd(); count];
                send_with_descriptors(&sender, &[7; 32], &attached).unwrap();
                assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
                let message = batch.take(0).unwrap();
                assert_eq!(message.credentials, Some(this_process()));
                assert_eq!(message.control_truncated, count > 0, "{count}, {pidfds}");
                assert_eq!(message.pidfd.is_some(), pidfds && count == 0, "{count}");
                drop(message);
                assert_eq!(open_descriptors(), before, "after {count} attached, {pidfds}");
            }
        }
    });
}

#[test]
fn a_socket_can_refuse_attached_descriptors() {
    let (sender, receiver, mut batch) = pair();
    sys::refuse_descriptors(receiver.as_fd());
    let sent = send_with_descriptors(&sender, &[7; 32], &[sender.as_fd()]);
    // Before Linux 6.16 it cannot, and they are closed.
    let received = batch.receive(receiver.as_fd()).unwrap();
    match sent {
        Ok(()) => assert_eq!(received, 1),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(received, 0);
        }
    }
}

#[test]
fn each_datagram_carries_a_pidfd_once_requested() {
    let (sender, receiver, mut batch) = pair();
    // One is queued before the request and one after it.
    sender.send(&[1]).unwrap();
    pass_pidfds(&receiver, &mut batch, true);
    sender.send(&[2]).unwrap();
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 2);
    for index in 0..2 {
        let message = batch.take(index).unwrap();
        assert!(!message.control_truncated);
        let pidfd = message.pidfd.unwrap().unwrap();
        let this = sys::open_pidfd(std::process::id()).unwrap();
        let number = sys::process_number(pidfd.as_fd());
        assert_eq!(number, sys::process_number(this.as_fd()));
        assert_eq!(sys::life(pidfd.as_fd()), Some(sys::Life::Running));
        assert!(batch.take(index).unwrap().pidfd.is_none(), "it was taken");
    }

    // It is switched off while two are queued.
    sender.send(&[3]).unwrap();
    sender.send(&[4]).unwrap();
    pass_pidfds(&receiver, &mut batch, false);
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 2);
    let message = batch.take(1).unwrap();
    assert!(message.pidfd.is_none() && !message.control_truncated);
}

#[test]
fn a_pidfd_that_nobody_takes_is_closed() {
    in_child(|| {
        let (sender, receiver, mut batch) = pair();
        pass_pidfds(&receiver, &mut batch, true);
        let before = open_descriptors();
        for _ in 0..3 {
            for _ in 0..BATCH {
                sender.send(&[7; 32]).unwrap();
            }
            assert_eq!(batch.receive(receiver.as_fd()).unwrap(), BATCH);
            assert_eq!(open_descriptors(), before + BATCH);
            drop(batch.take(3));
            assert_eq!(open_descriptors(), before + BATCH - 1);
        }
        assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 0);
        assert_eq!(open_descriptors(), before);
        sender.send(&[7; 32]).unwrap();
        assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
        drop(batch);
        assert_eq!(open_descriptors(), before);
    });
}

#[test]
fn datagrams_are_received_without_a_free_descriptor() {
    in_child(|| {
        let (sender, receiver, mut batch) = pair();
        pass_pidfds(&receiver, &mut batch, true);
        leave_one_descriptor(sender.as_fd());
        for number in 0..3 {
            sender.send(&[number; 32]).unwrap();
        }
        assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 3);
        let mut pidfds = Vec::new();
        for index in 0..3 {
            let message = batch.take(index).unwrap();
            assert_eq!(message.bytes, [index as u8; 32]);
            assert_eq!(message.credentials, Some(this_process()));
            assert!(!message.control_truncated);
            pidfds.push(message.pidfd.unwrap());
        }
        let errno = |pidfd: &io::Result<OwnedFd>| {
            pidfd.as_ref().err().and_then(|error| error.raw_os_error())
        };
        assert_eq!(
            pidfds.iter().map(errno).collect::<Vec<_>>(),
            [None, Some(libc::EMFILE), Some(libc::EMFILE)]
        );
        // There are pidfds again once a descriptor is free.
        drop(pidfds);
        sender.send(&[9; 32]).unwrap();
        assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
        assert!(batch.take(0).unwrap().pidfd.unwrap().is_ok());
    });
}

#[test]
fn a_datagram_of_an_exited_sender_has_its_pid() {
    let (sender, receiver, mut batch) = pair();
    let child = send_from_child(&sender);
    pass_pidfds(&receiver, &mut batch, true);
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
    let message = batch.take(0).unwrap();
    assert_eq!(message.bytes, [7; 32]);
    // The pid of the sender, which another process may have now.
    assert_eq!(message.credentials.unwrap().pid, child);
    match message.pidfd.unwrap() {
        Ok(pidfd) => assert_eq!(sys::life(pidfd.as_fd()), Some(sys::Life::Reaped)),
        // Before Linux 6.16.
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESRCH)),
    }
}

/// Sends from a child and reaps it. Returns its pid, which is free by then.
fn send_from_child(sender: &UnixDatagram) -> u32 {
    let mut child = crate::testing::Child::start(|| {
        sender.send(&[7; 32]).unwrap();
        exit(0);
    });
    child.wait();
    child.pid()
}

#[test]
fn udp_reports_the_source_in_both_address_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let socket = sys::bind_udp(address.parse().unwrap()).unwrap();
        let receiver = std::net::UdpSocket::from(socket);
        let sender = std::net::UdpSocket::bind(address).unwrap();
        let mut batch = Batch::for_udp();
        sys::count_overflows(receiver.as_fd()).unwrap();
        // Several times, to test that the space for the address is reset.
        for length in [32, 0, 60, 99] {
            sender.send_to(&[7; 99][..length], receiver.local_addr().unwrap()).unwrap();
            wait_until(|| batch.receive(receiver.as_fd()).unwrap() == 1);
            let message = batch.take(0).unwrap();
            assert_eq!(message.source, Some(sender.local_addr().unwrap()));
            assert_eq!(message.bytes.len(), length.min(DATA_ROOM));
            assert_eq!(message.data_truncated, length > DATA_ROOM);
            assert!(!message.control_truncated && message.credentials.is_none());
            assert!(message.pidfd.is_none() && message.overflow.is_none());
        }
    }
}

#[test]
fn udp_counts_dropped_datagrams() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut batch = Batch::for_udp();
    sys::count_overflows(receiver.as_fd()).unwrap();
    sys::set_receive_buffer(receiver.as_fd(), 1).unwrap();
    const SENT: u32 = 500;
    for _ in 0..SENT {
        sender.send_to(&[7; 32], receiver.local_addr().unwrap()).unwrap();
    }
    let mut received = 0;
    loop {
        let count = batch.receive(receiver.as_fd()).unwrap();
        if count == 0 {
            break;
        }
        received += count as u32;
    }
    // The count is passed with the next datagram that is not dropped.
    sender.send_to(&[8; 32], receiver.local_addr().unwrap()).unwrap();
    wait_until(|| batch.receive(receiver.as_fd()).unwrap() == 1);
    let message = batch.take(0).unwrap();
    assert!(received < SENT, "the queue holds {SENT}, which tests nothing");
    assert_eq!(message.overflow, Some(SENT - received));
    assert!(!message.control_truncated);
}

#[test]
fn a_pidfd_identifies_the_sender_and_not_its_pid() {
    let (sender, receiver, mut batch) = pair();
    pass_pidfds(&receiver, &mut batch, true);
    send_from_child(&sender);
    sender.send(&[7; 32]).unwrap();
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 2);
    let gone = batch.take(0).unwrap().pidfd.unwrap();
    let this = batch.take(1).unwrap().pidfd.unwrap().unwrap();
    if let Ok(gone) = gone {
        let number = sys::process_number(gone.as_fd());
        assert_ne!(number, sys::process_number(this.as_fd()));
    }
    let idle = Idle::start();
    let other = sys::open_pidfd(idle.pid()).unwrap();
    assert_ne!(sys::process_number(other.as_fd()), sys::process_number(this.as_fd()));
}

#[test]
fn a_receive_error_is_returned() {
    let folder = Folder::new();
    let file = std::fs::File::create(folder.join("no socket")).unwrap();
    let mut batch = Batch::for_unix();
    let error = batch.receive(file.as_fd()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    assert_eq!(batch.receive(unix_socket().unwrap().as_fd()).unwrap(), 0);
}
