//! A history in a folder of its own, with a clock that the test sets.

#![allow(
    unsafe_code,
    dead_code,
    reason = "the helpers of other tests, of which this is a part"
)]

#[path = "../../../core/tests/support/folder.rs"]
mod folder;
#[path = "../../../core/tests/support/root.rs"]
mod root;

use std::path::{Path, PathBuf};

use varta_history::{
    ClockPair, Cursor, Error, Item, Limits, Origin, Reader, Record, Recovered, Run, Writer,
};

pub(crate) use folder::Folder;
pub(crate) use root::{needs_root, skipped};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const HOUR: u64 = 3_600 * SECOND;
pub(crate) const DAY: u64 = 24 * HOUR;

/// 2025-11-30, 14:00 UTC.
pub(crate) const START: u64 = 1_764_511_200 * SECOND;

/// Both clocks, this long after the start of a run that began at [`START`].
pub(crate) fn at(observer_ns: u64) -> ClockPair {
    ClockPair { observer_ns, wall_ns: START + observer_ns }
}

pub(crate) fn run(start_us: u64) -> Run {
    Run { boot_id: [0xab; 16], start_us }
}

pub(crate) fn origin(start_us: u64) -> Origin {
    Origin { host: "db-1".to_owned(), run: run(start_us), boot_ns: start_us * 1_000 }
}

pub(crate) fn open(folder: &Path) -> Result<Writer, Error> {
    Writer::open(folder, Limits::default(), origin(1), at(0))
}

/// A record whose content follows from its number.
pub(crate) fn sample(seq: u64) -> Record {
    Recovered { agent: seq, silent_ns: seq * seq, ..Recovered::default() }.into()
}

/// Pushes the samples with these numbers, one a millisecond.
pub(crate) fn push(writer: &mut Writer, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        writer.push(seq, seq * 1_000_000, &sample(seq));
    }
}

/// What a reader returns up to the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The run and number of each record, except those that are repeated.
    pub(crate) seqs: Vec<(u64, u64)>,
    pub(crate) repeated: Vec<Record>,
    /// Where something is damaged, and how much.
    pub(crate) damaged: Vec<(PathBuf, u64, u64)>,
    pub(crate) newer: Vec<(PathBuf, u32)>,
    pub(crate) lost: Vec<(u64, u64)>,
    pub(crate) overtaken: Vec<(Cursor, Cursor)>,
}

impl Found {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self::by(&mut Reader::open(folder).unwrap())
    }

    /// Reads on, and checks the content of each sample.
    pub(crate) fn by(reader: &mut Reader) -> Self {
        let mut found = Self::default();
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Record(entry) if entry.again => {
                    found.repeated.push(entry.record().unwrap());
                }
                Item::Record(entry) => {
                    let record = entry.record().unwrap();
                    if let Record::Lost(lost) = &record {
                        assert_eq!(entry.seq, lost.last);
                        found.lost.push((lost.first, lost.last));
                    } else {
                        assert_eq!(record, sample(entry.seq));
                        found.seqs.push((entry.header.run.start_us, entry.seq));
                    }
                }
                Item::Damaged { path, offset, bytes } => {
                    found.damaged.push((path, offset, bytes));
                }
                Item::Newer { path, version } => found.newer.push((path, version)),
                Item::Overtaken { read, now, .. } => found.overtaken.push((read, now)),
            }
        }
        found
    }

    /// The numbers of the records of one run.
    pub(crate) fn of_run(&self, start_us: u64) -> Vec<u64> {
        self.seqs.iter().filter(|(run, _)| *run == start_us).map(|(_, seq)| *seq).collect()
    }
}

/// The segments of a folder, in order.
pub(crate) fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "varta"));
    paths.sort();
    paths
}
