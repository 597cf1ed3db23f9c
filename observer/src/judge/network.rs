//! Beats over a network, where only a nonce that moves forward distinguishes a sender from a
//! replay.

use std::net::IpAddr;

use varta::FRAME_BYTES;
use varta::secure::Iv;

use super::keyring::Unopened;
use super::sessions::{Age, SealedSession};
use super::{AgentKey, Datagram, Environment, Judge, Kind, Slot};
use crate::event::Origin;
use crate::judge::tracker::{Beat, Cold};

/// Where a datagram came from.
struct From {
    key: AgentKey,
    tag: u32,
    address: IpAddr,
}

impl Judge {
    pub(super) fn hear_network<E: Environment>(
        &mut self,
        datagram: &Datagram<'_>,
        address: IpAddr,
        sealed: bool,
        environment: &mut E,
    ) {
        let Some((wire, iv)) = self.open(datagram, address, sealed) else { return };
        let Some(beat) = self.decode_network(&wire) else { return };
        if address.is_loopback() && self.find_pid(beat.pid).is_some() {
            self.counters.origin_conflicts += 1;
            return;
        }
        let key =
            AgentKey::Network { listener: datagram.listener, address, claimed_pid: beat.pid };
        let from = From { key, tag: self.tracker.tag(&key), address };
        match iv {
            None => self.hear_plain(&from, &beat, environment),
            Some(iv) => self.hear_sealed(&from, &beat, iv, environment),
        }
    }

    fn hear_plain<E: Environment>(&mut self, from: &From, beat: &Beat, environment: &mut E) {
        let known = self.tracker.find(&from.key, from.tag);
        if known.is_some_and(|slot| !self.tracker.moves_forward(slot, beat.nonce)) {
            self.counters.replays += 1;
            return;
        }
        let slot = match known {
            Some(slot) => slot,
            None if self.admits_new_agent() && self.make_room(None, environment) => {
                self.follow_network(from, Origin::Network)
            }
            None => return,
        };
        self.accept(slot, beat);
    }

    /// Processes a sealed frame. Its session determines which agent it belongs to, wherever
    /// the datagram came from, and its counter must increase. Only for a new session does the
    /// address determine the agent.
    fn hear_sealed<E: Environment>(
        &mut self,
        from: &From,
        beat: &Beat,
        iv: Iv,
        environment: &mut E,
    ) {
        let here = self.tracker.find(&from.key, from.tag);
        let place = self.sessions.find(beat.pid, iv.prefix);
        let session = place.and_then(|place| self.sessions.get(place));
        let (known, forward) = match session {
            Some(session) => {
                (self.tracker.find_agent(session.agent).or(here), iv.counter > session.counter)
            }
            None => {
                (here, here.is_none_or(|slot| self.tracker.moves_forward(slot, beat.nonce)))
            }
        };
        if !forward {
            self.counters.replays += 1;
            return;
        }
        if known.is_none() && !self.admits_new_agent() {
            return;
        }
        if place.is_none() && self.sessions.is_full() {
            self.counters.sender_memory_full += 1;
            return;
        }
        if known.is_none() && !self.make_room(None, environment) {
            return;
        }
        let Some(place) = self.remember(place, beat, iv, environment) else {
            self.counters.sender_memory_full += 1;
            return;
        };
        let slot = match known {
            Some(slot) => slot,
            None => self.follow_network(from, Origin::SecureNetwork),
        };
        if known != here {
            self.tracker.relocate(slot, &from.key, from.tag, from.address);
        }
        let agent = self.tracker.about(slot).agent;
        if let Some(session) = self.sessions.get_mut(place) {
            session.agent = agent;
            self.tracker.set_unconfirmed(slot, session.age != Age::Confirmed);
        }
        self.accept(slot, beat);
    }

    /// Remembers a frame that is about to be accepted. If the host records sessions, it
    /// records this one first. If that fails, a known session continues, but a new one is
    /// refused.
    fn remember<E: Environment>(
        &mut self,
        place: Option<usize>,
        beat: &Beat,
        iv: Iv,
        environment: &mut E,
    ) -> Option<usize> {
        let at = place.unwrap_or(self.sessions.next_place());
        let due = match self.sessions.get(at) {
            Some(session) => iv.counter > session.recorded,
            None => true,
        };
        let ahead = SealedSession::ahead_of(beat.pid, iv);
        let recorded = !self.records_sessions || !due || self.record(at, &ahead, environment);
        if place.is_none() {
            if !recorded {
                return None;
            }
            let age = match self.recalls_sessions {
                true => Age::Confirmed,
                false => Age::first(self.now, beat.timestamp),
            };
            self.sessions.add(beat.pid, iv, age)?.recorded = ahead.counter;
            return Some(at);
        }
        let session = self.sessions.get_mut(at)?;
        session.counter = iv.counter;
        session.age = session.age.next(self.now, beat.timestamp);
        if recorded && due {
            session.recorded = ahead.counter;
        }
        Some(at)
    }

    /// Asks the host to record a session. Only the first of several failures in a row is
    /// reported.
    fn record<E: Environment>(
        &mut self,
        place: usize,
        session: &SealedSession,
        environment: &mut E,
    ) -> bool {
        let recorded = environment.record(place, session);
        if let Err(errno) = recorded {
            if !self.recording_fails {
                self.io(self.now, errno);
            }
        }
        self.recording_fails = recorded.is_err();
        recorded.is_ok()
    }

    /// The frame and, if it was sealed, its place in the sender's session.
    fn open(
        &mut self,
        datagram: &Datagram<'_>,
        address: IpAddr,
        sealed: bool,
    ) -> Option<([u8; FRAME_BYTES], Option<Iv>)> {
        let opened = if datagram.truncated {
            Err(Unopened::WrongLength)
        } else if sealed {
            let tried = &mut self.counters.open_attempts;
            self.keyring.open(datagram.bytes, address, tried).map(|(wire, iv)| (wire, Some(iv)))
        } else {
            datagram
                .bytes
                .try_into()
                .map(|wire| (wire, None))
                .map_err(|_| Unopened::WrongLength)
        };
        match opened {
            Ok(opened) => return Some(opened),
            Err(Unopened::WrongLength) => self.counters.wrong_length += 1,
            Err(Unopened::NoKeyFits) => self.counters.decrypt_failures += 1,
        }
        None
    }

    /// Whether the global limit admits a new agent. Without this check, new agents of which
    /// nothing is known could force out others.
    fn admits_new_agent(&mut self) -> bool {
        let refused =
            self.global.is_some_and(|all| all.take(self.rate_state, self.now).is_none());
        self.counters.rate_limited_global += u64::from(refused);
        !refused
    }

    fn follow_network(&mut self, from: &From, origin: Origin) -> Slot {
        let cold = Cold::network(from.address);
        self.tracker.follow(&from.key, from.tag, Kind::Network(origin), cold)
    }
}
