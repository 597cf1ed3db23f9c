//! An observer that says each event as a line of JSON, `observer ENDPOINT THRESHOLD_MS`,
//! until its input ends; its last line is what it has counted.

#![allow(clippy::print_stdout, reason = "it answers there")]

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};
use varta_observer::{Event, ExitCause, Observer, What};

static OVER: AtomicBool = AtomicBool::new(false);

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_default();
    let threshold = arguments.next().and_then(|ms| ms.parse().ok()).unwrap_or(1000);
    let mut observer = Observer::builder()
        .listen(endpoint.parse().map_err(io::Error::other)?)
        .threshold(Duration::from_millis(threshold))
        .version1(true)
        .bind()?;
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        OVER.store(true, Ordering::Relaxed);
    });
    println!("ready");
    while !OVER.load(Ordering::Relaxed) {
        if let Some(event) = observer.poll()? {
            println!("{}", told(&event));
        }
    }
    let counters = observer.stats()?;
    println!("{}", json!({ "received": counters.received, "beats": counters.beats }));
    Ok(())
}

fn told(event: &Event) -> Value {
    let mut said = Map::new();
    said.insert("kind".into(), event.what.name().into());
    if let Some(about) = event.about {
        said.insert("pid".into(), about.claimed_pid.into());
    }
    match event.what {
        What::Beat { status, payload, nonce, .. } => {
            said.insert("status".into(), status.name().into());
            said.insert("payload".into(), payload.into());
            said.insert("nonce".into(), nonce.into());
        }
        What::Exit { cause: ExitCause::Code(code), .. } => {
            said.insert("code".into(), code.into());
        }
        What::Exit { cause: ExitCause::Signal(signal), .. } => {
            said.insert("signal".into(), signal.into());
        }
        _ => {}
    }
    said.into()
}
