//! What can be changed of an observer while it runs.

use std::io;
use std::time::Duration;

use varta::Endpoint;
use varta::secure::Key;

use super::{Observer, nanoseconds};
use crate::io::bind::{ListenAt, NamedKey, invalid, second_master_key};
use crate::policy::Rate;

impl Observer {
    /// Listens at an endpoint too, as if it had been among the builder's: with the same
    /// mode and buffer, and for `udp+secure` with its key beside those that are held.
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
    /// As [`Builder::bind`](crate::Builder::bind), and that this is a forked child
    /// (ECHILD). Nothing has changed then.
    pub fn listen(&mut self, endpoint: Endpoint) -> io::Result<()> {
        self.owner.check()?;
        let place = ListenAt::Endpoint(endpoint);
        let (sealed, key) = (place.is_sealed(), place.key()?);
        if matches!(key, Some(NamedKey::Master(_))) && self.judge.has_master_key() {
            return Err(second_master_key());
        }
        self.sockets.add(self.socket_options.open(place)?, sealed, self.processes.epoll())?;
        self.sockets.pass_pidfds(self.passing_pidfds);
        match key {
            None => {}
            Some(NamedKey::Shared(key)) => self.judge.add_shared_key(&key),
            Some(NamedKey::Master(key)) => self.judge.set_master_key(key),
        }
        Ok(())
    }

    /// Holds these keys for sealed beats from now on, and no others: not those of the
    /// endpoints' files either. No agent is lost, and what was heard once stays a replay.
    ///
    /// ```
    /// use varta::secure::Key;
    ///
    /// let mut observer = varta_observer::Builder::new()
    ///     .secure_udp(([127, 0, 0, 1], 0).into())
    ///     .shared_key(Key::from_bytes([7; 32]))
    ///     .bind()?;
    /// // While agents go over to a new key, both are held.
    /// observer.set_keys(vec![Key::from_bytes([8; 32]), Key::from_bytes([7; 32])], None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn set_keys(&mut self, shared: Vec<Key>, master: Option<Key>) -> io::Result<()> {
        self.owner.check()?;
        self.judge.set_keys(&shared, master);
        Ok(())
    }

    /// Gives an agent a threshold of its own; its silence so far counts. False if there is
    /// no such agent.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert!(!observer.set_threshold(1, Duration::from_secs(30))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// That this is a forked child (ECHILD).
    pub fn set_threshold(&mut self, agent: u64, threshold: Duration) -> io::Result<bool> {
        self.owner.check()?;
        let known = self.judge.set_threshold(agent, nanoseconds(threshold));
        self.thresholds_changed()?;
        Ok(known)
    }

    /// Changes how long an agent may be silent that has no threshold of its own; its
    /// silence so far counts. What counts as a pause follows, unless the builder was told.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let mut observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// observer.set_default_threshold(Duration::from_secs(5))?;
    /// assert!(observer.set_default_threshold(Duration::ZERO).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A threshold of 0, and that this is a forked child (ECHILD).
    pub fn set_default_threshold(&mut self, threshold: Duration) -> io::Result<()> {
        self.owner.check()?;
        if threshold.is_zero() {
            return Err(invalid("cannot set the default threshold: it is 0"));
        }
        self.judge.set_default_threshold(nanoseconds(threshold));
        self.thresholds_changed()
    }

    /// Changes how many beats of one agent, and of all together, become events; `None` is
    /// all of them. What was used up of the rates before is forgotten.
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
    /// That this is a forked child (ECHILD).
    pub fn set_rates(&mut self, per_agent: Option<Rate>, all: Option<Rate>) -> io::Result<()> {
        self.owner.check()?;
        self.judge.set_rates(per_agent, all);
        Ok(())
    }

    fn thresholds_changed(&mut self) -> io::Result<()> {
        self.pause_detector.set_shortest_threshold(self.judge.shortest_threshold());
        // Whoever waits for the descriptor does not ask for it again.
        if self.embedded.get() {
            self.arm()?;
            self.pause_detector.expect(self.armed.get());
        }
        Ok(())
    }
}
