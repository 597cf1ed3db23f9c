//! Beats over a Unix socket, where the kernel names the sender.

use varta::{DecodeError, FRAME_BYTES};

use super::{AgentKey, Datagram, Environment, Judge, Kind, Namespace, Slot};
use crate::event::What;
use crate::judge::tracker::{Beat, Cold, Flags};

/// The pid that the first process of a pid namespace has there. A frame of any other process
/// that names it is not valid.
const FIRST_PID: u32 = 1;

/// What the kernel reports about a sender.
#[derive(Debug, Clone, Copy)]
pub(in crate::judge) struct Process {
    pub(in crate::judge) pid: u32,
    pub(in crate::judge) uid: u32,
    pub(in crate::judge) process: Option<u64>,
}

impl Process {
    /// The key that identifies it; `None` if it cannot be told from other processes.
    #[inline]
    pub(super) fn key(&self) -> Option<AgentKey> {
        match self.pid {
            0 => self.process.map(AgentKey::Process),
            pid => Some(AgentKey::Pid(pid)),
        }
    }
}

impl Judge {
    #[inline]
    pub(super) fn hear_local<E: Environment>(
        &mut self,
        datagram: &Datagram<'_>,
        sender: Process,
        environment: &mut E,
    ) {
        if !self.admits(sender.uid) {
            self.counters.uid_refused += 1;
            return;
        }
        let wire = match <&[u8; FRAME_BYTES]>::try_from(datagram.bytes) {
            Ok(wire) if !datagram.truncated => wire,
            _ => {
                self.counters.wrong_length += 1;
                return;
            }
        };
        let Some(beat) = self.decode_local(wire) else { return };
        let Some(key) = sender.key() else {
            self.counters.namespace_refused += 1;
            return;
        };
        let tag = self.tracker.tag(&key);
        let known = self
            .tracker
            .find(&key, tag)
            .filter(|slot| self.is_same_process(*slot, sender, beat.nonce, environment));
        if !self.claims_its_own_pid(known, &beat, sender, environment) {
            return;
        }
        let slot = match known {
            Some(slot) => {
                self.identify(slot, sender.process, environment);
                if self.services.is_some() {
                    self.frames_begin(slot);
                }
                slot
            }
            None => match self.admit_local(&key, tag, beat.pid, sender, environment) {
                Some(slot) => slot,
                None => return self.count_without_room(Some(sender.uid)),
            },
        };
        self.accept(slot, &beat);
        if self.causes.is_some() {
            self.learn(slot, self.fresh, environment);
        }
    }

    /// Whether the sender is still the process that is tracked under its pid. If another
    /// process has the pid now, the tracked agent has exited.
    #[inline]
    pub(super) fn is_same_process<E: Environment>(
        &mut self,
        slot: Slot,
        sender: Process,
        nonce: u64,
        environment: &mut E,
    ) -> bool {
        let same = match (self.tracker.process(slot), sender.process) {
            (Some(known), Some(process)) => known == process,
            _ if self.tracker.has(slot, Flags::EXITING) => false,
            (_, process) => {
                // A process counts from 1, so most processes that inherit a pid can be
                // recognized by their first beat.
                let restarted = !self.tracker.continues(slot, nonce);
                let in_doubt =
                    restarted || process.is_some() || self.tracker.has(slot, Flags::LOOKED_UP);
                !(in_doubt && environment.replaced(slot, sender.pid, restarted))
            }
        };
        if !same {
            let cause = environment.cause(slot);
            self.exited(self.now, slot, cause, environment);
        }
        same
    }

    /// Whether the frame names the process that sent it: by the pid that it has in the
    /// observer's namespace or, if that is allowed, by the one that it has in its own
    /// namespace.
    #[inline]
    fn claims_its_own_pid<E: Environment>(
        &mut self,
        known: Option<Slot>,
        beat: &Beat,
        sender: Process,
        environment: &mut E,
    ) -> bool {
        let expected = match known {
            Some(slot) => self.tracker.about(slot).claimed_pid,
            None => sender.pid,
        };
        if beat.pid == expected {
            return true;
        }
        // The namespace of a tracked process is known by the pid that it claimed first.
        let in_other_namespace = known.is_none()
            && (sender.pid == 0
                || environment.namespace(sender.pid, beat.pid) == Namespace::Other);
        if in_other_namespace && self.policy.namespaces {
            return true;
        }
        if in_other_namespace {
            self.counters.namespace_refused += 1;
        } else if beat.pid == FIRST_PID {
            self.refuse_frame(DecodeError::BadPid(beat.pid));
        } else {
            self.counters.auth_failures += 1;
            self.emit(What::AuthFailure { claimed_pid: beat.pid, true_pid: sender.pid });
        }
        false
    }

    #[inline]
    pub(super) fn identify<E: Environment>(
        &mut self,
        slot: Slot,
        process: Option<u64>,
        environment: &mut E,
    ) {
        let Some(process) = process else { return };
        if self.tracker.process(slot).is_none() {
            self.tracker.set_process(slot, process, true);
            let exits = environment.identified(slot, process);
            self.tracker.set_exits(slot, exits);
        } else if self.tracker.has(slot, Flags::UNCONFIRMED) {
            self.tracker.set_process(slot, process, true);
        }
    }

    /// Tracks a process from now on, if there is room.
    pub(super) fn admit_local<E: Environment>(
        &mut self,
        key: &AgentKey,
        tag: u32,
        claimed_pid: u32,
        sender: Process,
        environment: &mut E,
    ) -> Option<Slot> {
        if !self.find_room(Some(sender.uid), environment) {
            return None;
        }
        let kind = if sender.pid == 0 { Kind::Process } else { Kind::Pid };
        let cold = Cold::local(sender.process.unwrap_or(0), sender.uid, claimed_pid);
        let slot = self.tracker.follow(key, tag, kind, cold);
        if let (Kind::Pid, Some(process)) = (kind, sender.process) {
            self.tracker.set_process(slot, process, true);
        }
        let agent = self.tracker.about(slot).agent;
        let exits = environment.admitted(slot, agent, sender.pid, sender.process);
        self.tracker.set_exits(slot, exits);
        Some(slot)
    }
}
