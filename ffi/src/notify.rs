//! Notifications to the service manager.

use std::ffi::c_char;

use crate::agent::{Agent, code, varta_agent};
use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::handle::Handle;

/// Tells the service manager that has started this process, such as systemd, that the process has
/// started and works. A unit of Type=notify waits for this. Call it once, when the start-up is
/// done.
///
/// Notifications are off unless the option VARTA_AGENT_NOTIFY is set or $VARTA_NOTIFY is 1. The
/// service manager is the one in $NOTIFY_SOCKET. If $WATCHDOG_USEC is set too, a beat with
/// VARTA_STATUS_OK also sends a keep-alive (WATCHDOG=1) when half of that time has passed. This
/// call never blocks.
///
/// agent: from varta_connect.
///
/// Returns 0 (VARTA_SENT) if the kernel accepted the message. A positive number means that it was
/// not sent:
///     VARTA_DROPPED_NOT_CONFIGURED      notifications are off, or there is no service manager
///     VARTA_DROPPED_KERNEL_QUEUE_FULL   its queue is full; call again later
///     VARTA_DROPPED_NO_OBSERVER         its socket is not there
/// A negative number is an error:
///     -EINVAL        agent is NULL
///     -EBUSY         another call is using this agent; nothing was sent
///     VARTA_EPANIC   the library has a bug; the agent can only be closed
///     or another error from socket(2) or sendto(2)
/// Threads: one call at a time per agent. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_ready(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), |agent| code(agent.ready())) }
    })
}

/// Tells the service manager that this process is shutting down, so that its exit is expected.
/// After that, beats send no more keep-alives.
///
/// agent: from varta_connect.
///
/// Returns what varta_ready returns.
/// Threads: one call at a time per agent. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_stopping(agent: *mut varta_agent) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), |agent| code(agent.stopping())) }
    })
}

/// Tells the service manager in words what this process does, for example for systemctl status.
///
/// agent: from varta_connect.
/// text: UTF-8. It is cut to 256 bytes, and each control character in it becomes a space. An empty
///     string clears the text.
///
/// Returns what varta_ready returns; -EINVAL also if text is NULL or not UTF-8.
/// Threads: one call at a time per agent. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_status(agent: *mut varta_agent, text: *const c_char) -> Code {
    guard::answer(|| {
        // SAFETY: the caller gave a string or NULL.
        let text = unsafe { args::text(text) }?.ok_or(Failure::INVALID)?;
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { Handle::<Agent>::with(agent.cast(), |agent| code(agent.status(text))) }
    })
}
