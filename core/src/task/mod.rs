//! Tasks: named parts of a process that are watched one by one.

mod fold;
mod handle;
mod line;
mod name;
mod options;
pub(crate) mod promises;
mod registry;
mod span;
mod span_id;
mod verdict;
mod words;

pub(crate) use fold::{fold, is_due as is_fold_due, is_vital_task_late};
pub use handle::{Task, TaskCounts};
pub use name::TaskName;
pub use options::{Edge, NEVER, SpanLimits, TaskOptions};
pub(crate) use registry::Registry;
pub use span::Span;
pub use span_id::SpanId;
pub use verdict::{TaskReport, broken};
pub use words::{Promise, Rule};
