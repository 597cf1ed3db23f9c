//! The numbers of the header, and their names.

use std::ffi::{CStr, c_int};

use varta::{DropReason, Status};
use varta_observer::{ExitCause, Origin};

use crate::guard::{self, Text};

/// Status: healthy.
pub const VARTA_STATUS_OK: u8 = 0;
/// Status: working, with trouble.
pub const VARTA_STATUS_DEGRADED: u8 = 1;
/// Status: in grave trouble. With VARTA_NONCE_TERMINAL, the last words of a process.
pub const VARTA_STATUS_CRITICAL: u8 = 2;
/// Status: silent. Only an observer says this; it is never sent.
pub const VARTA_STATUS_STALL: u8 = 3;

/// varta_beat: the kernel took the beat.
pub const VARTA_SENT: c_int = 0;
/// varta_beat: dropped, the observer is there and its queue is full.
pub const VARTA_DROPPED_KERNEL_QUEUE_FULL: c_int = 1;
/// varta_beat: dropped, nobody is bound there.
pub const VARTA_DROPPED_NO_OBSERVER: c_int = 2;
/// varta_beat: dropped, somebody was there and went away.
pub const VARTA_DROPPED_PEER_GONE: c_int = 3;
/// varta_beat: dropped, the file system is full.
pub const VARTA_DROPPED_STORAGE_FULL: c_int = 4;

/// Event: a beat was accepted. Sets status, payload, nonce, missed.
pub const VARTA_EVENT_BEAT: u8 = 1;
/// Event: the agent has been silent for its threshold; said once per silence. Sets nonce (the
/// last one) and last_ns.
pub const VARTA_EVENT_STALL: u8 = 2;
/// Event: a stalled agent is back; its beat is the next event. Sets duration_ns (how long
/// nothing was heard).
pub const VARTA_EVENT_RECOVERED: u8 = 3;
/// Event: the process is gone, and no longer followed. Sets exit_cause, code, status (the last
/// one).
pub const VARTA_EVENT_EXIT: u8 = 4;
/// Event: 32 bytes came that are no frame. Sets decode_error, found, expected; about no agent.
pub const VARTA_EVENT_DECODE: u8 = 5;
/// Event: a frame named another process than the one that sent it. Sets pid (the one the
/// kernel names) and claimed_pid (the one in the frame); about no agent.
pub const VARTA_EVENT_AUTH_FAILURE: u8 = 6;
/// Event: a socket failed. Sets code (the errno, positive); about no agent.
pub const VARTA_EVENT_IO: u8 = 7;
/// Event: the observer itself came late: it was stopped, suspended or starved. Silences that
/// began before are forgiven for as long. Sets duration_ns; about no agent.
pub const VARTA_EVENT_PAUSED: u8 = 8;
/// Stall, in decode_error: the observer may have missed the agent's beats, because its queue was
/// full each time that it looked. Such a stall is not fit to act on.
pub const VARTA_EVENT_DEAF: u8 = 0x80;

/// Origin: the kernel named the sender. Only this is fit to act on.
pub const VARTA_ORIGIN_KERNEL_ATTESTED: u8 = 1;
/// Origin: whoever sent it held a key.
pub const VARTA_ORIGIN_SECURE_NETWORK: u8 = 2;
/// Origin: anyone may have sent it.
pub const VARTA_ORIGIN_NETWORK: u8 = 3;

/// Exit cause: nobody could tell.
pub const VARTA_EXIT_UNKNOWN: u8 = 0;
/// Exit cause: the process ended with an exit code.
pub const VARTA_EXIT_CODE: u8 = 1;
/// Exit cause: a signal ended the process.
pub const VARTA_EXIT_SIGNAL: u8 = 2;

/// Decode error: the first two bytes are not "VA".
pub const VARTA_DECODE_BAD_MAGIC: u8 = 1;
/// Decode error: a version that the decoder was not asked to take.
pub const VARTA_DECODE_BAD_VERSION: u8 = 2;
/// Decode error: the bytes were damaged on the way.
pub const VARTA_DECODE_BAD_CRC: u8 = 3;
/// Decode error: the status byte means nothing.
pub const VARTA_DECODE_BAD_STATUS: u8 = 4;
/// Decode error: a stall from an agent; only an observer may say that.
pub const VARTA_DECODE_STALL_ON_WIRE: u8 = 5;
/// Decode error: process ids 0 and 1 are no agents.
pub const VARTA_DECODE_BAD_PID: u8 = 6;
/// Decode error: the timestamp is all ones.
pub const VARTA_DECODE_BAD_TIMESTAMP: u8 = 7;
/// Decode error: the terminal nonce with a status other than critical.
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
    assert!(VARTA_ORIGIN_KERNEL_ATTESTED == Origin::KernelAttested as u8);
    assert!(VARTA_ORIGIN_SECURE_NETWORK == Origin::SecureNetwork as u8);
    assert!(VARTA_ORIGIN_NETWORK == Origin::Network as u8);
    assert!(VARTA_EXIT_UNKNOWN == ExitCause::Unknown.kind());
    assert!(VARTA_EXIT_CODE == ExitCause::Code(0).kind());
    assert!(VARTA_EXIT_SIGNAL == ExitCause::Signal(0).kind());
};

const UNKNOWN: &CStr = c"unknown";

/// Names a status: "ok", "degraded", "critical", "stall".
///
/// status: a VARTA_STATUS_ number.
///
/// Returns a text of static storage, "unknown" for any other number.
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

/// Says what became of a beat: "sent", or why it was dropped, such as "no observer".
///
/// outcome: what varta_beat returned, if it is not negative; varta_strerror is for those.
///
/// Returns a text of static storage, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_outcome_name(outcome: c_int) -> Text {
    guard::text(|| match outcome {
        VARTA_SENT => c"sent",
        VARTA_DROPPED_KERNEL_QUEUE_FULL => c"kernel queue full",
        VARTA_DROPPED_NO_OBSERVER => c"no observer",
        VARTA_DROPPED_PEER_GONE => c"peer gone",
        VARTA_DROPPED_STORAGE_FULL => c"storage full",
        _ => UNKNOWN,
    })
}

/// Names a kind of event: "beat", "stall", "recovered", "exit", "decode", "auth-failure",
/// "io", "paused".
///
/// kind: a VARTA_EVENT_ number.
///
/// Returns a text of static storage, "unknown" for any other number.
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
        _ => UNKNOWN,
    })
}

/// Names an origin: "kernel-attested", "secure-network", "network".
///
/// origin: a VARTA_ORIGIN_ number.
///
/// Returns a text of static storage, "unknown" for any other number.
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

/// Names a decode error as the shared test vectors spell it: "BadMagic", "BadVersion",
/// "BadCrc", "BadStatus", "StallOnWire", "BadPid", "BadTimestamp", "BadNonce".
///
/// error: a VARTA_DECODE_ number, from varta_frame_decode or an event.
///
/// Returns a text of static storage, "unknown" for any other number.
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
