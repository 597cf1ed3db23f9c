//! Observers without sockets, in invented time.

use std::ffi::{CStr, c_char};
use std::net::IpAddr;

use ::varta_observer::ExitCause;
use ::varta_observer::judge::{Datagram, Namespace, Sender};

use crate::args;
use crate::constants::{VARTA_EXIT_CODE, VARTA_EXIT_SIGNAL, VARTA_EXIT_UNKNOWN};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::observer::options::varta_observer_options;
use crate::observer::{self, Watcher, varta_observer};
use crate::sized::{self, Sized};

/// Datagram sender: a process, over a Unix socket, named by the kernel: pid, uid, process,
/// pid_namespace.
pub const VARTA_SENDER_KERNEL: u32 = 0;
/// Datagram sender: an address, over plain UDP: source.
pub const VARTA_SENDER_NETWORK: u32 = 1;
/// Datagram sender: an address, at a listener that takes sealed frames only: source.
pub const VARTA_SENDER_SECURE_NETWORK: u32 = 2;

/// Datagram namespace: the observer's.
pub const VARTA_NAMESPACE_SAME: u32 = 0;
/// Datagram namespace: another, in which the sender has another pid.
pub const VARTA_NAMESPACE_OTHER: u32 = 1;
/// Datagram namespace: nobody could tell.
pub const VARTA_NAMESPACE_UNKNOWN: u32 = 2;

/// Datagram flag: it was longer than the observer's buffer.
pub const VARTA_DATAGRAM_TRUNCATED: u32 = 1;
/// Datagram flag: not all that the kernel says of it could be received.
pub const VARTA_DATAGRAM_CONTROL_TRUNCATED: u32 = 2;

/// Advance flag: the look finds the queue at its length, so that beats may have been refused.
pub const VARTA_ADVANCE_FULL: u32 = 1;

/// A datagram for a simulated observer. Initialise it with VARTA_DATAGRAM_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_datagram {
    /// sizeof(varta_datagram).
    pub size: u32,
    /// VARTA_DATAGRAM_ flags; others are -EINVAL.
    pub flags: u32,
    /// What it holds; may be NULL if that is nothing.
    pub bytes: *const u8,
    /// How many bytes.
    pub length: usize,
    /// Which of the observer's listeners it came to, from 0; more than 65535 is -EINVAL.
    /// Senders over a network are told apart by it too.
    pub listener: u32,
    /// Who sent it, and how that is known: VARTA_SENDER_.
    pub sender: u32,
    /// The sender's process id in the observer's namespace; 0 where it has none there.
    pub pid: u32,
    /// The sender's user.
    pub uid: u32,
    /// A number that no other process has or had, as the inode of a pidfd is; 0: none came
    /// with the datagram.
    pub process: u64,
    /// Where the sender's pid counts: VARTA_NAMESPACE_. It is asked for when the frame names
    /// another pid than the kernel does.
    pub pid_namespace: u32,
    /// Zero.
    pub reserved: u32,
    /// The sender's address, without the port, as a numeric text: "192.0.2.1", "2001:db8::1".
    pub source: *const c_char,
}

// SAFETY: it begins with its size and holds numbers and pointers.
unsafe impl Sized for varta_datagram {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        bytes: std::ptr::null(),
        length: 0,
        listener: 0,
        sender: 0,
        pid: 0,
        uid: 0,
        process: 0,
        pid_namespace: 0,
        reserved: 0,
        source: std::ptr::null(),
    };
}

impl varta_datagram {
    /// # Safety
    ///
    /// The pointers are NULL or lead to what is said.
    unsafe fn sender(&self) -> Result<Sender, Failure> {
        match self.sender {
            VARTA_SENDER_KERNEL => Ok(Sender::Kernel {
                pid: self.pid,
                uid: self.uid,
                process: Some(self.process).filter(|process| *process != 0),
            }),
            VARTA_SENDER_NETWORK | VARTA_SENDER_SECURE_NETWORK => Ok(Sender::Network {
                // SAFETY: as the caller promised.
                address: unsafe { self.address() }?,
                sealed: self.sender == VARTA_SENDER_SECURE_NETWORK,
            }),
            _ => Err(Failure::INVALID),
        }
    }

    fn namespace(&self) -> Result<Namespace, Failure> {
        match self.pid_namespace {
            VARTA_NAMESPACE_SAME => Ok(Namespace::Same),
            VARTA_NAMESPACE_OTHER => Ok(Namespace::Other),
            VARTA_NAMESPACE_UNKNOWN => Ok(Namespace::Unknown),
            _ => Err(Failure::INVALID),
        }
    }

    /// # Safety
    ///
    /// As for [`sender`](Self::sender).
    unsafe fn address(&self) -> Result<IpAddr, Failure> {
        if self.source.is_null() {
            return Err(Failure::INVALID);
        }
        // SAFETY: as the caller promised.
        let text = unsafe { CStr::from_ptr(self.source) };
        let text = text.to_str().map_err(|_| Failure::INVALID)?;
        text.parse().map_err(|_| Failure::INVALID)
    }

    /// # Safety
    ///
    /// As for [`sender`](Self::sender).
    unsafe fn datagram(&self) -> Result<Datagram<'_>, Failure> {
        const KNOWN_FLAGS: u32 = VARTA_DATAGRAM_TRUNCATED | VARTA_DATAGRAM_CONTROL_TRUNCATED;
        if self.flags & !KNOWN_FLAGS != 0 || self.reserved != 0 {
            return Err(Failure::INVALID);
        }
        let listener = u16::try_from(self.listener).map_err(|_| Failure::INVALID)?;
        // SAFETY: as the caller promised.
        let bytes = unsafe { args::values(self.bytes, self.length) }?;
        // SAFETY: as the caller promised.
        let mut datagram = Datagram::new(listener, unsafe { self.sender() }?, bytes);
        datagram.truncated = self.flags & VARTA_DATAGRAM_TRUNCATED != 0;
        datagram.control_truncated = self.flags & VARTA_DATAGRAM_CONTROL_TRUNCATED != 0;
        Ok(datagram)
    }
}

/// Makes an observer without sockets, which is fed and advanced by hand in a time of the
/// caller's own: for tests of what a program does with events. It is polled, listed and
/// closed as one with sockets is.
///
/// ret: where the new handle is written. The caller owns it and ends it with
///     varta_observer_close.
/// opt: options, or NULL for the defaults. Not kept. What is about sockets counts for nothing,
///     but inherit must be 0.
///
/// Returns 0, or
///     -EINVAL       ret is NULL, or an option is unknown or out of range
///     -E2BIG        opt holds values that this library does not know
///     -ENOMEM       there is not enough memory for opt->capacity agents
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_simulate(
    ret: *mut *mut varta_observer,
    opt: *const varta_observer_options,
) -> Code {
    guard::answer(|| {
        let simulate = |options: &varta_observer_options| {
            // SAFETY: what the caller gave leads where it says.
            let builder = unsafe { options.simulation() }?;
            Ok(Watcher::Simulated(builder.simulate()?))
        };
        // SAFETY: the caller gave room and options, or NULL.
        unsafe { observer::make(ret, opt, simulate) }
    })
}

/// A datagram arrives at a simulated observer. Poll for the events that it leads to.
///
/// obs: from varta_observer_simulate.
/// at_ns: when, in nanoseconds since the observer started. A time that falls is taken for the
///     one before.
/// d: the datagram. Not kept.
///
/// Returns 0, or
///     -EINVAL        a pointer is NULL, d was not initialised, or a number in it is unknown
///     -E2BIG         d holds values that this library does not know
///     -EBUSY         another call is on this observer
///     -EOPNOTSUPP    it is not a simulated one
///     VARTA_EPANIC   a bug was contained; the observer can only be closed
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed(
    obs: *mut varta_observer,
    at_ns: u64,
    d: *const varta_datagram,
) -> Code {
    guard::answer(|| {
        if d.is_null() {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave a datagram.
        let d = unsafe { sized::read(d) }?;
        // SAFETY: what it holds leads where it says.
        let datagram = unsafe { d.datagram() }?;
        let namespace = d.namespace()?;
        let feed = |watcher: &mut Watcher| {
            let simulated = watcher.simulated()?;
            if let Sender::Kernel { pid, .. } = datagram.sender {
                simulated.set_namespace(pid, namespace);
            }
            simulated.feed(at_ns, &datagram);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, feed) }
    })
}

/// A process ends, as a simulated observer sees it. Poll for its exit.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed.
/// pid: the process.
/// cause: how it ended: VARTA_EXIT_.
/// code: its exit code or the signal; 0 if the cause is unknown.
///
/// Returns 1, or 0 if no agent has that pid; or what varta_observer_feed returns.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_exit(
    obs: *mut varta_observer,
    at_ns: u64,
    pid: u32,
    cause: u8,
    code: i32,
) -> Code {
    guard::answer(|| {
        let cause = match cause {
            VARTA_EXIT_UNKNOWN if code == 0 => ExitCause::Unknown,
            VARTA_EXIT_CODE => ExitCause::Code(code),
            VARTA_EXIT_SIGNAL => ExitCause::Signal(code),
            _ => return Err(Failure::INVALID),
        };
        let exit =
            |watcher: &mut Watcher| Ok(watcher.simulated()?.exit(at_ns, pid, cause).into());
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, exit) }
    })
}

/// A simulated observer comes late to look: it does so at at_ns, and was due at due_ns. If
/// that is a pause, poll for it.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed.
/// due_ns: when it was due, in the same time.
///
/// Returns 0, or what varta_observer_feed returns.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_late(
    obs: *mut varta_observer,
    at_ns: u64,
    due_ns: u64,
) -> Code {
    guard::answer(|| {
        let late = |watcher: &mut Watcher| {
            watcher.simulated()?.late(at_ns, due_ns);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, late) }
    })
}

/// The system of a simulated observer has just been suspended. Poll for the pause.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed; the suspended time is part of it.
/// ns: for how long.
///
/// Returns 0, or what varta_observer_feed returns.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_suspended(
    obs: *mut varta_observer,
    at_ns: u64,
    ns: u64,
) -> Code {
    guard::answer(|| {
        let suspended = |watcher: &mut Watcher| {
            watcher.simulated()?.suspended(at_ns, ns);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, suspended) }
    })
}

/// Time goes on for a simulated observer: all that arrived by then has been fed, and
/// deadlines are looked at. Poll for the stalls and exits that are due.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed.
/// flags: 0 or VARTA_ADVANCE_FULL; others are -EINVAL.
///
/// Returns 0, or what varta_observer_feed returns.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_advance(
    obs: *mut varta_observer,
    at_ns: u64,
    flags: u32,
) -> Code {
    guard::answer(|| {
        let advance = |watcher: &mut Watcher| {
            match flags {
                0 => watcher.simulated()?.advance(at_ns),
                VARTA_ADVANCE_FULL => watcher.simulated()?.advance_full(at_ns),
                _ => return Err(Failure::INVALID),
            }
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, advance) }
    })
}
