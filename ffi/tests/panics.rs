//! A panic in the library becomes an error code.

use super::support::{Agent, Folder, Observer, init};
use crate::agent::{varta_agent_stats, varta_beat, varta_reconnect};
use crate::errors::VARTA_EPANIC;
use crate::guard;
use crate::handle::Handle;
use crate::notify::{varta_ready, varta_status, varta_stopping};
use crate::observer::polling::{varta_observer_fd, varta_observer_poll};
use crate::observer::{self, AnyObserver};

#[test]
fn a_panic_returns_a_code_and_so_does_every_later_call() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    assert_eq!(agent.beat(0, 0), 0);
    let code = guard::answer(|| unsafe {
        Handle::<crate::agent::Agent>::with(agent.0.cast(), |_| panic!("a bug"))
    });
    assert_eq!(code.number(), VARTA_EPANIC);
    assert_eq!(agent.beat(0, 0), VARTA_EPANIC);
    assert_eq!(unsafe { varta_reconnect(agent.0) }.number(), VARTA_EPANIC);
    assert_eq!(unsafe { varta_agent_stats(agent.0, &mut init()) }.number(), VARTA_EPANIC);
    assert_eq!(unsafe { varta_ready(agent.0) }.number(), VARTA_EPANIC);
    assert_eq!(unsafe { varta_stopping(agent.0) }.number(), VARTA_EPANIC);
    assert_eq!(unsafe { varta_status(agent.0, c"text".as_ptr()) }.number(), VARTA_EPANIC);
    assert_eq!(unsafe { varta_beat(agent.0, 9, 0) }.number(), -libc::EINVAL);

    let code = guard::answer(|| unsafe {
        observer::with(observer.0, |_: &mut AnyObserver| panic!("too"))
    });
    assert_eq!(code.number(), VARTA_EPANIC);
    let mut event = unsafe { std::mem::zeroed() };
    let poll = unsafe { varta_observer_poll(observer.0, &raw mut event, -1) };
    assert_eq!(poll.number(), VARTA_EPANIC);
    assert_eq!(unsafe { varta_observer_fd(observer.0) }.number(), VARTA_EPANIC);
    // Other handles still work, and the broken ones can be closed.
    let another = Agent::connect(&folder.socket());
    assert_eq!(another.beat(0, 0), 0);
}

#[test]
fn a_panic_payload_that_panics_when_dropped_is_caught() {
    struct Twice;
    impl Drop for Twice {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    let code = guard::answer(|| std::panic::panic_any(Twice));
    assert_eq!(code.number(), VARTA_EPANIC);
    guard::end(|| std::panic::panic_any(Twice));
    assert_eq!(guard::text(|| std::panic::panic_any(Twice)).words(), "unknown");
}
