//! A story: an observer without sockets is told what happens, in invented time, and must
//! say and count exactly what stands there.

mod config;
mod counters;
mod said;
mod step;

use serde_json::Value;
use varta_observer::Simulated;

use crate::failure::Failure;
use crate::fields::Fields;

pub(super) fn story(story: &Fields<'_>) -> Result<(), Failure> {
    story.only(&["id", "description", "config", "steps", "events", "counters"])?;
    let mut observer = config::observer(&story.object("config")?)?;
    let expected = story.list("events")?;
    let mut told = 0;
    for (number, step) in story.list("steps")?.iter().enumerate() {
        step::take(&mut observer, &Fields::new(step)?).map_err(|failure| failure.at(number))?;
        told = compare(&mut observer, number, step, expected, told)?;
    }
    if let Some(never) = expected.get(told) {
        let what = "after the last step";
        return Err(Failure::new(what, &never.to_string(), "nothing more"));
    }
    counters::compare(&observer.stats(), &story.object("counters")?)
}

/// Fetches what is said after a step; answers how many of the events have been said then.
fn compare(
    observer: &mut Simulated,
    number: usize,
    step: &Value,
    expected: &[Value],
    told: usize,
) -> Result<usize, Failure> {
    let here =
        |event: &&Value| event.get("step").and_then(Value::as_u64) == Some(number as u64);
    let mut due = expected.get(told..).unwrap_or_default().iter().take_while(here);
    let mut told = told;
    loop {
        let said = observer.poll().map(|event| said::value(number, &event));
        match (said, due.next()) {
            (None, None) => return Ok(told),
            (Some(said), Some(due)) if said == *due => told += 1,
            (said, due) => {
                let text = |event: Option<&Value>| {
                    event.map_or_else(|| "nothing".to_owned(), Value::to_string)
                };
                let what = format!("step {number} {step}");
                return Err(Failure::new(&what, &text(due), text(said.as_ref())));
            }
        }
    }
}
