//! What a reader returns.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::agents::Agents;
use super::cursor::Cursor;
use crate::clock::Rfc3339;
use crate::record::{Kind, Record};
use crate::segment::Header;

/// The next thing in a history.
#[derive(Debug)]
pub enum Item<'a> {
    /// A record.
    Record(Entry<'a>),
    /// A part of a segment is damaged; the records in it are missing.
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the damaged part begins.
        offset: u64,
        /// Its length.
        bytes: u64,
    },
    /// A newer version has written this segment, so that it is not read.
    Newer {
        /// The segment.
        path: PathBuf,
        /// The version of its format.
        version: u32,
    },
    /// What follows was removed before it was read.
    Overtaken {
        /// The last record that was read.
        read: Cursor,
        /// The last record before those that are still there. If its run is the same, the records
        /// from `read.seq + 1` to `now.seq` are missing.
        now: Cursor,
        /// The name of the host.
        host: String,
    },
}

/// A record, and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The segment that it is in.
    pub header: &'a Header,
    /// Its number, from 1 in each run.
    pub seq: u64,
    /// Whether it only repeats what was recorded before, at the beginning or end of a segment.
    /// Its number is then that of the record before it.
    pub again: bool,
    /// Its time, in nanoseconds since the observer started.
    pub observer_ns: u64,
    /// Its time by the wall clock, in nanoseconds since 1970.
    pub wall_ns: u64,
    /// The number of its kind, which may be one that this version does not know.
    pub code: u8,
    /// The agents of the run, this record included.
    pub agents: &'a Agents,
    pub(super) body: &'a [u8],
}

impl Entry<'_> {
    /// Its kind, if this version knows it.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.code)
    }

    /// The record. `None` if this version does not know its kind or cannot read it.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        Record::decode(self.kind()?, self.body)
    }

    /// The record as a JSON object, with the members that all records have and what is known
    /// about its agent: a line of `varta-watch history --json`.
    #[must_use]
    pub fn members(&self) -> Option<Map<String, Value>> {
        let record = self.record()?;
        let mut members = record.members();
        let mut put = |name: &str, value: Value| {
            members.entry(name).or_insert(value);
        };
        put("time", Rfc3339(self.wall_ns).to_string().into());
        put("host", self.header.host.as_str().into());
        put("run", self.header.run.to_string().into());
        put("seq", self.seq.into());
        put("observer_ns", self.observer_ns.into());
        if let Some(known) = record.agent().and_then(|agent| self.agents.get(agent)) {
            put("pid", known.agent.pid.into());
            put("claimed_pid", known.agent.claimed_pid.into());
            put("origin", known.agent.origin.as_ref().into());
            put("program", known.agent.program.as_ref().into());
            match record.task().map(|task| known.tasks.get(&task)) {
                None => put("threshold_ns", known.agent.threshold_ns.into()),
                Some(Some((name, threshold_ns))) => {
                    put("task_name", name.as_str().into());
                    put("threshold_ns", (*threshold_ns).into());
                }
                Some(None) => {}
            }
        }
        Some(members)
    }
}
