//! The observer: hears the beats of thousands of processes, follows each one by what the
//! kernel says of it, and says who is silent, gone or back.

mod builder;
mod counters;
mod event;
mod io;
pub mod judge;
mod memory;
mod policy;
mod program_name;
mod simulated;
mod sys;
#[cfg(test)]
mod testing;

pub use builder::{Builder, DEFAULT_CAPACITY, DEFAULT_THRESHOLD};
pub use counters::Counters;
pub use event::{About, Event, ExitCause, Origin, What};
pub use io::Observer;
pub use judge::{AgentInfo, Flood, UidCounts};
pub use policy::{Policy, Rate, Uids};
pub use program_name::ProgramName;
pub use simulated::Simulated;

/// What only fuzzing reaches from outside.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// Takes control data apart, as from the kernel.
    pub fn read_control(data: &[u8]) {
        for item in crate::sys::control_items(data) {
            if let crate::sys::Item::Rights(descriptors) = item {
                assert!(descriptors.count() * size_of::<i32>() <= data.len());
            }
        }
    }
}

/// Examples outside the crates are compiled and run with those in them.
#[cfg(doctest)]
mod outside {
    #[doc = include_str!("../../README.md")]
    mod readme {}

    #[doc = include_str!("../../docs/rust.md")]
    mod rust {}

    #[doc = include_str!("../../docs/stories.md")]
    mod stories {}
}
