//! The agent.

use std::ffi::{c_char, c_int};
use std::io;

use varta::{AnyTransport, BeatOutcome, Options, Status, Varta};

use crate::args::{self, Message};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::handle::Handle;
use crate::sized::{self, OutputArray, Sized};
use crate::task::{self, VARTA_NEVER};

/// An agent: the connection of this process to one observer. varta_connect makes it and
/// varta_close ends it.
#[derive(Debug)]
pub struct varta_agent {
    /// A pointer to this type really points to a `Handle<Agent>`.
    _handle: (),
}

pub(crate) type Agent = Varta<AnyTransport>;

/// Agent flag: do not follow the observer. varta_connect then fails if no observer is bound, and
/// only varta_reconnect or reconnect_after finds an observer that was replaced.
pub const VARTA_AGENT_NO_FOLLOW: u32 = 1;
/// Agent flag: do not use shared memory, even if the observer offers it; all beats go as datagrams,
/// as with ?lane=off in the endpoint.
pub const VARTA_AGENT_NO_LANE: u32 = 2;
/// Agent flag: notify the service manager in $NOTIFY_SOCKET, as if $VARTA_NOTIFY were 1. See
/// varta_ready.
pub const VARTA_AGENT_NOTIFY: u32 = 4;

/// Agent options. Initialise with VARTA_AGENT_OPTIONS_INIT; zero in any field means the default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_agent_options {
    /// sizeof(varta_agent_options).
    pub size: u32,
    /// VARTA_AGENT_ flags; others are -EINVAL.
    pub flags: u32,
    /// After this many dropped beats in a row, a beat reconnects and sends the same frame once
    /// more; until that succeeds, every later beat tries again. 0: never.
    pub reconnect_after: u32,
    /// Zero.
    pub reserved: u32,
    /// A buffer for an error message, or NULL. If varta_connect fails, it writes a sentence that
    /// describes the failure and what to do, NUL-terminated and truncated to fit.
    pub message: *mut c_char,
    /// The size of the message buffer in bytes.
    pub message_size: usize,
    /// The name of the service, in UTF-8, which an observer that offers shared memory shows
    /// instead of that of the program. It is cut to 63 bytes. NULL or an empty string:
    /// $VARTA_NAME. The first agent that a process opens for an endpoint decides. Not used after
    /// the call returns.
    pub name: *const c_char,
}

// SAFETY: it begins with its size and holds numbers and pointers.
unsafe impl Sized for varta_agent_options {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        reconnect_after: 0,
        reserved: 0,
        message: std::ptr::null_mut(),
        message_size: 0,
        name: std::ptr::null(),
    };
}

/// The counters of an agent. Initialise with VARTA_AGENT_COUNTERS_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_agent_counters {
    /// sizeof(varta_agent_counters).
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// How often the clock went backwards, for varta_client_clock_regression_total.
    pub clock_regressions: u64,
    /// How many forks the agent's beats detected between the process that made the agent and
    /// this one, for varta_client_fork_recoveries_total.
    pub fork_recoveries: u64,
    /// How long ago the observer looked at the beats of this process, in nanoseconds, if they go
    /// through memory that is shared with it; VARTA_NEVER if they go as datagrams.
    pub watched_ns: u64,
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_agent_counters {
    const ZERO: Self =
        Self { size: 0, reserved: 0, clock_regressions: 0, fork_recoveries: 0, watched_ns: 0 };
}

/// Makes an agent.
///
/// The agent may start before its observer and outlive it. On a Unix socket, a beat after one
/// that found no observer first tries to open a new session, at most ten times a second; over
/// UDP the session is kept. A forked child may keep using the agent: its first beat opens a
/// session of its own and counts from 1.
///
/// On a Unix socket, an observer may offer a page of shared memory. This call waits for it for at
/// most 20 ms. Beats then go into this page, without a system call; whenever there is no page,
/// they go as datagrams.
///
/// ret: receives the new handle. The caller owns it and ends it with varta_close.
/// endpoint: where the observer is: "/run/varta.sock", "unix:///run/varta.sock", "@name"
///     (abstract), both also with "?lane=off", "udp://127.0.0.1:9000", "udp+secure://10.0.0.5:9443?key-file=PATH" or
///     "...?master-key-file=PATH". Hosts are numeric. NULL: $VARTA_ENDPOINT, else
///     "/run/varta/varta.sock".
/// opt: options, or NULL for the defaults. Not used after the call returns.
///
/// Returns 0, or
///     -EINVAL         ret is NULL, the endpoint is invalid, or a flag is unknown
///     -E2BIG          opt sets fields that this library does not know
///     -EACCES         no permission for the socket or the key file, or others can read the key
///     -ENOENT         the key file does not exist; with VARTA_AGENT_NO_FOLLOW, there is no socket
///     -ECONNREFUSED   with VARTA_AGENT_NO_FOLLOW, no observer is bound to the socket
///     VARTA_EKEY      the key file does not hold a key
///     -EMFILE         no file descriptor is free
///     or another error from socket(2) or connect(2)
/// If opt->message is set, an error message is written there.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_connect(
    ret: *mut *mut varta_agent,
    endpoint: *const c_char,
    opt: *const varta_agent_options,
) -> Code {
    guard::answer(|| {
        let ret = args::not_null(ret)?;
        // SAFETY: the caller gave options or NULL.
        let options = unsafe { sized::read(opt) }?;
        const KNOWN_FLAGS: u32 =
            VARTA_AGENT_NO_FOLLOW | VARTA_AGENT_NO_LANE | VARTA_AGENT_NOTIFY;
        if options.flags & !KNOWN_FLAGS != 0 || options.reserved != 0 {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave a string or NULL.
        let name = unsafe { args::text(options.name) }?.unwrap_or_default();
        let make = || {
            // SAFETY: the caller gave a string or NULL.
            let endpoint = unsafe { args::endpoint(endpoint) }?;
            let how = Options::default()
                .follow(options.flags & VARTA_AGENT_NO_FOLLOW == 0)
                .lane(options.flags & VARTA_AGENT_NO_LANE == 0)
                .notify(options.flags & VARTA_AGENT_NOTIFY != 0)
                .reconnect_after(options.reconnect_after)
                .name(name);
            Ok((Varta::open_with(&endpoint, how)?, ()))
        };
        let message = Message { to: options.message, size: options.message_size };
        let agent = Handle::<Agent>::make(make)
            .map_err(|error| failure_with_message(&error, message))?;
        // SAFETY: ret is not NULL, as checked above.
        unsafe { args::write(ret, agent.cast()) };
        Ok(0)
    })
}

/// Converts an error to a code, and writes its message to the caller's buffer.
pub(crate) fn failure_with_message(error: &io::Error, message: Message) -> Failure {
    // SAFETY: the caller's options give the size of the buffer.
    unsafe { message.write(&error.to_string()) };
    error.into()
}

/// Sends a heartbeat of this process, with a status and a number that the application chooses.
///
/// It makes one system call, or none if it goes through shared memory, and never blocks, allocates,
/// locks or logs. Call it from the loop
/// that does the work, not from a helper thread that keeps running when the work has stopped.
///
/// agent: from varta_connect.
/// status: VARTA_STATUS_OK, VARTA_STATUS_DEGRADED or VARTA_STATUS_CRITICAL.
/// payload: delivered unchanged in the observer's event.
///
/// Returns 0 (VARTA_SENT) if the kernel accepted the beat, or it is in shared memory. A positive number means the beat was
/// dropped, for a temporary reason; the caller can ignore it:
///     VARTA_DROPPED_KERNEL_QUEUE_FULL   the observer's queue is full
///     VARTA_DROPPED_NO_OBSERVER         no observer is bound there, or it has not looked at shared
///                                       memory for too long
///     VARTA_DROPPED_PEER_GONE           the observer closed its socket
///     VARTA_DROPPED_STORAGE_FULL        the file system is full
///     VARTA_DROPPED_WITHHELD            a vital task of this process is late; nothing was sent
/// A negative number is an error that does not go away by itself:
///     -EINVAL        agent is NULL, or the status is VARTA_STATUS_STALL or unknown
///     -EBUSY         another call is using this agent; nothing was sent
///     VARTA_EPANIC   the library has a bug; the agent can only be closed
///     or another error from send(2) or, in a forked child, socket(2) or connect(2)
/// Threads: one call at a time per agent. On plain transports (not udp+secure) it may be
/// called from a signal handler; if that interrupted a call on the same agent, it gets -EBUSY.
/// Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_beat(agent: *mut varta_agent, status: u8, payload: u32) -> Code {
    guard::answer(|| {
        let Some(status) = Status::from_wire(status) else { return Err(Failure::INVALID) };
        let beat = |agent: &mut Agent| code(agent.beat(status, payload));
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), beat) }
    })
}

/// The outcome of a beat as a number.
#[inline]
pub(crate) fn code(outcome: BeatOutcome) -> Result<c_int, Failure> {
    match outcome {
        BeatOutcome::Sent => Ok(0),
        BeatOutcome::Dropped(reason) => Ok(reason as c_int),
        BeatOutcome::Failed(error) => Err(error.into()),
    }
}

/// Sends the last words of this process: a final beat with VARTA_STATUS_CRITICAL and
/// VARTA_NONCE_TERMINAL. Call it when the program ends because of a failure that it noticed itself;
/// for crashes, see varta_install_crash_handler. A process that goes on may still beat.
///
/// They always go as a datagram. If the observer was replaced, this opens a new session first.
///
/// agent: from varta_connect.
/// payload: delivered unchanged in the observer's event.
///
/// Returns what varta_beat returns, except VARTA_DROPPED_WITHHELD.
/// Threads: as for varta_beat. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_last_words(agent: *mut varta_agent, payload: u32) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), |agent| code(agent.last_words(payload))) }
    })
}

/// Opens a new session to the same endpoint. Nonce and clock continue; in a forked child they
/// start again.
///
/// agent: from varta_connect.
///
/// Returns 0, or
///     -EINVAL         agent is NULL
///     -EBUSY          another call is using this agent
///     -ENOENT         there is no socket
///     -ECONNREFUSED   no observer is bound to the socket
///     VARTA_EPANIC    the library has a bug; the agent can only be closed
///     or another error from socket(2) or connect(2)
/// After an error the old session stays in use.
/// Threads: one call at a time per agent. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_reconnect(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        let reconnect = |agent: &mut Agent| {
            agent.reconnect()?;
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), reconnect) }
    })
}

/// Reads the counters of an agent.
///
/// agent: from varta_connect.
/// ret: receives the counters; initialise it with VARTA_AGENT_COUNTERS_INIT.
///
/// Returns 0, or
///     -EINVAL        a pointer is NULL, or ret was not initialised
///     -E2BIG         ret is from a newer header and sets fields that this library does not know
///     -EBUSY         another call is using this agent
///     VARTA_EPANIC   the library has a bug; the agent can only be closed
/// Threads: one call at a time per agent. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_agent_stats(
    agent: *mut varta_agent,
    ret: *mut varta_agent_counters,
) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave a struct or NULL.
        let output = unsafe { OutputArray::new(ret) }?;
        let stats = |agent: &mut Agent| {
            let counters = varta_agent_counters {
                clock_regressions: agent.clock_regressions(),
                fork_recoveries: agent.fork_recoveries(),
                watched_ns: agent.watched().map_or(VARTA_NEVER, task::nanoseconds),
                ..varta_agent_counters::ZERO
            };
            // SAFETY: the array has one element.
            unsafe { output.write(0, &counters) };
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), stats) }
    })
}

/// Closes an agent. The observer will report a stall, unless the process ends first.
///
/// agent: from varta_connect, or NULL, which is ignored. No other call may be using it, and
///     none may follow; debug builds of the library check that, and abort.
/// Threads: any. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_close(agent: *mut varta_agent) {
    guard::end(|| {
        // SAFETY: the caller gave an open handle or NULL, and this is the last call on it.
        drop(unsafe { Handle::<Agent>::close(agent.cast()) });
    });
}
