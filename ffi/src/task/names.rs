//! The names of promises, rules and endings.

use crate::constants::{
    UNKNOWN, VARTA_ENDED_CLOSED, VARTA_ENDED_DETACHED, VARTA_ENDED_FAILED,
    VARTA_ENDED_THREAD_GONE, VARTA_PROMISE_BEAT, VARTA_PROMISE_CHECKPOINT,
    VARTA_PROMISE_PROGRESS, VARTA_PROMISE_SPAN, VARTA_RULE_TOO_EARLY, VARTA_RULE_TOO_FEW,
    VARTA_RULE_TOO_LATE, VARTA_RULE_TOO_MANY, VARTA_RULE_WRONG_ORDER,
};
use crate::guard::{self, Text};

/// Returns the name of a promise: "beat", "span", "checkpoint", "progress".
///
/// promise: a VARTA_PROMISE_ number.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_promise_name(promise: u8) -> Text {
    guard::text(|| match promise {
        VARTA_PROMISE_BEAT => c"beat",
        VARTA_PROMISE_SPAN => c"span",
        VARTA_PROMISE_CHECKPOINT => c"checkpoint",
        VARTA_PROMISE_PROGRESS => c"progress",
        _ => UNKNOWN,
    })
}

/// Returns the name of a rule: "too-early", "too-late", "wrong-order", "too-few", "too-many".
///
/// rule: a VARTA_RULE_ number, from an event of the kind VARTA_EVENT_VIOLATION.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_rule_name(rule: u8) -> Text {
    guard::text(|| match rule {
        VARTA_RULE_TOO_EARLY => c"too-early",
        VARTA_RULE_TOO_LATE => c"too-late",
        VARTA_RULE_WRONG_ORDER => c"wrong-order",
        VARTA_RULE_TOO_FEW => c"too-few",
        VARTA_RULE_TOO_MANY => c"too-many",
        _ => UNKNOWN,
    })
}

/// Returns how a task ended: "closed", "failed", "thread-gone", "detached".
///
/// ending: a VARTA_ENDED_ number, from the rule of an event of the kind VARTA_EVENT_ENDED.
///
/// Returns a static string, "unknown" for any other number.
/// Threads: any, at any time. Since 0.3.0.
#[unsafe(no_mangle)]
pub extern "C" fn varta_ending_name(ending: u8) -> Text {
    guard::text(|| match ending {
        VARTA_ENDED_CLOSED => c"closed",
        VARTA_ENDED_FAILED => c"failed",
        VARTA_ENDED_THREAD_GONE => c"thread-gone",
        VARTA_ENDED_DETACHED => c"detached",
        _ => UNKNOWN,
    })
}
