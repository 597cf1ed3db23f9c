//! What happens between one look and the next.

use std::cell::Cell;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::Duration;

use crate::event::Event;
use crate::io::Observer;
use crate::io::clock::looks;
use crate::testing::Folder;

/// No test waits for it.
const NEVER: Duration = Duration::from_secs(3_600);

/// What leads to no event keeps no host waiting for its turn, though there is always more
/// of it: whenever the observer reads, something has come.
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
                    // A queue that is full is as good.
                    let _ = socket.send(&[7; 31]);
                }
            }
        };
        looks::at_each(flood, || assert!(!poll(&mut observer)));
        assert!(observer.stats().unwrap().wrong_length > 1);
        assert!(looks.get() < ENDLESS, "it went on for as long as there was more");
    }
}
