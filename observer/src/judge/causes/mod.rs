//! Finding out why a process is silent, from readings that the host makes.

mod reading;
mod text;

pub use self::reading::{
    Call, Depth, Found, Lacks, Looked, MOST_QUOTAS, MOST_THREADS, ProcessReading, Quota,
    Quotas, Sample, ThreadReading,
};
pub use self::text::Text;
