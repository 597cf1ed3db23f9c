//! The agents that are followed.

use std::ffi::{c_char, c_int};
use std::fmt::{self, Write};

use ::varta_observer::AgentInfo;

use super::{Watcher, varta_observer, with};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::sized::{Room, Sized};

/// The uid of an agent that the kernel does not vouch for.
pub const VARTA_NO_UID: u32 = 0xffff_ffff;

/// Agent info flag: a stall was said and the agent is not back.
pub const VARTA_AGENT_STALLED: u32 = 1;
/// Agent info flag: it may have taken over the pid of the process that is meant; nothing tells
/// the two apart.
pub const VARTA_AGENT_UNCONFIRMED: u32 = 2;

/// An agent that is followed, as it stands. Initialise the first of an array with
/// VARTA_AGENT_INFO_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_agent_info {
    /// sizeof(varta_agent_info).
    pub size: u32,
    /// VARTA_AGENT_STALLED, VARTA_AGENT_UNCONFIRMED.
    pub flags: u32,
    /// The agent's number, from 1, never given twice by one observer.
    pub agent: u64,
    /// The process id in the observer's namespace; 0 where it has none there.
    pub pid: u32,
    /// The process id that the agent's frames name.
    pub claimed_pid: u32,
    /// Whose process it is; VARTA_NO_UID where the kernel does not say so.
    pub uid: u32,
    /// How it is known who the agent is: VARTA_ORIGIN_.
    pub origin: u8,
    /// What it said of itself last: VARTA_STATUS_.
    pub status: u8,
    /// Zero.
    pub reserved: u16,
    /// When it was last heard, in nanoseconds since the observer started.
    pub last_ns: u64,
    /// How long ago that is.
    pub age_ns: u64,
    /// How long it may be silent.
    pub threshold_ns: u64,
    /// Beats heard of it, also those that a rate limit kept from becoming events.
    pub beats: u64,
    /// Beats that never came, by its nonces; stays at 2^32 - 1.
    pub missed: u64,
    /// The name of its program, as the kernel has it; empty where that cannot be known. Any process
    /// chooses these bytes itself: they may be no text, and hold control characters. Escape them before
    /// they are printed.
    pub name: [c_char; 16],
    /// Where it beats from, as a numeric address; empty unless over a network.
    pub address: [c_char; 48],
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_agent_info {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        agent: 0,
        pid: 0,
        claimed_pid: 0,
        uid: 0,
        origin: 0,
        status: 0,
        reserved: 0,
        last_ns: 0,
        age_ns: 0,
        threshold_ns: 0,
        beats: 0,
        missed: 0,
        name: [0; 16],
        address: [0; 48],
    };
}

impl From<&AgentInfo> for varta_agent_info {
    fn from(info: &AgentInfo) -> Self {
        let flag = |set, flag| if set { flag } else { 0 };
        let mut said = Self {
            flags: flag(info.stalled, VARTA_AGENT_STALLED)
                | flag(info.unconfirmed, VARTA_AGENT_UNCONFIRMED),
            agent: info.agent,
            pid: info.pid,
            claimed_pid: info.claimed_pid,
            uid: info.uid.unwrap_or(VARTA_NO_UID),
            origin: info.origin as u8,
            status: info.status as u8,
            last_ns: info.last_ns,
            age_ns: info.age_ns,
            threshold_ns: info.threshold_ns,
            beats: info.beats,
            missed: info.missed,
            ..Self::ZERO
        };
        Text { room: &mut said.name }.put(info.name.as_bytes());
        if let Some(address) = info.address {
            // The longest address there is fits.
            let _ = write!(Text { room: &mut said.address }, "{address}");
        }
        said
    }
}

/// Room for a text, which stays NUL-terminated.
struct Text<'a> {
    room: &'a mut [c_char],
}

impl Text<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let empty = self.room.iter().position(|byte| *byte == 0).unwrap_or(self.room.len());
        let last = self.room.len().saturating_sub(1);
        let free = self.room.get_mut(empty..last).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = c_char::from_ne_bytes([*from]);
        }
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Lists the agents that are followed.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: an array whose first element was initialised with VARTA_AGENT_INFO_INIT; its size is
///     the distance from one element to the next. May be NULL if cap is 0.
/// cap: how many elements there are; no more are written.
///
/// Returns how many agents are followed, which may be more than cap; or
///     -EINVAL        obs is NULL, ret is NULL while cap is not 0, or ret was not initialised
///     -E2BIG         ret is of a newer header and holds what this library does not know
///     -EBUSY         another call is on this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   a bug was contained; the observer can only be closed
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_agents(
    obs: *mut varta_observer,
    ret: *mut varta_agent_info,
    cap: usize,
) -> Code {
    guard::answer(|| {
        let room = match cap {
            0 => None,
            // SAFETY: the caller gave room, or NULL.
            _ => Some(unsafe { Room::new(ret) }?),
        };
        let list = |watcher: &mut Watcher| {
            let agents = match watcher {
                Watcher::Bound(observer) => observer.snapshot()?,
                Watcher::Simulated(observer) => observer.snapshot(),
            };
            if let Some(room) = &room {
                for (index, info) in agents.iter().take(cap).enumerate() {
                    // SAFETY: the caller gave room for `cap`.
                    unsafe { room.write(index, &info.into()) };
                }
            }
            c_int::try_from(agents.len()).map_err(|_| Failure::errno(libc::EOVERFLOW))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, list) }
    })
}
