//! The files of a history.

pub(crate) mod frame;
mod header;
mod scan;

pub(crate) use header::Beginning;
pub use header::Header;
pub(crate) use scan::{Scan, Step};
