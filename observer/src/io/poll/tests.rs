//! Polls while datagrams arrive between two reads.

use std::cell::Cell;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use crate::event::Event;
use crate::io::Observer;
use crate::io::clock::looks;
use crate::testing::Folder;

/// A threshold that no test reaches.
const NEVER: Duration = Duration::from_secs(3_600);

/// A poll returns even if a datagram without an event has arrived at each read.
#[test]
fn a_poll_returns_during_a_flood_of_invalid_datagrams() {
    const ENDLESS: u32 = 100_000;
    type Poll = fn(&mut Observer) -> bool;
    let polls: [Poll; 3] = [
        |observer| observer.poll_timeout(Duration::ZERO).unwrap().is_some(),
        |observer| observer.poll_timeout(Duration::from_millis(1)).unwrap().is_some(),
        |observer| {
            let mut events = [Event::NOTHING; 8];
            observer.poll_many(&mut events, Duration::ZERO).unwrap() > 0
        },
    ];
    for poll in polls {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut observer = Observer::bind(&path, NEVER, 0o600).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let looks = Rc::new(Cell::new(0));
        let flood = {
            let looks = Rc::clone(&looks);
            move || {
                looks.set(looks.get() + 1);
                if looks.get() < ENDLESS {
                    // A full queue serves as well.
                    let _ = socket.send(&[7; 31]);
                }
            }
        };
        looks::at_each(flood, || assert!(!poll(&mut observer)));
        assert!(observer.stats().unwrap().wrong_length > 1);
        assert!(looks.get() < ENDLESS, "the poll did not return while there was more to read");
    }
}
