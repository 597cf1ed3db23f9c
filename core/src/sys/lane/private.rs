//! The memory of the lane that belongs to this process alone: zero in a forked child.

use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::lane::atomic::AtomicU64;
use crate::lane::layout::{Line, PAIRS};
use crate::lane::mark::Mark;
use crate::sys::page::{map, wipe_on_fork};

/// A pair of lines as it is in a page.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Lines {
    pub(crate) cold: Line,
    pub(crate) hot: Line,
}

/// A pointer that is null when its bytes are zero, as they are in a child.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Pointer<T: 'static>(AtomicPtr<T>);

impl<T> Default for Pointer<T> {
    fn default() -> Self {
        Self(AtomicPtr::default())
    }
}

impl<T: Sync> Pointer<T> {
    pub(crate) fn set(&self, to: Option<&'static T>) {
        let to = to.map_or(ptr::null_mut(), |to| ptr::from_ref(to).cast_mut());
        self.0.store(to, Ordering::Release);
    }

    /// Sets it unless it is set already, and returns what it is.
    pub(crate) fn get_or_set(&self, to: &'static T) -> &'static T {
        let new = ptr::from_ref(to).cast_mut();
        let null = ptr::null_mut();
        let set = self.0.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire);
        match set {
            Ok(_) => to,
            Err(_) => self.get().unwrap_or(to),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: it is null, or `set` made it from a reference that lives as long as the
        // process. In a child, which may not have what was referred to, it is null.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

/// Where the calls of a pair write in the page, and whether they may.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Place {
    /// Who writes the lines at this moment.
    pub(crate) mark: Mark,
    /// The lines in the page that is attached.
    pub(crate) shared: Pointer<Lines>,
}

/// The private memory of a process and endpoint.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Private {
    /// When a call has more to do than to write its line, on the monotonic clock.
    pub(crate) due: AtomicU64,
    /// The page in which the observer publishes when it looked; null unless a page is attached.
    pub(crate) observer: Pointer<Line>,
    /// The same for a call of a task. While there is no lane and no datagram was taken since
    /// the last attempt, it is earlier: a process may call nothing but its tasks.
    pub(crate) due_to_tasks: AtomicU64,
    /// What the observer said of the page that is attached.
    pub(crate) threshold: AtomicU64,
    pub(crate) clock_offset: AtomicU64,
    pub(crate) flags: AtomicU64,
    /// What identifies the thread that beat last.
    pub(crate) thread: AtomicU64,
    /// The number of the process to which the rest belongs.
    pub(crate) process: AtomicU64,
    /// The number of the process for which a thread is clearing the rest.
    pub(crate) settling: AtomicU64,

    /// A bit for each pair that has a holder.
    pub(crate) claimed: AtomicU64,
    /// The last number of a task.
    pub(crate) numbers: AtomicU64,
    /// How many violations there were in all tasks, and how many of them frames have reported.
    pub(crate) violations: AtomicU64,
    pub(crate) reported: AtomicU64,
    /// When the last violation was left to the observer to report, or 0.
    pub(crate) left_at: AtomicU64,

    /// Nonzero while a thread looks after the connection.
    pub(crate) tended: AtomicU64,
    /// When the next step of the connection is due.
    pub(crate) next_step: AtomicU64,
    /// How far the connection is; see [`Stage`](crate::lane::attach::Stage).
    pub(crate) stage: AtomicU64,
    /// When the last attempt to connect began.
    pub(crate) attempted: AtomicU64,
    /// The descriptor of a connection that has no page yet, plus one.
    pub(crate) asking: AtomicU64,
    /// The descriptor of the connection that has or had the page, plus one. It is never
    /// closed, only replaced, because other threads may be about to ring.
    pub(crate) socket: AtomicU64,
    /// Where the two pages are mapped: the same addresses as long as the process lives.
    pub(crate) page: Pointer<[Lines; PAIRS as usize]>,
    pub(crate) looks: Pointer<Line>,

    /// What an attach changes of each pair.
    pub(crate) places: [Place; PAIRS as usize],
    /// The pairs' own copies of their lines. Nothing writes the second page of this memory until
    /// a task has a pair there.
    pub(crate) lines: [Lines; PAIRS as usize],
}

impl Private {
    /// Zeroes what the tasks of this process have, where the kernel does not.
    pub(crate) fn forget(&self) {
        let counts =
            [&self.claimed, &self.numbers, &self.violations, &self.reported, &self.left_at];
        let lines = self.lines.iter().flat_map(|lines| lines.cold.iter().chain(&lines.hot));
        for word in counts.into_iter().chain(lines) {
            word.store(0, Ordering::Relaxed);
        }
        self.places.iter().for_each(|place| place.mark.forget());
    }
}

/// Private memory, mapped until it is dropped.
#[derive(Debug)]
pub(crate) struct PrivateMemory {
    memory: NonNull<Private>,
    /// Whether the kernel zeroes it in a child.
    is_wiped: bool,
}

// SAFETY: the memory is mapped until the value is dropped and holds nothing but atomics.
unsafe impl Send for PrivateMemory {}
// SAFETY: as above.
unsafe impl Sync for PrivateMemory {}

impl PrivateMemory {
    pub(crate) fn new() -> io::Result<Self> {
        let memory = map()?;
        let is_wiped = wipe_on_fork(memory).is_ok();
        let memory = Self { memory, is_wiped };
        // If it were read first, the kernel would be needed for the first write too.
        memory.due.store(0, Ordering::Relaxed);
        Ok(memory)
    }

    /// Whether the kernel zeroes it in every child that has memory of its own.
    pub(crate) fn is_wiped(&self) -> bool {
        self.is_wiped
    }
}

impl Deref for PrivateMemory {
    type Target = Private;

    #[inline]
    fn deref(&self) -> &Private {
        // SAFETY: mapped readable and writable, aligned to a page, until dropped. It holds
        // nothing but atomics, for which zeroed memory is valid.
        unsafe { self.memory.as_ref() }
    }
}

impl Drop for PrivateMemory {
    fn drop(&mut self) {
        // SAFETY: `map` made it, and nothing borrows from it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), size_of::<Private>()) };
    }
}
