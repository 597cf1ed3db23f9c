//! Events as C structs.

use std::ffi::{c_char, c_int};

use varta::{DecodeError, Promise, Rule};
use varta_observer::{Ending, Event, ExitCause, What, Why};

use crate::constants::{
    self, VARTA_EVENT_AUTH_FAILURE, VARTA_EVENT_BEAT, VARTA_EVENT_DEAF, VARTA_EVENT_DECODE,
    VARTA_EVENT_ENDED, VARTA_EVENT_EXIT, VARTA_EVENT_IO, VARTA_EVENT_PAUSED,
    VARTA_EVENT_RECOVERED, VARTA_EVENT_STALL, VARTA_EVENT_TASK, VARTA_EVENT_VIOLATION,
};

/// An event that an observer reports. 128 bytes in every version of this library. Fields that
/// a kind of event does not set are zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct varta_event {
    /// Nanoseconds since the observer started, on a clock that keeps counting during suspend. It
    /// never decreases from one event to the next.
    pub observer_ns: u64,
    /// The agent's number, from 1, never reused by an observer. 0: the event names no agent.
    pub agent: u64,
    /// The process id in the observer's namespace; 0 if it has none there.
    pub pid: u32,
    /// The process id that the agent's frames name.
    pub claimed_pid: u32,
    /// What happened: VARTA_EVENT_BEAT to VARTA_EVENT_CAUSE. Later versions may add more.
    pub kind: u8,
    /// How the agent was identified: VARTA_ORIGIN_ constant. 0: the event names no agent.
    pub origin: u8,
    /// Beat: the status the agent sent. Exit: the last status it sent. Decode error BadNonce:
    /// the status that was received with the nonce. VARTA_STATUS_ constant.
    pub status: u8,
    /// Exit: VARTA_EXIT_ constant. Stall and Cause: how sure the cause is, VARTA_CERTAINTY_
    /// constant.
    pub exit_cause: u8,
    /// Decode: VARTA_DECODE_ constant. Stall and Cause: VARTA_CAUSE_FLAG_ bits; a Stall may also
    /// have VARTA_EVENT_DEAF.
    pub decode_error: u8,
    /// Stall and Recovered of a task: the promise, VARTA_PROMISE_ constant.
    pub promise: u8,
    /// Violation: the rule, VARTA_RULE_ constant. Ended: how the task ended, VARTA_ENDED_
    /// constant.
    pub rule: u8,
    /// Zero.
    pub reserved0: u8,
    /// Exit: the exit code or the signal. Io: the errno, positive. Stall and Cause: why it is
    /// silent, VARTA_CAUSE_ constant.
    pub code: i32,
    /// Decode errors BadCrc, BadStatus, BadPid: the checksum, status or pid that was received.
    /// Stall and Cause: the thread that hangs, 0 if it is not known.
    pub found: u32,
    /// Decode error BadCrc: the checksum computed from the bytes. Stall and Cause: the other
    /// process or thread, such as the tracer or the owner of the lock; 0 if there is none.
    pub expected: u32,
    /// The task's number, from 1, unique within the agent. 0: the event is not about a task.
    pub task: u32,
    /// Beat: the frame's nonce. Stall: the agent's last nonce that was not terminal. Decode
    /// error BadNonce: the nonce that was received.
    pub nonce: u64,
    /// Beat: the number that the application sent.
    pub payload: u64,
    /// Beat: the number of beats that were lost between the previous beat and this one.
    pub missed: u64,
    /// Stall: the time of the agent's last beat, in nanoseconds since the observer started.
    pub last_ns: u64,
    /// Recovered: how long the agent was silent, or how late the promise of a task was kept.
    /// Paused: how long the observer was away. Task: the task's threshold, or UINT64_MAX.
    /// Violation: by how much the rule was broken, in nanoseconds, or in beats for a cycle.
    pub duration_ns: u64,
    /// Stall of a task: when the promise was due, in nanoseconds since the observer started.
    pub due_ns: u64,
    /// Stall of a task: the checkpoint where it is, or the label of the span. Violation: the
    /// checkpoint that was reached.
    pub checkpoint: u16,
    /// Violation: the checkpoint before, or the label of the span.
    pub from: u16,
    /// Beat: how many beats, or calls of a task, the event stands for. Violation: how many
    /// there were since the last event.
    pub count: u32,
    /// The task's name: up to 23 bytes and a NUL. Empty: the event is not about a task.
    pub task_name: [c_char; 24],
}

const _: () = {
    assert!(size_of::<varta_event>() == 128);

    assert!(
        VARTA_EVENT_BEAT
            == code(What::Beat { status: OK, payload: 0, nonce: 0, missed: 0, count: 1 })
    );
    assert!(
        VARTA_EVENT_STALL
            == code(What::Stall {
                last_nonce: 0,
                last_ns: 0,
                deaf: false,
                late: None,
                why: None
            })
    );
    assert!(
        VARTA_EVENT_RECOVERED == code(What::Recovered { silent_ns: 0, promise: Promise::Beat })
    );
    assert!(
        VARTA_EVENT_EXIT == code(What::Exit { cause: ExitCause::Unknown, last_status: OK })
    );
    assert!(VARTA_EVENT_DECODE == code(What::Decode(DecodeError::BadMagic)));
    assert!(
        VARTA_EVENT_AUTH_FAILURE == code(What::AuthFailure { claimed_pid: 0, true_pid: 0 })
    );
    assert!(VARTA_EVENT_IO == code(What::Io { errno: 0 }));
    assert!(VARTA_EVENT_PAUSED == code(What::Paused { ns: 0 }));
    assert!(VARTA_EVENT_TASK == code(What::Task { threshold_ns: 0 }));
    assert!(VARTA_EVENT_ENDED == code(What::Ended { how: Ending::Closed }));
    assert!(
        VARTA_EVENT_VIOLATION
            == code(What::Violation { rule: Rule::TooLate, count: 0, from: 0, to: 0, by: 0 })
    );

    assert!(constants::VARTA_EVENT_CAUSE == code(What::Cause { why: Why::UNKNOWN }));

    assert!(constants::VARTA_PROMISE_BEAT == Promise::Beat as u8);
    assert!(constants::VARTA_PROMISE_SPAN == Promise::Span as u8);
    assert!(constants::VARTA_PROMISE_CHECKPOINT == Promise::Checkpoint as u8);
    assert!(constants::VARTA_PROMISE_PROGRESS == Promise::Progress as u8);
    assert!(constants::VARTA_RULE_TOO_EARLY == Rule::TooEarly as u8);
    assert!(constants::VARTA_RULE_TOO_LATE == Rule::TooLate as u8);
    assert!(constants::VARTA_RULE_WRONG_ORDER == Rule::WrongOrder as u8);
    assert!(constants::VARTA_RULE_TOO_FEW == Rule::TooFew as u8);
    assert!(constants::VARTA_RULE_TOO_MANY == Rule::TooMany as u8);
    assert!(constants::VARTA_ENDED_CLOSED == Ending::Closed as u8);
    assert!(constants::VARTA_ENDED_FAILED == Ending::Failed as u8);
    assert!(constants::VARTA_ENDED_THREAD_GONE == Ending::ThreadGone as u8);
    assert!(constants::VARTA_ENDED_DETACHED == Ending::Detached as u8);

    const OK: varta::Status = varta::Status::Ok;
    const fn code(what: What) -> u8 {
        what.code()
    }
};

impl varta_event {
    /// An event of a kind that names no agent.
    const fn of(kind: u8, observer_ns: u64) -> Self {
        Self {
            observer_ns,
            agent: 0,
            pid: 0,
            claimed_pid: 0,
            kind,
            origin: 0,
            status: 0,
            exit_cause: 0,
            decode_error: 0,
            promise: 0,
            rule: 0,
            reserved0: 0,
            code: 0,
            found: 0,
            expected: 0,
            task: 0,
            nonce: 0,
            payload: 0,
            missed: 0,
            last_ns: 0,
            duration_ns: 0,
            due_ns: 0,
            checkpoint: 0,
            from: 0,
            count: 0,
            task_name: [0; 24],
        }
    }

    fn exit(&mut self, cause: ExitCause, last_status: varta::Status) {
        self.status = last_status as u8;
        self.exit_cause = cause.kind();
        self.code = match cause {
            ExitCause::Unknown => 0,
            ExitCause::Code(code) | ExitCause::Signal(code) => code,
        };
    }

    fn cause(&mut self, why: Why) {
        self.code = c_int::from(why.cause as u8);
        self.exit_cause = why.certainty as u8;
        self.decode_error = why.flags.bits();
        self.found = why.thread;
        self.expected = why.other;
    }

    fn decode(&mut self, error: DecodeError) {
        self.decode_error = error.code();
        match error {
            DecodeError::BadMagic
            | DecodeError::BadVersion
            | DecodeError::StallOnWire
            // The value is always the same.
            | DecodeError::BadTimestamp(_) => {}
            DecodeError::BadCrc { expected, actual } => {
                self.expected = expected;
                self.found = actual;
            }
            DecodeError::BadStatus(status) => self.found = status.into(),
            DecodeError::BadPid(pid) => self.found = pid,
            DecodeError::BadNonce { nonce, status } => {
                self.nonce = nonce;
                self.status = status as u8;
            }
        }
    }
}

impl From<&Event> for varta_event {
    #[inline]
    fn from(event: &Event) -> Self {
        let mut converted = Self::of(event.what.code(), event.observer_ns);
        if let Some(about) = event.about {
            converted.agent = about.agent;
            converted.pid = about.pid;
            converted.claimed_pid = about.claimed_pid;
            converted.origin = about.origin as u8;
        }
        if let Some(task) = event.task {
            converted.task = task.number;
            converted.task_name =
                task.name.to_bytes().map(|byte| c_char::from_ne_bytes([byte]));
        }
        match event.what {
            What::Beat { status, payload, nonce, missed, count } => {
                converted.count = count;
                converted.status = status as u8;
                converted.payload = payload;
                converted.nonce = nonce;
                converted.missed = missed;
            }
            What::Stall { last_nonce, last_ns, deaf, late, why } => {
                if let Some(why) = why {
                    converted.cause(why);
                }
                if let Some(late) = late {
                    converted.promise = late.promise as u8;
                    converted.due_ns = late.due_ns;
                    converted.checkpoint = late.checkpoint;
                }
                converted.nonce = last_nonce;
                converted.last_ns = last_ns;
                converted.decode_error |= if deaf { VARTA_EVENT_DEAF } else { 0 };
            }
            What::Recovered { silent_ns, promise } => {
                converted.duration_ns = silent_ns;
                converted.promise = if event.task.is_some() { promise as u8 } else { 0 };
            }
            What::Exit { cause, last_status } => converted.exit(cause, last_status),
            What::Decode(error) => converted.decode(error),
            What::AuthFailure { claimed_pid, true_pid } => {
                converted.claimed_pid = claimed_pid;
                converted.pid = true_pid;
            }
            What::Io { errno } => converted.code = c_int::abs(errno),
            What::Paused { ns } => converted.duration_ns = ns,
            What::Task { threshold_ns } => converted.duration_ns = threshold_ns,
            What::Ended { how } => converted.rule = how as u8,
            What::Violation { rule, count, from, to, by } => {
                converted.rule = rule as u8;
                converted.count = count;
                converted.from = from;
                converted.checkpoint = to;
                converted.duration_ns = by;
            }
            What::Cause { why } => converted.cause(why),
            // A kind that this crate does not know keeps its number and its agent.
            _ => {}
        }
        converted
    }
}
