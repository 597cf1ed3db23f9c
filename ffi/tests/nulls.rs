//! Every exported function with NULL for every pointer.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::ptr::{null, null_mut};

use super::support::{Agent, Folder, Observer, init};
use crate::agent::*;
use crate::codec::*;
use crate::crash::varta_install_crash_handler;
use crate::guard::{Code, Wide};
use crate::notify::*;
use crate::observer::agents::*;
use crate::observer::causes::varta_observer_cause;
use crate::observer::counters::*;
use crate::observer::polling::*;
use crate::observer::slack::varta_observer_set_slack;
use crate::observer::tasks::varta_observer_tasks;
use crate::observer::waking::varta_observer_wake;
use crate::observer::*;
use crate::sealing::*;
use crate::simulated::lane::*;
use crate::simulated::readings::*;
use crate::simulated::*;
use crate::task::counters::varta_task_counts;
use crate::task::info::varta_agent_tasks;
use crate::task::*;

const INVALID: i32 = -libc::EINVAL;

/// The functions that were called with NULL and returned what they should.
#[derive(Default)]
struct Called(BTreeSet<&'static str>);

impl Called {
    #[track_caller]
    fn refuses(&mut self, name: &'static str, code: Code) {
        assert_eq!(code.number(), INVALID, "{name}");
        self.0.insert(name);
    }

    fn accepts_null(&mut self, name: &'static str) {
        self.0.insert(name);
    }
}

macro_rules! refuse {
    ($called:ident: $($function:ident($($argument:expr),*);)*) => {
        $($called.refuses(stringify!($function), unsafe { $function($($argument),*) });)*
    };
}

#[test]
fn null_is_invalid_where_a_pointer_is_required() {
    let folder = Folder::new();
    let socket: CString = folder.socket();
    let observer = Observer::bind(&socket);
    let observed = Agent::connect(&socket);
    let (obs, agent) = (observer.0, observed.0);
    let mut event = unsafe { std::mem::zeroed() };
    let event = &raw mut event;
    let mut bytes = [0_u8; 64];
    let bytes = bytes.as_mut_ptr();
    let mut frame = unsafe { std::mem::zeroed() };
    let frame = &raw mut frame;
    let mut counters: varta_observer_counters = init();
    let counters = &raw mut counters;
    let open_task = super::support::Task::open(&observed, "task", u64::MAX);
    let (mut task, name) = (null_mut(), c"task".as_ptr());
    let mut called = Called::default();
    refuse! { called:
        varta_connect(null_mut(), socket.as_ptr(), null());
        varta_beat(null_mut(), 0, 0);
        varta_reconnect(null_mut());
        varta_agent_stats(null_mut(), &mut init());
        varta_agent_stats(agent, null_mut());
        varta_last_words(null_mut(), 0);
        varta_ready(null_mut());
        varta_stopping(null_mut());
        varta_status(null_mut(), name);
        varta_status(agent, null());
        varta_agent_tasks(null_mut(), null_mut(), 0);
        varta_agent_tasks(agent, null_mut(), 1);
        varta_task_open(null_mut(), agent, name, u64::MAX, null());
        varta_task_open(&mut task, null_mut(), name, u64::MAX, null());
        varta_task_open(&mut task, agent, null(), u64::MAX, null());
        varta_task_beat(null_mut(), 0, 0);
        varta_task_idle(null_mut(), 0);
        varta_task_unwatch(null_mut(), 1);
        varta_task_reach(null_mut(), 1);
        varta_task_progress(null_mut(), 1, 1);
        varta_task_counts(null_mut(), &mut init());
        varta_task_counts(open_task.0, null_mut());
        varta_observer_bind(null_mut(), socket.as_ptr(), null());
        varta_observer_listen(null_mut(), socket.as_ptr());
        varta_observer_listen(obs, null());
        varta_observer_set_threshold(null_mut(), 1, 1);
        varta_observer_poll(null_mut(), event, 0);
        varta_observer_poll(obs, null_mut(), 0);
        varta_observer_poll_many(null_mut(), event, 1, 0);
        varta_observer_poll_many(obs, null_mut(), 1, 0);
        varta_observer_fd(null_mut());
        varta_observer_timeout_ms(null_mut());
        varta_observer_advice(null_mut(), bytes.cast(), 64);
        varta_observer_advice(obs, null_mut(), 64);
        varta_observer_agents(null_mut(), null_mut(), 0);
        varta_observer_agents(obs, null_mut(), 1);
        varta_observer_stats(null_mut(), counters);
        varta_observer_stats(obs, null_mut());
        varta_observer_set_slack(null_mut(), null(), 0);
        varta_observer_set_slack(obs, null(), 1);
        varta_observer_tasks(null_mut(), 1, null_mut(), 0);
        varta_observer_tasks(obs, 1, null_mut(), 1);
        varta_observer_cause(null_mut(), 1, 0, null_mut());
        varta_observer_cause(obs, 1, 0, null_mut());
        varta_observer_label(null_mut(), 1, bytes.cast(), 64);
        varta_observer_label(obs, 1, null_mut(), 64);
        varta_observer_wake(null_mut());
        varta_observer_simulate(null_mut(), null());
        varta_observer_feed(null_mut(), 0, &init());
        varta_observer_feed(obs, 0, null());
        varta_observer_feed_exit(null_mut(), 0, 2, 0, 0);
        varta_observer_feed_late(null_mut(), 0, 0);
        varta_observer_feed_attach(null_mut(), 0, &init(), &mut init());
        varta_observer_feed_attach(obs, 0, null(), &mut init());
        varta_observer_feed_attach(obs, 0, &init(), null_mut());
        varta_observer_feed_mapped(null_mut(), 0, 0);
        varta_observer_feed_bell(null_mut(), 0, 0);
        varta_observer_feed_detach(null_mut(), 0, 0);
        varta_observer_feed_line(null_mut(), 0, 0, null(), null());
        varta_observer_feed_thread_gone(null_mut(), 2, 3);
        varta_observer_feed_program(null_mut(), 2, name);
        varta_observer_feed_program(obs, 2, null());
        varta_observer_feed_name(null_mut(), 2, name);
        varta_observer_feed_name(obs, 2, null());
        varta_observer_feed_reading(null_mut(), 2, &init());
        varta_observer_feed_reading(obs, 2, null());
        varta_observer_feed_thread_reading(null_mut(), 2, &init());
        varta_observer_feed_thread_reading(obs, 2, null());
        varta_observer_feed_suspended(null_mut(), 0, 0);
        varta_observer_advance(null_mut(), 0, 0);
        varta_frame_encode(null_mut(), frame);
        varta_frame_encode(bytes, null());
        varta_frame_decode(null_mut(), bytes, 32, 2);
        varta_frame_decode(frame, null(), 32, 2);
        varta_crc32c(null_mut(), bytes, 1);
        varta_crc32c(&mut 0, null(), 1);
        varta_frame_seal(null_mut(), bytes, bytes, 1, bytes);
        varta_frame_seal(bytes, null(), bytes, 1, bytes);
        varta_frame_seal(bytes, bytes, null(), 1, bytes);
        varta_frame_seal(bytes, bytes, bytes, 1, null());
        varta_frame_seal_as(null_mut(), bytes, 2, bytes, 1, bytes);
        varta_frame_seal_as(bytes, null(), 2, bytes, 1, bytes);
        varta_frame_seal_as(bytes, bytes, 2, null(), 1, bytes);
        varta_frame_seal_as(bytes, bytes, 2, bytes, 1, null());
        varta_frame_open(null_mut(), bytes, bytes, 60);
        varta_frame_open(bytes, null(), bytes, 60);
        varta_frame_open(bytes, bytes, null(), 60);
        varta_frame_open_from(null_mut(), bytes, bytes, 64);
        varta_frame_open_from(bytes, null(), bytes, 64);
        varta_frame_open_from(bytes, bytes, null(), 64);
        varta_derive_agent_key(null_mut(), bytes, 2);
        varta_derive_agent_key(bytes, null(), 2);
        varta_derive_iv_prefix(null_mut(), bytes, 2);
        varta_derive_iv_prefix(bytes, null(), 2);
    }

    // Functions for which NULL is valid.
    let watch = unsafe { varta_task_watch(null_mut(), 0, 1) };
    let labelled = unsafe { varta_task_watch_labelled(null_mut(), 0, 1, 1) };
    assert_eq!([watch, labelled].map(Wide::number), [i64::from(INVALID); 2]);
    called.accepts_null("varta_task_watch");
    called.accepts_null("varta_task_watch_labelled");
    unsafe { varta_task_close(null_mut()) };
    unsafe { varta_task_fail(null_mut()) };
    called.accepts_null("varta_task_close");
    called.accepts_null("varta_task_fail");
    unsafe { varta_close(null_mut()) };
    unsafe { varta_observer_close(null_mut()) };
    called.accepts_null("varta_close");
    called.accepts_null("varta_observer_close");
    assert_eq!(unsafe { varta_observer_agents(obs, null_mut(), 0) }.number(), 0);
    let mut crc = 1;
    assert_eq!(unsafe { varta_crc32c(&raw mut crc, null(), 0) }.number(), 0);
    assert_eq!(crc, 0);
    // NULL is the default endpoint here, so an invalid flag makes the call fail.
    let code = unsafe { varta_install_crash_handler(null(), 1 << 31) };
    called.refuses("varta_install_crash_handler", code);

    let pointers: BTreeSet<_> = super::exports::names()
        .into_iter()
        .filter(|name| !WITHOUT_POINTERS.contains(&name.as_str()))
        .collect();
    let called: BTreeSet<_> = called.0.into_iter().map(str::to_owned).collect();
    assert_eq!(called, pointers);
}

const WITHOUT_POINTERS: [&str; 13] = [
    "varta_version",
    "varta_version_string",
    "varta_abi_version",
    "varta_strerror",
    "varta_status_name",
    "varta_outcome_name",
    "varta_event_name",
    "varta_origin_name",
    "varta_decode_error_name",
    "varta_promise_name",
    "varta_rule_name",
    "varta_ending_name",
    "varta_cause_name",
];

#[test]
fn a_failed_call_writes_nothing() {
    let (mut agent, mut observer) = (16 as *mut varta_agent, 16 as *mut varta_observer);
    let none = super::support::text("udp://localhost:1");
    let code = unsafe { varta_connect(&raw mut agent, none.as_ptr(), null()) };
    assert_eq!((code.number(), agent.addr()), (INVALID, 16));
    let code = unsafe { varta_observer_bind(&raw mut observer, none.as_ptr(), null()) };
    assert_eq!((code.number(), observer.addr()), (INVALID, 16));
    let mut bytes = [7; 32];
    let code =
        unsafe { varta_frame_open(bytes.as_mut_ptr(), [1; 32].as_ptr(), [2; 60].as_ptr(), 60) };
    assert_eq!((code.number(), bytes), (-libc::EBADMSG, [7; 32]));
}

#[test]
fn the_default_endpoint_comes_from_the_environment() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let observer = Observer::bind(&folder.socket());
    let child = super::support::Child::start(|| {
        unsafe { std::env::set_var("VARTA_ENDPOINT", &path) };
        let mut agent = null_mut();
        let connected = unsafe { varta_connect(&raw mut agent, null(), null()) }.number();
        connected + unsafe { varta_beat(agent, 0, 44) }.number()
    });
    assert_eq!(child.ended(), super::support::Ended::Exited(0));
    assert_eq!(observer.wait(|event| event.payload != 0).payload, 44);
}
