//! The options of an observer.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Duration;

use ::varta_observer::judge::MOST_AGENTS;
use ::varta_observer::{Builder, Rate, Uids};
use varta::secure::Key;

use super::MakeError;
use super::slack::{self, varta_slack};
use crate::args;
use crate::codec::VARTA_KEY_BYTES;
use crate::errors::Failure;
use crate::sized::Sized;

/// Observer flag: accept frames of version 1 as well as version 2.
pub const VARTA_OBSERVER_VERSION1: u32 = 1;
/// Observer flag: admit senders in other pid namespaces.
pub const VARTA_OBSERVER_NAMESPACES: u32 = 2;
/// Observer flag: admit beats of every user. By default only the observer's own user, or the
/// users in uids, are admitted.
pub const VARTA_OBSERVER_ANY_UID: u32 = 4;
/// Observer flag: do not detect process exits; report only silence.
pub const VARTA_OBSERVER_NO_EXITS: u32 = 8;
/// Observer flag: processes may beat through memory that they share with the observer. An event
/// can then stand for several beats: see count. Beside each Unix socket there is a second one, at
/// the same path with ".lane" at its end.
pub const VARTA_OBSERVER_LANE: u32 = 16;
/// Observer flag, with VARTA_OBSERVER_LANE: follow the tasks of processes that beat through shared
/// memory. Each takes a place of the capacity. A program that acts on every stall must then check
/// the event's task: do not restart a process because of one task.
pub const VARTA_OBSERVER_TASKS: u32 = 32;
/// Observer flag: find out why a process is silent. A stall then has a cause, and an event of the
/// kind VARTA_EVENT_CAUSE follows when it changes. To see everything, the observer needs the
/// permission to trace its agents.
pub const VARTA_OBSERVER_CAUSES: u32 = 64;

const KNOWN_FLAGS: u32 = VARTA_OBSERVER_VERSION1
    | VARTA_OBSERVER_NAMESPACES
    | VARTA_OBSERVER_ANY_UID
    | VARTA_OBSERVER_NO_EXITS
    | VARTA_OBSERVER_LANE
    | VARTA_OBSERVER_TASKS
    | VARTA_OBSERVER_CAUSES;

/// Observer options. Initialise with VARTA_OBSERVER_OPTIONS_INIT; zero in any field means the
/// default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_observer_options {
    /// sizeof(varta_observer_options).
    pub size: u32,
    /// VARTA_OBSERVER_ flags; others are -EINVAL.
    pub flags: u32,
    /// How long an agent may be silent. Default: 2 s.
    pub threshold_ns: u64,
    /// How late the observer may be before that counts as a pause, for which every agent gets
    /// more time. Default: half the shortest threshold, at least 50 ms.
    pub pause_after_ns: u64,
    /// The maximum number of agents. Default: 4,096. More than 2^28 is -EINVAL.
    pub capacity: u32,
    /// The mode of the socket file. Default: 0600. More than 0777 is -EINVAL.
    pub socket_mode: u32,
    /// The size of the kernel's receive buffers to request, in bytes. Default: 1 MiB.
    pub receive_buffer: u32,
    /// The maximum number of file descriptors to follow processes with. Default: half the soft
    /// limit.
    pub descriptors: u32,
    /// How many beats a second of one agent become events. A beat over this rate still shows
    /// that its agent lives. Default: no limit.
    pub agent_rate: u32,
    /// How many beats of one agent may become events at once after a quiet time; 0 means 1. Only
    /// used with agent_rate.
    pub agent_burst: u32,
    /// Like agent_rate, for all agents together.
    pub rate: u32,
    /// Like agent_burst, for all agents together. Only used with rate.
    pub burst: u32,
    /// The users whose beats are admitted over a Unix socket. Default: the user that the
    /// observer runs as; in a simulated observer, uid 0. Must be NULL with
    /// VARTA_OBSERVER_ANY_UID.
    pub uids: *const u32,
    /// The number of uids.
    pub uid_count: usize,
    /// Keys that sealed beats may use, 32 bytes each without gaps, in addition to the keys of
    /// the endpoints.
    pub shared_keys: *const u8,
    /// The number of keys in shared_keys.
    pub shared_key_count: usize,
    /// A master key of 32 bytes, from which each agent's own key is derived.
    pub master_key: *const u8,
    /// A bound Unix datagram socket to listen on, for example from a service manager; 0 for
    /// none. Its mode is not changed and its file is never removed. The observer duplicates the
    /// descriptor; the caller keeps this one.
    pub inherit: c_int,
    /// Zero.
    pub reserved: u32,
    /// A buffer for an error message, or NULL. If varta_observer_bind fails, it writes a
    /// sentence that describes the failure and what to do, NUL-terminated and truncated to fit.
    pub message: *mut c_char,
    /// The size of the message buffer in bytes.
    pub message_size: usize,
    /// A file that keeps sealed sessions when the observer restarts, so that the next observer
    /// also refuses a sealed beat that was already accepted; NULL for none. The observer creates
    /// it with mode 0600 if it does not exist. Use it from the first use of the key. A simulated
    /// observer ignores it.
    pub secure_state_file: *const c_char,
    /// The shortest time between two regular looks at the memory that a process shares, if
    /// something could be due sooner. Default: 10 ms.
    pub lane_floor_ns: u64,
    /// How late tasks may be before that is reported, as for varta_observer_set_slack. Default: no
    /// slack.
    pub slack: *const varta_slack,
    /// The number of entries in slack.
    pub slack_count: usize,
    /// A listening Unix socket of the type SOCK_SEQPACKET to hand out shared memory with, beside
    /// inherit; 0 for none. Only with VARTA_OBSERVER_LANE. The observer duplicates the descriptor;
    /// the caller keeps this one.
    pub inherit_lane: c_int,
    /// Zero.
    pub reserved2: u32,
}

// SAFETY: it begins with its size and holds numbers and pointers.
unsafe impl Sized for varta_observer_options {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        threshold_ns: 0,
        pause_after_ns: 0,
        capacity: 0,
        socket_mode: 0,
        receive_buffer: 0,
        descriptors: 0,
        agent_rate: 0,
        agent_burst: 0,
        rate: 0,
        burst: 0,
        uids: ptr::null(),
        uid_count: 0,
        shared_keys: ptr::null(),
        shared_key_count: 0,
        master_key: ptr::null(),
        inherit: 0,
        reserved: 0,
        message: ptr::null_mut(),
        message_size: 0,
        secure_state_file: ptr::null(),
        lane_floor_ns: 0,
        slack: ptr::null(),
        slack_count: 0,
        inherit_lane: 0,
        reserved2: 0,
    };
}

impl varta_observer_options {
    /// A builder with these options, and no endpoint except an inherited socket.
    ///
    /// # Safety
    ///
    /// The pointers are NULL or point to as many values as their count declares.
    pub(crate) unsafe fn builder(&self) -> Result<Builder, MakeError> {
        let has = |flag| self.flags & flag != 0;
        if self.flags & !KNOWN_FLAGS != 0
            || (self.reserved, self.reserved2) != (0, 0)
            || self.capacity > MOST_AGENTS
            || self.socket_mode > 0o777
            || self.inherit < 0
            || self.inherit_lane < 0
            || self.inherit_lane > 0 && !has(VARTA_OBSERVER_LANE)
        {
            return Err(Failure::INVALID.into());
        }
        let mut builder = Builder::new()
            .version1(has(VARTA_OBSERVER_VERSION1))
            .namespaces(has(VARTA_OBSERVER_NAMESPACES))
            .detect_exits(!has(VARTA_OBSERVER_NO_EXITS))
            .lane(has(VARTA_OBSERVER_LANE))
            .tasks(has(VARTA_OBSERVER_TASKS))
            .causes(has(VARTA_OBSERVER_CAUSES));
        // SAFETY: as the caller promised.
        builder = builder.slack(unsafe { slack::slack(self.slack, self.slack_count) }?);
        if self.threshold_ns != 0 {
            builder = builder.threshold(Duration::from_nanos(self.threshold_ns));
        }
        if self.pause_after_ns != 0 {
            builder = builder.pause_after(Duration::from_nanos(self.pause_after_ns));
        }
        if self.lane_floor_ns != 0 {
            builder = builder.lane_floor(Duration::from_nanos(self.lane_floor_ns));
        }
        if self.capacity != 0 {
            builder = builder.capacity(count(self.capacity));
        }
        if self.socket_mode != 0 {
            builder = builder.socket_mode(self.socket_mode);
        }
        if self.receive_buffer != 0 {
            builder = builder.receive_buffer(count(self.receive_buffer));
        }
        if self.descriptors != 0 {
            builder = builder.descriptors(count(self.descriptors));
        }
        if self.agent_rate != 0 {
            let rate = Rate { per_second: self.agent_rate, burst: self.agent_burst };
            builder = builder.rate_per_agent(rate);
        }
        if self.rate != 0 {
            builder = builder.rate(Rate { per_second: self.rate, burst: self.burst });
        }
        // SAFETY: as the caller promised.
        if let Some(uids) = unsafe { self.admitted_uids() }? {
            builder = builder.uids(uids);
        }
        // SAFETY: as the caller promised.
        builder = unsafe { self.with_keys(builder) }?;
        if !self.secure_state_file.is_null() {
            // SAFETY: it points to a string, as the caller promised.
            let path = unsafe { CStr::from_ptr(self.secure_state_file) };
            builder = builder.secure_state_file(OsStr::from_bytes(path.to_bytes()));
        }
        for inherited in [self.inherit, self.inherit_lane] {
            if inherited != 0 {
                // SAFETY: the caller keeps it open during this call.
                let inherited = unsafe { BorrowedFd::borrow_raw(inherited) };
                builder = builder.inherit(inherited.try_clone_to_owned()?);
            }
        }
        Ok(builder)
    }

    /// The users to admit, or None for the default.
    ///
    /// # Safety
    ///
    /// As for [`builder`](Self::builder).
    unsafe fn admitted_uids(&self) -> Result<Option<Uids>, Failure> {
        let any = self.flags & VARTA_OBSERVER_ANY_UID != 0;
        // SAFETY: as the caller promised.
        match unsafe { args::values(self.uids, self.uid_count) }? {
            [] if any => Ok(Some(Uids::Any)),
            [] => Ok(None),
            _ if any => Err(Failure::INVALID),
            uids => Ok(Some(Uids::List(uids.into()))),
        }
    }

    /// # Safety
    ///
    /// As for [`builder`](Self::builder).
    unsafe fn with_keys(&self, mut builder: Builder) -> Result<Builder, Failure> {
        let first = self.shared_keys.cast::<[u8; VARTA_KEY_BYTES]>();
        // SAFETY: as the caller promised.
        for key in unsafe { args::values(first, self.shared_key_count) }? {
            builder = builder.shared_key(Key::from_bytes(*key));
        }
        if !self.master_key.is_null() {
            // SAFETY: as the caller promised.
            let key = unsafe { args::bytes(self.master_key) }?;
            builder = builder.master_key(Key::from_bytes(key));
        }
        Ok(builder)
    }

    /// Like [`builder`](Self::builder), for a simulated observer.
    ///
    /// # Safety
    ///
    /// As for [`builder`](Self::builder).
    pub(crate) unsafe fn simulation(&self) -> Result<Builder, MakeError> {
        if (self.inherit, self.inherit_lane) != (0, 0) {
            return Err(Failure::INVALID.into());
        }
        // SAFETY: as the caller promised.
        let builder = unsafe { self.builder() }?;
        let default_uids = self.uid_count == 0 && self.flags & VARTA_OBSERVER_ANY_UID == 0;
        Ok(if default_uids { builder.uids(Uids::Only(0)) } else { builder })
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
