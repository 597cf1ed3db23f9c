//! Programs that know nothing of varta but speak the protocol of sd_notify.
//!
//! WATCHDOG=1 is a beat of status Ok of an agent that is known by its process, and is judged as
//! any other. A process that sends frames too is one agent with two deadlines: the one that it
//! breaks first is its Stall, and it has recovered when it keeps both.

mod apply;
mod counters;
mod main_process;
mod message;
mod service;
mod table;
mod text;
mod watchdog;

pub use self::counters::NotifyCounters;
pub use self::message::{
    LONGEST_MESSAGE, Malformed, Notification, State, Watchdog, parse_notification,
};
use self::service::Service;
pub use self::service::{ServiceInfo, ServiceState};
pub(in crate::judge) use self::table::Services;
pub use self::text::ShortText;
use super::local::Process;
use super::{AgentKey, Datagram, Environment, Judge, Sender, Slot};
use crate::event::About;
use crate::program_name::ProgramName;

/// The processes whose messages count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Main processes only: each process that sends READY=1 or WATCHDOG=1, unless it descends
    /// from one that did. So a child that pings does not hide that its parent hangs.
    #[default]
    Main,
    /// Their descendants too, whose messages count as those of the main process.
    All,
}

/// Something that a service has reported, for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceNote {
    /// When, in nanoseconds since the observer started.
    pub observer_ns: u64,
    /// Its agent, which may have exited since.
    pub about: About,
    /// The user of its process.
    pub uid: u32,
    /// The program that it runs, if that is known.
    pub program: ProgramName,
    /// What it reported.
    pub what: ServiceChange,
}

/// What a service has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceChange {
    /// A launcher registered it.
    Registered,
    /// Its state has changed.
    State(ServiceState),
    /// Its status text has changed.
    Status,
    /// It reported an error number.
    Errno(u32),
    /// It does not want its silence to be judged any more.
    WatchdogOff,
    /// Another process is its main process; this was the pid before.
    MainProcess {
        /// The former pid.
        before: u32,
    },
}

/// What the host knows of the process that sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It lives in the observer's pid namespace.
    Here,
    /// It lives in a pid namespace below, where it has this pid.
    Within(u32),
    /// It lives in another pid namespace.
    Outside,
    /// It has ended, or is not known.
    Ended,
}

impl Judge {
    /// Processes a message that arrived at the notify socket, as [`hear`](Self::hear) does for
    /// beats. It causes at most two events, which must be fetched before the next call.
    ///
    /// ```
    /// use varta_observer::{Policy, What, judge::*};
    ///
    /// let mut settings = Settings::new(Policy::same_uid(1000));
    /// settings.notify = Some(Access::Main);
    /// let mut judge = Judge::new(settings);
    /// let sender = Sender::Kernel { pid: 4321, uid: 1000, process: None };
    /// judge.notify(5, &Datagram::new(0, sender, b"WATCHDOG=1"), &mut NoEnvironment);
    /// assert!(matches!(judge.next_event().unwrap().what, What::Beat { nonce: 0, .. }));
    /// ```
    pub fn notify<E: Environment>(
        &mut self,
        now: u64,
        datagram: &Datagram<'_>,
        environment: &mut E,
    ) {
        if self.services.is_none() {
            return;
        }
        self.now = self.now.max(now);
        let (slot, state, uid) = match self.place_of(datagram, environment) {
            Ok(found) => found,
            Err(counter) => {
                if let Some(services) = &mut self.services {
                    services.counters.received += 1;
                    *counter(&mut services.counters) += 1;
                }
                return;
            }
        };
        let Some(services) = &mut self.services else { return };
        services.counters.received += 1;
        services.counters.applied += 1;
        self.apply(slot, &state, uid, environment);
        if self.causes.is_some() && state.watchdog == Some(Watchdog::Alive) {
            self.learn(slot, self.fresh, environment);
        }
    }

    /// The service that a message is about, or how it is counted if it is about none.
    fn place_of<'a, E: Environment>(
        &mut self,
        datagram: &Datagram<'a>,
        environment: &mut E,
    ) -> Result<(Slot, State<'a>, u32), Counter> {
        if datagram.control_truncated {
            return Err(|counters| &mut counters.control_truncated);
        }
        let Sender::Kernel { pid, uid, process } = datagram.sender else {
            return Err(|counters| &mut counters.control_truncated);
        };
        if !self.admits(uid) {
            return Err(|counters| &mut counters.uid_refused);
        }
        let parsed = match datagram.truncated {
            true => Err(Malformed::TooLong),
            false => parse_notification(datagram.bytes),
        };
        let state = match parsed {
            Ok(Notification::State(state)) => state,
            Ok(Notification::Barrier) => return Err(|counters| &mut counters.barriers),
            Err(Malformed::Empty) => return Err(|counters| &mut counters.probes),
            Err(_) => return Err(|counters| &mut counters.malformed),
        };
        if pid == 0 {
            return Err(|counters| &mut counters.namespace_refused);
        }
        let sender = Process { pid, uid, process };
        let known = self.known_sender(sender, environment);
        if let Some(slot) = known.filter(|slot| self.is_service(*slot)) {
            return Ok((slot, state, uid));
        }
        let enrols = state.ready || state.watchdog.is_some() || state.registers;
        let access = self.services.as_ref().map(|services| services.access);
        if !state.registers && (enrols || access == Some(Access::All)) {
            if let Some(parent) = self.service_above(pid, environment) {
                return match access {
                    Some(Access::All) => Ok((parent, state, uid)),
                    _ => Err(|counters| &mut counters.not_main),
                };
            }
        }
        if !enrols {
            return Err(|counters| &mut counters.unknown);
        }
        self.enrol(known, sender, environment).map(|slot| (slot, state, uid))
    }

    /// The agent that the sender is, by frames or by notifications.
    fn known_sender<E: Environment>(
        &mut self,
        sender: Process,
        environment: &mut E,
    ) -> Option<Slot> {
        let key = sender.key()?;
        let slot = self.tracker.find(&key, self.tracker.tag(&key))?;
        if !self.is_same_process(slot, sender, 0, environment) {
            return None;
        }
        self.identify(slot, sender.process, environment);
        Some(slot)
    }

    /// The service that is the closest ancestor of a process.
    fn service_above<E: Environment>(&self, mut pid: u32, environment: &mut E) -> Option<Slot> {
        /// More generations than a service has; a chain of parents ends at pid 1.
        const MOST: usize = 16;
        self.services.as_ref().filter(|services| services.count > 0)?;
        for _ in 0..MOST {
            pid = environment.parent(pid).filter(|parent| *parent > 1)?;
            let key = AgentKey::Pid(pid);
            let slot = self.tracker.find(&key, self.tracker.tag(&key));
            if let Some(slot) = slot.filter(|slot| self.is_service(*slot)) {
                return Some(slot);
            }
        }
        None
    }

    /// Makes a process a service.
    fn enrol<E: Environment>(
        &mut self,
        known: Option<Slot>,
        sender: Process,
        environment: &mut E,
    ) -> Result<Slot, Counter> {
        let own_pid = match environment.standing(sender.pid) {
            Standing::Here => sender.pid,
            Standing::Within(pid) if self.policy.namespaces => pid,
            Standing::Within(_) | Standing::Outside => {
                return Err(|counters| &mut counters.namespace_refused);
            }
            Standing::Ended => return Err(|counters| &mut counters.ended),
        };
        let admitted = known.or_else(|| {
            let key = sender.key()?;
            let tag = self.tracker.tag(&key);
            self.admit_local(&key, tag, own_pid, sender, environment)
        });
        let Some(slot) = admitted else { return Err(|counters| &mut counters.no_room) };
        let agent = self.tracker.about(slot).agent;
        if let Some(services) = &mut self.services {
            let program = environment.program(slot).unwrap_or_default();
            services.begin(slot, Service::new(agent, program, self.now));
        }
        self.tracker.touch(slot, self.now);
        Ok(slot)
    }

    pub(in crate::judge) fn is_service(&self, slot: Slot) -> bool {
        self.service_in(slot).is_some()
    }

    fn service_in(&self, slot: Slot) -> Option<&Service> {
        self.services.as_deref()?.get(slot)
    }

    fn service_mut(&mut self, slot: Slot) -> Option<&mut Service> {
        self.services.as_deref_mut()?.get_mut(slot)
    }

    fn note(&mut self, slot: Slot, what: ServiceChange) {
        let (about, uid) = (self.tracker.about(slot), self.tracker.uid(slot));
        let program = self.service_in(slot).map(|service| service.program).unwrap_or_default();
        if let Some(services) = &mut self.services {
            services.note(ServiceNote { observer_ns: self.now, about, uid, program, what });
        }
    }

    fn count(&mut self, counter: Counter, by: u64) {
        if let Some(services) = &mut self.services {
            *counter(&mut services.counters) += by;
        }
    }

    /// An agent is about to be forgotten because its process has exited.
    pub(in crate::judge) fn service_exited(&mut self, slot: Slot) {
        let Some(services) = self.services.as_deref_mut() else { return };
        let stopping = services.get(slot).filter(|it| it.state == ServiceState::Stopping);
        if let Some(agent) = stopping.map(|service| service.agent) {
            services.counters.expected_exits += 1;
            services.expect_exit(agent);
        }
    }

    /// Whether the exit of this agent, which was one of the last thousand, was announced by
    /// STOPPING=1.
    #[must_use]
    pub fn exit_was_expected(&self, agent: u64) -> bool {
        self.services.as_ref().is_some_and(|services| services.expected_exit(agent))
    }

    /// Whether there are notes that have not been fetched yet.
    #[must_use]
    pub fn has_notes(&self) -> bool {
        self.services.as_ref().is_some_and(|services| services.has_notes())
    }

    /// The next note that has not been fetched yet. There is room for a thousand.
    pub fn next_note(&mut self) -> Option<ServiceNote> {
        self.services.as_mut()?.next_note()
    }

    /// The service of an agent, if it is one.
    #[must_use]
    pub fn service(&self, agent: u64) -> Option<ServiceInfo> {
        let service = self.service_in(self.find(agent)?)?;
        Some(service.info(self.tracker.default_threshold()))
    }

    /// All services, in no particular order.
    pub fn services(&self) -> impl Iterator<Item = ServiceInfo> + '_ {
        let default_ns = self.tracker.default_threshold();
        let services = self.services.as_ref().filter(|services| services.count > 0);
        services
            .into_iter()
            .flat_map(|services| services.all())
            .map(move |it| it.info(default_ns))
    }

    /// The counters of notifications.
    #[must_use]
    pub fn notify_counters(&self) -> NotifyCounters {
        self.services.as_ref().map(|services| services.counters).unwrap_or_default()
    }

    /// Reports that the notify socket cannot be read until a time. Stalls of services that are
    /// judged by what they send there are put off and marked, as after a
    /// [look](Self::looked) that found a queue full.
    pub fn notify_failed(&mut self, now: u64, until: u64) {
        self.now = self.now.max(now);
        self.tracker.notify_failed(until);
    }
}

/// More events than one message causes.
pub(in crate::judge) const MOST_EVENTS: usize = 8;

type Counter = fn(&mut NotifyCounters) -> &mut u64;
