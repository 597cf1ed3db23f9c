//! The list of the agents that an observer follows.

use std::ffi::{c_char, c_int};
use std::fmt::{self, Write};

use ::varta_observer::AgentInfo;

use super::{Answer, AnyObserver, varta_observer, with, with_text};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::sized::{OutputArray, Sized};

/// The uid of an agent whose sender the kernel does not attest.
pub const VARTA_NO_UID: u32 = 0xffff_ffff;

/// Agent info flag: a stall was reported, and the agent is not back.
pub const VARTA_AGENT_STALLED: u32 = 1;
/// Agent info flag: the agent may be a different process that reused the pid.
pub const VARTA_AGENT_UNCONFIRMED: u32 = 2;
/// Agent info flag: the agent beats through memory that it shares with the observer.
pub const VARTA_AGENT_LANE: u32 = 4;

/// The state of an agent that an observer follows. Initialise the first element of an array
/// with VARTA_AGENT_INFO_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_agent_info {
    /// sizeof(varta_agent_info).
    pub size: u32,
    /// VARTA_AGENT_STALLED, VARTA_AGENT_UNCONFIRMED, VARTA_AGENT_LANE.
    pub flags: u32,
    /// The agent's number, from 1, never reused by an observer.
    pub agent: u64,
    /// The process id in the observer's namespace; 0 if it has none there.
    pub pid: u32,
    /// The process id that the agent's frames name.
    pub claimed_pid: u32,
    /// The user of the process; VARTA_NO_UID if the kernel does not attest it.
    pub uid: u32,
    /// How the agent was identified: VARTA_ORIGIN_ constant.
    pub origin: u8,
    /// The last status that it sent: VARTA_STATUS_ constant.
    pub status: u8,
    /// Zero.
    pub reserved: u16,
    /// The time of its last beat, in nanoseconds since the observer started.
    pub last_ns: u64,
    /// How long ago that was.
    pub age_ns: u64,
    /// How long it may be silent.
    pub threshold_ns: u64,
    /// The number of beats received, including those over the rate limit.
    pub beats: u64,
    /// The number of lost beats, according to its nonces; at most 2^32 - 1.
    pub missed: u64,
    /// The name of its program, as the kernel knows it; empty if unknown. A process can set its
    /// name to any bytes, which need not be valid text and may include control characters.
    /// Escape them before you print them.
    pub name: [c_char; 16],
    /// The numeric address that it sends from; empty unless it sends over a network.
    pub address: [c_char; 48],
    /// How many of its tasks are followed.
    pub tasks: u32,
    /// How many of them have broken a promise and have not kept it since.
    pub tasks_late: u32,
    /// The name to show for it, in UTF-8 and safe to print: the first that is known of the one
    /// that the agent declared, its container, its service, and its program. Empty if none is
    /// known.
    pub label: [c_char; 64],
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
        tasks: 0,
        tasks_late: 0,
        label: [0; 64],
    };
}

impl From<&AgentInfo> for varta_agent_info {
    fn from(info: &AgentInfo) -> Self {
        let flag = |set, flag| if set { flag } else { 0 };
        let mut converted = Self {
            flags: flag(info.stalled, VARTA_AGENT_STALLED)
                | flag(info.unconfirmed, VARTA_AGENT_UNCONFIRMED)
                | flag(info.lane, VARTA_AGENT_LANE),
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
            tasks: info.tasks,
            tasks_late: info.tasks_late,
            ..Self::ZERO
        };
        TextBuffer(&mut converted.name).append(info.name.as_bytes());
        TextBuffer(&mut converted.label).append(info.label.as_str().as_bytes());
        if let Some(address) = info.address {
            // The longest possible address fits.
            let _ = write!(TextBuffer(&mut converted.address), "{address}");
        }
        converted
    }
}

/// A buffer for a string, which stays NUL-terminated.
struct TextBuffer<'a>(&'a mut [c_char]);

impl TextBuffer<'_> {
    fn append(&mut self, bytes: &[u8]) {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let last = self.0.len().saturating_sub(1);
        let free = self.0.get_mut(end..last).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = c_char::from_ne_bytes([*from]);
        }
    }
}

impl Write for TextBuffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes());
        Ok(())
    }
}

/// Returns the name to show for an agent, as in varta_agent_info: it is safe to print. An event
/// has no room for it.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// agent: the agent's number, as in events.
/// ret: receives the name, NUL-terminated and truncated to fit; 64 bytes are always enough.
/// cap: the size of ret in bytes; 0 is -EINVAL.
///
/// Returns the length of the whole name without the NUL. 0: no name is known, as over a network, and
/// ret is an empty string. The name is known for all agents that the observer follows, and for all
/// that the events of the last call of varta_observer_poll or varta_observer_poll_many name, even if
/// they have exited since. Or returns
///     -EINVAL        a pointer is NULL, or cap is 0
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_label(
    obs: *mut varta_observer,
    agent: u64,
    ret: *mut c_char,
    cap: usize,
) -> Code {
    guard::answer(|| {
        let find = |observer: &mut AnyObserver, answer: &Answer<'_>| {
            let label = match observer {
                AnyObserver::Bound(observer) => {
                    // stats fails in a forked child.
                    observer.stats()?;
                    observer.label(agent)
                }
                AnyObserver::Simulated(observer) => observer.label(agent),
            };
            Ok(answer(label.as_str()))
        };
        // SAFETY: the caller gave an open handle or NULL, and a buffer of `cap` bytes or NULL.
        unsafe { with_text(obs, ret, cap, find) }
    })
}

/// Lists the agents that the observer follows.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// ret: an array that receives the agents. Initialise its first element with
///     VARTA_AGENT_INFO_INIT; the size there is the distance between elements. May be NULL if
///     cap is 0.
/// cap: the number of elements in the array; no more are written.
///
/// Returns the number of agents that the observer follows, which may be more than cap; or
///     -EINVAL        obs is NULL, ret is NULL while cap is not 0, or ret was not initialised
///     -E2BIG         ret is from a newer header and sets fields that this library does not know
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_agents(
    obs: *mut varta_observer,
    ret: *mut varta_agent_info,
    cap: usize,
) -> Code {
    guard::answer(|| {
        let output = match cap {
            0 => None,
            // SAFETY: the caller gave an array or NULL.
            _ => Some(unsafe { OutputArray::new(ret) }?),
        };
        let list = |observer: &mut AnyObserver| {
            let agents = match observer {
                AnyObserver::Bound(observer) => observer.snapshot()?,
                AnyObserver::Simulated(observer) => observer.snapshot(),
            };
            if let Some(output) = &output {
                for (index, info) in agents.iter().take(cap).enumerate() {
                    // SAFETY: the caller's array has `cap` elements.
                    unsafe { output.write(index, &info.into()) };
                }
            }
            c_int::try_from(agents.len()).map_err(|_| Failure::errno(libc::EOVERFLOW))
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, list) }
    })
}
