//! Tasks: named parts of a process that are watched one by one.

mod name;
mod words;

pub use name::TaskName;
pub use words::{Promise, Rule};
