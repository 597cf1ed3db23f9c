//! The services of a judge.

use std::collections::VecDeque;
use std::fmt;

use super::service::Service;
use super::{Access, NotifyCounters, ServiceNote};
use crate::judge::Slot;
use crate::judge::deadline::Wheel;
use crate::memory::{self, OutOfMemory};

/// Notes that the host has not fetched yet; further ones are dropped and counted.
const MOST_NOTES: usize = 1_024;

/// The last expected exits that are remembered, more than one poll of a host reports.
const MOST_EXPECTED: usize = 1_024;

pub(in crate::judge) struct Services {
    pub(super) access: Access,
    /// By slot.
    services: Vec<Service>,
    pub(super) count: usize,
    wheel: Wheel,
    notes: VecDeque<ServiceNote>,
    expected: VecDeque<u64>,
    pub(super) counters: NotifyCounters,
}

impl Services {
    /// For this many agents.
    pub(in crate::judge) fn new(slots: usize, access: Access) -> Result<Self, OutOfMemory> {
        Ok(Self {
            access,
            services: memory::vector(slots)?,
            count: 0,
            wheel: Wheel::new(slots)?,
            notes: memory::queue(MOST_NOTES)?,
            expected: memory::queue(MOST_EXPECTED)?,
            counters: NotifyCounters::default(),
        })
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Service> {
        self.services.get(slot.index()).filter(|service| service.agent != 0)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Service> {
        self.services.get_mut(slot.index()).filter(|service| service.agent != 0)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.agent != 0)
    }

    /// Begins a service, instead of the one that may be there.
    pub(super) fn begin(&mut self, slot: Slot, service: Service) {
        self.forget(slot);
        while self.services.len() <= slot.index() {
            // It stays within the allocated capacity.
            self.services.push(Service::NONE);
        }
        if let Some(place) = self.services.get_mut(slot.index()) {
            *place = service;
            self.count += 1;
        }
    }

    /// Forgets a service, if there is one.
    pub(in crate::judge) fn forget(&mut self, slot: Slot) {
        if self.get(slot).is_some() {
            self.wheel.clear(&mut self.services, slot.0);
            self.count -= 1;
            if let Some(place) = self.services.get_mut(slot.index()) {
                *place = Service::NONE;
            }
        }
    }

    pub(super) fn set_timer(&mut self, slot: Slot, deadline: u64) {
        self.wheel.set(&mut self.services, slot.0, deadline);
    }

    pub(super) fn clear_timer(&mut self, slot: Slot) {
        self.wheel.clear(&mut self.services, slot.0);
    }

    /// The next service whose deadline is `horizon` or earlier. Each one is passed to `extend`
    /// first, which may return a later deadline.
    pub(super) fn next_due(
        &mut self,
        horizon: u64,
        extend: impl FnMut(&mut Service) -> Option<u64>,
    ) -> Option<Slot> {
        self.wheel.next_due(&mut self.services, horizon, extend).map(Slot)
    }

    pub(in crate::judge) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline(&self.services)
    }

    pub(super) fn note(&mut self, note: ServiceNote) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push_back(note);
        } else {
            self.counters.notes_lost += 1;
        }
    }

    pub(super) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    pub(super) fn next_note(&mut self) -> Option<ServiceNote> {
        self.notes.pop_front()
    }

    pub(super) fn expect_exit(&mut self, agent: u64) {
        if self.expected.len() == MOST_EXPECTED {
            self.expected.pop_front();
        }
        self.expected.push_back(agent);
    }

    pub(super) fn expected_exit(&self, agent: u64) -> bool {
        self.expected.contains(&agent)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("count", &self.count).finish_non_exhaustive()
    }
}
