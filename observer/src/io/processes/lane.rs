//! The processes of agents that have a connection.

use std::io;

use super::{ENDING, Processes, Stage, number};
use crate::io::identity::{Descriptors, ProcessHandle};
use crate::io::lane::{Lanes, Peer, Place, Step};
use crate::io::listener::LaneListener;
use crate::judge::{PageIndex, Slot};
use crate::sys;

impl Processes {
    pub(crate) fn add_lanes(&mut self, lanes: Lanes) {
        self.lanes = Some(Box::new(lanes));
    }

    pub(crate) fn add_lane_listener(&mut self, listener: LaneListener) -> io::Result<()> {
        match &mut self.lanes {
            Some(lanes) => lanes.add(listener, &self.epoll),
            None => Ok(()),
        }
    }

    pub(crate) fn lanes(&self) -> Option<&Lanes> {
        self.lanes.as_deref()
    }

    pub(crate) fn lanes_mut(&mut self) -> Option<&mut Lanes> {
        self.lanes.as_deref_mut()
    }

    /// The next thing to do for the lane, if there is something.
    pub(in crate::io) fn next_lane_step(&mut self, now: u64) -> Option<Step> {
        let lanes = self.lanes.as_mut()?;
        lanes.next_step(now, self.features.descriptors, &self.epoll)
    }

    /// Records the process of a connection as the one that is being decided about. Returns the
    /// number that distinguishes it, as [`sent_by`](Self::sent_by) does.
    pub(crate) fn connected_by(&mut self, now: u64, place: Place) -> Option<u64> {
        self.now = now;
        let attested = self.features.descriptors == Descriptors::WithDatagram;
        self.sender = self.process_of(place);
        // A pidfd that was opened by pid may refer to another process.
        self.sender.as_ref().filter(|_| attested).and_then(|handle| number(handle.identity()))
    }

    /// The next look is at this page.
    pub(crate) fn look_for(&mut self, page: PageIndex) {
        self.looked_for = self.lanes.as_ref().and_then(|lanes| lanes.of_page(page));
    }

    /// The process of the page that is being looked at.
    pub(super) fn looked_for(&mut self) -> Option<ProcessHandle> {
        self.looked_for.and_then(|place| self.process_of(place))
    }

    /// The process of an agent that has a connection, even if it has been reaped.
    pub(super) fn connected(&self, slot: Slot) -> Option<ProcessHandle> {
        let place = self.followed.get(slot.index())?.connection?;
        let lanes = self.lanes.as_ref()?;
        if self.features.descriptors != Descriptors::WithDatagram
            || lanes.slot_of(place) != Some(slot)
        {
            return None;
        }
        let pidfd = sys::peer_pidfd(lanes.socket(place)?).ok()?;
        Some(ProcessHandle::received(self.features, pidfd, lanes.peer(place)?.pid()))
    }

    /// A process has exited: its pages are to be looked at once more.
    pub(super) fn look_at_pages_of(&mut self, slot: Slot) {
        let Some(lanes) = &mut self.lanes else { return };
        let handle = self.followed.get(slot.index()).and_then(|found| found.handle.as_ref());
        let Some(handle) = handle else { return };
        match (handle.pid(), number(handle.identity())) {
            (0, number) => lanes.look_at_all(Peer::Number(number.unwrap_or(0))),
            (pid, _) => lanes.look_at_all(Peer::Pid(pid)),
        }
    }

    fn process_of(&mut self, place: Place) -> Option<ProcessHandle> {
        let lanes = self.lanes.as_mut()?;
        let pid = lanes.peer(place)?.pid();
        let pidfd = match self.features.descriptors {
            Descriptors::WithDatagram => sys::peer_pidfd(lanes.socket(place)?).ok(),
            Descriptors::Opened => lanes.take_pidfd(place),
            Descriptors::None => None,
        };
        pidfd.map(|pidfd| ProcessHandle::received(self.features, pidfd, pid))
    }

    /// Reads no more from a connection in this turn.
    pub(crate) fn mute(&mut self, place: Place) {
        if let Some(lanes) = &mut self.lanes {
            lanes.mute(place, &self.epoll);
        }
    }

    /// Closes a connection, whose page the judge has forgotten.
    pub(crate) fn close_connection(&mut self, place: Place) {
        if let Some(lanes) = &mut self.lanes {
            lanes.close(place, &self.epoll);
        }
    }

    /// Reads no more from a connection, and keeps its page until a time.
    pub(crate) fn end_connection(&mut self, place: Place, until: u64) {
        if let Some(lanes) = &mut self.lanes {
            lanes.end(place, until, &self.epoll);
        }
    }

    /// The process of this connection seems to exit: follows it by a pidfd, if none is held.
    pub(crate) fn await_exit(&mut self, place: Place) {
        let Some(slot) = self.lanes.as_ref().and_then(|lanes| lanes.slot_of(place)) else {
            return;
        };
        let Some(followed) = self.followed.get(slot.index()) else { return };
        let (agent, is_held) = (followed.agent, followed.handle.is_some());
        if let Some(handle) = self.connected(slot).filter(|_| !is_held) {
            self.keep_pidfd(slot, agent, Some(handle), self.bound + ENDING);
        }
    }

    /// Whether the process of a connection was seen to have exited.
    pub(crate) fn is_exiting(&self, place: Place) -> bool {
        let slot = self.lanes.as_ref().and_then(|lanes| lanes.slot_of(place));
        slot.and_then(|slot| self.followed.get(slot.index()))
            .is_some_and(|followed| followed.handle.is_some() && followed.stage != Stage::Alive)
    }
}
