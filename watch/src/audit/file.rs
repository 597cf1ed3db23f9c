//! The file: opened where the last one left off, written in whole lines, turned over when it
//! is large.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::chain::{HEADER, Line, Link};
use super::record;
use crate::config::Command;
use crate::recovery::Decision;
use crate::rotation::turn_over;
use crate::tallies::Audit as Tallies;
use crate::watching::nanoseconds;

/// The last whole line is looked for so far from the end.
const TAIL: u64 = 64 * 1024;

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
    file: File,
    length: u64,
    seq: u64,
    link: Link,
    unsynced: u32,
    synced: Instant,
}

/// Where a file that was there leaves off.
struct Tail {
    /// Its length without a line that was cut off.
    length: u64,
    cut_off: u64,
    has_header: bool,
    seq: u64,
    link: Option<Link>,
    reason: &'static str,
}

impl AuditFile {
    pub(crate) fn open(options: Options) -> io::Result<Self> {
        let path = &options.path;
        let named = |error: io::Error| {
            let why = format!("--recovery-audit-file {}: {error}", path.display());
            io::Error::new(error.kind(), why)
        };
        let mut file = open(path).map_err(named)?;
        let mut tail = Tail::of(&mut file).map_err(named)?;
        if !tail.has_header && tail.length > 0 {
            turn_over(path).map_err(named)?;
            file = open(path).map_err(named)?;
            tail = Tail { length: 0, cut_off: 0, seq: 0, link: None, ..tail };
            warn!(file = %path.display(), "what was there is no such log, and was set aside");
        }
        if tail.cut_off > 0 {
            file.set_len(tail.length).map_err(named)?;
            warn!(
                file = %path.display(),
                bytes = tail.cut_off,
                "the audit log ended in the middle of a line, which was cut off; it goes on \
                 after line number {}",
                tail.seq
            );
        }
        let mut audit = Self {
            file,
            length: tail.length,
            seq: tail.seq,
            link: tail.link.unwrap_or(Link::NONE),
            unsynced: 0,
            synced: Instant::now(),
            options,
        };
        audit.begin(tail.has_header, tail.link, tail.reason)?;
        Ok(audit)
    }

    /// Writes a decision.
    pub(crate) fn write(
        &mut self,
        decision: &Decision,
        command: &Command,
        tallies: &Tallies,
    ) -> io::Result<()> {
        let columns = record::columns(decision, command);
        let written = self.append("", record::kind(decision), decision.at_ns, &columns);
        match &written {
            Ok(()) => tallies.lines.one(),
            Err(_) => tallies.lost.one(),
        }
        written?;
        if self.options.max_bytes.is_some_and(|most| self.length >= most) {
            let began = Instant::now();
            self.rotate()?;
            let slow = began.elapsed() > self.options.rotation_budget;
            tallies.rotation_over_budget.add(slow.into());
        }
        Ok(())
    }

    /// Has the disk keep what was written, if it is time for that.
    pub(crate) fn sync_if_due(&mut self, tallies: &Tallies) -> io::Result<()> {
        let often = self.unsynced >= self.options.sync_every;
        let long = self.next_sync().is_some_and(|left| left.is_zero());
        if self.unsynced > 0 && (often || long) { self.sync(tallies) } else { Ok(()) }
    }

    /// In how long lines that wait are to be synced though no others come.
    pub(crate) fn next_sync(&self) -> Option<Duration> {
        let interval = self.options.sync_interval.filter(|_| self.unsynced > 0)?;
        Some(interval.saturating_sub(self.synced.elapsed()))
    }

    pub(crate) fn sync(&mut self, tallies: &Tallies) -> io::Result<()> {
        let began = Instant::now();
        self.file.sync_data()?;
        let took = began.elapsed();
        tallies.fsync.note(nanoseconds(took));
        tallies.fsync_over_budget.add((took > self.options.fsync_budget).into());
        self.unsynced = 0;
        self.synced = Instant::now();
        Ok(())
    }

    /// The header, if there is none yet, and who writes from here on.
    fn begin(
        &mut self,
        has_header: bool,
        goes_on_from: Option<Link>,
        reason: &str,
    ) -> io::Result<()> {
        let header = if has_header { String::new() } else { format!("{HEADER}\n") };
        let before = goes_on_from.map_or_else(|| "-".to_owned(), |link| link.to_string());
        let columns = format!("{}\t{before}\t{reason}", std::process::id());
        self.append(&header, "boot", 0, &columns)?;
        self.file.sync_data()?;
        self.unsynced = 0;
        Ok(())
    }

    /// One line, in one write; if it fails, nothing of it stays.
    fn append(&mut self, before: &str, kind: &str, at_ns: u64, rest: &str) -> io::Result<()> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seq = self.seq + 1;
        let body = format!("{seq}\t{}\t{at_ns}\t{kind}\t{rest}", wall.as_millis());
        let link = self.link.next(kind, &body);
        let line = format!("{before}{body}\t{link}\n");
        if let Err(error) = self.file.write_all_at(line.as_bytes(), self.length) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        (self.seq, self.link) = (seq, link);
        self.unsynced += 1;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        turn_over(&self.options.path)?;
        self.file = open(&self.options.path)?;
        self.length = 0;
        info!(file = %self.options.path.display(), "audit log turned over");
        self.begin(false, Some(self.link), "rotation")
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

impl Tail {
    fn of(file: &mut File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        if length == 0 {
            let (seq, link) = (0, None);
            return Ok(Self {
                length,
                cut_off: 0,
                has_header: false,
                seq,
                link,
                reason: "fresh",
            });
        }
        let mut head = vec![0; HEADER.len() + 1];
        file.seek(SeekFrom::Start(0))?;
        let has_header = match file.read_exact(&mut head) {
            Ok(()) => head.strip_suffix(b"\n") == Some(HEADER.as_bytes()),
            Err(_) => false,
        };
        let from = length.saturating_sub(TAIL);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let cut_off = (tail.len() - whole) as u64;
        let last = tail.get(..whole.saturating_sub(1)).unwrap_or_default();
        let last = last.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let last = std::str::from_utf8(last).ok().and_then(Line::parse);
        let only_header = has_header && length - cut_off == head.len() as u64;
        let reason = match &last {
            _ if !has_header && length > cut_off => "schema_drift",
            _ if cut_off > 0 => "corrupt_tail",
            None if !only_header => "schema_drift",
            _ => "resume",
        };
        Ok(Self {
            length: length - cut_off,
            cut_off,
            has_header: has_header && length > cut_off,
            seq: last.map_or(0, |last| last.seq),
            link: last.and_then(|last| last.link),
            reason,
        })
    }
}
