//! How a task is declared.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use varta::{Edge, TaskOptions};

use super::{VARTA_NEVER, duration};
use crate::args;
use crate::errors::Failure;
use crate::sized::Sized;

/// Task flag: if this task is late, an observer that does not follow tasks is to report the whole
/// process as silent. varta_beat then returns VARTA_DROPPED_WITHHELD.
pub const VARTA_TASK_VITAL: u32 = 1;
/// Task flag: different threads make the calls. The thread of the task is not recorded, and its end
/// is not noticed.
pub const VARTA_TASK_ROAMS: u32 = 2;

/// A step that a task may take from one checkpoint to another. 24 bytes in every version of this
/// library.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_edge {
    /// The checkpoint before; 0 is outside of all, where a task begins.
    pub from: u16,
    /// The checkpoint that is reached.
    pub to: u16,
    /// Zero.
    pub reserved: u32,
    /// The step takes at least this long.
    pub min_ns: u64,
    /// The step takes less than this; 0 or VARTA_NEVER for no limit. The largest such time of all
    /// edges from a checkpoint is how long the task may stay there.
    pub max_ns: u64,
}

/// Task options. Initialise with VARTA_TASK_OPTIONS_INIT; zero in any field means the default. Times
/// are 1 ms to 30 days long, or VARTA_NEVER.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_task_options {
    /// sizeof(varta_task_options).
    pub size: u32,
    /// VARTA_TASK_VITAL, VARTA_TASK_ROAMS; others are -EINVAL.
    pub flags: u32,
    /// The time until the first call after declaring. Default: the threshold.
    pub startup_ns: u64,
    /// While something is left, done must change at least this often. Default: it need not.
    pub progress_ns: u64,
    /// The shortest span that the observer must report at once if it does not end. Default: the
    /// threshold; a shorter span may then be reported later by up to half the threshold.
    pub finest_ns: u64,
    /// The length of a cycle, in which there must be least to most beats. The first cycle begins
    /// with the first beat after declaring or idling. Default: no cycles.
    pub cycle_ns: u64,
    /// The least number of beats in a cycle. Only used with cycle_ns; -EINVAL without it.
    pub least: u32,
    /// The largest number of beats in a cycle; 0 for no limit. Only used with cycle_ns; -EINVAL
    /// without it.
    pub most: u32,
    /// How many spans can be open at once. Default: 8. More than 65,536 is -EINVAL.
    pub spans: u32,
    /// Zero.
    pub reserved: u32,
    /// The only steps between checkpoints that the task may take, at most 256. Default: any step.
    pub edges: *const varta_edge,
    /// The number of edges.
    pub edge_count: usize,
    /// A buffer for an error message, or NULL. If varta_task_open fails, it writes a sentence that
    /// describes the failure and what to do, NUL-terminated and truncated to fit.
    pub message: *mut c_char,
    /// The size of the message buffer in bytes.
    pub message_size: usize,
}

// SAFETY: it begins with its size and holds numbers and pointers.
unsafe impl Sized for varta_task_options {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        startup_ns: 0,
        progress_ns: 0,
        finest_ns: 0,
        cycle_ns: 0,
        least: 0,
        most: 0,
        spans: 0,
        reserved: 0,
        edges: ptr::null(),
        edge_count: 0,
        message: ptr::null_mut(),
        message_size: 0,
    };
}

impl varta_task_options {
    /// The options of a task with this threshold.
    ///
    /// # Safety
    ///
    /// The pointers are NULL or point to as many values as their count declares.
    pub(super) unsafe fn of_task(&self, threshold: Duration) -> Result<TaskOptions, Failure> {
        const KNOWN_FLAGS: u32 = VARTA_TASK_VITAL | VARTA_TASK_ROAMS;
        let cycle_limits_alone = self.cycle_ns == 0 && (self.least, self.most) != (0, 0);
        if self.flags & !KNOWN_FLAGS != 0 || self.reserved != 0 || cycle_limits_alone {
            return Err(Failure::INVALID);
        }
        let mut options = TaskOptions::new(threshold)
            .vital(self.flags & VARTA_TASK_VITAL != 0)
            .roams(self.flags & VARTA_TASK_ROAMS != 0);
        if self.startup_ns != 0 {
            options = options.startup(duration(self.startup_ns));
        }
        if self.progress_ns != 0 {
            options = options.progress(duration(self.progress_ns));
        }
        if self.finest_ns != 0 {
            options = options.finest(duration(self.finest_ns));
        }
        if self.cycle_ns != 0 {
            let most = if self.most == 0 { u32::MAX } else { self.most };
            options = options.cycle(duration(self.cycle_ns), self.least..=most);
        }
        if self.spans != 0 {
            options = options.spans(self.spans);
        }
        // SAFETY: as the caller promised.
        let edges = unsafe { args::values(self.edges, self.edge_count) }?;
        let edges: Result<Vec<_>, _> = edges.iter().map(varta_edge::edge).collect();
        Ok(options.edges(edges?))
    }
}

impl varta_edge {
    fn edge(&self) -> Result<Edge, Failure> {
        if self.reserved != 0 {
            return Err(Failure::INVALID);
        }
        let max = if self.max_ns == 0 { VARTA_NEVER } else { self.max_ns };
        Ok(Edge::new(self.from, self.to).min(duration(self.min_ns)).max(duration(max)))
    }
}
