//! Events, as C sees them.

use std::ffi::c_int;
use std::mem::offset_of;

use varta::DecodeError;
use varta_observer::{Event, ExitCause, What};

use crate::constants::{
    VARTA_EVENT_AUTH_FAILURE, VARTA_EVENT_BEAT, VARTA_EVENT_DEAF, VARTA_EVENT_DECODE,
    VARTA_EVENT_EXIT, VARTA_EVENT_IO, VARTA_EVENT_PAUSED, VARTA_EVENT_RECOVERED,
    VARTA_EVENT_STALL,
};

/// One thing an observer has to say. 128 bytes in every version of this library; fields that
/// a kind of event does not set are 0, and so are the reserved ones.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct varta_event {
    /// Nanoseconds since the observer started, on a clock that also counts suspend. From one
    /// event to the next it never falls.
    pub observer_ns: u64,
    /// The agent's number, from 1, never given twice by one observer. 0: about no agent.
    pub agent: u64,
    /// The process id in the observer's namespace; 0 where it has none there.
    pub pid: u32,
    /// The process id that the agent's frames name.
    pub claimed_pid: u32,
    /// What happened: VARTA_EVENT_BEAT to VARTA_EVENT_PAUSED. Later versions may add more.
    pub kind: u8,
    /// How it is known who the agent is: VARTA_ORIGIN_. 0: about no agent.
    pub origin: u8,
    /// Beat, exit: VARTA_STATUS_, what the agent says (or said last) of itself. Decode
    /// error BadNonce: the status that came with the nonce.
    pub status: u8,
    /// Exit: VARTA_EXIT_.
    pub exit_cause: u8,
    /// Decode: VARTA_DECODE_. Stall: 0, or VARTA_EVENT_DEAF.
    pub decode_error: u8,
    /// Zero.
    pub reserved0: [u8; 3],
    /// Exit: the exit code or the signal. Io: the errno, positive.
    pub code: i32,
    /// Decode errors BadCrc, BadStatus, BadPid: the checksum, status or pid that came.
    pub found: u32,
    /// Decode error BadCrc: the checksum that the bytes give.
    pub expected: u32,
    /// Zero.
    pub reserved1: u32,
    /// Beat: the frame's. Stall: the last one that was not terminal. Decode error BadNonce:
    /// the one that came.
    pub nonce: u64,
    /// Beat: the application's, carried untouched.
    pub payload: u64,
    /// Beat: how many beats between the last one and this one never came.
    pub missed: u64,
    /// Stall: when the agent was last heard, as observer_ns.
    pub last_ns: u64,
    /// Recovered: how long nothing was heard. Paused: how long the observer was away.
    pub duration_ns: u64,
    /// Zero.
    pub reserved: [u64; 5],
}

const _: () = {
    assert!(size_of::<varta_event>() == 128);
    assert!(align_of::<varta_event>() == 8);
    assert!(offset_of!(varta_event, observer_ns) == 0);
    assert!(offset_of!(varta_event, agent) == 8);
    assert!(offset_of!(varta_event, pid) == 16);
    assert!(offset_of!(varta_event, claimed_pid) == 20);
    assert!(offset_of!(varta_event, kind) == 24);
    assert!(offset_of!(varta_event, origin) == 25);
    assert!(offset_of!(varta_event, status) == 26);
    assert!(offset_of!(varta_event, exit_cause) == 27);
    assert!(offset_of!(varta_event, decode_error) == 28);
    assert!(offset_of!(varta_event, reserved0) == 29);
    assert!(offset_of!(varta_event, code) == 32);
    assert!(offset_of!(varta_event, found) == 36);
    assert!(offset_of!(varta_event, expected) == 40);
    assert!(offset_of!(varta_event, reserved1) == 44);
    assert!(offset_of!(varta_event, nonce) == 48);
    assert!(offset_of!(varta_event, payload) == 56);
    assert!(offset_of!(varta_event, missed) == 64);
    assert!(offset_of!(varta_event, last_ns) == 72);
    assert!(offset_of!(varta_event, duration_ns) == 80);
    assert!(offset_of!(varta_event, reserved) == 88);

    assert!(
        VARTA_EVENT_BEAT == code(What::Beat { status: OK, payload: 0, nonce: 0, missed: 0 })
    );
    assert!(VARTA_EVENT_STALL == code(What::Stall { last_nonce: 0, last_ns: 0, deaf: false }));
    assert!(VARTA_EVENT_RECOVERED == code(What::Recovered { silent_ns: 0 }));
    assert!(
        VARTA_EVENT_EXIT == code(What::Exit { cause: ExitCause::Unknown, last_status: OK })
    );
    assert!(VARTA_EVENT_DECODE == code(What::Decode(DecodeError::BadMagic)));
    assert!(
        VARTA_EVENT_AUTH_FAILURE == code(What::AuthFailure { claimed_pid: 0, true_pid: 0 })
    );
    assert!(VARTA_EVENT_IO == code(What::Io { errno: 0 }));
    assert!(VARTA_EVENT_PAUSED == code(What::Paused { ns: 0 }));

    const OK: varta::Status = varta::Status::Ok;
    const fn code(what: What) -> u8 {
        what.code()
    }
};

impl varta_event {
    /// Of a kind, about nobody.
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
            reserved0: [0; 3],
            code: 0,
            found: 0,
            expected: 0,
            reserved1: 0,
            nonce: 0,
            payload: 0,
            missed: 0,
            last_ns: 0,
            duration_ns: 0,
            reserved: [0; 5],
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

    fn decode(&mut self, error: DecodeError) {
        self.decode_error = error.code();
        match error {
            DecodeError::BadMagic
            | DecodeError::BadVersion
            | DecodeError::StallOnWire
            // It is always the same one.
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
        let mut said = Self::of(event.what.code(), event.observer_ns);
        if let Some(about) = event.about {
            said.agent = about.agent;
            said.pid = about.pid;
            said.claimed_pid = about.claimed_pid;
            said.origin = about.origin as u8;
        }
        match event.what {
            What::Beat { status, payload, nonce, missed } => {
                said.status = status as u8;
                said.payload = payload;
                said.nonce = nonce;
                said.missed = missed;
            }
            What::Stall { last_nonce, last_ns, deaf } => {
                said.nonce = last_nonce;
                said.last_ns = last_ns;
                said.decode_error = if deaf { VARTA_EVENT_DEAF } else { 0 };
            }
            What::Recovered { silent_ns } => said.duration_ns = silent_ns,
            What::Exit { cause, last_status } => said.exit(cause, last_status),
            What::Decode(error) => said.decode(error),
            What::AuthFailure { claimed_pid, true_pid } => {
                said.claimed_pid = claimed_pid;
                said.pid = true_pid;
            }
            What::Io { errno } => said.code = c_int::abs(errno),
            What::Paused { ns } => said.duration_ns = ns,
            // What a newer observer says is told by its number and about whom it is.
            _ => {}
        }
        said
    }
}
