//! How late a task may be before it is reported.

use std::time::Duration;

use crate::time::nanoseconds;

/// How late a task may be before its broken promises are reported: the one number by which an
/// operator corrects what programs promise. It is 0 unless it is set for a task's name or for
/// the name of the program. Of two entries for one name the later one counts, and a task's
/// own entry counts more than its program's.
///
/// ```
/// use std::time::Duration;
/// use varta_observer::{Builder, Slack};
///
/// let slack = Slack::new()
///     .program("ingestd", Duration::from_millis(50))
///     .task("batch", Duration::from_secs(10));
/// let builder = Builder::new().lane(true).tasks(true).slack(slack);
/// # let _ = builder;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Slack {
    pub(crate) programs: Vec<(String, u64)>,
    pub(crate) tasks: Vec<(String, u64)>,
}

impl Slack {
    /// None for any task.
    pub const fn new() -> Self {
        Self { programs: Vec::new(), tasks: Vec::new() }
    }

    /// Sets it for all tasks of a program. The kernel keeps only the first 15 bytes of the name
    /// of a program, so only these are compared.
    pub fn program(mut self, name: &str, slack: Duration) -> Self {
        self.programs.push((name.to_owned(), nanoseconds(slack)));
        self
    }

    /// Sets it for all tasks of this name.
    pub fn task(mut self, name: &str, slack: Duration) -> Self {
        self.tasks.push((name.to_owned(), nanoseconds(slack)));
        self
    }
}
