//! The export file, with a line for each event.

mod file;
mod tsv;

use std::io;
use std::time::{Duration, Instant};

use tracing::error;
use varta_observer::{Event, Label};

pub(crate) use file::Options;

use crate::flags::ExportFormat;
use crate::output::json;
use crate::output::stamp::{Source, Stamp};
use crate::state::counters;
use crate::state::expectations::ExpectedProgram;
use crate::state::services::ServiceReport;
use file::ExportFile;

/// The minimum time between two log lines about a failing disk.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

const NOT_SYNCED: &str = "cannot sync the export file";

/// An event to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    pub(crate) name: Label,
    /// The agent's last nonce.
    pub(crate) nonce: u64,
    /// For an exit: whether the agent was stalled before.
    pub(crate) stalled: bool,
    pub(crate) stamp: Stamp,
}

/// The file, and the lines that are written next.
#[derive(Debug)]
pub(crate) struct Export {
    file: ExportFile,
    format: ExportFormat,
    text: String,
    lines: u64,
    logged_at: Option<Instant>,
}

impl Export {
    pub(crate) fn open(options: Options, format: ExportFormat) -> io::Result<Self> {
        let file = ExportFile::open(options)?;
        Ok(Self { file, format, text: String::new(), lines: 0, logged_at: None })
    }

    pub(crate) fn add(&mut self, entry: &Entry, source: &Source) {
        let Entry { event, name, stamp, .. } = entry;
        self.lines += match self.format {
            ExportFormat::Tsv => tsv::entry(entry, &mut self.text),
            ExportFormat::Json => {
                json::event(event, *name, stamp, source, &mut self.text);
                1
            }
        };
    }

    /// Adds the eviction of an agent that claims this pid.
    pub(crate) fn add_eviction(&mut self, at_ns: u64, pid: u32, at: &Stamp, source: &Source) {
        self.lines += 1;
        match self.format {
            ExportFormat::Tsv => tsv::eviction(at_ns, pid, &mut self.text),
            ExportFormat::Json => json::eviction(at_ns, pid, at, source, &mut self.text),
        }
    }

    pub(crate) fn add_expected(
        &mut self,
        at_ns: u64,
        one: &ExpectedProgram,
        at: &Stamp,
        source: &Source,
    ) {
        // The columns of TSV are those of an agent.
        if self.format == ExportFormat::Json {
            self.lines += 1;
            json::expected(at_ns, one, at, source, &mut self.text);
        }
    }

    pub(crate) fn add_service(&mut self, report: &ServiceReport, at: &Stamp, source: &Source) {
        // TSV has the columns of varta-watch 0.2, which knew no services.
        if self.format == ExportFormat::Json {
            self.lines += 1;
            json::service(report, at, source, &mut self.text);
        }
    }

    /// Adds that lines were lost.
    pub(crate) fn add_lost(&mut self, lines: u64, at: &Stamp, source: &Source) {
        if self.format == ExportFormat::Json {
            self.lines += 1;
            json::lost("lines", lines, Some(at), source, &mut self.text);
        }
    }

    /// Writes what was added.
    pub(crate) fn write(&mut self, counters: &counters::Export) {
        let lines = std::mem::take(&mut self.lines);
        let text = std::mem::take(&mut self.text);
        match self.file.write(&text, lines) {
            Ok(()) => counters.lines.add(lines),
            Err(error) => {
                counters.lost.add(lines);
                return self.log_failure(&error, "export lines lost");
            }
        }
        if let Err(error) = self.file.sync_if_due() {
            self.log_failure(&error, NOT_SYNCED);
        }
    }

    pub(crate) fn sync(&mut self) {
        if let Err(error) = self.file.sync() {
            self.log_failure(&error, NOT_SYNCED);
        }
    }

    fn log_failure(&mut self, error: &io::Error, what: &str) {
        if self.logged_at.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            self.logged_at = Some(Instant::now());
            error!(%error, file = %self.file.path().display(), "{what}");
        }
    }
}
