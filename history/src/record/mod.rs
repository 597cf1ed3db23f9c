//! Records: what is stored, as structs, as bytes and as JSON.

mod agent;
mod daemon;
pub(crate) mod field;
mod traffic;
mod verdict;

use std::fmt;

use serde_json::{Map, Value};

pub(crate) use self::field::{Body, body};

pub use agent::{Agent, Ended, Eviction, Floor, Service, Task, Threshold, Violation};
pub use daemon::{Clock, Late, Lost, Paused, Started, Stopped};
pub use field::{Part, Text};
pub use traffic::{Beat, Beats, Gap, Minute};
pub use verdict::{CauseFound, CauseMembers, Exit, Expected, Recovered, Recovery, Stall};

/// Declares the kinds of records. Their numbers never change.
macro_rules! kinds {
    ($($(#[$about:meta])* $code:literal $name:literal $kind:ident($body:ident),)*) => {
        /// The kind of a record.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $($(#[$about])* $kind = $code,)* }

        /// One thing that happened. [`Kind`] says when each is recorded.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Record { $($(#[$about])* $kind($body),)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The kind with this number, if this version knows it.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// Its name, which is also that of the event in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }

        impl Record {
            /// Its kind.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// Appends its body as bytes.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$kind(body) => body.encode(out),)*
                }
            }

            /// Reads a body. Members that this version does not know are left out. `None` if the
            /// bytes are not a body of this kind.
            #[must_use]
            pub fn decode(kind: Kind, bytes: &[u8]) -> Option<Self> {
                match kind {
                    $(Kind::$kind => Some(Self::$kind($body::decode(bytes)?)),)*
                }
            }

            fn show(&self, members: &mut Map<String, Value>) {
                match self {
                    $(Self::$kind(body) => body.show(members),)*
                }
            }
        }
    };
}

kinds! {
    /// The daemon has started.
    1 "started" Started(Started),
    /// The daemon ends in an orderly way.
    2 "stopped" Stopped(Stopped),
    /// Both clocks, once a minute and whenever the wall clock was set.
    3 "clock" Clock(Clock),
    /// The observer was late by more than 50 ms, or suspended.
    4 "late" Late(Late),
    /// The observer was away for long enough to report it.
    5 "paused" Paused(Paused),
    /// Records could not be written.
    6 "lost" Lost(Lost),
    /// What is known about an agent.
    7 "agent" Agent(Agent),
    /// A threshold has changed.
    8 "threshold" Threshold(Threshold),
    /// The floor of an agent has changed.
    9 "floor" Floor(Floor),
    /// The observer forgot an agent.
    10 "eviction" Eviction(Eviction),
    /// A task was declared.
    11 "task" Task(Task),
    /// A task is over.
    12 "ended" Ended(Ended),
    /// A task broke a rule.
    13 "violation" Violation(Violation),
    /// An agent or a task stalled.
    14 "stall" Stall(Stall),
    /// The cause of a silence became known.
    15 "cause" Cause(CauseFound),
    /// An agent or a task recovered.
    16 "recovered" Recovered(Recovered),
    /// The process of an agent has ended.
    17 "exit" Exit(Exit),
    /// Recovery decided something.
    18 "recovery" Recovery(Recovery),
    /// An expected program is missing.
    19 "missing" Missing(Expected),
    /// An expected program is present again.
    20 "present" Present(Expected),
    /// An agent has been silent for longer than its floor.
    21 "gap" Gap(Gap),
    /// A minute of a program.
    22 "minute" Minute(Minute),
    /// The last beats of an agent that stalled or ended.
    23 "beats" Beats(Beats),
    /// A service reported its state at the notify socket. Its status texts are not recorded.
    24 "service" Service(Service),
}

/// A body that belongs to one kind only.
macro_rules! from_bodies {
    ($($kind:ident($body:ident))*) => {$(
        impl From<$body> for Record {
            fn from(body: $body) -> Self {
                Self::$kind(body)
            }
        }
    )*};
}

from_bodies! {
    Started(Started) Stopped(Stopped) Clock(Clock) Late(Late) Paused(Paused) Lost(Lost)
    Agent(Agent) Threshold(Threshold) Floor(Floor) Eviction(Eviction) Task(Task) Ended(Ended)
    Violation(Violation) Stall(Stall) Cause(CauseFound) Recovered(Recovered) Exit(Exit)
    Recovery(Recovery) Gap(Gap) Minute(Minute) Beats(Beats) Service(Service)
}

impl Kind {
    /// Its number, which never changes.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this name.
    ///
    /// ```
    /// use varta_history::Kind;
    ///
    /// assert_eq!(Kind::from_name("stall"), Some(Kind::Stall));
    /// assert_eq!(Kind::from_name("beat"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Record {
    /// Its members as a JSON object, with its kind as `event`: the same names as in the lines
    /// of `varta-watch events --json`.
    ///
    /// ```
    /// use serde_json::json;
    /// use varta_history::{Exit, Record};
    ///
    /// let exit = Exit { agent: 17, signal: Some(9), last_status: "ok".into(), ..Exit::default() };
    /// let members = Record::from(exit).members();
    /// assert_eq!(members["event"], "exit");
    /// assert_eq!(members["signal"], 9);
    /// assert!(!members.contains_key("code"));
    /// ```
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("event".to_owned(), self.kind().name().into());
        self.show(&mut members);
        members
    }

    /// The agent that it is about, if it is about one.
    #[must_use]
    pub const fn agent(&self) -> Option<u64> {
        Some(match self {
            Self::Threshold(Threshold { agent: 0, .. }) => return None,
            Self::Agent(body) => body.agent,
            Self::Threshold(body) => body.agent,
            Self::Floor(body) => body.agent,
            Self::Eviction(body) => body.agent,
            Self::Task(body) => body.agent,
            Self::Ended(body) => body.agent,
            Self::Violation(body) => body.agent,
            Self::Stall(body) => body.agent,
            Self::Cause(body) => body.agent,
            Self::Recovered(body) => body.agent,
            Self::Exit(body) => body.agent,
            Self::Recovery(body) => body.agent,
            Self::Gap(body) => body.agent,
            Self::Beats(body) => body.agent,
            Self::Service(body) => body.agent,
            Self::Started(_)
            | Self::Stopped(_)
            | Self::Clock(_)
            | Self::Late(_)
            | Self::Paused(_)
            | Self::Lost(_)
            | Self::Missing(_)
            | Self::Present(_)
            | Self::Minute(_) => return None,
        })
    }

    /// The task that it is about, if it is about one.
    #[must_use]
    pub const fn task(&self) -> Option<u32> {
        match self {
            Self::Task(body) => Some(body.task),
            Self::Ended(body) => Some(body.task),
            Self::Violation(body) => Some(body.task),
            Self::Threshold(body) => body.task,
            Self::Stall(body) => body.task,
            Self::Cause(body) => body.task,
            Self::Recovered(body) => body.task,
            Self::Recovery(body) => body.task,
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
