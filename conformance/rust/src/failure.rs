//! A failure of a vector or a story.

use std::fmt;

pub(crate) struct Failure {
    what: String,
    expected: String,
    got: String,
}

impl Failure {
    pub(crate) fn new(what: &str, expected: &str, got: impl fmt::Display) -> Self {
        Self { what: what.to_owned(), expected: expected.to_owned(), got: got.to_string() }
    }

    /// Adds the step of the story.
    pub(crate) fn at(mut self, step: usize) -> Self {
        self.what = format!("step {step}: {}", self.what);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, got } = self;
        write!(f, "{what}: expected {expected}, got {got}")
    }
}

pub(crate) fn same(what: &str, expected: &str, got: &str) -> Result<(), Failure> {
    if expected == got { Ok(()) } else { Err(Failure::new(what, expected, got)) }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
