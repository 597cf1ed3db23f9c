//! An observer that prints each event as a line of JSON until its input ends:
//! `observer ENDPOINT THRESHOLD_MS [lane]`. Its last line has the counters.

#![allow(clippy::print_stdout, reason = "this is its output")]

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};
use varta_observer::{Event, ExitCause, Observer, What};

static INPUT_ENDED: AtomicBool = AtomicBool::new(false);

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_default();
    let threshold = arguments.next().and_then(|ms| ms.parse().ok()).unwrap_or(1000);
    let mut observer = Observer::builder()
        .listen(endpoint.parse().map_err(io::Error::other)?)
        .threshold(Duration::from_millis(threshold))
        .version1(true)
        .lane(arguments.next().is_some())
        .bind()?;
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        INPUT_ENDED.store(true, Ordering::Relaxed);
    });
    println!("ready");
    while !INPUT_ENDED.load(Ordering::Relaxed) {
        if let Some(event) = observer.poll()? {
            println!("{}", to_json(&event));
        }
    }
    let counters = observer.stats()?;
    let (received, beats, lane_beats) =
        (counters.received, counters.beats, counters.lane_beats);
    println!("{}", json!({ "received": received, "beats": beats, "lane_beats": lane_beats }));
    Ok(())
}

fn to_json(event: &Event) -> Value {
    let mut fields = Map::new();
    fields.insert("kind".into(), event.what.name().into());
    if let Some(about) = event.about {
        fields.insert("pid".into(), about.claimed_pid.into());
    }
    match event.what {
        What::Beat { status, payload, nonce, count, .. } => {
            fields.insert("status".into(), status.name().into());
            fields.insert("payload".into(), payload.into());
            fields.insert("nonce".into(), nonce.into());
            fields.insert("count".into(), count.into());
        }
        What::Exit { cause: ExitCause::Code(code), .. } => {
            fields.insert("code".into(), code.into());
        }
        What::Exit { cause: ExitCause::Signal(signal), .. } => {
            fields.insert("signal".into(), signal.into());
        }
        _ => {}
    }
    fields.into()
}
