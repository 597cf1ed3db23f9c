//! Receives the heartbeats of thousands of processes and reports which of them stall, exit or
//! recover. [`Observer`] is the entry point; [`Simulated`] is an observer for tests, without
//! sockets; [`judge`] holds the decisions alone, without I/O.

mod builder;
mod cause;
mod counters;
mod escape;
mod event;
mod io;
pub mod judge;
mod memory;
mod names;
mod policy;
mod program_name;
mod simulated;
mod slack;
mod sys;
#[cfg(test)]
mod testing;
mod text;
mod time;

pub use builder::{Builder, DEFAULT_CAPACITY, DEFAULT_THRESHOLD};
pub use cause::{Cause, CauseClass, CauseFlags, CauseInfo, Certainty, Why};
pub use counters::Counters;
pub use event::{About, Ending, Event, ExitCause, Late, Lateness, Origin, Task, What};
pub use io::Observer;
pub use io::causes::ProcessReader;
pub use judge::{
    Access, AgentInfo, Flood, NotifyCounters, ServiceChange, ServiceInfo, ServiceNote,
    ServiceState, ShortText, TaskInfo, UidCounts,
};
pub use names::{Label, Names};
pub use policy::{Policy, Rate, Uids};
pub use program_name::ProgramName;
pub use simulated::Simulated;
pub use slack::Slack;

/// Internal functions for fuzzing.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// Parses the text of /proc/PID/cgroup. Whatever it is, names are valid.
    pub fn read_group(text: &[u8]) {
        let group = crate::names::Group::parse(text);
        for name in [group.unit, group.user_unit, group.container] {
            let text = name.as_str();
            assert!(text.len() < 64 && !text.contains(char::is_control));
            assert_eq!(crate::Label::new(text.as_bytes()), name);
        }
    }

    /// Parses control data as if it came from the kernel.
    pub fn read_control(data: &[u8]) {
        for item in crate::sys::control_items(data) {
            if let crate::sys::Item::Rights(descriptors) = item {
                assert!(descriptors.count() * size_of::<i32>() <= data.len());
            }
        }
    }
}

/// The examples in these pages are compiled and run as doc tests.
#[cfg(doctest)]
mod outside {
    #[doc = include_str!("../../README.md")]
    mod readme {}

    #[doc = include_str!("../../docs/rust.md")]
    mod rust {}

    #[doc = include_str!("../../docs/stories.md")]
    mod stories {}

    #[doc = include_str!("../../docs/tasks.md")]
    mod tasks {}
}
