//! Writes a history as a daemon does, or prints one. The tests use it.
//!
//! ```text
//! history write FOLDER HOST PER_SECOND [COUNT]    records transitions, for ever or COUNT of them
//! history print FOLDER                            one JSON object per line
//! ```

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use varta_history::{
    Agent, ClockPair, Exit, Gap, Item, Limits, Origin, Reader, Record, Recovered, Run, Stall,
    Started, Writer,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The number of agents at any time.
const AGENTS: u64 = 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["write", folder, host, rate] => {
            write(Path::new(folder), host, rate.parse()?, u64::MAX)
        }
        ["write", folder, host, rate, count] => {
            write(Path::new(folder), host, rate.parse()?, count.parse()?)
        }
        ["print", folder] => print(Path::new(folder)),
        _ => Err("usage: history write FOLDER HOST PER_SECOND [COUNT] | print FOLDER".into()),
    }
}

/// The records of a run, in an endless sequence: agents are heard, stall, recover and exit.
fn record(at: u64) -> Record {
    // The first one is that of the start.
    let after = at.saturating_sub(2);
    let (round, step) = (after / (AGENTS * 5), after % (AGENTS * 5) / AGENTS);
    let agent = round * AGENTS + after % AGENTS + 1;
    let pid = 1_000 + u32::try_from(agent % 30_000).unwrap_or_default();
    let program = format!("program.{}", agent % 3).into();
    match (at, step) {
        (1, _) => Started { version: "test".into(), ..Started::default() }.into(),
        (_, 0) => Agent {
            agent,
            pid,
            claimed_pid: pid,
            program,
            origin: "kernel-attested".into(),
            threshold_ns: 1_000_000_000,
            ..Agent::default()
        }
        .into(),
        (_, 1) => Stall { agent, last_nonce: at, ..Stall::default() }.into(),
        // It is not published.
        (_, 2) => Gap { agent, silent_ns: 1_500_000_000, ..Gap::default() }.into(),
        (_, 3) => {
            let promise = "beat".into();
            Recovered { agent, silent_ns: 1_500_000_000, promise, ..Recovered::default() }
                .into()
        }
        _ => Exit { agent, code: Some(0), last_status: "ok".into(), ..Exit::default() }.into(),
    }
}

fn write(folder: &Path, host: &str, per_second: u64, count: u64) -> Result<()> {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let seconds: f64 = uptime.split(' ').next().unwrap_or_default().parse()?;
    let boot_ns = u64::try_from(Duration::from_secs_f64(seconds).as_nanos())?;
    let run = Run::new(&boot_id, boot_ns).map_err(|error| error.to_string())?;
    let (began, wall) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let now =
        || ClockPair { observer_ns: ns(began.elapsed()), wall_ns: ns(wall + began.elapsed()) };
    let origin = Origin { host: host.to_owned(), run, boot_ns };
    let limits = Limits { max_bytes: 1 << 30, ..Limits::default() };
    let mut writer = Writer::open(folder, limits, origin, now())?;
    let mut seq = 0;
    while seq < count {
        let due = ns(began.elapsed()) / 1_000 * per_second / 1_000_000;
        // In larger parts the memory would grow.
        for _ in 0..due.min(count).saturating_sub(seq).min(10_000) {
            seq += 1;
            writer.push(seq, now().observer_ns, &record(seq));
        }
        writer.flush(now(), Vec::new)?;
        if seq >= due {
            sleep(Duration::from_millis(1));
        }
    }
    writer.end(now())?;
    Ok(())
}

fn print(folder: &Path) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut reader = Reader::open(folder)?;
    while let Some(item) = reader.next()? {
        match item {
            Item::Record(entry) if entry.again => {}
            Item::Record(entry) => match entry.members() {
                Some(members) => writeln!(out, "{}", Value::Object(members))?,
                None => return Err(format!("record {} cannot be read", entry.seq).into()),
            },
            // Such as what was written last when the writer was killed.
            obstacle => writeln!(io::stderr(), "{obstacle:?}")?,
        }
    }
    out.flush()?;
    Ok(())
}
