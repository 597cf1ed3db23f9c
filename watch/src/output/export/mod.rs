//! The export file, with a line for each event. A separate thread formats and writes the lines.

mod file;
mod tsv;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::error;
use varta_observer::{Event, Label};

pub(crate) use file::Options;

use crate::event_loop::priority;
use crate::flags::ExportFormat;
use crate::output::json;
use crate::state::Shared;
use crate::state::expectations::ExpectedProgram;
use file::ExportFile;

/// The length of the queue, in batches. The lines of further batches are lost and counted.
const WAITING: usize = 4096;

/// The pause after each write. Events of this time are written together, and do not wake the
/// writer.
const PAUSE: Duration = Duration::from_millis(5);

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
}

enum Message {
    Entries(Vec<Entry>),
    /// Agents that the observer evicted.
    Evicted {
        at_ns: u64,
        pids: Vec<u32>,
    },
    /// Expected programs that have become missing, or present again.
    Expected {
        at_ns: u64,
        changes: Vec<ExpectedProgram>,
    },
    End,
}

/// The event loop's side.
#[derive(Debug)]
pub(crate) struct Feed {
    messages: SyncSender<Message>,
    writer: JoinHandle<()>,
    shared: Shared,
}

/// Starts the writer.
pub(crate) fn start(
    options: Options,
    format: ExportFormat,
    shared: Shared,
) -> io::Result<Feed> {
    let file = ExportFile::open(options)?;
    let (messages, waiting) = sync_channel(WAITING);
    let writer = Writer { file, format, shared: shared.clone(), logged_at: None };
    let writer = thread::Builder::new().name("export".to_owned()).spawn(move || {
        priority::lower();
        writer.run(&waiting);
    })?;
    Ok(Feed { messages, writer, shared })
}

impl Feed {
    pub(crate) fn push(&self, entries: Vec<Entry>) {
        let lines = entries.len();
        if self.messages.try_send(Message::Entries(entries)).is_err() {
            self.shared.counters().export.lost.add(lines as u64);
        }
    }

    pub(crate) fn evicted(&self, at_ns: u64, pids: Vec<u32>) {
        let lines = pids.len();
        if self.messages.try_send(Message::Evicted { at_ns, pids }).is_err() {
            self.shared.counters().export.lost.add(lines as u64);
        }
    }

    pub(crate) fn expected(&self, at_ns: u64, changes: Vec<ExpectedProgram>) {
        let lines = changes.len();
        if self.messages.try_send(Message::Expected { at_ns, changes }).is_err() {
            self.shared.counters().export.lost.add(lines as u64);
        }
    }

    /// Writes and syncs the rest, and ends the thread.
    pub(crate) fn end(self) {
        // Waits for room in the queue. Fails only if the writer has ended already.
        let _ = self.messages.send(Message::End);
        if self.writer.join().is_err() {
            error!("the export thread has panicked");
        }
    }
}

struct Writer {
    file: ExportFile,
    format: ExportFormat,
    shared: Shared,
    logged_at: Option<Instant>,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Message>) {
        let mut ending = false;
        while !ending {
            let Ok(first) = waiting.recv() else { break };
            let (mut text, mut lines) = (String::new(), 0);
            for message in std::iter::once(first).chain(waiting.try_iter()) {
                match message {
                    Message::Entries(entries) => {
                        for entry in &entries {
                            lines += self.write_entry(entry, &mut text);
                        }
                    }
                    Message::Evicted { at_ns, pids } => {
                        lines += pids.len() as u64;
                        for pid in pids {
                            match self.format {
                                ExportFormat::Tsv => tsv::eviction(at_ns, pid, &mut text),
                                ExportFormat::Json => json::eviction(at_ns, pid, &mut text),
                            }
                        }
                    }
                    Message::Expected { at_ns, changes } => {
                        // The columns of TSV are those of an agent.
                        if matches!(self.format, ExportFormat::Json) {
                            lines += changes.len() as u64;
                            changes
                                .iter()
                                .for_each(|one| json::expected(at_ns, one, &mut text));
                        }
                    }
                    Message::End => ending = true,
                }
            }
            self.write(&text, lines);
            if !ending {
                thread::sleep(PAUSE);
            }
        }
        if let Err(error) = self.file.sync() {
            self.log_failure(&error, NOT_SYNCED);
        }
    }

    /// Returns the number of lines written.
    fn write_entry(&self, entry: &Entry, text: &mut String) -> u64 {
        match self.format {
            ExportFormat::Tsv => tsv::entry(entry, text),
            ExportFormat::Json => {
                json::event(&entry.event, entry.name, text);
                1
            }
        }
    }

    fn write(&mut self, text: &str, lines: u64) {
        let counters = &self.shared.counters().export;
        match self.file.write(text, lines) {
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

    fn log_failure(&mut self, error: &io::Error, what: &str) {
        if self.logged_at.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
            self.logged_at = Some(Instant::now());
            error!(%error, file = %self.file.path().display(), "{what}");
        }
    }
}
