//! The export file: a line for each event, formatted and written by a thread of its own.

mod file;
mod tsv;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::error;
use varta_observer::{Event, ProgramName};

pub(crate) use file::Options;

use crate::event_loop::priority;
use crate::flags::ExportFormat;
use crate::output::json;
use crate::state::Shared;
use file::ExportFile;

/// Batches that may wait to be written; the lines of a further one are lost, and counted.
const WAITING: usize = 4096;

/// The writer rests so long after each write: what comes meanwhile is written in one go, and
/// wakes nobody.
const REST: Duration = Duration::from_millis(5);

/// A failing disk is complained about so often.
const COMPLAINT: Duration = Duration::from_secs(10);

const NOT_SYNCED: &str = "export file not synced";

/// What is written of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    pub(crate) name: ProgramName,
    /// The last nonce that the agent has sent.
    pub(crate) nonce: u64,
    /// Of an exit: the agent had been called stalled already.
    pub(crate) stalled: bool,
}

enum Message {
    Entries(Vec<Entry>),
    /// Agents that made room.
    Evicted {
        at_ns: u64,
        pids: Vec<u32>,
    },
    End,
}

/// The watching thread's end.
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
    let writer = Writer { file, format, shared: shared.clone(), complained: None };
    let writer = thread::Builder::new().name("export".to_owned()).spawn(move || {
        priority::behind();
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

    /// Has the rest written and synced.
    pub(crate) fn end(self) {
        // The writer makes room; if it is gone there is nothing left to end.
        let _ = self.messages.send(Message::End);
        if self.writer.join().is_err() {
            error!("the export's thread has panicked");
        }
    }
}

struct Writer {
    file: ExportFile,
    format: ExportFormat,
    shared: Shared,
    complained: Option<Instant>,
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
                    Message::End => ending = true,
                }
            }
            self.write(&text, lines);
            if !ending {
                thread::sleep(REST);
            }
        }
        if let Err(error) = self.file.sync() {
            self.complain(&error, NOT_SYNCED);
        }
    }

    /// Answers how many lines it took.
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
                return self.complain(&error, "export lines lost");
            }
        }
        if let Err(error) = self.file.sync_if_due() {
            self.complain(&error, NOT_SYNCED);
        }
    }

    fn complain(&mut self, error: &io::Error, what: &str) {
        if self.complained.is_none_or(|at| at.elapsed() > COMPLAINT) {
            self.complained = Some(Instant::now());
            error!(%error, file = %self.file.path().display(), "{what}");
        }
    }
}
