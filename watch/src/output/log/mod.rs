//! The log: a line on stderr for each message. A separate thread writes the lines, because a
//! stuck reader must not block the event loop.

mod limit;

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::flags::{LogFormat, LogLevel, Logging};
use crate::platform::priority;
use crate::state::Shared;
use crate::state::counters::Count;

pub(crate) use limit::LineLimit;

/// The length of the queue, in lines. Further lines are lost and counted.
const WAITING: usize = 4096;

/// Maximum time to wait for the last lines at shutdown.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The running log. Dropping it writes the last lines and ends the thread.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
}

/// Starts logging.
pub(crate) fn start(logging: &Logging, shared: Shared) -> io::Result<Log> {
    let (lines, waiting) = sync_channel(WAITING);
    let writer = thread::Builder::new().name("log".to_owned()).spawn({
        let shared = shared.clone();
        move || {
            priority::lower();
            write_lines(&waiting, &shared.counters().log_lost);
        }
    })?;
    let json = match logging.log_format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let layer = Lines { lines: lines.clone(), shared, json };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(level(logging)));
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    Ok(Log { lines: Some(lines), writer: Some(writer) })
}

fn level(logging: &Logging) -> LevelFilter {
    match logging.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The layer keeps its sender, so an empty line marks the end.
        if let Some(lines) = self.lines.take() {
            let _ = lines.try_send(String::new());
        }
        let end = Instant::now() + LAST_LINES;
        while let Some(writer) = self.writer.take() {
            if writer.is_finished() {
                // The thread returns nothing.
                let _ = writer.join();
            } else if Instant::now() < end {
                self.writer = Some(writer);
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn write_lines(waiting: &Receiver<String>, lost: &Count) {
    let mut stderr = io::stderr();
    let mut reported = 0;
    for line in waiting {
        if line.is_empty() {
            return;
        }
        if stderr.write_all(line.as_bytes()).is_err() {
            // The error may be temporary, such as a full disk.
            lost.one();
            continue;
        }
        let lost = lost.get();
        if lost > reported {
            let line = format!("{} log lines were lost: the queue was full", lost - reported);
            let _ = writeln!(stderr, "{}", serde_json::json!({ "level": "warn", "msg": line }));
            reported = lost;
        }
    }
}

/// Formats messages as lines.
struct Lines {
    lines: SyncSender<String>,
    shared: Shared,
    json: bool,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = if self.json { json(event, now) } else { text(event, now) };
        if self.lines.try_send(line).is_err() {
            self.shared.counters().log_lost.one();
        }
    }
}

fn level_name(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG | tracing::Level::TRACE => "debug",
    }
}

fn json(event: &Event<'_>, now: Duration) -> String {
    let mut fields = Fields(Map::new());
    event.record(&mut fields);
    let message = fields.0.remove("msg").unwrap_or_default();
    let (ns, level) = (now.as_nanos(), level_name(event.metadata()));
    let rest = Value::Object(fields.0).to_string();
    // Time, level and message come first, for human readers.
    match rest.strip_prefix('{') {
        Some(rest) if rest != "}" => {
            format!("{{\"ts_ns\":{ns},\"level\":\"{level}\",\"msg\":{message},{rest}\n")
        }
        _ => format!("{{\"ts_ns\":{ns},\"level\":\"{level}\",\"msg\":{message}}}\n"),
    }
}

fn text(event: &Event<'_>, now: Duration) -> String {
    let mut fields = Fields(Map::new());
    event.record(&mut fields);
    let message = fields.0.remove("msg").unwrap_or_default();
    let message = message.as_str().unwrap_or_default();
    let (seconds, millis) = (now.as_secs() % 86_400, now.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let level = level_name(event.metadata());
    let mut line =
        format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z {level:<5} {message}");
    for (name, value) in fields.0 {
        // Writing to a string does not fail.
        let _ = match value {
            Value::String(text) => write!(line, " {name}={text:?}"),
            other => write!(line, " {name}={other}"),
        };
    }
    line.push('\n');
    line
}

struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }
}
