//! The programs that speak the protocol of sd_notify.

use std::io;

use super::Observer;
use crate::judge::{NotifyCounters, ServiceInfo, ServiceNote};

impl Observer {
    /// The programs that speak the protocol of sd_notify, in no particular order.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn services(&self) -> io::Result<Vec<ServiceInfo>> {
        self.owner.check()?;
        Ok(self.judge.services().collect())
    }

    /// The service of an agent, if it is one.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn service(&self, agent: u64) -> io::Result<Option<ServiceInfo>> {
        self.owner.check()?;
        Ok(self.judge.service(agent))
    }

    /// Lets a poll end, without an event, as soon as there is something for
    /// [`next_note`](Self::next_note). A host that asks for this must fetch all notes after each
    /// poll: until then polls do not wait.
    pub fn end_polls_for_notes(&mut self) {
        self.ends_for_notes = true;
    }

    /// The next note about what a service has reported, for a log. There is room for a thousand
    /// that have not been fetched.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn next_note(&mut self) -> io::Result<Option<ServiceNote>> {
        self.owner.check()?;
        Ok(self.judge.next_note())
    }

    /// Whether the exit of this agent, which was one of the last thousand, was announced by
    /// STOPPING=1.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn exit_was_expected(&self, agent: u64) -> io::Result<bool> {
        self.owner.check()?;
        Ok(self.judge.exit_was_expected(agent))
    }

    /// The counters of notifications.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn notify_stats(&self) -> io::Result<NotifyCounters> {
        self.owner.check()?;
        Ok(self.judge.notify_counters())
    }
}
