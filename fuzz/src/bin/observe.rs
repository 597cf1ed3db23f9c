//! Whatever arrives, from whomever and whenever: each datagram is counted once, and time
//! does not go back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varta::secure::Key;
use varta_observer::judge::{Datagram, Sender};
use varta_observer::{Builder, Uids};

fuzz_target!(|data: &[u8]| {
    // That of the vectors, so that some of what is sealed opens.
    let key = || Key::from_bytes(std::array::from_fn(|at| at as u8));
    let mut observer = Builder::new()
        .capacity(4)
        .uids(Uids::Any)
        .version1(true)
        .shared_key(key())
        .master_key(key())
        .simulate()
        .unwrap();
    let (mut rest, mut now, mut fed, mut said) = (data, 0, 0, 0);
    while let [who, wait, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        // Up to some thresholds at a time.
        now += u64::from(*wait) * 50_000_000;
        let sender = match who % 4 {
            0 => Sender::Network { address: [192, 0, 2, who / 4].into(), sealed: false },
            1 => Sender::Network { address: [127, 0, 0, 1].into(), sealed: true },
            // The pid that most frames name, so that some are true.
            2 => Sender::Kernel {
                pid: bytes.get(4).copied().unwrap_or_default().into(),
                uid: 0,
                process: (who & 64 != 0).then(|| u64::from(who / 4)),
            },
            _ => Sender::Kernel { pid: u32::from(who / 4), uid: 1, process: None },
        };
        let mut datagram = Datagram::new(u16::from(who % 4), sender, bytes);
        datagram.truncated = who & 128 != 0;
        observer.feed(now, &datagram);
        fed += 1;
        if wait & 1 == 0 {
            observer.advance(now);
        }
        if wait & 62 == 62 {
            observer.late(now, now / 2);
        }
        while let Some(event) = observer.poll() {
            assert!(event.observer_ns >= said);
            said = event.observer_ns;
        }
    }
    let counters = observer.stats();
    assert_eq!((counters.received, counters.settled()), (fed, fed));
});
