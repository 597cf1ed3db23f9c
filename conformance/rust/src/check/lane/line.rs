//! Checks of the lines of a page.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use varta::internal::lane::layout::{
    self, Cold, Head, Hot, Info, Line, PAGE_WORDS, Page, Violation,
};
use varta::internal::lane::line;

use super::values::{self, hex_of, words};
use crate::failure::{Failure, same};
use crate::fields::Fields;

/// Where the lines of a pair are.
pub(crate) fn place(vector: &Fields<'_>) -> Result<(), Failure> {
    let page: Page = [const { AtomicU64::new(0) }; PAGE_WORDS];
    let offset = layout::offset(vector.number("index")?);
    let lines = layout::lines(&page, offset, vector.number("pair")?);
    let at = |line: &Line| (&raw const *line as usize) - (&raw const page as usize);
    let (cold, hot) = lines.map(|(cold, hot)| (at(cold), at(hot))).unzip();
    let number = |name| vector.number::<usize>(name);
    for (name, found) in [
        ("expected_offset", usize::try_from(offset).ok()),
        ("expected_cold", cold),
        ("expected_hot", hot),
    ] {
        same(name, &format!("{:?}", Some(number(name)?)), &format!("{found:?}"))?;
    }
    Ok(())
}

pub(crate) fn head(vector: &Fields<'_>) -> Result<(), Failure> {
    let head = values::head(&vector.object("inputs")?)?;
    let wire = words(vector.array("expected_wire_hex")?);
    same("writing", &hex_of(wire), &hex_of(head.to_words()))?;
    same("reading", &text(Some(head)), &text(Head::from_words(wire)))
}

pub(crate) fn cold(vector: &Fields<'_>) -> Result<(), Failure> {
    let cold = values::cold(&vector.object("inputs")?)?;
    let wire = words(vector.array("expected_wire_hex")?);
    same("writing", &hex_of(wire), &hex_of(cold.to_words()))?;
    same("reading", &text(Some(cold)), &text(Cold::from_words(wire)))
}

pub(crate) fn hot(vector: &Fields<'_>) -> Result<(), Failure> {
    let before = words(vector.array("before_hex")?);
    let after = words(vector.array("expected_wire_hex")?);
    let inputs = vector.object("inputs")?;
    inputs.only(&["at", "until", "info", "last"])?;
    let hot = Hot {
        at: inputs.number("at")?,
        until: inputs.number("until")?,
        info: inputs.number("info")?,
        last: inputs.number("last")?,
    };
    let written: Line = before.map(AtomicU64::new);
    let sequence = line::write(&written, before[0], &hot);
    let read = line::read(&written);
    same("reading", &text(Some((sequence, hot))), &text(read))?;
    same("writing", &hex_of(after), &hex_of(written.map(|word| word.load(Ordering::Relaxed))))
}

pub(crate) fn info(vector: &Fields<'_>) -> Result<(), Failure> {
    let info = values::info(&vector.object("inputs")?)?;
    let word = vector.number("expected_word")?;
    same("writing", &hex64(word), &hex64(info.to_word()))?;
    same("reading", &text(Some(info)), &text(Info::from_word(word)))
}

pub(crate) fn violation(vector: &Fields<'_>) -> Result<(), Failure> {
    let violation = values::violation(&vector.object("inputs")?)?;
    let word = vector.number("expected_word")?;
    same("writing", &hex64(word), &hex64(violation.to_word()))?;
    let rounded = Violation { by: vector.number("expected_by")?, ..violation };
    same("reading", &text(Some(rounded)), &text(Violation::from_word(word)))
}

/// Words that nobody writes.
pub(crate) fn invalid(vector: &Fields<'_>) -> Result<(), Failure> {
    let line = || Ok(words(vector.array("wire_hex")?));
    let read = match vector.text("what")? {
        "head" => text(Head::from_words(line()?)),
        "cold" => text(Cold::from_words(line()?)),
        "info" => text(Info::from_word(vector.number("word")?)),
        "violation" => text(Violation::from_word(vector.number("word")?)),
        other => return Err(Failure::new("what", "head, cold, info or violation", other)),
    };
    same("reading", "None", &read)
}

fn text<T: Debug>(value: Option<T>) -> String {
    format!("{value:?}")
}

fn hex64(word: u64) -> String {
    format!("{word:016x}")
}
