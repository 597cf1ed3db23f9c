//! Reads what lines hold from the fields of a vector or a step.

use varta::internal::lane::layout::{Cold, Head, Hot, Info, State, Violation, Words};
use varta::{Promise, Rule, Status, TaskName};

use crate::failure::Failure;
use crate::fields::Fields;

pub(super) fn head(fields: &Fields<'_>) -> Result<Head, Failure> {
    fields.only(&["layout", "live", "thread"])?;
    Ok(Head {
        layout: fields.number("layout")?,
        live: fields.number("live")?,
        thread: fields.number("thread")?,
    })
}

pub(super) fn cold(fields: &Fields<'_>) -> Result<Cold, Failure> {
    fields.only(&[
        "number",
        "state",
        "name",
        "threshold_ns",
        "finest_ns",
        "vital",
        "roams",
        "ended",
        "thread",
        "violations",
        "last_violation",
    ])?;
    let last_violation = match fields.null("last_violation") {
        Ok(()) => None,
        Err(_) => Some(violation(&fields.object("last_violation")?)?),
    };
    let name = fields.text("name")?;
    Ok(Cold {
        number: fields.number("number")?,
        state: state(fields.text("state")?)?,
        vital: fields.boolean("vital")?,
        roams: fields.boolean("roams")?,
        ended: state(fields.text("ended")?)?,
        threshold_ns: fields.number("threshold_ns")?,
        finest_ns: fields.number("finest_ns")?,
        thread: fields.number("thread")?,
        violations: fields.number("violations")?,
        last_violation,
        name: TaskName::new(name)
            .ok_or_else(|| Failure::new("name", "the name of a task", name))?,
    })
}

/// The fields of an info, beside others.
pub(super) fn info(fields: &Fields<'_>) -> Result<Info, Failure> {
    let mut broken = 0;
    for name in fields.list("broken")? {
        broken |= promise(name.as_str().unwrap_or_default())?.bit();
    }
    Ok(Info {
        status: status(fields.text("status")?)?,
        which: fields.text_or_null("which")?.map(promise).transpose()?,
        idle: fields.boolean("idle")?,
        broken,
        checkpoint: fields.number("checkpoint")?,
        payload: fields.number("payload")?,
    })
}

/// A hot line. Its time is that of the step unless the story gives another, and instead of the
/// fields of an info it may have a word.
pub(super) fn hot(fields: &Fields<'_>, at_ns: u64) -> Result<Hot, Failure> {
    let word = if fields.has("info") {
        fields.only(&["at", "until", "info", "last"])?;
        fields.number("info")?
    } else {
        fields.only(&[
            "at",
            "until",
            "status",
            "which",
            "idle",
            "broken",
            "checkpoint",
            "payload",
            "last",
        ])?;
        info(fields)?.to_word()
    };
    Ok(Hot {
        at: if fields.has("at") { fields.number("at")? } else { at_ns },
        until: fields.number("until")?,
        info: word,
        last: fields.number("last")?,
    })
}

pub(super) fn violation(fields: &Fields<'_>) -> Result<Violation, Failure> {
    fields.only(&["rule", "from", "to", "by"])?;
    let name = fields.text("rule")?;
    Ok(Violation {
        rule: named(&Rule::ALL, Rule::name, name)
            .ok_or_else(|| Failure::new("rule", "the name of a rule", name))?,
        from: fields.number("from")?,
        to: fields.number("to")?,
        by: fields.number("by")?,
    })
}

pub(super) fn promise(name: &str) -> Result<Promise, Failure> {
    named(&Promise::ALL, Promise::name, name)
        .ok_or_else(|| Failure::new("promise", "the name of a promise", name))
}

pub(super) fn state(name: &str) -> Result<State, Failure> {
    match name {
        "free" => Ok(State::Free),
        "live" => Ok(State::Live),
        "closed" => Ok(State::Closed),
        "failed" => Ok(State::Failed),
        _ => Err(Failure::new("state", "free, live, closed or failed", name)),
    }
}

pub(super) fn status(name: &str) -> Result<Status, Failure> {
    named(&[Status::Ok, Status::Degraded, Status::Critical], Status::name, name)
        .ok_or_else(|| Failure::new("status", "ok, degraded or critical", name))
}

fn named<T: Copy>(all: &[T], name_of: fn(T) -> &'static str, name: &str) -> Option<T> {
    all.iter().copied().find(|one| name_of(*one) == name)
}

/// The words in the bytes of a line.
pub(super) fn words(bytes: [u8; 64]) -> Words {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

/// The bytes of a line in hex.
pub(super) fn hex_of(words: Words) -> String {
    words.iter().map(|word| format!("{:016x}", word.swap_bytes())).collect()
}
