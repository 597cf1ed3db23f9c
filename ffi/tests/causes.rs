//! Why a process is silent, as an observer reports it.

use std::ffi::CStr;

use super::support::{Agent, Child, Ended, Folder, Observer, init, patient};
use crate::constants::*;
use crate::observer::causes::*;
use crate::observer::options::VARTA_OBSERVER_CAUSES;

#[test]
fn the_cause_of_a_stall_is_reported_until_the_process_beats_again() {
    let folder = Folder::new();
    let endpoint = folder.socket();
    let mut options = patient();
    options.threshold_ns = 200_000_000;
    options.flags = VARTA_OBSERVER_CAUSES;
    let observer = Observer::bind_with(&endpoint, &options);
    let child = Child::start(|| {
        let agent = Agent::connect(&endpoint);
        assert_eq!(agent.beat(0, 0), 0);
        unsafe { libc::raise(libc::SIGSTOP) };
        assert_eq!(agent.beat(0, 0), 0);
        unsafe { libc::pause() };
        0
    });
    let stall = observer.wait(|event| event.kind == VARTA_EVENT_STALL);
    let cause = |code: i32| i32::from(VARTA_CAUSE_STOPPED) == code;
    // On a busy machine the first reading may come before the signal.
    if !cause(stall.code) {
        observer.wait(|event| event.kind == VARTA_EVENT_CAUSE && cause(event.code));
    }
    let mut info: varta_cause_info = init();
    let find = |info: &mut varta_cause_info| {
        unsafe { varta_observer_cause(observer.0, stall.agent, 0, info) }.number()
    };
    assert_eq!(find(&mut info), 1);
    assert_eq!((info.cause, info.certainty), (VARTA_CAUSE_STOPPED, VARTA_CERTAINTY_CERTAIN));
    assert_eq!(i32::from(info.signal), libc::SIGSTOP);
    assert!(info.looked_ns > stall.last_ns);
    assert!(unsafe { CStr::from_ptr(info.detail.as_ptr()) }.to_str().is_ok());

    unsafe { libc::kill(child.0, libc::SIGCONT) };
    observer.wait(|event| event.kind == VARTA_EVENT_RECOVERED);
    assert_eq!(find(&mut info), 0);
    unsafe { libc::kill(child.0, libc::SIGKILL) };
    assert_eq!(child.ended(), Ended::Killed(libc::SIGKILL));
}
