//! The agent.

use std::ffi::{c_char, c_int};
use std::io;

use varta::{AnyTransport, BeatOutcome, Options, Status, Varta};

use crate::args::{self, Words};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::handle::Handle;
use crate::sized::{self, Room, Sized};

/// An agent: one connection of this process to one observer. Made by varta_connect, ended
/// by varta_close.
#[derive(Debug)]
pub struct varta_agent {
    /// What a pointer to one leads to is a `Handle<Agent>`.
    _handle: (),
}

pub(crate) type Agent = Varta<AnyTransport>;

/// Agent flag: do not follow the observer. Then varta_connect fails if nobody is bound, and
/// an observer that is replaced is found again only by varta_reconnect or reconnect_after.
pub const VARTA_AGENT_NO_FOLLOW: u32 = 1;

/// How an agent is to be. Initialise it with VARTA_AGENT_OPTIONS_INIT; zero in any field means
/// its default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_agent_options {
    /// sizeof(varta_agent_options).
    pub size: u32,
    /// VARTA_AGENT_ flags; others are -EINVAL.
    pub flags: u32,
    /// After so many dropped beats in a row a beat reconnects by itself and sends the same
    /// frame once more; while that does not help, every later beat tries again. 0: never.
    pub reconnect_after: u32,
    /// Zero.
    pub reserved: u32,
    /// Where varta_connect writes, if it fails, a sentence that says what, where and what to
    /// do; NULL for nowhere. It ends in NUL and is cut to fit.
    pub message: *mut c_char,
    /// The bytes that message leads to.
    pub message_size: usize,
}

// SAFETY: it begins with its size and holds numbers and a pointer.
unsafe impl Sized for varta_agent_options {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        reconnect_after: 0,
        reserved: 0,
        message: std::ptr::null_mut(),
        message_size: 0,
    };
}

/// What an agent has counted. Initialise it with VARTA_AGENT_COUNTERS_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_agent_counters {
    /// sizeof(varta_agent_counters).
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// How often the clock went back, for varta_client_clock_regression_total.
    pub clock_regressions: u64,
    /// How many forks lie between the process that made the agent and the one that uses it, as
    /// its beats have noticed, for varta_client_fork_recoveries_total.
    pub fork_recoveries: u64,
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_agent_counters {
    const ZERO: Self = Self { size: 0, reserved: 0, clock_regressions: 0, fork_recoveries: 0 };
}

/// Makes an agent.
///
/// It takes care of itself: it may start before its observer and outlive it. On a Unix
/// socket, the beat after one that found nobody first tries a new session, at most ten
/// times a second; over UDP the session is kept. A forked child may go on using it: its
/// first beat there makes a session of its own and counts from 1.
///
/// ret: where the new handle is written. The caller owns it and ends it with varta_close.
/// endpoint: where the observer is: "/run/varta.sock", "unix:///run/varta.sock", "@name"
///     (abstract), "udp://127.0.0.1:9000", "udp+secure://10.0.0.5:9443?key-file=PATH" or
///     "...?master-key-file=PATH". Hosts are numeric. NULL: $VARTA_ENDPOINT, else
///     "/run/varta/varta.sock".
/// opt: options, or NULL for the defaults. Not kept.
///
/// Returns 0, or
///     -EINVAL         ret is NULL, the endpoint is none, or a flag is unknown
///     -E2BIG          opt holds values that this library does not know
///     -EACCES         the socket or the key file may not be used, or others can read the key
///     -ENOENT         there is no such key file; with VARTA_AGENT_NO_FOLLOW, nobody is bound
///     -ECONNREFUSED   with VARTA_AGENT_NO_FOLLOW, nobody is bound there any more
///     VARTA_EKEY      the key file holds no key
///     -EMFILE         no descriptor is left
///     and others of socket(2) and connect(2)
/// With opt->message the reason is also said in words.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_connect(
    ret: *mut *mut varta_agent,
    endpoint: *const c_char,
    opt: *const varta_agent_options,
) -> Code {
    guard::answer(|| {
        let ret = args::room(ret)?;
        // SAFETY: the caller gave options or NULL.
        let options = unsafe { sized::read(opt) }?;
        if options.flags & !VARTA_AGENT_NO_FOLLOW != 0 || options.reserved != 0 {
            return Err(Failure::INVALID);
        }
        let make = || {
            // SAFETY: the caller gave a text or NULL.
            let endpoint = unsafe { args::endpoint(endpoint) }?;
            let how = Options::default()
                .follow(options.flags & VARTA_AGENT_NO_FOLLOW == 0)
                .reconnect_after(options.reconnect_after);
            Varta::open_with(&endpoint, how)
        };
        let words = Words { to: options.message, size: options.message_size };
        let agent = Handle::make(make).map_err(|error| failure_with_message(&error, words))?;
        // SAFETY: there is room, as was checked.
        unsafe { args::write(ret, agent.cast()) };
        Ok(0)
    })
}

/// An error as a code, said to the caller in words too.
pub(crate) fn failure_with_message(error: &io::Error, words: Words) -> Failure {
    // SAFETY: the caller's options say that there is so much room.
    unsafe { words.say(&error.to_string()) };
    error.into()
}

/// Says that this process lives, with a status and a number of the application's own.
///
/// One system call. It never blocks, allocates, locks or logs. Beat from the loop that does
/// the work, not from a helper thread that lives on when the work is dead.
///
/// agent: from varta_connect.
/// status: VARTA_STATUS_OK, VARTA_STATUS_DEGRADED or VARTA_STATUS_CRITICAL.
/// payload: carried untouched to whoever polls the observer.
///
/// Returns 0 if the kernel took the beat (VARTA_SENT). A positive number says why it was
/// dropped; that passes by itself, and the work goes on:
///     VARTA_DROPPED_KERNEL_QUEUE_FULL   the observer is there, its queue is full
///     VARTA_DROPPED_NO_OBSERVER         nobody is bound there
///     VARTA_DROPPED_PEER_GONE           somebody was there and went away
///     VARTA_DROPPED_STORAGE_FULL        the file system is full
/// A negative one says what waiting does not mend:
///     -EINVAL        agent is NULL, or the status is VARTA_STATUS_STALL or unknown
///     -EBUSY         another call is on this agent; nothing was sent
///     VARTA_EPANIC   a bug was contained; the agent can only be closed
///     and others of send(2), in a forked child also of socket(2) and connect(2)
/// Threads: one at a time for one agent. On plain transports (not udp+secure) it may be
/// called from a signal handler; one that interrupts a call on the same agent gets -EBUSY.
/// Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_beat(agent: *mut varta_agent, status: u8, payload: u32) -> Code {
    guard::answer(|| {
        let Some(status) = Status::from_wire(status) else { return Err(Failure::INVALID) };
        let beat = |agent: &mut Agent| match agent.beat(status, payload) {
            BeatOutcome::Sent => Ok(0),
            BeatOutcome::Dropped(reason) => Ok(reason as c_int),
            BeatOutcome::Failed(error) => Err(error.into()),
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::with(agent.cast(), beat) }
    })
}

/// Makes a new session to the same place. Nonce and clock go on; in a forked child they
/// start anew.
///
/// agent: from varta_connect.
///
/// Returns 0, or
///     -EINVAL         agent is NULL
///     -EBUSY          another call is on this agent
///     -ENOENT         there is no such socket
///     -ECONNREFUSED   nobody is bound there any more
///     VARTA_EPANIC    a bug was contained; the agent can only be closed
///     and others of socket(2) and connect(2)
/// After an error the old session is as it was.
/// Threads: one at a time for one agent. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_reconnect(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        let reconnect = |agent: &mut Agent| {
            agent.reconnect()?;
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::with(agent.cast(), reconnect) }
    })
}

/// Says what an agent has counted.
///
/// agent: from varta_connect.
/// ret: a struct that was initialised with VARTA_AGENT_COUNTERS_INIT.
///
/// Returns 0, or
///     -EINVAL        a pointer is NULL, or ret was not initialised
///     -E2BIG         ret is of a newer header and holds what this library does not know
///     -EBUSY         another call is on this agent
///     VARTA_EPANIC   a bug was contained; the agent can only be closed
/// Threads: one at a time for one agent. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_agent_stats(
    agent: *mut varta_agent,
    ret: *mut varta_agent_counters,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave room or NULL.
        let room = unsafe { Room::new(ret) }?;
        let stats = |agent: &mut Agent| {
            let counters = varta_agent_counters {
                clock_regressions: agent.clock_regressions(),
                fork_recoveries: agent.fork_recoveries(),
                ..varta_agent_counters::ZERO
            };
            // SAFETY: there is room for one.
            unsafe { room.write(0, &counters) };
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::with(agent.cast(), stats) }
    })
}

/// Ends an agent. Its silence from here on is a stall to the observer, unless the process
/// ends too.
///
/// agent: from varta_connect, or NULL, which is no agent. No other call may be on it, and
///     none may follow; debug builds of the library check that, and abort.
/// Threads: any. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_close(agent: *mut varta_agent) {
    guard::end(|| {
        // SAFETY: the caller gave an open handle or NULL, and this is the last call on it.
        unsafe { Handle::<Agent>::close(agent.cast()) };
    });
}
