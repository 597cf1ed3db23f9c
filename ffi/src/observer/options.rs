//! How an observer is to be.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Duration;

use ::varta_observer::{Builder, Rate, Uids};
use varta::secure::Key;

use super::Refused;
use crate::args;
use crate::codec::VARTA_KEY_BYTES;
use crate::errors::Failure;
use crate::sized::Sized;

/// Observer flag: take frames of version 1 beside those of version 2.
pub const VARTA_OBSERVER_VERSION1: u32 = 1;
/// Observer flag: admit senders in other pid namespaces.
pub const VARTA_OBSERVER_NAMESPACES: u32 = 2;
/// Observer flag: admit every user's beats. The default is the observer's own user, or those
/// in uids.
pub const VARTA_OBSERVER_ANY_UID: u32 = 4;
/// Observer flag: do not follow processes to their end; silence does the work.
pub const VARTA_OBSERVER_NO_EXITS: u32 = 8;

const KNOWN_FLAGS: u32 = VARTA_OBSERVER_VERSION1
    | VARTA_OBSERVER_NAMESPACES
    | VARTA_OBSERVER_ANY_UID
    | VARTA_OBSERVER_NO_EXITS;

/// How an observer is to be. Initialise it with VARTA_OBSERVER_OPTIONS_INIT; zero in any field
/// means its default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_observer_options {
    /// sizeof(varta_observer_options).
    pub size: u32,
    /// VARTA_OBSERVER_ flags; others are -EINVAL.
    pub flags: u32,
    /// How long an agent may be silent. Default: 2 s.
    pub threshold_ns: u64,
    /// How late the observer itself may come before that counts as a pause, which every agent
    /// is given back. Default: half the shortest threshold, at least 50 ms.
    pub pause_after_ns: u64,
    /// How many agents are followed at most. Default: 4,096. More than 2^28 is -EINVAL.
    pub capacity: u32,
    /// The mode of the socket's file. Default: 0600. More than 0777 is -EINVAL.
    pub socket_mode: u32,
    /// How many bytes the kernel's receive buffers are asked to have. Default: 1 MiB.
    pub receive_buffer: u32,
    /// How many descriptors may be held to follow processes. Default: half the soft limit.
    pub descriptors: u32,
    /// How many beats of one agent a second become events, and how many at once after a quiet
    /// time. A beat over the rate still shows that its agent lives. Default: all do.
    pub agent_rate: u32,
    /// With agent_rate; 0 is taken as 1.
    pub agent_burst: u32,
    /// As agent_rate, of all agents together.
    pub rate: u32,
    /// With rate; 0 is taken as 1.
    pub burst: u32,
    /// Whose beats count over a Unix socket. Default: the user the observer runs as; of a
    /// simulated observer, uid 0. With VARTA_OBSERVER_ANY_UID it must be NULL.
    pub uids: *const u32,
    /// How many they are.
    pub uid_count: usize,
    /// Keys of 32 bytes, one after the other, that sealed beats may have, beside those of the
    /// endpoints.
    pub shared_keys: *const u8,
    /// How many keys they are.
    pub shared_key_count: usize,
    /// A key of 32 bytes from which each agent's own is derived.
    pub master_key: *const u8,
    /// A bound Unix datagram socket to listen at, as from a service manager; 0 for none. It is
    /// used as it is and its file is never removed. The observer makes a descriptor of its own;
    /// the caller keeps this one.
    pub inherit: c_int,
    /// Zero.
    pub reserved: u32,
    /// Where varta_observer_bind writes, if it fails, a sentence that says what, where and what
    /// to do; NULL for nowhere. It ends in NUL and is cut to fit.
    pub message: *mut c_char,
    /// The bytes that message leads to.
    pub message_size: usize,
    /// A file in which sealed sessions outlive the observer, so that a sealed beat that was
    /// accepted once is refused by the next observer too; NULL for none. It is made with mode
    /// 0600 if it is not there; make it together with the key. A simulated observer leaves it
    /// alone.
    pub secure_state_file: *const c_char,
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
    };
}

impl varta_observer_options {
    /// A builder that knows all this, and no endpoint but an inherited socket.
    ///
    /// # Safety
    ///
    /// The pointers are NULL or lead to as many values as are said.
    pub(crate) unsafe fn builder(&self) -> Result<Builder, Refused> {
        const LARGEST_CAPACITY: u32 = 1 << 28;
        let has = |flag| self.flags & flag != 0;
        if self.flags & !KNOWN_FLAGS != 0
            || self.reserved != 0
            || self.capacity > LARGEST_CAPACITY
            || self.socket_mode > 0o777
            || self.inherit < 0
        {
            return Err(Failure::INVALID.into());
        }
        let mut builder = Builder::new()
            .version1(has(VARTA_OBSERVER_VERSION1))
            .namespaces(has(VARTA_OBSERVER_NAMESPACES))
            .detect_exits(!has(VARTA_OBSERVER_NO_EXITS));
        if self.threshold_ns != 0 {
            builder = builder.threshold(Duration::from_nanos(self.threshold_ns));
        }
        if self.pause_after_ns != 0 {
            builder = builder.pause_after(Duration::from_nanos(self.pause_after_ns));
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
        if let Some(uids) = unsafe { self.admitted() }? {
            builder = builder.uids(uids);
        }
        // SAFETY: as the caller promised.
        builder = unsafe { self.with_keys(builder) }?;
        if !self.secure_state_file.is_null() {
            // SAFETY: it leads to a string, as the caller promised.
            let path = unsafe { CStr::from_ptr(self.secure_state_file) };
            builder = builder.secure_state_file(OsStr::from_bytes(path.to_bytes()));
        }
        if self.inherit != 0 {
            // SAFETY: the caller says that it is open, and keeps it so during this call.
            let theirs = unsafe { BorrowedFd::borrow_raw(self.inherit) };
            builder = builder.inherit(theirs.try_clone_to_owned()?);
        }
        Ok(builder)
    }

    /// Whose beats count, if anybody's in particular.
    ///
    /// # Safety
    ///
    /// As for [`builder`](Self::builder).
    unsafe fn admitted(&self) -> Result<Option<Uids>, Failure> {
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

    /// As [`builder`](Self::builder), for an observer without sockets.
    ///
    /// # Safety
    ///
    /// As for [`builder`](Self::builder).
    pub(crate) unsafe fn simulation(&self) -> Result<Builder, Refused> {
        if self.inherit != 0 {
            return Err(Failure::INVALID.into());
        }
        // SAFETY: as the caller promised.
        let builder = unsafe { self.builder() }?;
        let anybody = self.uid_count == 0 && self.flags & VARTA_OBSERVER_ANY_UID == 0;
        Ok(if anybody { builder.uids(Uids::Only(0)) } else { builder })
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
