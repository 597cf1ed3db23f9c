//! The history of varta-watch: what happened to each agent, in files that one daemon writes and
//! many programs read.
//!
//! A [`Record`] is one thing that happened: a stall, an exit, a silence, a minute of beats. Its
//! body is a struct with named members, which are also the members of its JSON object.
//!
//! ```
//! use varta_history::{Kind, Record, Recovered};
//!
//! let back = Recovered { agent: 17, silent_ns: 2_500_000_000, ..Recovered::default() };
//! let record = Record::from(back);
//! assert_eq!(record.kind(), Kind::Recovered);
//!
//! let mut body = Vec::new();
//! record.encode(&mut body);
//! assert_eq!(Record::decode(Kind::Recovered, &body), Some(record));
//! ```

#![forbid(unsafe_code)]

mod clock;
mod error;
mod folder;
mod histogram;
mod reader;
mod record;
mod run;
mod segment;
mod wire;
mod words;
mod writer;

pub use clock::{ClockPair, Rfc3339};
pub use error::Error;
pub use histogram::Histogram;
pub use reader::{Agents, Cursor, Entry, InvalidCursor, Item, Known, Reader};
pub use record::{
    Agent, Beat, Beats, CauseFound, CauseMembers, Clock, Ended, Eviction, Exit, Expected,
    Floor, Gap, Kind, Late, Lost, Minute, Part, Paused, Record, Recovered, Recovery, Service,
    Stall, Started, Stopped, Task, Text, Threshold, Violation,
};
pub use run::{InvalidRun, Run};
pub use segment::Header;
pub use words::Words;
pub use writer::{Counts, Limits, Origin, Repair, Writer};
