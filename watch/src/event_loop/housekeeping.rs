//! Work that a signal or a request wakes the loop for: snapshots, reloads, dumps.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{error, info, warn};
use varta_observer::{AgentInfo, Observer};

use super::{EventLoop, nanoseconds};
use crate::config;
use crate::output::cause::CauseFields;
use crate::recovery::Plan;
use crate::state::{Agent, FRESH, Notification, Snapshot, Subject, Turns};

impl EventLoop {
    pub(super) fn run_housekeeping(&mut self) -> io::Result<()> {
        self.context.signals.clear();
        self.context.requests.clear();
        if self.context.signals.dump() {
            self.dump()?;
        }
        if self.context.signals.reload() {
            self.reload();
        }
        self.take_answers()?;
        self.take_decisions();
        self.context.recovery.recheck(&self.stats, &self.context.observer);
        while let Some(reply) = self.context.requests.next() {
            let snapshot = self.snapshot()?;
            // The reader may be gone.
            let _ = reply.send(snapshot);
        }
        Ok(())
    }

    /// Takes over what recovery has decided.
    fn take_decisions(&mut self) {
        let mut batch = Vec::new();
        for decision in self.context.recovery.decisions() {
            let seq = self.recorder.decision(&decision);
            let threshold_ns = match &decision.task {
                Some(late) => {
                    let task = self.context.observer.task(decision.agent, late.task.number);
                    task.ok().flatten().map(|task| task.threshold_ns)
                }
                None => self.stats.get(decision.agent).map(|stats| stats.threshold_ns),
            };
            let stamp = self.recorder.stamp(decision.at_ns, seq, threshold_ns);
            batch.push(Notification { about: Subject::Recovery(decision), stamp });
        }
        if !batch.is_empty() && self.context.shared.has_subscribers() {
            self.context.shared.publish(batch.into());
        }
    }

    /// Returns the latest snapshot if it is fresh, else a new one.
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
        let infos = self.context.observer.snapshot()?;
        let mut causes = BTreeMap::new();
        let mut add_cause = |agent, task, observer: &Observer| {
            let cause = observer.cause(agent, task)?;
            causes.extend(cause.map(|cause| ((agent, task), cause)));
            io::Result::Ok(())
        };
        // One that is silent for longer than it may be, but not stalled, may have executed another
        // program.
        let may_have_cause =
            |info: &&AgentInfo| info.stalled || info.age_ns >= info.threshold_ns;
        for info in infos.iter().filter(may_have_cause) {
            add_cause(info.agent, 0, &self.context.observer)?;
        }
        let mut tasks = BTreeMap::new();
        for info in infos.iter().filter(|info| info.tasks > 0) {
            let list = self.context.observer.tasks(info.agent)?;
            for task in list.iter().filter(|task| task.is_late()) {
                add_cause(info.agent, task.number, &self.context.observer)?;
            }
            tasks.insert(info.agent, list);
        }
        let services = self.context.observer.services()?;
        self.remove_all_evicted()?;
        let now_ns = self.context.observer.now_ns();
        self.stats.expire_departed(now_ns);
        let at = SystemTime::now();
        let since = Duration::from_nanos(now_ns.saturating_sub(self.last_turn_ns));
        let last = at.checked_sub(since).unwrap_or(at);
        Ok(Snapshot {
            now_ns,
            at,
            infos,
            stats: self.stats.all(),
            tasks,
            owners: self.owners.current(&self.context.observer),
            services: services.into_iter().map(|service| (service.agent, service)).collect(),
            notify: match self.context.notifies {
                true => Some(self.context.observer.notify_stats()?),
                false => None,
            },
            task_counts: self.stats.tasks.by_name(),
            causes,
            stall_causes: self.stats.causes,
            departed: self.stats.departed.iter().copied().collect(),
            gone: self.stats.gone,
            exits: self.stats.exits.clone(),
            programs: self.stats.programs.clone(),
            detection: self.stats.detection,
            io_errors: self.stats.io_errors,
            counters: self.context.observer.stats()?,
            turns: Turns { last, ..self.turns },
            threshold: self.context.settings.threshold,
            capacity: self.context.settings.flags.admission.tracker_capacity,
            expected: self.expectations.all().to_vec(),
            rules: Arc::clone(&self.context.settings.rules),
            agents_by_rule: self.agents_by_rule(),
        })
    }

    /// Writes the state to the log.
    fn dump(&mut self) -> io::Result<()> {
        let snapshot = self.snapshot()?;
        let counters = &snapshot.counters;
        info!(
            agents = snapshot.infos.len(),
            beats = counters.beats + counters.lane_beats,
            stalls = counters.stalls,
            exits = counters.exits,
            received = counters.received,
            turns = snapshot.turns.count,
            "state: {counters:?}"
        );
        for Agent { info, .. } in snapshot.agents() {
            let cause = snapshot.cause_fields(info.agent, 0);
            info!(
                agent = info.agent,
                pid = info.pid,
                program = %info.label,
                status = info.status.name(),
                age_ms = info.age_ns / 1_000_000,
                beats = info.beats,
                stalled = info.stalled,
                why = cause.as_ref().map(CauseFields::text),
                "state: agent"
            );
            for task in snapshot.tasks_of(info.agent) {
                let cause = snapshot.cause_fields(info.agent, task.number);
                info!(
                    agent = info.agent,
                    task = task.number,
                    name = %task.name,
                    late = task.is_late(),
                    idle = task.idle,
                    age_ms = task.age_ns / 1_000_000,
                    beats = task.beats,
                    done = task.done,
                    left = task.left,
                    why = cause.as_ref().map(CauseFields::text),
                    "state: task"
                );
            }
        }
        Ok(())
    }

    /// Reads file, keys, token and command again. If they are invalid, nothing changes.
    fn reload(&mut self) {
        self.context.notifier.reloading();
        match config::load(&self.context.arguments) {
            Ok(settings) => {
                for flag in settings.needs_restart(&self.context.settings) {
                    warn!(flag, "changed, but takes effect only when the daemon is restarted");
                }
                self.apply(settings);
            }
            Err(why) => error!("not reloaded, the old settings stay in force: {why}"),
        }
        self.context.notifier.ready("watching");
    }

    fn apply(&mut self, mut settings: config::Settings) {
        let config::Keys { shared, master } = std::mem::take(&mut settings.keys);
        let (per_agent, all) = settings.flags.admission.rates();
        let observer = &mut self.context.observer;
        let changed = observer
            .set_default_threshold(settings.threshold)
            .and_then(|()| observer.set_keys(shared, master))
            .and_then(|()| observer.set_rates(per_agent, all))
            .and_then(|()| observer.set_slack(&settings.flags.lane.slack()));
        if let Err(error) = changed {
            error!(%error, "some of the new settings could not be applied");
        }
        self.context.server.reload(&settings);
        let commands = self.context.recovery.commands();
        self.context.recovery.set_plan(Plan::new(&settings, commands));
        self.stats.set_threshold(nanoseconds(settings.threshold));
        self.context.settings = settings;
        let now_ns = self.context.observer.now_ns();
        self.expectations.replace(&self.context.settings.rules.expected, now_ns);
        self.stats.programs.expect(&self.context.settings.rules.expected);
        if let Err(error) = self.update_all_rules() {
            error!(%error, "some of the new rules could not be applied");
        }
        if let Err(error) = self.note_all_thresholds() {
            error!(%error, "the new thresholds could not be recorded");
        }
        info!("reloaded");
    }
}
