//! Any datagrams from any senders at any time are each counted once, and the times of events
//! do not go back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varta::secure::Key;
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{Builder, Uids};

fuzz_target!(|data: &[u8]| {
    // The key of the vectors, so that some sealed datagrams can be opened.
    let key = || Key::from_bytes(std::array::from_fn(|at| at as u8));
    let mut observer = Builder::new()
        .capacity(4)
        .uids(Uids::Any)
        .version1(true)
        .shared_key(key())
        .master_key(key())
        .simulate()
        .unwrap();
    let (mut rest, mut now, mut fed, mut last_event) = (data, 0, 0, 0);
    while let [source, wait, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        // At most a few thresholds at a time.
        now += u64::from(*wait) * 50_000_000;
        let sender = match source % 4 {
            0 => Sender::Network { address: [192, 0, 2, source / 4].into(), sealed: false },
            1 => Sender::Network { address: [127, 0, 0, 1].into(), sealed: true },
            // The pid in the frame, so that some claims are true.
            2 => Sender::Kernel {
                pid: bytes.get(4).copied().unwrap_or_default().into(),
                uid: 0,
                process: (source & 64 != 0).then(|| u64::from(source / 4)),
            },
            _ => Sender::Kernel { pid: u32::from(source / 4), uid: 1, process: None },
        };
        let mut datagram = Datagram::new(u16::from(source % 4), sender, bytes);
        datagram.truncated = source & 128 != 0;
        observer.feed(now, &datagram);
        fed += 1;
        if wait & 1 == 0 {
            observer.advance(now);
        }
        if wait & 62 == 62 {
            observer.late(now, now / 2);
        }
        while let Some(event) = observer.poll() {
            assert!(event.observer_ns >= last_event);
            last_event = event.observer_ns;
        }
    }
    let counters = observer.stats();
    assert_eq!((counters.received, counters.settled()), (fed, fed));
});
