//! What is done when a signal came or somebody rang: answers, reloads, a dump.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{error, info, warn};

use super::{EventLoop, nanoseconds};
use crate::config;
use crate::daemon;
use crate::recovery::Plan;
use crate::state::{Agent, FRESH, Snapshot, Turns};

impl EventLoop {
    pub(super) fn keep_house(&mut self) -> io::Result<()> {
        self.with.signals.still();
        self.with.questions.still();
        if self.with.signals.dump() {
            self.dump()?;
        }
        if self.with.signals.reload() {
            self.reload();
        }
        self.with.recovery.look_again(&self.stats, &self.with.observer);
        while let Some(answer) = self.with.questions.next() {
            let snapshot = self.snapshot()?;
            // Whoever asked may have gone.
            let _ = answer.send(snapshot);
        }
        Ok(())
    }

    /// The latest snapshot, if it is fresh, else a new one.
    fn snapshot(&mut self) -> io::Result<Arc<Snapshot>> {
        if let Some((taken, snapshot)) = &self.latest
            && taken.elapsed() < FRESH
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(self.take_snapshot()?);
        self.latest = Some((Instant::now(), Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    fn take_snapshot(&mut self) -> io::Result<Snapshot> {
        let infos = self.with.observer.snapshot()?;
        self.forget_all_evicted()?;
        let now_ns = self.with.observer.now_ns();
        self.stats.close_old(now_ns);
        let at = SystemTime::now();
        let since = Duration::from_nanos(now_ns.saturating_sub(self.last_turn_ns));
        let last = at.checked_sub(since).unwrap_or(at);
        Ok(Snapshot {
            now_ns,
            at,
            infos,
            stats: self.stats.of_agents(),
            departed: self.stats.departed.iter().copied().collect(),
            gone: self.stats.gone,
            endings: self.stats.endings.clone(),
            detection: self.stats.detection,
            io_errors: self.stats.io_errors,
            counters: self.with.observer.stats()?,
            turns: Turns { last, ..self.turns },
            threshold: self.with.settings.threshold,
            capacity: self.with.settings.flags.admission.tracker_capacity,
        })
    }

    /// Writes the state to the log.
    fn dump(&mut self) -> io::Result<()> {
        let snapshot = self.snapshot()?;
        let counters = &snapshot.counters;
        info!(
            agents = snapshot.infos.len(),
            beats = counters.beats,
            stalls = counters.stalls,
            exits = counters.exits,
            received = counters.received,
            turns = snapshot.turns.count,
            "state: {counters:?}"
        );
        for Agent { info, .. } in snapshot.agents() {
            info!(
                agent = info.agent,
                pid = info.pid,
                program = %info.name,
                status = info.status.name(),
                age_ms = info.age_ns / 1_000_000,
                beats = info.beats,
                stalled = info.stalled,
                "state: agent"
            );
        }
        Ok(())
    }

    /// Reads file, keys, token and command again. What is broken leaves the old in force.
    fn reload(&mut self) {
        self.with.notifier.reloading();
        match config::load(&self.with.arguments) {
            Ok(settings) => {
                for flag in settings.needs_restart(&self.with.settings) {
                    warn!(flag, "changed, which takes effect when the daemon is started again");
                }
                self.apply(settings);
            }
            Err(why) => error!("not reloaded, the settings in force stay: {why}"),
        }
        self.with.notifier.ready("watching");
    }

    fn apply(&mut self, mut settings: config::Settings) {
        let config::Keys { shared, master } = std::mem::take(&mut settings.keys);
        let (per_agent, all) = daemon::rates(&settings.flags.admission);
        let observer = &mut self.with.observer;
        let changed = observer
            .set_default_threshold(settings.threshold)
            .and_then(|()| observer.set_keys(shared, master))
            .and_then(|()| observer.set_rates(per_agent, all));
        if let Err(error) = changed {
            error!(%error, "not all of the new settings could be taken");
        }
        self.with.showing.reload(&settings);
        self.with.recovery.plan(Plan::new(&settings));
        self.stats.set_threshold(nanoseconds(settings.threshold));
        info!("reloaded");
        self.with.settings = settings;
    }
}
