//! MAINPID: another process is the main process of a service.

use super::{ServiceChange, State};
use crate::judge::{AgentKey, Environment, Judge, Slot};

impl Judge {
    /// Follows another process from now on, if the sender may say so. The agent keeps its
    /// number, its state and its deadline, and the exit of the former process is no event.
    pub(super) fn change_main<E: Environment>(
        &mut self,
        slot: Slot,
        state: &State<'_>,
        sender_uid: u32,
        environment: &mut E,
    ) {
        let attached = state.main_attached.then(|| environment.attached_pid()).flatten();
        let Some(pid) = attached.or(state.main_pid) else { return };
        let before = self.tracker.about(slot).pid;
        if pid == before {
            return;
        }
        let key = AgentKey::Pid(pid);
        let is_agent = self.tracker.find(&key, self.tracker.tag(&key)).is_some();
        // The pages and the nonces of a process are its own.
        let stays = pid <= 1 || is_agent || self.tracker.sends_frames(slot);
        let adopted = match stays {
            true => None,
            false => environment.adopt(slot, pid, state.main_number, sender_uid),
        };
        let Some((process, exits)) = adopted else {
            return self.count(|counters| &mut counters.main_refused, 1);
        };
        self.unlearn(slot);
        self.forget_silence(slot);
        self.tracker.change_pid(slot, pid, process, exits);
        self.count(|counters| &mut counters.main_changed, 1);
        self.renew_program(slot, environment);
        self.note(slot, ServiceChange::MainProcess { before });
    }
}
