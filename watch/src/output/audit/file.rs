//! The audit log file. It continues the existing log, is written in whole lines, and is rotated
//! when it is too large.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::chain::{HEADER, Link};
use super::record;
use super::tail::{Last, Tail};
use crate::config::Command;
use crate::output::files;
use crate::output::rotation::{self, Rotation};
use crate::platform::clock::nanoseconds;
use crate::recovery::Decision;
use crate::state::counters::Audit as SharedCounters;

const MODE: u32 = 0o600;

/// An anchor is logged at least once per this many lines.
const LINES_PER_ANCHOR: u64 = 1000;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) sync_every: u32,
    pub(crate) sync_interval: Option<Duration>,
    pub(crate) fsync_budget: Duration,
    pub(crate) rotation_budget: Duration,
}

#[derive(Debug)]
pub(crate) struct AuditFile {
    options: Options,
    rotation: Rotation,
    file: File,
    length: u64,
    chain: Chain,
    /// The line of the last anchor.
    anchored: u64,
    unsynced: u32,
    synced: Instant,
}

/// The last line of the log.
#[derive(Debug, Clone, Copy)]
struct Chain {
    seq: u64,
    link: Link,
}

impl AuditFile {
    pub(crate) fn open(options: Options) -> io::Result<Self> {
        let path = options.path.clone();
        Self::resume(options).map_err(|error| {
            let why = format!("--recovery-audit-file {}: {error}", path.display());
            io::Error::new(error.kind(), why)
        })
    }

    fn resume(options: Options) -> io::Result<Self> {
        let path = &options.path;
        let mut file = files::open(path, MODE)?;
        let (mut length, mut last, mut reason) = (0, None, "fresh");
        match Tail::of(&file)? {
            Tail::Log { length: whole, cut_off, last: found } => {
                (length, last) = (whole, found);
                if cut_off > 0 {
                    file.set_len(length)?;
                    let line = last.map_or(0, |(seq, _)| seq);
                    warn!(
                        file = %path.display(),
                        bytes = cut_off,
                        "the audit log ended with an unfinished line, which was removed; it \
                         continues after line number {line}"
                    );
                    reason = "corrupt_tail";
                } else if length > 0 {
                    reason = "resume";
                }
                if last.is_none()
                    && let Some(found) = last_of_previous(path)
                {
                    (last, reason) = (Some(found), "rotation");
                }
            }
            Tail::Unreadable(why) => {
                file = rotation::replace(path, MODE, |_| Ok(()))?;
                warn!(
                    file = %path.display(),
                    "the existing audit log cannot be continued: {why}; it was renamed, and a new \
                     log begins"
                );
                reason = "schema_drift";
            }
        }
        let (seq, continues_from) = last.unwrap_or((0, None));
        let link = continues_from.unwrap_or(Link::NONE);
        let mut audit = Self {
            rotation: Rotation::new(path.clone(), MODE, options.max_bytes),
            file,
            length,
            chain: Chain { seq, link },
            anchored: 0,
            unsynced: 0,
            synced: Instant::now(),
            options,
        };
        let (chain, boot) = audit.chain.boot(continues_from, reason)?;
        let header = if length == 0 { format!("{HEADER}\n") } else { String::new() };
        audit.append(chain, &format!("{header}{boot}"))?;
        audit.file.sync_data()?;
        audit.unsynced = 0;
        audit.anchor();
        Ok(audit)
    }

    /// Writes a decision.
    pub(crate) fn write(
        &mut self,
        decision: &Decision,
        command: &Command,
        counters: &SharedCounters,
    ) -> io::Result<()> {
        let columns = record::columns(decision, command);
        let line = self.chain.line(record::kind(decision), decision.at_ns, &columns);
        let written = line.and_then(|(chain, line)| self.append(chain, &line));
        match &written {
            Ok(()) => counters.lines.one(),
            Err(_) => counters.lost.one(),
        }
        written?;
        if self.rotation.is_due(self.length) {
            let began = Instant::now();
            self.rotate();
            let slow = began.elapsed() > self.options.rotation_budget;
            counters.rotation_over_budget.add(slow.into());
        }
        Ok(())
    }

    /// Syncs the file if it is time to.
    pub(crate) fn sync_if_due(&mut self, counters: &SharedCounters) -> io::Result<()> {
        let anchor = self.chain.seq.saturating_sub(self.anchored) >= LINES_PER_ANCHOR;
        let enough = anchor || self.unsynced >= self.options.sync_every;
        let expired = self.next_sync().is_some_and(|left| left.is_zero());
        if self.unsynced > 0 && (enough || expired) {
            self.sync(counters)?;
        }
        if anchor {
            self.anchor();
        }
        Ok(())
    }

    /// The time until unsynced lines have to be synced, if there are any.
    pub(crate) fn next_sync(&self) -> Option<Duration> {
        let interval = self.options.sync_interval.filter(|_| self.unsynced > 0)?;
        Some(interval.saturating_sub(self.synced.elapsed()))
    }

    /// Syncs and closes the file.
    pub(crate) fn end(mut self, counters: &SharedCounters) -> io::Result<()> {
        self.sync(counters)?;
        self.anchor();
        Ok(())
    }

    fn sync(&mut self, counters: &SharedCounters) -> io::Result<()> {
        let began = Instant::now();
        self.file.sync_data()?;
        let took = began.elapsed();
        counters.fsync.note(nanoseconds(took));
        counters.fsync_over_budget.add((took > self.options.fsync_budget).into());
        self.unsynced = 0;
        self.synced = Instant::now();
        Ok(())
    }

    /// Logs the number and hash of the last line. Call this only after a sync. Once that log
    /// line has been shipped, someone who changes the audit log cannot change the anchor.
    fn anchor(&mut self) {
        let Chain { seq, link } = self.chain;
        info!(
            file = %self.options.path.display(),
            seq,
            hash = %link,
            "audit log anchor; pass seq and hash to `varta-watch audit verify --at-least`"
        );
        self.anchored = seq;
    }

    /// Appends a line in one write. If that fails, the file is unchanged.
    fn append(&mut self, chain: Chain, line: &str) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(line.as_bytes(), self.length) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        self.chain = chain;
        self.unsynced += 1;
        Ok(())
    }

    /// The new file gets its first line before it replaces the old one, so that the chain
    /// continues from it whatever happens.
    fn rotate(&mut self) {
        let (mut chain, mut length) = (self.chain, 0);
        let old = &self.file;
        let rotated = self.rotation.rotate(|new| {
            old.sync_data()?;
            let (next, boot) = chain.boot(Some(chain.link), "rotation")?;
            let text = format!("{HEADER}\n{boot}");
            new.write_all(text.as_bytes())?;
            new.sync_data()?;
            (chain, length) = (next, text.len() as u64);
            Ok(())
        });
        let Some(new) = rotated else { return };
        (self.file, self.length, self.chain, self.unsynced) = (new, length, chain, 0);
        info!(file = %self.options.path.display(), "audit log rotated");
        self.anchor();
    }
}

impl Chain {
    /// The next line.
    fn line(self, kind: &str, at_ns: u64, rest: &str) -> io::Result<(Self, String)> {
        let Some(seq) = self.seq.checked_add(1) else {
            return Err(io::Error::other(
                "the line numbers have reached 2^64-1; move the file away to begin a new log",
            ));
        };
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let body = format!("{seq}\t{}\t{at_ns}\t{kind}\t{rest}", wall.as_millis());
        let link = self.link.next(kind, &body);
        Ok((Self { seq, link }, format!("{body}\t{link}\n")))
    }

    /// The line that records which process writes from here on.
    fn boot(self, continues_from: Option<Link>, reason: &str) -> io::Result<(Self, String)> {
        let before = continues_from.map_or_else(|| "-".to_owned(), |link| link.to_string());
        self.line("boot", 0, &format!("{}\t{before}\t{reason}", std::process::id()))
    }
}

/// The last line of PATH.1. The log continues from it if a rotation was interrupted before the
/// new file had replaced the old one.
fn last_of_previous(path: &Path) -> Option<Last> {
    let previous = rotation::previous(path);
    files::check(&previous).ok()?;
    let file = File::open(previous).ok()?;
    match Tail::of(&file).ok()? {
        Tail::Log { cut_off: 0, last, .. } => last,
        _ => None,
    }
}
