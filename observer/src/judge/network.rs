//! Beats over a network, where only moving forward tells a sender from an echo.

use std::net::IpAddr;

use varta::FRAME_BYTES;
use varta::secure::Iv;

use super::keyring::Unopened;
use super::{AgentKey, Datagram, Host, Judge, Kind, Room, Slot};
use crate::event::Origin;
use crate::replay::Session;
use crate::tracker::{Beat, Cold};

impl Judge {
    pub(super) fn hear_network<H: Host>(
        &mut self,
        datagram: &Datagram<'_>,
        address: IpAddr,
        sealed: bool,
        host: &mut H,
    ) {
        let Some((wire, iv)) = self.open(datagram, address, sealed) else { return };
        let Some(beat) = self.decode(&wire) else { return };
        if address.is_loopback() && self.find_pid(beat.pid).is_some() {
            self.counters.origin_conflicts += 1;
            return;
        }
        let key =
            AgentKey::Network { listener: datagram.listener, address, claimed_pid: beat.pid };
        let tag = self.tracker.tag(&key);
        let known = self.tracker.find(&key, tag);
        if !self.moves_forward(&key, tag, known, &beat, iv) {
            self.counters.replays += 1;
            return;
        }
        let slot = match known {
            Some(slot) => slot,
            None => match self.admit_network(&key, tag, iv, host) {
                Some(slot) => slot,
                None => return,
            },
        };
        if let Some(iv) = iv {
            self.senders.remember(&key, tag, iv);
        }
        self.accept(slot, &beat);
    }

    /// The frame, and of a sealed one its place in the sender's sessions.
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

    fn moves_forward(
        &self,
        key: &AgentKey,
        tag: u32,
        known: Option<Slot>,
        beat: &Beat,
        iv: Option<Iv>,
    ) -> bool {
        let by_nonce = || known.is_none_or(|slot| self.tracker.moves_forward(slot, beat.nonce));
        match iv.map(|iv| self.senders.session(key, tag, iv)) {
            Some(Session::Later) => true,
            Some(Session::Replayed) => false,
            Some(Session::New) | None => by_nonce(),
        }
    }

    fn admit_network<H: Host>(
        &mut self,
        key: &AgentKey,
        tag: u32,
        iv: Option<Iv>,
        host: &mut H,
    ) -> Option<Slot> {
        // Nobody may be forced out by newcomers of whom nothing is known yet.
        if let Some(global) = self.global {
            if global.take(self.paced, self.now).is_none() {
                self.counters.rate_limited_global += 1;
                return None;
            }
        }
        if iv.is_some() && !self.can_remember(key, tag) {
            self.counters.sender_memory_full += 1;
            return None;
        }
        if !self.make_room(true, host) {
            return None;
        }
        let origin = if iv.is_some() { Origin::SecureNetwork } else { Origin::Network };
        let AgentKey::Network { address, .. } = *key else { return None };
        Some(self.tracker.follow(key, tag, Kind::Network(origin), Cold::network(address)))
    }

    /// Whether a sender can be remembered, perhaps in the place of one that makes room.
    fn can_remember(&self, key: &AgentKey, tag: u32) -> bool {
        self.senders.has_room(key, tag)
            || match self.tracker.room(true) {
                Room::Instead(gone) => {
                    self.tracker.kind(gone) == Kind::Network(Origin::SecureNetwork)
                }
                Room::Free | Room::None => false,
            }
    }
}
