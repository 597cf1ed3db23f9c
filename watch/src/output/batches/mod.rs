//! The thread that writes the export file and the history. It gets batches from the event loop,
//! which never waits for it.

mod history;
mod state;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::error;

pub(crate) use history::{Folder, HistoryFiles};

use crate::output::export::{Entry, Export};
use crate::output::stamp::{Source, Stamp};
use crate::platform::priority;
use crate::state::Shared;
use crate::state::expectations::ExpectedProgram;
use crate::state::history::Stored;
use crate::state::services::ServiceReport;

/// The length of the queue, in batches. What is in further batches is lost and counted.
const WAITING: usize = 4096;

/// The pause after each write. Events of this time are written together, and do not wake the
/// writer.
const PAUSE: Duration = Duration::from_millis(5);

enum Message {
    Entries(Vec<Entry>),
    /// The claimed pids of agents that the observer evicted.
    Evicted {
        at_ns: u64,
        pids: Vec<(u32, Stamp)>,
    },
    /// Expected programs that have become missing, or present again.
    Expected {
        at_ns: u64,
        changes: Vec<(ExpectedProgram, Stamp)>,
    },
    Services(Vec<(ServiceReport, Stamp)>),
    /// Lines that were lost before this message.
    LinesLost(u64, Stamp),
    Records(Vec<Stored>),
    End,
}

/// The event loop's side.
#[derive(Debug)]
pub(crate) struct Feed {
    messages: SyncSender<Message>,
    writer: JoinHandle<()>,
    shared: Shared,
    has_export: bool,
    /// Lines that were lost and that the writer does not know of.
    lost_lines: Cell<u64>,
}

/// Starts the thread, if there is something to write.
pub(crate) fn start(
    export: Option<Export>,
    history: Option<HistoryFiles>,
    source: Arc<Source>,
    shared: Shared,
) -> io::Result<Option<Feed>> {
    if export.is_none() && history.is_none() {
        return Ok(None);
    }
    let has_export = export.is_some();
    let (messages, waiting) = sync_channel(WAITING);
    let writer = Writer { export, history, source, shared: shared.clone() };
    let writer = thread::Builder::new().name("export".to_owned()).spawn(move || {
        priority::lower();
        writer.run(&waiting);
    })?;
    let lost_lines = Cell::new(0);
    Ok(Some(Feed { messages, writer, shared, has_export, lost_lines }))
}

impl Feed {
    /// Whether there is an export file.
    pub(crate) fn has_export(&self) -> bool {
        self.has_export
    }

    pub(crate) fn entries(&self, entries: Vec<Entry>) {
        let stamp = entries.first().map(|entry| entry.stamp);
        self.export(entries.len(), stamp, Message::Entries(entries));
    }

    pub(crate) fn evicted(&self, at_ns: u64, pids: Vec<(u32, Stamp)>) {
        let stamp = pids.first().map(|(_, stamp)| *stamp);
        self.export(pids.len(), stamp, Message::Evicted { at_ns, pids });
    }

    pub(crate) fn expected(&self, at_ns: u64, changes: Vec<(ExpectedProgram, Stamp)>) {
        let stamp = changes.first().map(|(_, stamp)| *stamp);
        self.export(changes.len(), stamp, Message::Expected { at_ns, changes });
    }

    pub(crate) fn services(&self, reports: Vec<(ServiceReport, Stamp)>) {
        let stamp = reports.first().map(|(_, stamp)| *stamp);
        self.export(reports.len(), stamp, Message::Services(reports));
    }

    /// Sends lines for the export file, of which the first has this stamp.
    fn export(&self, lines: usize, stamp: Option<Stamp>, message: Message) {
        let Some(stamp) = stamp.filter(|_| self.has_export) else { return };
        let lost = self.lost_lines.take();
        let told = lost == 0 || self.messages.try_send(Message::LinesLost(lost, stamp)).is_ok();
        if !told {
            self.lost_lines.set(lost);
        }
        if !told || self.messages.try_send(message).is_err() {
            self.shared.counters().export.lost.add(lines as u64);
            self.lost_lines.set(self.lost_lines.get() + lines as u64);
        }
    }

    /// Sends records for the history. The writer sees by their numbers if some were lost.
    pub(crate) fn records(&self, records: Vec<Stored>) {
        let lost = records.len() as u64;
        if let Err(TrySendError::Disconnected(_)) =
            self.messages.try_send(Message::Records(records))
        {
            self.shared.counters().history.lost.add(lost);
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
    export: Option<Export>,
    history: Option<HistoryFiles>,
    source: Arc<Source>,
    shared: Shared,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Message>) {
        while let Some(first) = self.next(waiting) {
            let mut ending = false;
            for message in first.into_iter().chain(waiting.try_iter()) {
                ending |= self.take(message);
            }
            if let Some(export) = &mut self.export {
                export.write(&self.shared.counters().export);
            }
            if let Some(history) = &mut self.history {
                history.write(&self.shared.counters().history);
            }
            if ending {
                break;
            }
            thread::sleep(PAUSE);
        }
        if let Some(export) = &mut self.export {
            export.sync();
        }
        if let Some(history) = self.history {
            history.end(&self.shared.counters().history);
        }
    }

    /// Waits for a message, or until something is to be synced. Returns None at the end.
    fn next(&self, waiting: &Receiver<Message>) -> Option<Option<Message>> {
        match self.history.as_ref().and_then(HistoryFiles::sync_due) {
            None => waiting.recv().ok().map(Some),
            Some(left) => match waiting.recv_timeout(left) {
                Ok(message) => Some(Some(message)),
                Err(RecvTimeoutError::Timeout) => Some(None),
                Err(RecvTimeoutError::Disconnected) => None,
            },
        }
    }

    /// Adds a message to what is written next. Returns whether it is the last one.
    fn take(&mut self, message: Message) -> bool {
        if let Message::Records(records) = &message {
            if let Some(history) = &mut self.history {
                records.iter().for_each(|stored| history.add(stored));
            }
            return false;
        }
        let Some(export) = &mut self.export else { return matches!(message, Message::End) };
        let source = &self.source;
        match message {
            Message::Entries(entries) => {
                entries.iter().for_each(|entry| export.add(entry, source));
            }
            Message::Evicted { at_ns, pids } => {
                pids.iter().for_each(|(pid, at)| export.add_eviction(at_ns, *pid, at, source));
            }
            Message::Expected { at_ns, changes } => {
                let changes = changes.iter();
                changes.for_each(|(one, at)| export.add_expected(at_ns, one, at, source));
            }
            Message::Services(reports) => {
                reports.iter().for_each(|(report, at)| export.add_service(report, at, source));
            }
            Message::LinesLost(lines, stamp) => export.add_lost(lines, &stamp, source),
            Message::Records(_) => {}
            Message::End => return true,
        }
        false
    }
}
