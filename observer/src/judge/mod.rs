//! Datagrams and a time in, events out.
//!
//! [`Judge`] decides whose beats count, whom to follow and who is silent. It has no
//! sockets, no clock and no thread, makes no system call and allocates nothing after it
//! was made; the observer is a shell around it, and so may be a test, a simulation or a
//! benchmark.

pub(crate) mod deadline;
mod environment;
mod keyring;
mod local;
mod network;
mod queries;
mod queue;
mod reconfigure;
mod sessions;
mod settings;
pub(crate) mod tracker;
mod uids;

use std::alloc::{Layout, handle_alloc_error};

use varta::{Frame, v1};

pub use self::environment::{Datagram, Environment, Missing, Namespace, NoEnvironment, Sender};
use self::keyring::Keyring;
use self::queue::Queue;
pub use self::sessions::SealedSession;
use self::sessions::Sessions;
pub(crate) use self::sessions::most_sessions;
pub use self::settings::Settings;
pub use self::tracker::AgentInfo;
use self::tracker::{Beat, Flags, Key as AgentKey, Kind, Room, Silence, Tracker};
pub use self::tracker::{Exits, Slot};
pub use self::uids::{Flood, UidCounts};
use crate::counters::Counters;
use crate::event::{Event, ExitCause, What};
pub use crate::memory::OutOfMemory;
use crate::policy::{Limit, Policy};

/// Decides what is an event. Times are nanoseconds since the observer started; one
/// that falls is taken for the one before.
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
    paced: u64,
    keyring: Keyring,
    sessions: Sessions,
    /// How many sealed sessions are remembered once there is a key.
    most_sessions: usize,
    /// Whether the host records sessions.
    records_sessions: bool,
    /// Whether it had some from before.
    recalls_sessions: bool,
    /// Whether the last session could not be recorded.
    recording_fails: bool,
    counters: Counters,
    events: Queue,
    /// Whether the last look at a Unix socket found its queue at its length.
    full: bool,
    flood: Flood,
    /// The newcomers for whom there was no room.
    refused: UidCounts,
    evictions_seen: u64,
    capacity_exceeded_seen: u64,
}

impl Judge {
    /// Everything is allocated here; memory is touched as agents come. Aborts when there is
    /// not enough memory; [`try_new`](Self::try_new) returns an error.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// assert_eq!(judge.followed(), 0);
    /// ```
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let made = Self::try_new(settings);
        made.unwrap_or_else(|_: OutOfMemory| handle_alloc_error(Layout::new::<Self>()))
    }

    /// As [`new`](Self::new), for a capacity that memory may not hold.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let judge = Judge::try_new(Settings::new(Policy::same_uid(1000)))?;
    /// assert_eq!(judge.followed(), 0);
    /// # Ok::<(), varta_observer::judge::OutOfMemory>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is not enough memory for this capacity.
    pub fn try_new(settings: Settings) -> Result<Self, OutOfMemory> {
        let Settings {
            capacity,
            threshold_ns,
            policy,
            shared_keys,
            master_key,
            senders,
            recalled,
        } = settings;
        let tracker = Tracker::new(capacity, policy.uids.most(), threshold_ns)?;
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
            paced: 0,
            sessions: Sessions::new(bound, &recalled, tracker.random())?,
            most_sessions,
            records_sessions,
            recalls_sessions: !recalled.is_empty(),
            recording_fails: false,
            tracker,
            policy,
            keyring,
            counters: Counters::default(),
            events: Queue::default(),
            full: false,
            flood: Flood::default(),
            refused: UidCounts::default(),
            evictions_seen: 0,
            capacity_exceeded_seen: 0,
        })
    }

    /// Takes in a datagram. It leads to two events at most, which are to be fetched
    /// before the next step.
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

    /// Whether a datagram from this user can be a beat. If not, whatever else is known of its
    /// sender makes no difference.
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

    /// Says the next Stall or Exit that silence has led to. `horizon` is a time before
    /// which everything that arrived has been heard. Answers whether something was said;
    /// if so, there may be more.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, NoEnvironment, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// assert!(!judge.expire(60_000_000_000, &mut NoEnvironment));
    /// ```
    pub fn expire<E: Environment>(&mut self, horizon: u64, environment: &mut E) -> bool {
        self.now = self.now.max(horizon);
        while let Some(slot) = self.tracker.next_due(horizon) {
            if self.tracker.has(slot, Flags::LOOKED_UP) {
                let pid = self.tracker.about(slot).pid;
                let known_missing = self.tracker.has(slot, Flags::MISSING);
                match environment.look_up(slot, pid) {
                    Some(missing) if !known_missing && missing.seen_ns > horizon => {
                        self.tracker.missing(slot, missing.seen_ns);
                        continue;
                    }
                    None if !known_missing => {}
                    found => {
                        let cause = found.map_or(ExitCause::Unknown, |missing| missing.cause);
                        self.exited(self.now, slot, cause, environment);
                        return true;
                    }
                }
            }
            if self.tracker.defer(slot, horizon) {
                continue;
            }
            let about = self.tracker.about(slot);
            match self.tracker.silence(slot, self.now) {
                Silence::Stall { last_nonce, last_ns, deaf } => {
                    self.counters.stalls += 1;
                    self.counters.stalls_deaf += u64::from(deaf);
                    let what = What::Stall { last_nonce, last_ns, deaf };
                    self.events.push(Event { observer_ns: self.now, about: Some(about), what });
                    return true;
                }
                Silence::Exit => {
                    self.exited(self.now, slot, ExitCause::Unknown, environment);
                    return true;
                }
                Silence::Stale => {}
            }
        }
        false
    }

    /// A look at a Unix socket has emptied its queue, or has read as many datagrams as it
    /// holds: whether it was `full` then.
    ///
    /// While a queue is full the kernel refuses beats. The time before a look that found it so
    /// may have been lost; when that is a sixteenth of recent time or more, the observer is
    /// half deaf. A Stall that is due is then put off until one threshold after the last such
    /// look, at most for ten thresholds. If there was such a look when it was due or later, it
    /// is marked as deaf.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// judge.looked(5_000_000, true);
    /// assert_eq!(judge.counters().full_looks, 1);
    /// ```
    pub fn looked(&mut self, now: u64, full: bool) {
        self.now = self.now.max(now);
        self.full = full;
        if full {
            self.counters.full_looks += 1;
            self.flood.full_looks += 1;
        }
        self.flood.half_deaf |= self.tracker.looked(self.now, full);
    }

    /// The process in this slot is gone and all that it sent has been heard; only how it
    /// ended is not known yet. From now on it can't stall, and a beat with its pid is
    /// another process's.
    ///
    /// ```
    /// # use varta_observer::judge::{Judge, Slot};
    /// # fn shown(judge: &mut Judge, slot: Slot) {
    /// judge.exiting(slot);
    /// # }
    /// ```
    pub fn exiting(&mut self, slot: Slot) {
        if self.tracker.is_followed(slot) {
            self.tracker.exiting(slot);
        }
    }

    /// Says the Exit of the agent in this slot, and follows it no longer. In a slot that is
    /// free nobody exits.
    ///
    /// ```
    /// # use varta_observer::{ExitCause, judge::{Judge, NoEnvironment, Slot}};
    /// # fn shown(judge: &mut Judge, slot: Slot) {
    /// judge.exited(3_000_000, slot, ExitCause::Signal(9), &mut NoEnvironment);
    /// # }
    /// ```
    pub fn exited<E: Environment>(
        &mut self,
        now: u64,
        slot: Slot,
        cause: ExitCause,
        environment: &mut E,
    ) {
        self.now = self.now.max(now);
        if !self.tracker.is_followed(slot) {
            return;
        }
        let about = self.tracker.about(slot);
        let last_status = self.tracker.status(slot);
        self.counters.exits += 1;
        self.events.push(Event {
            observer_ns: self.now,
            about: Some(about),
            what: What::Exit { cause, last_status },
        });
        self.release(slot, environment);
    }

    /// Says that the observer was away for `amount` until `ended_at`. Who was silent all
    /// the while is given it back, once.
    ///
    /// ```
    /// use varta_observer::{Policy, What, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// judge.pause(12_000_000_000, 10_000_000_000);
    /// assert_eq!(judge.next_event().unwrap().what, What::Paused { ns: 10_000_000_000 });
    /// ```
    pub fn pause(&mut self, ended_at: u64, amount: u64) {
        self.now = self.now.max(ended_at);
        self.tracker.pause(ended_at, amount);
        self.counters.pauses += 1;
        self.say(What::Paused { ns: amount });
    }

    /// Says that a socket failed.
    ///
    /// ```
    /// use varta_observer::{Policy, What, judge::{Judge, Settings}};
    ///
    /// let mut judge = Judge::new(Settings::new(Policy::same_uid(1000)));
    /// judge.io(0, 105);
    /// assert_eq!(judge.next_event().unwrap().what, What::Io { errno: 105 });
    /// ```
    pub fn io(&mut self, now: u64, errno: i32) {
        self.now = self.now.max(now);
        self.counters.io_errors += 1;
        self.say(What::Io { errno });
    }

    /// The next thing to say.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert_eq!(Judge::new(Settings::new(Policy::same_uid(1000))).next_event(), None);
    /// ```
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        let mut event = Event::NOTHING;
        self.next_event_into(&mut event).then_some(event)
    }

    /// As [`next_event`](Self::next_event), put where it is wanted.
    #[inline]
    pub(crate) fn next_event_into(&mut self, place: &mut Event) -> bool {
        self.events.pop_into(place)
    }

    /// Whether an event waits to be fetched.
    ///
    /// ```
    /// use varta_observer::{Policy, judge::{Judge, Settings}};
    ///
    /// assert!(!Judge::new(Settings::new(Policy::same_uid(1000))).has_events());
    /// ```
    #[must_use]
    pub const fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Accepts a beat of an agent that is followed.
    #[inline]
    fn accept(&mut self, slot: Slot, beat: &Beat) {
        let withheld = self.take_share(slot);
        let heard = self.tracker.beat(slot, self.now, beat);
        self.counters.missed = self.counters.missed.saturating_add(heard.missed);
        self.counters.not_forward += u64::from(!heard.forward);
        match withheld {
            None => {}
            Some(Withheld::ByItsOwnLimit) => {
                self.counters.rate_limited_agent += 1;
                return;
            }
            Some(Withheld::ByTheGlobalLimit) => {
                self.counters.rate_limited_global += 1;
                return;
            }
        }
        let about = Some(self.tracker.about(slot));
        let observer_ns = self.now;
        if let Some(silent_ns) = heard.silent_ns {
            self.counters.recoveries += 1;
            let what = What::Recovered { silent_ns };
            self.events.push(Event { observer_ns, about, what });
        }
        self.counters.beats += 1;
        let Beat { status, payload, nonce, .. } = *beat;
        let what = What::Beat { status, payload, nonce, missed: heard.missed };
        self.events.push(Event { observer_ns, about, what });
    }

    /// Whether a limit keeps this beat from becoming an event. A recovery is always told,
    /// and so is the first beat of an agent, which nothing withheld before.
    #[inline]
    fn take_share(&mut self, slot: Slot) -> Option<Withheld> {
        if self.per_agent.is_none() && self.global.is_none() {
            return None;
        }
        let now = self.now;
        let paced = *self.tracker.paced(slot);
        let exempt = self.tracker.has(slot, Flags::STALLED) || self.tracker.is_new(slot);
        let take = |limit: Option<Limit>, paced| match limit {
            None => Some(paced),
            Some(limit) if exempt => Some(limit.force(paced, now)),
            Some(limit) => limit.take(paced, now),
        };
        let Some(own) = take(self.per_agent, paced) else {
            return Some(Withheld::ByItsOwnLimit);
        };
        let Some(all) = take(self.global, self.paced) else {
            return Some(Withheld::ByTheGlobalLimit);
        };
        *self.tracker.paced(slot) = own;
        self.paced = all;
        None
    }

    /// Makes room for a newcomer of this user, or over a network, or counts that there is none.
    fn make_room<E: Environment>(&mut self, uid: Option<u32>, environment: &mut E) -> bool {
        match self.tracker.room(uid) {
            Room::Free => true,
            Room::Instead(gone) => {
                self.counters.evictions += 1;
                self.release(gone, environment);
                true
            }
            Room::None => {
                self.counters.capacity_exceeded += 1;
                if let Some(uid) = uid {
                    self.refused.add(uid);
                }
                false
            }
        }
    }

    fn release<E: Environment>(&mut self, slot: Slot, environment: &mut E) {
        let agent = self.tracker.about(slot).agent;
        self.tracker.forget(slot);
        environment.released(slot, agent);
    }

    /// Reads 32 bytes, and counts and says it if they are no frame.
    #[inline]
    fn decode(&mut self, wire: &[u8; 32]) -> Option<Beat> {
        let decoded = if wire[2] == v1::VERSION && self.policy.version1 {
            v1::Frame::decode(wire).map(|frame| Beat {
                status: frame.status,
                pid: frame.pid,
                timestamp: frame.timestamp,
                nonce: frame.nonce,
                payload: frame.payload,
            })
        } else {
            Frame::decode(wire).map(|frame| Beat {
                status: frame.status,
                pid: frame.pid,
                timestamp: frame.timestamp,
                nonce: frame.nonce,
                payload: frame.payload.into(),
            })
        };
        decoded
            .map_err(|error| {
                self.counters.decode_error(&error);
                self.say(What::Decode(error));
            })
            .ok()
    }

    fn say(&mut self, what: What) {
        self.events.push(Event { observer_ns: self.now, about: None, what });
    }
}

/// Why a beat became no event.
#[derive(Debug, Clone, Copy)]
enum Withheld {
    ByItsOwnLimit,
    ByTheGlobalLimit,
}
