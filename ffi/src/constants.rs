//! The constants of the header, and their names.

use std::ffi::{CStr, c_int};

use varta::{DropReason, Status};
use varta_observer::{ExitCause, Origin};

use crate::guard::{self, Text};

/// Status: healthy.
pub const VARTA_STATUS_OK: u8 = 0;
/// Status: working, with problems.
pub const VARTA_STATUS_DEGRADED: u8 = 1;
/// Status: about to fail. With VARTA_NONCE_TERMINAL, the final beat of a process.
pub const VARTA_STATUS_CRITICAL: u8 = 2;
/// Status: silent. Only an observer uses it; an agent never sends it.
pub const VARTA_STATUS_STALL: u8 = 3;

/// varta_beat: the kernel accepted the beat.
pub const VARTA_SENT: c_int = 0;
/// varta_beat: dropped, because the observer's queue is full.
pub const VARTA_DROPPED_KERNEL_QUEUE_FULL: c_int = 1;
/// varta_beat: dropped, because no observer is bound there.
pub const VARTA_DROPPED_NO_OBSERVER: c_int = 2;
/// varta_beat: dropped, because the observer closed its socket.
pub const VARTA_DROPPED_PEER_GONE: c_int = 3;
/// varta_beat: dropped, because the file system is full.
pub const VARTA_DROPPED_STORAGE_FULL: c_int = 4;
/// varta_beat: dropped, because a vital task of this process is late.
pub const VARTA_DROPPED_WITHHELD: c_int = 5;
/// varta_ready, varta_stopping, varta_status: not sent, because notifications are off or there is
/// no service manager.
pub const VARTA_DROPPED_NOT_CONFIGURED: c_int = 6;

/// Event: a beat was accepted. Sets status, payload, nonce, missed.
pub const VARTA_EVENT_BEAT: u8 = 1;
/// Event: the agent has been silent for its threshold; reported once per silence. Sets nonce
/// (the last one) and last_ns.
pub const VARTA_EVENT_STALL: u8 = 2;
/// Event: a stalled agent is back; its beat is the next event. Sets duration_ns (how long it
/// was silent).
pub const VARTA_EVENT_RECOVERED: u8 = 3;
/// Event: the process ended, and the observer no longer follows it. Sets exit_cause, code and
/// status (the last one).
pub const VARTA_EVENT_EXIT: u8 = 4;
/// Event: a datagram of 32 bytes is not a valid frame. Sets decode_error, found and expected;
/// names no agent.
pub const VARTA_EVENT_DECODE: u8 = 5;
/// Event: a frame names a different process than the one that sent it. Sets pid (from the
/// kernel) and claimed_pid (from the frame); names no agent.
pub const VARTA_EVENT_AUTH_FAILURE: u8 = 6;
/// Event: a socket failed. Sets code (the errno, positive); names no agent.
pub const VARTA_EVENT_IO: u8 = 7;
/// Event: the observer itself was late, because it was stopped, suspended or starved of CPU
/// time. Every agent gets that much more time. Sets duration_ns; names no agent.
pub const VARTA_EVENT_PAUSED: u8 = 8;
/// Event: a task was declared. Sets task, task_name and duration_ns (its threshold).
pub const VARTA_EVENT_TASK: u8 = 9;
/// Event: a task is over. Sets task, task_name and rule (a VARTA_ENDED_ number).
pub const VARTA_EVENT_ENDED: u8 = 10;
/// Event: calls of a task broke a rule. Sets task, task_name, rule (a VARTA_RULE_ number),
/// count, from, checkpoint and duration_ns.
pub const VARTA_EVENT_VIOLATION: u8 = 11;
/// Event: the cause of a silence that was reported has changed, or was found out later. Sets code
/// (a VARTA_CAUSE_ number), exit_cause, decode_error, found and expected.
pub const VARTA_EVENT_CAUSE: u8 = 12;
/// Stall, in decode_error: the observer may have missed the agent's beats, because its queue was
/// full each time it polled. Do not act on such a stall.
pub const VARTA_EVENT_DEAF: u8 = 0x80;

/// Promise of a task: to make a call again within its threshold.
pub const VARTA_PROMISE_BEAT: u8 = 1;
/// Promise of a task: to end a span in time.
pub const VARTA_PROMISE_SPAN: u8 = 2;
/// Promise of a task: to reach the next checkpoint in time.
pub const VARTA_PROMISE_CHECKPOINT: u8 = 3;
/// Promise of a task: to get something done while something is left.
pub const VARTA_PROMISE_PROGRESS: u8 = 4;

/// Rule: a span ended, or a checkpoint was reached, before its shortest time.
pub const VARTA_RULE_TOO_EARLY: u8 = 1;
/// Rule: it was done, but after its longest time.
pub const VARTA_RULE_TOO_LATE: u8 = 2;
/// Rule: no step leads from the last checkpoint to this one.
pub const VARTA_RULE_WRONG_ORDER: u8 = 3;
/// Rule: a cycle had too few beats.
pub const VARTA_RULE_TOO_FEW: u8 = 4;
/// Rule: a cycle had too many beats.
pub const VARTA_RULE_TOO_MANY: u8 = 5;

/// End of a task: it was closed.
pub const VARTA_ENDED_CLOSED: u8 = 1;
/// End of a task: a panic or an exception ended it.
pub const VARTA_ENDED_FAILED: u8 = 2;
/// End of a task: its thread is gone.
pub const VARTA_ENDED_THREAD_GONE: u8 = 3;
/// End of a task: its process gave up the memory that it shares with the observer, for example
/// by calling exec.
pub const VARTA_ENDED_DETACHED: u8 = 4;

/// Origin: the kernel attests the sender. Only act on events of this origin.
pub const VARTA_ORIGIN_KERNEL_ATTESTED: u8 = 1;
/// Origin: the sender has a key.
pub const VARTA_ORIGIN_SECURE_NETWORK: u8 = 2;
/// Origin: anyone may have sent it.
pub const VARTA_ORIGIN_NETWORK: u8 = 3;

/// Exit cause: unknown.
pub const VARTA_EXIT_UNKNOWN: u8 = 0;
/// Exit cause: the process ended with an exit code.
pub const VARTA_EXIT_CODE: u8 = 1;
/// Exit cause: a signal ended the process.
pub const VARTA_EXIT_SIGNAL: u8 = 2;

/// Decode error: the first two bytes are not "VA".
pub const VARTA_DECODE_BAD_MAGIC: u8 = 1;
/// Decode error: a version that the decoder does not accept.
pub const VARTA_DECODE_BAD_VERSION: u8 = 2;
/// Decode error: the checksum does not match; the bytes were damaged in transit.
pub const VARTA_DECODE_BAD_CRC: u8 = 3;
/// Decode error: the status is unknown.
pub const VARTA_DECODE_BAD_STATUS: u8 = 4;
/// Decode error: the status is stall, which only an observer may use.
pub const VARTA_DECODE_STALL_ON_WIRE: u8 = 5;
/// Decode error: the process id is 0 or 1, which cannot be an agent.
pub const VARTA_DECODE_BAD_PID: u8 = 6;
/// Decode error: the timestamp has all bits set.
pub const VARTA_DECODE_BAD_TIMESTAMP: u8 = 7;
/// Decode error: the nonce is terminal, but the status is not critical.
pub const VARTA_DECODE_BAD_NONCE: u8 = 8;

const _: () = {
    assert!(VARTA_STATUS_OK == Status::Ok as u8);
    assert!(VARTA_STATUS_DEGRADED == Status::Degraded as u8);
    assert!(VARTA_STATUS_CRITICAL == Status::Critical as u8);
    assert!(VARTA_STATUS_STALL == Status::Stall as u8);
    assert!(VARTA_DROPPED_KERNEL_QUEUE_FULL == DropReason::KernelQueueFull as c_int);
    assert!(VARTA_DROPPED_NO_OBSERVER == DropReason::NoObserver as c_int);
    assert!(VARTA_DROPPED_PEER_GONE == DropReason::PeerGone as c_int);
    assert!(VARTA_DROPPED_STORAGE_FULL == DropReason::StorageFull as c_int);
    assert!(VARTA_DROPPED_WITHHELD == DropReason::Withheld as c_int);
    assert!(VARTA_DROPPED_NOT_CONFIGURED == DropReason::NotConfigured as c_int);
    assert!(VARTA_ORIGIN_KERNEL_ATTESTED == Origin::KernelAttested as u8);
    assert!(VARTA_ORIGIN_SECURE_NETWORK == Origin::SecureNetwork as u8);
    assert!(VARTA_ORIGIN_NETWORK == Origin::Network as u8);
    assert!(VARTA_EXIT_UNKNOWN == ExitCause::Unknown.kind());
    assert!(VARTA_EXIT_CODE == ExitCause::Code(0).kind());
    assert!(VARTA_EXIT_SIGNAL == ExitCause::Signal(0).kind());
};

pub(crate) const UNKNOWN: &CStr = c"unknown";

/// Returns the name of a status: "ok", "degraded", "critical", "stall".
///
/// status: a VARTA_STATUS_ number.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_status_name(status: u8) -> Text {
    guard::text(|| match status {
        VARTA_STATUS_OK => c"ok",
        VARTA_STATUS_DEGRADED => c"degraded",
        VARTA_STATUS_CRITICAL => c"critical",
        VARTA_STATUS_STALL => c"stall",
        _ => UNKNOWN,
    })
}

/// Returns the name of a beat's outcome: "sent", or why it was dropped, such as "no observer".
///
/// outcome: what varta_beat returned, if it is not negative; pass errors to varta_strerror.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_outcome_name(outcome: c_int) -> Text {
    guard::text(|| match outcome {
        VARTA_SENT => c"sent",
        VARTA_DROPPED_KERNEL_QUEUE_FULL => c"kernel queue full",
        VARTA_DROPPED_NO_OBSERVER => c"no observer",
        VARTA_DROPPED_PEER_GONE => c"peer gone",
        VARTA_DROPPED_STORAGE_FULL => c"storage full",
        VARTA_DROPPED_WITHHELD => c"withheld",
        VARTA_DROPPED_NOT_CONFIGURED => c"not configured",
        _ => UNKNOWN,
    })
}

/// Returns the name of a kind of event: "beat", "stall", "recovered", "exit", "decode",
/// "auth-failure", "io", "paused", "task", "ended", "violation".
///
/// kind: a VARTA_EVENT_ number.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_event_name(kind: u8) -> Text {
    guard::text(|| match kind {
        VARTA_EVENT_BEAT => c"beat",
        VARTA_EVENT_STALL => c"stall",
        VARTA_EVENT_RECOVERED => c"recovered",
        VARTA_EVENT_EXIT => c"exit",
        VARTA_EVENT_DECODE => c"decode",
        VARTA_EVENT_AUTH_FAILURE => c"auth-failure",
        VARTA_EVENT_IO => c"io",
        VARTA_EVENT_PAUSED => c"paused",
        VARTA_EVENT_TASK => c"task",
        VARTA_EVENT_ENDED => c"ended",
        VARTA_EVENT_VIOLATION => c"violation",
        VARTA_EVENT_CAUSE => c"cause",
        _ => UNKNOWN,
    })
}

/// Returns the name of an origin: "kernel-attested", "secure-network", "network".
///
/// origin: a VARTA_ORIGIN_ number.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_origin_name(origin: u8) -> Text {
    guard::text(|| match origin {
        VARTA_ORIGIN_KERNEL_ATTESTED => c"kernel-attested",
        VARTA_ORIGIN_SECURE_NETWORK => c"secure-network",
        VARTA_ORIGIN_NETWORK => c"network",
        _ => UNKNOWN,
    })
}

/// Returns the name of a decode error: "BadMagic", "BadVersion", "BadCrc", "BadStatus",
/// "StallOnWire", "BadPid", "BadTimestamp", "BadNonce".
///
/// error: a VARTA_DECODE_ number, from varta_frame_decode or an event.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_decode_error_name(error: c_int) -> Text {
    guard::text(|| match u8::try_from(error).unwrap_or_default() {
        VARTA_DECODE_BAD_MAGIC => c"BadMagic",
        VARTA_DECODE_BAD_VERSION => c"BadVersion",
        VARTA_DECODE_BAD_CRC => c"BadCrc",
        VARTA_DECODE_BAD_STATUS => c"BadStatus",
        VARTA_DECODE_STALL_ON_WIRE => c"StallOnWire",
        VARTA_DECODE_BAD_PID => c"BadPid",
        VARTA_DECODE_BAD_TIMESTAMP => c"BadTimestamp",
        VARTA_DECODE_BAD_NONCE => c"BadNonce",
        _ => UNKNOWN,
    })
}
