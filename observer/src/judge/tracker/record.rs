//! The record of one agent, in two parts: the fields that every beat touches, in one cache
//! line, and the rest.

use std::net::IpAddr;

use varta::Status;

use crate::event::{About, Origin};
use crate::judge::deadline::{Entry, Linked, Links, WheelSlot};

/// What identifies an agent when its next datagram arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A process with a pid in the observer's namespace.
    Pid(u32),
    /// A process of another namespace, by the number that no other process shares.
    Process(u64),
    /// A sender that claims this pid from this address. The address is in canonical form.
    Network { listener: u16, address: IpAddr, claimed_pid: u32 },
}

/// The flags of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// A Stall was reported and no beat has arrived since.
    pub(crate) const STALLED: Self = Self(1);
    /// The deadline of this silence was extended by a pause.
    pub(crate) const PARDONED: Self = Self(1 << 1);
    /// Its last frame had the terminal nonce.
    pub(crate) const TERMINAL: Self = Self(1 << 2);
    /// There is a last nonce to compare with.
    pub(crate) const COUNTED: Self = Self(1 << 3);
    /// It has a threshold of its own.
    pub(crate) const OWN_THRESHOLD: Self = Self(1 << 4);
    /// It may be another process that reused the pid, or a recording of a sealed session that
    /// is over.
    pub(crate) const UNCONFIRMED: Self = Self(1 << 5);
    /// The number of its process is known.
    pub(crate) const NUMBERED: Self = Self(1 << 6);
    /// It is known to have exited, and all that it sent has been processed.
    pub(crate) const EXITING: Self = Self(1 << 7);
    /// Its claimed pid differs from its pid.
    pub(crate) const ALIASED: Self = Self(1 << 8);
    /// Its end is not reported but can be looked up.
    pub(crate) const LOOKED_UP: Self = Self(1 << 9);
    /// Its end can be seen only by its silence.
    pub(crate) const UNSEEN: Self = Self(1 << 10);
    /// It has been silent for ten thresholds and its end cannot be seen: it is in one of the
    /// tracker's lists of gone agents.
    pub(crate) const GONE: Self = Self(1 << 11);
    /// It was looked up and has exited; some of what it sent may not have been processed.
    pub(crate) const MISSING: Self = Self(1 << 12);
    /// Its Stall was put off because beats may have been lost.
    pub(crate) const DEFERRED: Self = Self(1 << 13);
    /// It is in the list of its user's stalled agents.
    pub(crate) const LISTED: Self = Self(1 << 14);
    /// It has a page in shared memory, which is read from time to time.
    pub(crate) const PAGED: Self = Self(1 << 15);
    /// A pause does not extend its deadline: either one already did, or there is nothing to
    /// put off.
    pub(crate) const NO_PARDON: Self = Self(Self::PARDONED.0 | Self::MISSING.0);
    /// Its silence no longer matters.
    pub(crate) const DEAD: Self = Self(Self::EXITING.0 | Self::MISSING.0);
    /// The flags that belong to one silence.
    pub(crate) const PER_SILENCE: Self =
        Self(Self::STALLED.0 | Self::PARDONED.0 | Self::DEFERRED.0);

    /// With any of these, a beat changes more than it does most of the time.
    pub(crate) const NOT_PLAIN: Self =
        Self(Self::PER_SILENCE.0 | Self::TERMINAL.0 | Self::DEAD.0);

    /// Whether any of these flags is set.
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

/// The kind of an agent's key; for network agents, their origin too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The record is not in use.
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
    /// The pid of an agent that has one in the observer's namespace, otherwise the one it
    /// claims.
    pub(crate) pid: u32,
    /// Stops at the highest number there is.
    pub(crate) missed: u32,
    pub(crate) place: WheelSlot,
    pub(crate) flags: Flags,
    /// The listener of an agent over a network. Of a local one, further flags, because there is
    /// no other left: [`EARLY`] and [`NOTIFIED`].
    pub(crate) listener: u16,
    pub(crate) status: Status,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cold {
    /// For a network agent, the IPv6 form of its address. For a local one, the process number,
    /// and above it its uid and the pid it claims.
    identity: u128,
    /// Its own threshold, if it has one.
    pub(crate) threshold_ns: u64,
    /// The state of its rate limit.
    pub(crate) rate_state: u64,
}

const _: () = assert!(size_of::<Hot>() == 64 && size_of::<Cold>() == 32);

/// Its deadline is that of an early look.
const EARLY: u16 = 1;
/// It is judged by notifications, because it sends no frames.
const NOTIFIED: u16 = 2;

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

    #[inline]
    pub(crate) const fn origin(&self) -> Origin {
        match self.kind {
            Kind::Network(origin) => origin,
            _ => Origin::KernelAttested,
        }
    }

    pub(crate) const fn is_network(&self) -> bool {
        matches!(self.kind, Kind::Network(_))
    }

    /// Whether its deadline is that of an early look, rather than of its Stall.
    pub(crate) const fn is_early(&self) -> bool {
        self.listener & EARLY != 0 && !self.is_network()
    }

    /// Sets whether its deadline is that of an early look. Only local agents have one.
    pub(crate) const fn set_early(&mut self, early: bool) {
        if !self.is_network() {
            self.listener = self.listener & !EARLY | if early { EARLY } else { 0 };
        }
    }

    /// Whether it is judged by notifications.
    pub(crate) const fn is_notified(&self) -> bool {
        self.listener & NOTIFIED != 0 && !self.is_network()
    }

    /// Sets whether it is judged by notifications. Only local agents can be.
    pub(crate) const fn set_notified(&mut self, notified: bool) {
        if !self.is_network() {
            self.listener = self.listener & !NOTIFIED | if notified { NOTIFIED } else { 0 };
        }
    }

    /// Whether its silence will be a Stall. An agent that has only tasks is not judged before it
    /// beats itself.
    #[inline]
    pub(crate) const fn is_judged(&self) -> bool {
        !self.flags.has(Flags::STALLED) && !self.flags.has(Flags::DEAD) && self.beats > 0
    }

    #[inline(always)]
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
    /// The agent whose last beat is older comes first, then the one with the lower number.
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

#[allow(clippy::cast_possible_truncation, reason = "only parts of the number are needed")]
impl Cold {
    pub(crate) const NONE: Self = Self { identity: 0, threshold_ns: 0, rate_state: 0 };

    pub(crate) fn network(address: IpAddr) -> Self {
        Self { identity: bits(address), ..Self::NONE }
    }

    pub(crate) fn local(process: u64, uid: u32, claimed_pid: u32) -> Self {
        let above = u128::from(uid) << 64 | u128::from(claimed_pid) << 96;
        Self { identity: above | u128::from(process), ..Self::NONE }
    }

    /// Changes the process of a local agent.
    pub(crate) fn set_local(&mut self, process: u64, claimed_pid: u32) {
        self.identity = Self::local(process, self.uid(), claimed_pid).identity;
    }

    /// For a network agent.
    pub(crate) fn is_from(&self, address: IpAddr) -> bool {
        self.identity == bits(address)
    }

    pub(crate) fn set_address(&mut self, address: IpAddr) {
        self.identity = bits(address);
    }

    pub(crate) fn address(&self) -> IpAddr {
        IpAddr::from(self.identity.to_be_bytes()).to_canonical()
    }

    /// For a local agent, if its number is known.
    pub(crate) const fn process(&self) -> u64 {
        self.identity as u64
    }

    pub(crate) fn set_process(&mut self, process: u64) {
        self.identity = self.identity >> 64 << 64 | u128::from(process);
    }

    pub(crate) const fn uid(&self) -> u32 {
        (self.identity >> 64) as u32
    }

    #[inline]
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
