//! Changing an observer while it runs.

use std::io;
use std::time::Duration;

use varta::Endpoint;
use varta::secure::Key;

use super::Observer;
use crate::io::bind::{ListenAt, NamedKey, invalid, second_master_key};
use crate::policy::Rate;
use crate::slack::Slack;
use crate::time::nanoseconds;

impl Observer {
    /// Adds an endpoint to listen at, with the same settings as if it had been passed to the
    /// builder. The key of a `udp+secure` endpoint is added to the keys in use.
    ///
    /// ```
    /// let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// observer.listen(varta::Endpoint::Udp(([127, 0, 0, 1], 0).into()))?;
    /// assert_eq!(observer.udp_addresses().count(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Builder::bind`](crate::Builder::bind); and if this is a forked child (ECHILD).
    /// After an error nothing has changed.
    pub fn listen(&mut self, endpoint: Endpoint) -> io::Result<()> {
        self.owner.check()?;
        let place = ListenAt::Endpoint(endpoint);
        let (sealed, key) = (place.is_sealed(), place.key()?);
        if matches!(key, Some(NamedKey::Master(_))) && self.judge.has_master_key() {
            return Err(second_master_key());
        }
        let opened = self.socket_options.open(place)?;
        opened.add_to(&mut self.sockets, sealed, &mut self.processes)?;
        self.sockets.pass_pidfds(self.passing_pidfds);
        match key {
            None => {}
            Some(NamedKey::Shared(key)) => self.judge.add_shared_key(&key),
            Some(NamedKey::Master(key)) => self.judge.set_master_key(key),
        }
        Ok(())
    }

    /// Replaces all keys for sealed beats, including those of the endpoints' files. No agent
    /// is lost, and what was accepted once is still a replay.
    ///
    /// ```
    /// use varta::secure::Key;
    ///
    /// let mut observer = varta_observer::Builder::new()
    ///     .secure_udp(([127, 0, 0, 1], 0).into())
    ///     .shared_key(Key::from_bytes([7; 32]))
    ///     .bind()?;
    /// // While agents move to a new key, both are accepted.
    /// observer.set_keys(vec![Key::from_bytes([8; 32]), Key::from_bytes([7; 32])], None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn set_keys(&mut self, shared: Vec<Key>, master: Option<Key>) -> io::Result<()> {
        self.owner.check()?;
        self.judge.set_keys(&shared, master);
        Ok(())
    }

    /// Sets the threshold of one agent; its silence so far counts. Returns false if there is
    /// no such agent.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn set_threshold(&mut self, agent: u64, threshold: Duration) -> io::Result<bool> {
        self.owner.check()?;
        let known = self.judge.set_threshold(agent, nanoseconds(threshold));
        self.thresholds_changed()?;
        Ok(known)
    }

    /// Lets a [service](Self::service) be judged by its own time again, or by that of its
    /// launcher, after [`set_threshold`](Self::set_threshold). Other agents keep their threshold.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn reset_service_threshold(&mut self, agent: u64) -> io::Result<()> {
        self.owner.check()?;
        self.judge.reset_service_threshold(agent);
        self.thresholds_changed()
    }

    /// Changes the threshold of all agents that have none of their own; their silence so far
    /// counts. Unless the builder set `pause_after`, that changes too.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// observer.set_default_threshold(Duration::from_secs(5))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the threshold is 0, or if this is a forked child (ECHILD).
    pub fn set_default_threshold(&mut self, threshold: Duration) -> io::Result<()> {
        self.owner.check()?;
        if threshold.is_zero() {
            return Err(invalid("cannot set the default threshold: it is 0"));
        }
        self.judge.set_default_threshold(nanoseconds(threshold));
        self.thresholds_changed()
    }

    /// Changes how many beats of one agent, and of all agents together, become events; `None`
    /// means no limit. What was used of the former rates is forgotten.
    ///
    /// ```
    /// use varta_observer::Rate;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// observer.set_rates(Some(Rate { per_second: 100, burst: 20 }), None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn set_rates(&mut self, per_agent: Option<Rate>, all: Option<Rate>) -> io::Result<()> {
        self.owner.check()?;
        self.judge.set_rates(per_agent, all);
        Ok(())
    }

    /// Replaces what [`Builder::slack`](crate::Builder::slack) has set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta_observer::Slack;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// observer.set_slack(&Slack::new().task("batch", Duration::from_secs(10)))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn set_slack(&mut self, slack: &Slack) -> io::Result<()> {
        self.owner.check()?;
        self.judge.set_slack(slack, &self.processes);
        Ok(())
    }

    /// Sets how late the tasks of one agent may be, instead of what [`Slack::program`] says for
    /// its program. What [`Slack::task`] says for a task counts more, unless this is
    /// [`Duration::MAX`], with which no task of the agent is ever late. `None` takes it back.
    /// Returns false if there is no such agent.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn set_agent_slack(&mut self, agent: u64, slack: Option<Duration>) -> io::Result<bool> {
        self.owner.check()?;
        Ok(self.judge.set_agent_slack(agent, slack.map(nanoseconds)))
    }

    fn thresholds_changed(&mut self) -> io::Result<()> {
        self.pause_detector.set_shortest_threshold(self.judge.shortest_threshold());
        // A host that waits for the descriptor does not ask for it again.
        if self.embedded.get() {
            self.arm()?;
            self.pause_detector.expect(self.timer_at.get());
        }
        Ok(())
    }
}
