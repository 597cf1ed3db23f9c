//! What is kept of one agent, in two parts: what every beat touches, in one cache line,
//! and the rest.

use std::net::IpAddr;

use varta::Status;

use crate::event::{About, Origin};
use crate::judge::deadline::{Entry, Linked, Links, WheelSlot};

/// By what an agent is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A process with a pid in the observer's namespace.
    Pid(u32),
    /// A process of another namespace, by the number that no other process shares.
    Process(u64),
    /// Whoever claims this pid from this address. The address is in canonical form.
    Network { listener: u16, address: IpAddr, claimed_pid: u32 },
}

/// What is true of an agent, bit by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// A Stall was said and no beat came since.
    pub(crate) const STALLED: Self = Self(1);
    /// This silence was given a pause back.
    pub(crate) const PARDONED: Self = Self(1 << 1);
    /// Its last frame was its last words.
    pub(crate) const TERMINAL: Self = Self(1 << 2);
    /// There is a nonce to compare with.
    pub(crate) const COUNTED: Self = Self(1 << 3);
    /// It has a threshold of its own.
    pub(crate) const OWN_THRESHOLD: Self = Self(1 << 4);
    /// It may be another process than the one that sent, if the pid changed hands; or a
    /// recording of a sealed session that is over.
    pub(crate) const UNCONFIRMED: Self = Self(1 << 5);
    /// The number of its process is known.
    pub(crate) const NUMBERED: Self = Self(1 << 6);
    /// It is known to be dead and has said all that it will say.
    pub(crate) const EXITING: Self = Self(1 << 7);
    /// Its claimed pid is not its pid.
    pub(crate) const ALIASED: Self = Self(1 << 8);
    /// Its end can be looked up and is told by nobody.
    pub(crate) const LOOKED_UP: Self = Self(1 << 9);
    /// Its end can't be seen but by its silence.
    pub(crate) const UNSEEN: Self = Self(1 << 10);
    /// Silent for ten thresholds, and unseen: the owner's list has it.
    pub(crate) const GONE: Self = Self(1 << 11);
    /// It was looked for and is dead; what it has said may not all have been heard.
    pub(crate) const MISSING: Self = Self(1 << 12);
    /// Its Stall was put off, because beats may have been lost.
    pub(crate) const DEFERRED: Self = Self(1 << 13);
    /// It is among the stalled agents of its user.
    pub(crate) const LISTED: Self = Self(1 << 14);
    /// A pause makes no difference: it was given one, or there is nothing to put off.
    pub(crate) const NO_PARDON: Self = Self(Self::PARDONED.0 | Self::MISSING.0);
    /// No silence will be held against it.
    pub(crate) const DEAD: Self = Self(Self::EXITING.0 | Self::MISSING.0);
    /// What is true of one silence.
    pub(crate) const OF_A_SILENCE: Self =
        Self(Self::STALLED.0 | Self::PARDONED.0 | Self::DEFERRED.0);

    /// Whether any of these.
    #[inline]
    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    #[inline]
    pub(crate) const fn set(&mut self, flag: Self, value: bool) {
        if value {
            self.0 |= flag.0;
        } else {
            self.0 &= !flag.0;
        }
    }
}

/// What kind of key an agent has; for those of the network, its origin too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The record belongs to nobody.
    Free,
    Pid,
    Process,
    Network(Origin),
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Hot {
    pub(crate) agent: u64,
    pub(crate) last_ns: u64,
    pub(crate) last_nonce: u64,
    pub(crate) beats: u64,
    pub(crate) links: Links,
    /// The pid of an agent that has one here, else the one it claims.
    pub(crate) pid: u32,
    /// Stays at the highest number there is.
    pub(crate) missed: u32,
    pub(crate) place: WheelSlot,
    pub(crate) flags: Flags,
    pub(crate) listener: u16,
    pub(crate) status: Status,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cold {
    /// The IPv6 form of a network agent's address, or a process's number, and above it
    /// its uid and the pid it claims.
    identity: u128,
    /// Its own, or else the one that all have.
    pub(crate) threshold_ns: u64,
    /// The state of its rate limit.
    pub(crate) paced: u64,
}

const _: () = assert!(size_of::<Hot>() == 64 && size_of::<Cold>() == 32);

impl Hot {
    pub(crate) const FREE: Self = Self {
        agent: 0,
        last_ns: 0,
        last_nonce: 0,
        beats: 0,
        links: Links::LOOSE,
        pid: 0,
        missed: 0,
        place: WheelSlot::NOWHERE,
        flags: Flags::NONE,
        listener: 0,
        status: Status::Ok,
        kind: Kind::Free,
    };

    pub(crate) const fn origin(&self) -> Origin {
        match self.kind {
            Kind::Network(origin) => origin,
            _ => Origin::KernelAttested,
        }
    }

    pub(crate) const fn is_network(&self) -> bool {
        matches!(self.kind, Kind::Network(_))
    }

    #[inline]
    pub(crate) fn about(&self, cold: &Cold) -> About {
        About {
            agent: self.agent,
            pid: if self.kind == Kind::Pid { self.pid } else { 0 },
            claimed_pid: if self.flags.has(Flags::ALIASED) {
                cold.claimed_pid()
            } else {
                self.pid
            },
            origin: self.origin(),
        }
    }
}

impl Linked for Hot {
    #[inline]
    fn links(&self) -> &Links {
        &self.links
    }

    #[inline]
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Entry for Hot {
    /// Who was heard first; then who came first.
    type Rank = (u64, u64);

    #[inline]
    fn place(&self) -> WheelSlot {
        self.place
    }

    #[inline]
    fn set_place(&mut self, place: WheelSlot) {
        self.place = place;
    }

    #[inline]
    fn rank(&self) -> (u64, u64) {
        (self.last_ns, self.agent)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "parts of a number are meant")]
impl Cold {
    pub(crate) const NONE: Self = Self { identity: 0, threshold_ns: 0, paced: 0 };

    pub(crate) fn network(address: IpAddr) -> Self {
        Self { identity: bits(address), ..Self::NONE }
    }

    pub(crate) fn local(process: u64, uid: u32, claimed_pid: u32) -> Self {
        let above = u128::from(uid) << 64 | u128::from(claimed_pid) << 96;
        Self { identity: above | u128::from(process), ..Self::NONE }
    }

    /// Of a network agent.
    pub(crate) fn is_from(&self, address: IpAddr) -> bool {
        self.identity == bits(address)
    }

    pub(crate) fn set_address(&mut self, address: IpAddr) {
        self.identity = bits(address);
    }

    pub(crate) fn address(&self) -> IpAddr {
        IpAddr::from(self.identity.to_be_bytes()).to_canonical()
    }

    /// Of a local agent, if it is known.
    pub(crate) const fn process(&self) -> u64 {
        self.identity as u64
    }

    pub(crate) fn set_process(&mut self, process: u64) {
        self.identity = self.identity >> 64 << 64 | u128::from(process);
    }

    pub(crate) const fn uid(&self) -> u32 {
        (self.identity >> 64) as u32
    }

    pub(crate) const fn claimed_pid(&self) -> u32 {
        (self.identity >> 96) as u32
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
