//! What is recorded and not published yet.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};
use varta_history::{Cursor, Entry, Item, Reader, Rfc3339};

use crate::cursor_file::{CursorFile, Published};
use crate::fleet::{Fleet, Origin};
use crate::message::{self, Message};
use crate::metrics::Metrics;

/// How many items of the history are read at a time.
const AT_A_TIME: usize = 4096;

/// After this many transitions the states that they lead to are published too. In between, only the
/// last state of each agent counts.
const TRANSITIONS_BEFORE_STATES: usize = 256;

/// How long the file of the cursor may be older than the last confirmation.
const SAVE_AFTER: Duration = Duration::from_millis(100);

/// The same after records that are not published.
const SAVE_SKIPPED_AFTER: Duration = Duration::from_secs(10);

/// Messages in the order of the history, and how far they are published.
#[derive(Debug)]
pub(crate) struct Backlog {
    folder: PathBuf,
    reader: Option<Reader>,
    /// The position after the last record that was read.
    read_to: Option<Cursor>,
    /// Why the history cannot be read, if that was reported.
    unreadable: Option<String>,
    /// The states of the agents after the last record that was read.
    fleet: Fleet,
    /// The states after the records that were read last, which are still to be added.
    states: LastStates,
    /// How many transitions were added since states were.
    transitions: usize,
    /// The messages that were read and are not confirmed.
    waiting: VecDeque<Waiting>,
    /// How many of them are sent.
    sent: usize,
    published: Published,
    file: CursorFile,
    /// When the file must be written.
    save_at: Option<Instant>,
    /// The file is being written.
    saving: Option<JoinHandle<Result<(), String>>>,
    metrics: Rc<Metrics>,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    recorded_ns: u64,
    /// The position after its record, if this is the last message of one.
    cursor: Option<Cursor>,
}

/// The last message for each subject, in the order in which they came.
#[derive(Debug, Default)]
struct LastStates {
    messages: Vec<Option<Message>>,
    places: HashMap<String, usize>,
    /// When the last of them was recorded.
    recorded_ns: u64,
}

impl LastStates {
    fn push(&mut self, message: Message, recorded_ns: u64) {
        let place = self.messages.len();
        if let Some(earlier) = self.places.insert(message.subject.clone(), place)
            && let Some(earlier) = self.messages.get_mut(earlier)
        {
            *earlier = None;
        }
        self.messages.push(Some(message));
        self.recorded_ns = recorded_ns;
    }
}

/// What to send next.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// Transitions or states, but not both.
    Messages(Vec<&'a Message>),
    /// More of the history has to be read.
    NotYet,
    /// Everything is sent.
    Nothing,
}

impl Backlog {
    /// Continues after what the file of the cursor says is published.
    pub(crate) fn open(
        folder: &Path,
        file: CursorFile,
        metrics: Rc<Metrics>,
    ) -> Result<Self, String> {
        let published = file.read()?;
        if published.cursor.is_none() {
            info!("nothing is published yet: starting at the begin of the history");
        }
        Ok(Self {
            folder: folder.to_owned(),
            reader: None,
            read_to: published.cursor,
            unreadable: None,
            fleet: published.fleet.clone(),
            states: LastStates::default(),
            transitions: 0,
            waiting: VecDeque::new(),
            sent: 0,
            published,
            file,
            save_at: None,
            saving: None,
            metrics,
        })
    }

    /// There is a new connection, on which nothing is sent yet.
    pub(crate) fn send_again(&mut self) {
        self.sent = 0;
    }

    /// The next messages, at most this many. They count as sent.
    pub(crate) fn next_to_send(&mut self, most: usize) -> Next<'_> {
        let (mut count, mut more) = (0, true);
        while count < most {
            match (self.waiting.get(self.sent), self.waiting.get(self.sent + count)) {
                (Some(first), Some(next)) => {
                    if first.message.is_state() != next.message.is_state() {
                        break;
                    }
                    count += 1;
                }
                _ if !more => break,
                _ => {
                    let waiting = self.waiting.len();
                    more = self.read();
                    if more && self.waiting.len() == waiting {
                        break;
                    }
                }
            }
        }
        let from = self.sent;
        self.sent += count;
        match (count, more) {
            (0, true) => Next::NotYet,
            (0, false) => Next::Nothing,
            _ => {
                let messages = self.waiting.range(from..self.sent);
                Next::Messages(messages.map(|waiting| &waiting.message).collect())
            }
        }
    }

    /// Whether all messages that were read are sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.waiting.len()
    }

    /// Reads on until there is something to publish. Returns false at the end of the history.
    pub(crate) fn read(&mut self) -> bool {
        let result = self.read_some();
        if !matches!(result, Ok(true)) {
            self.add_states();
        }
        self.note_waiting();
        match result {
            Ok(more) => {
                if self.unreadable.take().is_some() {
                    info!("the history can be read again");
                }
                more
            }
            Err(why) => {
                self.metrics.history_errors.one();
                if self.unreadable.as_ref() != Some(&why) {
                    error!("cannot read the history: {why}");
                    self.unreadable = Some(why);
                }
                // The next time it is opened again, after the last record that was read.
                false
            }
        }
    }
}

/// Nanoseconds since 1970.
fn wall_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl Backlog {
    fn read_some(&mut self) -> Result<bool, String> {
        let shown = |error: varta_history::Error| error.to_string();
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => match self.read_to {
                Some(cursor) => Reader::resume(&self.folder, cursor).map_err(shown)?,
                None => Reader::open(&self.folder).map_err(shown)?,
            },
        };
        for _ in 0..AT_A_TIME {
            let Some(item) = reader.next().map_err(shown)? else {
                self.reader = Some(reader);
                return Ok(false);
            };
            let waiting = self.waiting.len();
            self.read_item(item)?;
            self.read_to = reader.cursor();
            if self.transitions >= TRANSITIONS_BEFORE_STATES {
                self.add_states();
            } else if self.states.messages.is_empty() {
                self.is_published_to_here();
            }
            if self.waiting.len() > waiting {
                break;
            }
        }
        self.reader = Some(reader);
        Ok(true)
    }

    /// Adds what has to be published about an item. What a newer version has written is not left
    /// out: it waits until this program is newer too.
    fn read_item(&mut self, item: Item<'_>) -> Result<(), String> {
        match item {
            Item::Record(entry) => {
                self.metrics.records.one();
                self.read_record(&entry);
            }
            Item::Overtaken { read, now, host } => {
                warn!(
                    "the records from {read} to {now} were removed before they were published"
                );
                self.metrics.overtaken.one();
                self.fleet.records_were_lost();
                let now_ns = wall_ns();
                let time = Rfc3339(now_ns).to_string();
                self.add_transition(message::lost(&host, &time, read, now), now_ns);
            }
            Item::Damaged { path, offset, bytes } => {
                let path = path.display();
                warn!("{path}: {bytes} bytes from byte {offset} on are damaged and left out");
                self.metrics.damaged.one();
                self.fleet.records_were_lost();
            }
            Item::Newer { path, version } => {
                let path = path.display();
                return Err(format!(
                    "{path}: format {version} is newer than this varta-relay; install the new one"
                ));
            }
        }
        Ok(())
    }

    fn read_record(&mut self, entry: &Entry<'_>) {
        let Some(record) = entry.record() else { return };
        if !entry.again
            && message::is_transition(record.kind())
            && let Some(members) = entry.members()
        {
            self.add_transition(message::transition(members), entry.wall_ns);
        }
        let origin = Origin {
            time: Rfc3339(entry.wall_ns).to_string(),
            wall_ns: entry.wall_ns,
            host: entry.header.host.clone(),
            run: entry.header.run.to_string(),
            seq: entry.seq,
            again: entry.again,
        };
        for message in self.fleet.note(&origin, &record) {
            self.states.push(message, entry.wall_ns);
        }
    }

    fn add_transition(&mut self, message: Message, recorded_ns: u64) {
        self.transitions += 1;
        self.waiting.push_back(Waiting { message, recorded_ns, cursor: None });
    }

    /// Adds the states after all records that were read.
    fn add_states(&mut self) {
        let LastStates { messages, recorded_ns, .. } = mem::take(&mut self.states);
        for message in messages.into_iter().flatten() {
            self.waiting.push_back(Waiting { message, recorded_ns, cursor: None });
        }
        self.transitions = 0;
        self.is_published_to_here();
    }

    /// Once what was added is published, so is all that was read.
    fn is_published_to_here(&mut self) {
        match (self.waiting.back_mut(), self.read_to) {
            (_, None) => {}
            (Some(last), cursor) => last.cursor = cursor,
            (None, Some(cursor)) if self.published.cursor == Some(cursor) => {}
            (None, Some(cursor)) => self.move_cursor(cursor, SAVE_SKIPPED_AFTER),
        }
    }

    fn move_cursor(&mut self, cursor: Cursor, save_after: Duration) {
        self.published.cursor = Some(cursor);
        let at = Instant::now() + save_after;
        self.save_at = Some(self.save_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Reads on while there is no connection, as far as for the age of the oldest message.
    pub(crate) fn read_ahead(&mut self) {
        while self.waiting.is_empty() && self.read() {}
    }

    /// The oldest message is stored by a stream.
    pub(crate) fn confirmed(&mut self, duplicate: bool) {
        self.metrics.published.one();
        if duplicate {
            self.metrics.duplicates.one();
        }
        let Some(Waiting { message, cursor, .. }) = self.waiting.pop_front() else { return };
        self.sent = self.sent.saturating_sub(1);
        if let Some(change) = message.change {
            self.published.fleet.apply(change);
        }
        if let Some(cursor) = cursor {
            self.move_cursor(cursor, SAVE_AFTER);
        }
        self.note_waiting();
    }

    /// The oldest message was not stored: it is sent again, and all after it.
    pub(crate) fn refused(&mut self) {
        self.metrics.refused.one();
        self.send_again();
    }

    /// The subject of the oldest message.
    pub(crate) fn oldest_subject(&self) -> &str {
        self.waiting.front().map_or("", |oldest| &oldest.message.subject)
    }

    fn note_waiting(&self) {
        self.metrics.waiting.set(self.waiting.len());
        self.metrics.oldest_ns.set(self.waiting.front().map(|oldest| oldest.recorded_ns));
    }

    /// Writes the file of the cursor when it is time for it. Returns after each step of that.
    pub(crate) async fn saved(&mut self) {
        match (&mut self.saving, self.save_at) {
            (Some(saving), _) => {
                let result = saving.await;
                self.saving = None;
                self.note_save(result.unwrap_or_else(|error| Err(error.to_string())));
            }
            (None, Some(at)) => {
                sleep_until(at).await;
                self.save_at = None;
                let (file, content) = (self.file.clone(), CursorFile::content(&self.published));
                // The disk may be slow.
                self.saving =
                    content.map(|content| spawn_blocking(move || file.write(&content)));
            }
            (None, None) => std::future::pending().await,
        }
    }

    fn note_save(&mut self, result: Result<(), String>) {
        if let Err(why) = result {
            self.metrics.cursor_errors.one();
            warn!("{why}");
            self.save_at = Some(Instant::now() + SAVE_SKIPPED_AFTER);
        }
    }

    /// Writes the file of the cursor now.
    pub(crate) async fn save(&mut self) -> Result<(), String> {
        if let Some(saving) = self.saving.take() {
            // What it has written is replaced anyway.
            let _ = saving.await;
        }
        match CursorFile::content(&self.published) {
            Some(content) => self.file.write(&content),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
