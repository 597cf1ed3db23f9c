//! Finding out why a process is silent, from readings that the host makes.

mod classify;
mod learned;
mod reading;
mod suspects;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod thread;

pub use self::classify::diagnose;
pub use self::reading::{
    Call, Depth, Found, Lacks, Looked, MOST_QUOTAS, MOST_THREADS, ProcessReading, Quota,
    Quotas, Sample, ThreadReading,
};
pub use self::text::Text;
