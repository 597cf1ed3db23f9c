//! Enumerations, flags and numbers out of range.

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr;

use super::support::{Agent, Folder, Observer, init};
use crate::agent::*;
use crate::codec::*;
use crate::constants::*;
use crate::crash::varta_install_crash_handler;
use crate::observer::options::*;
use crate::observer::polling::*;
use crate::observer::slack::*;
use crate::observer::*;
use crate::simulated::lane::*;
use crate::simulated::readings::*;
use crate::simulated::*;

const INVALID: i32 = -libc::EINVAL;

#[test]
fn only_three_statuses_can_be_sent() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    for status in 0..=u8::MAX {
        let expected = if status < 3 { 0 } else { INVALID };
        assert_eq!(agent.beat(status, 0), expected, "status {status}");
    }
    for nonce in 1..=3 {
        let beat = observer.wait(|event| event.kind == VARTA_EVENT_BEAT);
        assert_eq!(beat.nonce, nonce, "a refused status used up a nonce");
    }
}

#[test]
fn unknown_options_are_refused() {
    let folder = Folder::new();
    let socket = folder.socket();
    let connect = |change: &dyn Fn(&mut varta_agent_options)| {
        let mut options: varta_agent_options = init();
        change(&mut options);
        let mut agent = ptr::null_mut();
        unsafe { varta_connect(&raw mut agent, socket.as_ptr(), &raw const options) }.number()
    };
    for bit in 3..32 {
        assert_eq!(connect(&|options| options.flags = 1 << bit), INVALID);
    }
    assert_eq!(connect(&|options| options.reserved = 1), INVALID);

    let bind = |change: &dyn Fn(&mut varta_observer_options)| {
        let mut options: varta_observer_options = init();
        change(&mut options);
        let mut observer = ptr::null_mut();
        let simulated =
            unsafe { varta_observer_simulate(&raw mut observer, &raw const options) }.number();
        let bound = unsafe {
            varta_observer_bind(&raw mut observer, socket.as_ptr(), &raw const options)
        };
        assert_eq!(bound.number(), simulated);
        simulated
    };
    for bit in 7..32 {
        assert_eq!(bind(&|options| options.flags = 1 << bit), INVALID);
    }
    assert_eq!(bind(&|options| options.reserved = 1), INVALID);
    assert_eq!(bind(&|options| options.capacity = (1 << 28) + 1), INVALID);
    assert_eq!(bind(&|options| options.socket_mode = 0o1000), INVALID);
    assert_eq!(bind(&|options| options.inherit = -1), INVALID);
    assert_eq!(bind(&|options| options.inherit_lane = -1), INVALID);
    assert_eq!(bind(&|options| options.inherit_lane = 1), INVALID, "without a lane");
    assert_eq!(bind(&|options| options.reserved2 = 1), INVALID);
    assert_eq!(bind(&|options| options.slack_count = 1), INVALID);
    assert_eq!(bind(&|options| options.uid_count = 1), INVALID);
    assert_eq!(bind(&|options| options.shared_key_count = 1), INVALID);
    assert_eq!(
        bind(&|options| {
            options.flags = VARTA_OBSERVER_ANY_UID;
            options.uids = [1].as_ptr();
            options.uid_count = 1;
        }),
        INVALID
    );
    for bit in 1..32 {
        let code = unsafe { varta_install_crash_handler(socket.as_ptr(), 1 << bit) };
        assert_eq!(code.number(), INVALID);
    }
}

#[test]
fn timeouts_and_thresholds_out_of_range_are_refused() {
    let simulated = Observer::simulate(&init());
    let mut event = unsafe { std::mem::zeroed() };
    let mut poll =
        |timeout| unsafe { varta_observer_poll(simulated.0, &raw mut event, timeout) }.number();
    assert_eq!([poll(-2), poll(i32::MIN), poll(-1), poll(0)], [INVALID, INVALID, 0, 0]);
    let code = unsafe { varta_observer_poll_many(simulated.0, &raw mut event, 0, 0) };
    assert_eq!(code.number(), INVALID);
    let code = unsafe { varta_observer_poll_many(simulated.0, &raw mut event, 1, -2) };
    assert_eq!(code.number(), INVALID);
    let code = unsafe { varta_observer_set_threshold(simulated.0, 1, 0) };
    assert_eq!(code.number(), INVALID);
    let mut buffer: [std::ffi::c_char; 4] = [0; 4];
    let code = unsafe { varta_observer_advice(simulated.0, buffer.as_mut_ptr(), 0) };
    assert_eq!(code.number(), INVALID);
}

#[test]
fn slack_is_for_one_name() {
    let observer = Observer::simulate(&init());
    let set = |program: Option<&CStr>, task: Option<&CStr>| {
        let name = |name: Option<&CStr>| name.map_or(ptr::null(), CStr::as_ptr);
        let slack =
            varta_slack { program: name(program), task: name(task), slack_ns: u64::MAX };
        unsafe { varta_observer_set_slack(observer.0, &raw const slack, 1) }.number()
    };
    assert_eq!([set(Some(c"cron"), None), set(None, Some(c"batch"))], [0, 0]);
    let too_long = c"a name of twenty-four b.";
    for (program, task) in [
        (None, None),
        (Some(c"cron"), Some(c"batch")),
        (Some(c""), None),
        (Some(c"\xff"), None),
        (None, Some(c"")),
        (None, Some(c"\xff")),
        (None, Some(too_long)),
    ] {
        assert_eq!(set(program, task), INVALID, "{program:?}, {task:?}");
    }
    assert_eq!(unsafe { varta_observer_set_slack(observer.0, ptr::null(), 0) }.number(), 0);
}

#[test]
fn pages_that_no_process_has_are_refused() {
    let mut options: varta_observer_options = init();
    let page = Cell::new(init::<varta_page>());
    let mut process: varta_attaching = init();
    process.pid = 4321;
    let attach = |observer: &Observer, process: &varta_attaching| {
        unsafe { varta_observer_feed_attach(observer.0, 1, process, page.as_ptr()) }.number()
    };
    assert!(attach(&Observer::simulate(&options), &process) < 0, "it offers no pages");
    options.flags = VARTA_OBSERVER_LANE;
    let observer = Observer::simulate(&options);
    process.uid = 7;
    assert_eq!(attach(&observer, &process), -libc::EACCES);
    process.uid = 0;
    assert_eq!(attach(&observer, &process), 0);
    let page = page.get().page;
    let words = [0; 8];
    let lines = |page, pair| unsafe {
        varta_observer_feed_line(observer.0, page, pair, words.as_ptr(), ptr::null()).number()
    };
    let steps = |page| unsafe {
        [
            varta_observer_feed_mapped(observer.0, 1, page),
            varta_observer_feed_bell(observer.0, 1, page),
            varta_observer_feed_detach(observer.0, 1, page),
        ]
        .map(|code| code.number())
    };
    assert_eq!([lines(page, 0), lines(page, 31), lines(page, 32)], [0, 0, INVALID]);
    assert_eq!([lines(page + 1, 0), lines(u32::MAX, 0)], [INVALID; 2]);
    assert_eq!((steps(page + 1), steps(u32::MAX)), ([INVALID; 3], [INVALID; 3]));
    assert_eq!(steps(page), [0; 3]);
    assert_eq!((steps(page), lines(page, 0)), ([INVALID; 3], INVALID), "it was given up");
    let bound = Observer::bind(&Folder::new().socket());
    assert_eq!(attach(&bound, &process), -libc::EOPNOTSUPP);
    let gone = unsafe { varta_observer_feed_thread_gone(bound.0, 1, 1) };
    assert_eq!(gone.number(), -libc::EOPNOTSUPP);
}

#[test]
fn readings_that_cannot_be_are_refused() {
    let observer = Observer::simulate(&init());
    let process = |change: &dyn Fn(&mut varta_reading)| {
        let mut reading: varta_reading = init();
        change(&mut reading);
        unsafe { varta_observer_feed_reading(observer.0, 2, &raw const reading) }.number()
    };
    let thread = |pid, change: &dyn Fn(&mut varta_thread_reading)| {
        let mut thread: varta_thread_reading = init();
        change(&mut thread);
        unsafe { varta_observer_feed_thread_reading(observer.0, pid, &raw const thread) }
            .number()
    };
    assert_eq!(thread(2, &|_| {}), -libc::ESRCH, "its process has no reading");
    assert_eq!(process(&|reading| reading.flags = 16), INVALID);
    assert_eq!(process(&|reading| reading.lacks = 16), INVALID);
    assert_eq!(process(&|reading| reading.reserved[6] = 1), INVALID);
    assert_eq!(process(&|reading| reading.name = c"\xff".as_ptr()), INVALID);
    assert_eq!(process(&|reading| reading.group = c"\xff".as_ptr()), INVALID);
    assert_eq!(process(&|reading| (reading.flags, reading.lacks) = (15, 15)), 0);
    assert_eq!(thread(2, &|thread| thread.reserved = 1), INVALID);
    assert_eq!(thread(2, &|thread| thread.wait_channel = c"\xff".as_ptr()), INVALID);
    assert_eq!(thread(2, &|thread| thread.call = c"no_such_call".as_ptr()), INVALID);
    for call in [c"running", c"outside", c"futex"] {
        assert_eq!(thread(2, &|thread| thread.call = call.as_ptr()), 0, "{call:?}");
    }
    let more = std::iter::repeat_with(|| thread(2, &|_| {})).take_while(|code| *code == 0);
    assert_eq!(more.count(), 61);
    assert_eq!(thread(2, &|_| {}), -libc::ENOSPC);
}

#[test]
fn simulated_datagrams_and_exits_are_checked() {
    let simulated = Observer::simulate(&init());
    let feed = |change: &dyn Fn(&mut varta_datagram)| {
        let mut datagram: varta_datagram = init();
        change(&mut datagram);
        unsafe { varta_observer_feed(simulated.0, 0, &raw const datagram) }.number()
    };
    assert_eq!(feed(&|_| ()), 0);
    assert_eq!(feed(&|datagram| datagram.flags = 8), INVALID);
    assert_eq!(feed(&|datagram| datagram.sender = 3), INVALID);
    assert_eq!(feed(&|datagram| datagram.pid_namespace = 3), INVALID);
    assert_eq!(feed(&|datagram| datagram.reserved = 1), INVALID);
    assert_eq!(feed(&|datagram| datagram.reserved2 = 1), INVALID);
    assert_eq!(feed(&|datagram| datagram.innermost_pid = 1), INVALID);
    assert_eq!(feed(&|datagram| datagram.listener = 1 << 16), INVALID);
    assert_eq!(feed(&|datagram| datagram.length = 1), INVALID);
    assert_eq!(feed(&|datagram| datagram.sender = VARTA_SENDER_NETWORK), INVALID);
    for source in [c"", c"host", c"192.0.2.1:9", c"\xff"] {
        let code = feed(&|datagram| {
            datagram.sender = VARTA_SENDER_SECURE_NETWORK;
            datagram.source = source.as_ptr();
        });
        assert_eq!(code, INVALID, "{source:?}");
    }
    let exit = |cause, code| {
        unsafe { varta_observer_feed_exit(simulated.0, 0, 2, cause, code) }.number()
    };
    assert_eq!([exit(0, 0), exit(1, 9), exit(2, 9)], [0, 0, 0]);
    assert_eq!([exit(0, 1), exit(3, 0), exit(255, 0)], [INVALID; 3]);
    let code = unsafe { varta_observer_advance(simulated.0, 0, 2) };
    assert_eq!(code.number(), INVALID);
}

#[test]
fn invalid_frames_and_versions_are_refused() {
    let good = varta_frame {
        timestamp: 3,
        nonce: 4,
        payload: 5,
        pid: 2,
        status: 0,
        version: 2,
        reserved: [0; 10],
    };
    let mut wire = [0; 32];
    let mut encode = |frame: varta_frame| {
        unsafe { varta_frame_encode(wire.as_mut_ptr(), &raw const frame) }.number()
    };
    assert_eq!(encode(good), 0);
    assert_eq!(encode(varta_frame { version: 1, payload: 1 << 32, ..good }), 0);
    for frame in [
        varta_frame { version: 0, ..good },
        varta_frame { version: 3, ..good },
        varta_frame { status: 4, ..good },
        varta_frame { payload: 1 << 32, ..good },
        varta_frame { reserved: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1], ..good },
    ] {
        assert_eq!(encode(frame), INVALID, "{frame:?}");
    }
    let mut frame = good;
    for version in (0..=u8::MAX).filter(|version| ![1, 2].contains(version)) {
        let code = unsafe { varta_frame_decode(&raw mut frame, wire.as_ptr(), 32, version) };
        assert_eq!(code.number(), INVALID);
    }
}

#[test]
fn strerror_describes_every_code() {
    use crate::errors::varta_strerror;
    assert_eq!(varta_strerror(0).words(), "no error");
    assert_eq!(varta_strerror(4).words(), "no error");
    for errno in 1..=133 {
        assert!(!varta_strerror(-errno).words().starts_with("unknown"), "errno {errno}");
    }
    for code in [crate::errors::VARTA_EPANIC, crate::errors::VARTA_EKEY] {
        assert_ne!(varta_strerror(code).words(), "unknown error");
    }
    for code in [-134, -4000, -4003, i32::MIN] {
        assert_eq!(varta_strerror(code).words(), "unknown error", "code {code}");
    }
}
