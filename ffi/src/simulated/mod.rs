//! Simulated observers: no sockets, and a simulated clock.

pub(crate) mod lane;
pub(crate) mod readings;

use std::ffi::{CStr, c_char};
use std::net::IpAddr;

use ::varta_observer::ExitCause;
use ::varta_observer::judge::{Datagram, Namespace, Sender};

use crate::args;
use crate::constants::{VARTA_EXIT_CODE, VARTA_EXIT_SIGNAL, VARTA_EXIT_UNKNOWN};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::observer::options::varta_observer_options;
use crate::observer::{self, AnyObserver, varta_observer};
use crate::sized::{self, Sized};

/// Datagram sender: a process that the kernel attests, over a Unix socket. Uses pid, uid, process
/// and pid_namespace.
pub const VARTA_SENDER_KERNEL: u32 = 0;
/// Datagram sender: an address, over plain UDP. Uses source.
pub const VARTA_SENDER_NETWORK: u32 = 1;
/// Datagram sender: an address, at a listener that accepts only sealed frames. Uses source.
pub const VARTA_SENDER_SECURE_NETWORK: u32 = 2;

/// Datagram namespace: the observer's pid namespace.
pub const VARTA_NAMESPACE_SAME: u32 = 0;
/// Datagram namespace: another pid namespace, in which the sender has another pid.
pub const VARTA_NAMESPACE_OTHER: u32 = 1;
/// Datagram namespace: unknown.
pub const VARTA_NAMESPACE_UNKNOWN: u32 = 2;

/// Datagram flag: the datagram was longer than the observer's buffer.
pub const VARTA_DATAGRAM_TRUNCATED: u32 = 1;
/// Datagram flag: the kernel's control data was incomplete.
pub const VARTA_DATAGRAM_CONTROL_TRUNCATED: u32 = 2;
/// Datagram flag: the observer waited with empty queues and was woken by this datagram. Only then it
/// learns which threads of the sender make its beats, to find out later why it is silent.
pub const VARTA_DATAGRAM_FRESH: u32 = 4;

/// Advance flag: the observer's queue is full at this time, so beats may have been refused.
pub const VARTA_ADVANCE_FULL: u32 = 1;

/// A datagram for a simulated observer. Initialise with VARTA_DATAGRAM_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_datagram {
    /// sizeof(varta_datagram).
    pub size: u32,
    /// VARTA_DATAGRAM_ flags; others are -EINVAL.
    pub flags: u32,
    /// The contents; may be NULL if length is 0.
    pub bytes: *const u8,
    /// The number of bytes.
    pub length: usize,
    /// The observer's listener that receives it, from 0; more than 65535 is -EINVAL. The same
    /// network sender at two listeners counts as two agents.
    pub listener: u32,
    /// Who sent it and how that is known: VARTA_SENDER_ constant.
    pub sender: u32,
    /// The sender's process id in the observer's namespace; 0 if it has none there.
    pub pid: u32,
    /// The sender's user id.
    pub uid: u32,
    /// A number that no other process ever has, like the inode of a pidfd; 0 if unknown.
    pub process: u64,
    /// The sender's pid namespace: VARTA_NAMESPACE_ constant. Only used if the frame names a
    /// different pid than the kernel.
    pub pid_namespace: u32,
    /// Zero.
    pub reserved: u32,
    /// The sender's numeric address without the port: "192.0.2.1", "2001:db8::1".
    pub source: *const c_char,
    /// With VARTA_NAMESPACE_OTHER, the sender's process id in its own namespace; a frame that
    /// names another is refused. 0 if it is whichever the frame names. Must be 0 with other
    /// constants.
    pub innermost_pid: u32,
    /// Zero.
    pub reserved2: u32,
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
        innermost_pid: 0,
        reserved2: 0,
    };
}

impl varta_datagram {
    /// # Safety
    ///
    /// The pointers are NULL or valid.
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
            VARTA_NAMESPACE_OTHER => Ok(Namespace::Other),
            VARTA_NAMESPACE_SAME if self.innermost_pid == 0 => Ok(Namespace::Same),
            VARTA_NAMESPACE_UNKNOWN if self.innermost_pid == 0 => Ok(Namespace::Unknown),
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
        const KNOWN_FLAGS: u32 =
            VARTA_DATAGRAM_TRUNCATED | VARTA_DATAGRAM_CONTROL_TRUNCATED | VARTA_DATAGRAM_FRESH;
        if self.flags & !KNOWN_FLAGS != 0 || self.reserved != 0 || self.reserved2 != 0 {
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

/// Makes a simulated observer, to test what a program does with events. It has no sockets: the
/// caller feeds it datagrams and advances its clock. All other functions work as for an observer
/// with sockets.
///
/// ret: receives the new handle. The caller owns it and ends it with varta_observer_close.
/// opt: options, or NULL for the defaults. Not used after the call returns. Socket options are
///     ignored, except that inherit and inherit_lane must be 0.
///
/// Returns 0, or
///     -EINVAL       ret is NULL, or an option is unknown or out of range
///     -E2BIG        opt sets fields that this library does not know
///     -ENOMEM       there is not enough memory for opt->capacity agents
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_simulate(
    ret: *mut *mut varta_observer,
    opt: *const varta_observer_options,
) -> Code {
    guard::answer(|| {
        let simulate = |options: &varta_observer_options| {
            // SAFETY: the caller's pointers are valid.
            let builder = unsafe { options.simulation() }?;
            Ok((AnyObserver::Simulated(builder.simulate()?), None))
        };
        // SAFETY: the caller's pointers are valid or NULL.
        unsafe { observer::make(ret, opt, simulate) }
    })
}

/// Feeds a datagram to a simulated observer. Poll for the events that result.
///
/// obs: from varta_observer_simulate.
/// at_ns: the time, in nanoseconds since the observer started. A time before that of an earlier
///     call is replaced by the earlier call's time.
/// d: the datagram. Not used after the call returns.
///
/// Returns 0, or
///     -EINVAL        a pointer is NULL, d was not initialised, or a number in it is unknown
///     -E2BIG         d sets fields that this library does not know
///     -EBUSY         another call is using this observer
///     -EOPNOTSUPP    obs is not a simulated observer
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
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
        // SAFETY: its pointers are valid.
        let datagram = unsafe { d.datagram() }?;
        let namespace = d.namespace()?;
        let feed = |observer: &mut AnyObserver| {
            let simulated = observer.simulated()?;
            if let Sender::Kernel { pid, .. } = datagram.sender {
                match d.innermost_pid {
                    0 => simulated.set_namespace(pid, namespace),
                    innermost => simulated.set_innermost_pid(pid, innermost),
                }
            }
            simulated.set_fresh(d.flags & VARTA_DATAGRAM_FRESH != 0);
            simulated.feed(at_ns, &datagram);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, feed) }
    })
}

/// Tells a simulated observer that a process ended. Poll for its exit.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed.
/// pid: the process.
/// cause: how it ended: VARTA_EXIT_ constant.
/// code: its exit code or the signal; must be 0 if the cause is unknown.
///
/// Returns 1, or 0 if no agent has that pid; or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
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
        let exit = |observer: &mut AnyObserver| {
            Ok(observer.simulated()?.exit(at_ns, pid, cause).into())
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, exit) }
    })
}

/// Tells a simulated observer that it is late: it polls at at_ns but was due at due_ns. If that
/// counts as a pause, poll for it.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed.
/// due_ns: when it was due, on the same clock.
///
/// Returns 0, or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_late(
    obs: *mut varta_observer,
    at_ns: u64,
    due_ns: u64,
) -> Code {
    guard::answer(|| {
        let late = |observer: &mut AnyObserver| {
            observer.simulated()?.late(at_ns, due_ns);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, late) }
    })
}

/// Tells a simulated observer that the system was just suspended. Poll for the pause.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed; includes the suspended time.
/// ns: how long the system was suspended.
///
/// Returns 0, or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_suspended(
    obs: *mut varta_observer,
    at_ns: u64,
    ns: u64,
) -> Code {
    guard::answer(|| {
        let suspended = |observer: &mut AnyObserver| {
            observer.simulated()?.suspended(at_ns, ns);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, suspended) }
    })
}

/// Advances the clock of a simulated observer and checks its deadlines. First feed everything
/// that arrives until then. Poll for the stalls and exits that are due.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed.
/// flags: 0 or VARTA_ADVANCE_FULL; others are -EINVAL.
///
/// Returns 0, or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_advance(
    obs: *mut varta_observer,
    at_ns: u64,
    flags: u32,
) -> Code {
    guard::answer(|| {
        let advance = |observer: &mut AnyObserver| {
            match flags {
                0 => observer.simulated()?.advance(at_ns),
                VARTA_ADVANCE_FULL => observer.simulated()?.advance_full(at_ns),
                _ => return Err(Failure::INVALID),
            }
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, advance) }
    })
}
