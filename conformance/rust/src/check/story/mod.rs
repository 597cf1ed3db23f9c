//! Stories: each one drives a simulated observer, which must report and count exactly what the
//! story lists.

mod config;
mod counters;
mod event;
mod reading;
mod step;

use serde_json::Value;
use varta_observer::Simulated;

use crate::failure::Failure;
use crate::fields::Fields;

pub(crate) use step::apply;

pub(super) fn story(story: &Fields<'_>) -> Result<(), Failure> {
    run(story, apply)
}

/// Runs a story whose steps this function applies.
pub(super) fn run(
    story: &Fields<'_>,
    mut apply: impl FnMut(&mut Simulated, &Fields<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    story.only(&["id", "description", "config", "steps", "events", "counters"])?;
    let mut observer = config::observer(&story.object("config")?)?;
    let expected = story.list("events")?;
    let mut seen = 0;
    for (number, step) in story.list("steps")?.iter().enumerate() {
        apply(&mut observer, &Fields::new(step)?).map_err(|failure| failure.at(number))?;
        seen = compare(&mut observer, number, step, expected, seen)?;
    }
    if let Some(missing) = expected.get(seen) {
        let what = "after the last step";
        return Err(Failure::new(what, &missing.to_string(), "nothing more"));
    }
    counters::compare(&observer.stats(), &story.object("counters")?)
}

/// Compares the events after a step. `seen` counts the expected events so far; returns the new
/// count.
fn compare(
    observer: &mut Simulated,
    number: usize,
    step: &Value,
    expected: &[Value],
    seen: usize,
) -> Result<usize, Failure> {
    let of_this_step =
        |event: &&Value| event.get("step").and_then(Value::as_u64) == Some(number as u64);
    let mut due = expected.get(seen..).unwrap_or_default().iter().take_while(of_this_step);
    let mut seen = seen;
    loop {
        let event = observer.poll().map(|event| event::to_json(number, &event, observer));
        match (event, due.next()) {
            (None, None) => return Ok(seen),
            (Some(event), Some(due)) if event == *due => seen += 1,
            (event, due) => {
                let text = |value: Option<&Value>| {
                    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
                };
                let what = format!("step {number} {step}");
                return Err(Failure::new(&what, &text(due), text(event.as_ref())));
            }
        }
    }
}
