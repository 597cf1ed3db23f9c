//! Turns datagrams and the time into events.
//!
//! [`Judge`] decides whose beats count, which agents to track and which of them are silent. It
//! has no sockets, no clock and no thread, makes no system call, and allocates nothing after
//! it is created. The observer is a shell around it; a test, a simulation or a benchmark can
//! be one too.

mod beats;
pub(crate) mod causes;
pub(crate) mod deadline;
mod decode;
mod environment;
mod keyring;
mod lane;
mod local;
mod network;
mod notify;
mod observations;
mod queries;
mod queue;
mod reconfigure;
mod room;
mod sessions;
mod settings;
mod silence;
pub(crate) mod tracker;
mod uids;

use std::alloc::{Layout, handle_alloc_error};

use self::causes::Causes;
pub use self::causes::{
    Call, Depth, Found, Lacks, Looked, MOST_QUOTAS, MOST_THREADS, ProcessReading, Quota,
    Quotas, Sample, Text, ThreadReading, diagnose,
};
pub use self::environment::{Datagram, Environment, Missing, Namespace, NoEnvironment, Sender};
use self::keyring::Keyring;
pub(crate) use self::lane::WAKE_NS;
pub use self::lane::{Attached, Attaching, PageIndex, Refusal, TaskInfo};
use self::lane::{Due, LaneSettings, Lanes};
use self::notify::Services;
pub use self::notify::{
    Access, LONGEST_MESSAGE, Malformed, Notification, NotifyCounters, ServiceChange,
    ServiceInfo, ServiceNote, ServiceState, ShortText, Standing, State, Watchdog,
    parse_notification,
};
use self::queue::Queue;
pub use self::sessions::SealedSession;
use self::sessions::Sessions;
pub(crate) use self::sessions::most_sessions;
pub use self::settings::Settings;
pub use self::tracker::AgentInfo;
#[doc(hidden)]
pub use self::tracker::MOST as MOST_AGENTS;
pub use self::tracker::{Exits, Slot};
use self::tracker::{Key as AgentKey, Kind, Tracker};
pub use self::uids::{Flood, UidCounts};
use crate::counters::Counters;
use crate::event::{About, Event, What};
pub use crate::memory::OutOfMemory;
use crate::policy::{Limit, Policy};

/// Decides which beats count, and which agents are stalled or gone, without any I/O.
///
/// The caller (the host) does the I/O: it reads sockets and clocks, passes what it finds to
/// the judge, and fetches the events that follow.
///
/// - **Input.** Datagrams enter through [`hear`](Self::hear). What else the host observes
///   enters through [`looked`](Self::looked), [`kernel_dropped`](Self::kernel_dropped),
///   [`exiting`](Self::exiting), [`exited`](Self::exited), [`pause`](Self::pause) and
///   [`io`](Self::io). The judge asks the host through an [`Environment`] when it needs an
///   answer that costs a system call, and only during the call it was passed to.
/// - **Time.** Every time is in nanoseconds since the observer started. A time earlier than
///   the latest one seen counts as that one. [`next_deadline`](Self::next_deadline) returns
///   when to call [`expire`](Self::expire); any other call may change it.
/// - **Output.** [`next_event`](Self::next_event) returns the events of the last call. Fetch
///   them all before the next call: there is only room for the events of one.
/// - **Queries.** All methods that take `&self` are cheap and change nothing.
///
/// One turn of a host, in this order:
///
/// 1. If the host came late or the system was suspended, call [`pause`](Self::pause).
/// 2. Pass every datagram that has arrived to [`hear`](Self::hear), and fetch events after
///    each. When a Unix socket has been read to the end, call [`looked`](Self::looked).
/// 3. Report the processes that have ended with [`exited`](Self::exited), or with
///    [`exiting`](Self::exiting) if the cause is not known yet. All datagrams that they sent
///    must have been passed before.
/// 4. Call [`expire`](Self::expire) until it returns false, and fetch the event after each
///    call.
/// 5. Wait for a datagram, the end of a process or the next deadline.
///
/// ```
/// use varta::{Frame, Status};
/// use varta_observer::{Policy, What};
/// use varta_observer::judge::{Datagram, Judge, NoEnvironment, Sender, Settings};
///
/// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
/// let mut wire = [0; 32];
/// Frame::new(Status::Ok, 4321, 0, 1, 0).encode(&mut wire);
/// let sender = Sender::Kernel { pid: 4321, uid: 1000, process: None };
/// judge.hear(5, &Datagram::new(0, sender, &wire), &mut NoEnvironment);
/// assert!(matches!(judge.next_event().unwrap().what, What::Beat { nonce: 1, .. }));
///
/// let due = judge.next_deadline().unwrap();
/// assert!(due <= 2_000_000_005);
/// assert!(judge.expire(2_000_000_005, &mut NoEnvironment));
/// assert!(matches!(judge.next_event().unwrap().what, What::Stall { last_ns: 5, .. }));
/// ```
#[derive(Debug)]
pub struct Judge {
    now: u64,
    tracker: Tracker,
    policy: Policy,
    per_agent: Option<Limit>,
    global: Option<Limit>,
    /// The state of the global limit.
    rate_state: u64,
    keyring: Keyring,
    sessions: Sessions,
    /// How many sealed sessions are remembered once there is a key.
    most_sessions: usize,
    /// Whether the host records sessions.
    records_sessions: bool,
    /// Whether the host passed in sessions from an earlier run.
    recalls_sessions: bool,
    /// Whether the last session could not be recorded.
    recording_fails: bool,
    lanes: Lanes,
    /// What is needed to find the causes of silences, if that is wanted.
    causes: Option<Box<Causes>>,
    /// The programs that speak the protocol of sd_notify, if they are listened to.
    services: Option<Box<Services>>,
    /// Whether something can be learned from an agent when it beats.
    fresh: bool,
    counters: Counters,
    events: Queue,
    /// Whether the last look at a Unix socket found its queue full.
    full: bool,
    flood: Flood,
    /// New agents for which there was no room, by user.
    refused: UidCounts,
    evictions_seen: u64,
    capacity_exceeded_seen: u64,
}

impl Judge {
    /// Creates a judge and allocates everything that it will need. Memory is touched only as
    /// agents arrive. Aborts if there is not enough memory; [`try_new`](Self::try_new) returns
    /// an error instead.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let made = Self::try_new(settings);
        made.unwrap_or_else(|_: OutOfMemory| handle_alloc_error(Layout::new::<Self>()))
    }

    /// As [`new`](Self::new), but returns an error if there is not enough memory for the
    /// capacity.
    ///
    /// # Errors
    ///
    /// If there is not enough memory for this capacity.
    pub fn try_new(settings: Settings) -> Result<Self, OutOfMemory> {
        let Settings {
            capacity,
            threshold_ns,
            policy,
            shared_keys,
            master_key,
            senders,
            recalled,
            pages,
            tasks,
            floor_ns,
            slack,
            causes,
            notify,
        } = settings;
        let mut tracker = Tracker::new(capacity, policy.uids.most(), threshold_ns)?;
        let slots = tracker.capacity();
        if causes {
            tracker.look_early()?;
        }
        let lanes = Lanes::new(LaneSettings { pages, slots, tasks, floor_ns, slack: &slack })?;
        let events = Queue::new(match (pages, notify) {
            (1.., _) => lane::MOST_EVENTS,
            (0, Some(_)) => notify::MOST_EVENTS,
            (0, None) => queue::ROOM,
        })?;
        let services = match notify {
            Some(access) => Some(Box::new(Services::new(slots, access)?)),
            None => None,
        };
        let causes = match causes {
            true => Some(Box::new(Causes::new(slots, lanes.most_tasks())?)),
            false => None,
        };
        let keyring = Keyring::new(&shared_keys, master_key, capacity / 2);
        let most_sessions = senders.unwrap_or(most_sessions(capacity));
        let records_sessions = recalled.is_some();
        let recalled = recalled.unwrap_or_default();
        let needed = records_sessions || keyring.holds_any();
        let bound = if needed { most_sessions } else { 0 };
        Ok(Self {
            now: 0,
            per_agent: policy.per_agent.map(Limit::new),
            global: policy.global.map(Limit::new),
            rate_state: 0,
            sessions: Sessions::new(bound, &recalled, tracker.random())?,
            most_sessions,
            records_sessions,
            recalls_sessions: !recalled.is_empty(),
            recording_fails: false,
            tracker,
            policy,
            keyring,
            lanes,
            causes,
            services,
            fresh: false,
            counters: Counters::default(),
            events,
            full: false,
            flood: Flood::default(),
            refused: UidCounts::default(),
            evictions_seen: 0,
            capacity_exceeded_seen: 0,
        })
    }

    /// Processes a datagram. It causes at most three events, which must be fetched before the
    /// next call.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::*};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// let stranger = Sender::Kernel { pid: 4321, uid: 1001, process: None };
    /// judge.hear(0, &Datagram::new(0, stranger, &[0; 32]), &mut NoEnvironment);
    /// assert_eq!(judge.counters().uid_refused, 1);
    /// assert_eq!(judge.next_event(), None);
    /// ```
    pub fn hear<E: Environment>(
        &mut self,
        now: u64,
        datagram: &Datagram<'_>,
        environment: &mut E,
    ) {
        self.now = self.now.max(now);
        self.counters.received += 1;
        if self.full {
            self.count_sender(datagram);
        }
        if datagram.control_truncated {
            self.counters.control_truncated += 1;
        } else if datagram.bytes.is_empty() && !datagram.truncated {
            self.counters.probes += 1;
        } else {
            match datagram.sender {
                Sender::Kernel { pid, uid, process } => {
                    self.hear_local(
                        datagram,
                        local::Process { pid, uid, process },
                        environment,
                    );
                }
                Sender::Network { address, sealed } => {
                    self.hear_network(datagram, address.to_canonical(), sealed, environment);
                }
            }
        }
    }

    /// Whether a datagram from this user can be a beat. If not, nothing else about its sender
    /// matters.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert!(!Judge::new(Settings::new(Policy::same_uid(1000))).admits(1001));
    /// ```
    #[must_use]
    pub fn admits(&self, uid: u32) -> bool {
        self.policy.uids.admit(uid)
    }

    #[cold]
    fn count_sender(&mut self, datagram: &Datagram<'_>) {
        if let Sender::Kernel { uid, .. } = datagram.sender {
            self.flood.senders.add(uid);
        }
    }

    /// Emits the next Stall or Exit that is due by `horizon`, because an agent has been silent
    /// for too long or a task has broken a promise. Returns whether it emitted an event; if so,
    /// there may be more. One call emits at most 16 events, because a line in shared memory is
    /// read again before it is judged.
    ///
    /// Everything that arrived before `horizon` must have been passed to [`hear`](Self::hear).
    pub fn expire<E: Environment>(&mut self, horizon: u64, environment: &mut E) -> bool {
        self.now = self.now.max(horizon);
        while let Some(due) = self.next_due(horizon) {
            match due {
                Due::Process(slot) => self.judge_silence(slot, horizon, environment),
                Due::Task(task) => self.judge_task(task, horizon, environment),
            }
            if self.has_events() {
                return true;
            }
        }
        while self.services.is_some() && self.judge_watchdog(horizon, environment) {
            if self.has_events() {
                return true;
            }
        }
        while self.look_again(horizon, environment) {
            if self.has_events() {
                return true;
            }
        }
        false
    }

    /// The next event that has not been fetched yet.
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        let mut event = Event::NOTHING;
        self.next_event_into(&mut event).then_some(event)
    }

    /// As [`next_event`](Self::next_event), but writes the event to `place`.
    #[inline]
    pub(crate) fn next_event_into(&mut self, place: &mut Event) -> bool {
        self.events.pop_into(place)
    }

    /// Whether there is an event that has not been fetched yet.
    #[must_use]
    pub const fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    fn emit(&mut self, what: What) {
        self.push(None, what);
    }

    /// Emits an event about the observer or about an agent as a whole.
    #[inline]
    fn push(&mut self, about: Option<About>, what: What) {
        self.events.push(Event { observer_ns: self.now, about, task: None, what });
    }
}
