//! Judging the lines that agents write into shared memory.
//!
//! A process that has attached has a page. Its host passes the page's index to the judge, which
//! reads the lines when they are due for a look, and again before any verdict on them.

mod attach;
mod budget;
mod causes;
mod info;
mod lines;
mod look;
mod pages;
mod process;
mod promises;
mod schedule;
mod slack;
mod task;
mod tasks;
mod verdict;

use varta::internal::lane::layout;

pub(crate) use self::budget::WAKE_NS;
pub use self::info::TaskInfo;
use self::pages::Pages;
use self::schedule::Schedule;
use self::slack::Table;
use self::tasks::Tasks;
pub(super) use self::verdict::Due;
use crate::judge::Slot;
use crate::memory::OutOfMemory;
use crate::slack::Slack;

/// The most events of one call: for each of 31 pairs an Ended, a Task, four Recovered, a Beat,
/// a Violation and another Ended, and what the process's own line causes.
pub(super) const MOST_EVENTS: usize = 288;

/// The place of a page: a small number that is reused for another page later. Use it as an
/// index into a table of mapped pages.
///
/// ```
/// use varta_observer::judge::PageIndex;
///
/// fn address_of(page: PageIndex, first: usize) -> usize {
///     first + 4096 * page.index()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageIndex(pub(super) u32);

impl PageIndex {
    /// The page with this index, for other languages. It need not exist.
    #[must_use]
    pub const fn from_index(index: u32) -> Self {
        Self(index)
    }

    /// The index, which is below [`Settings::pages`](super::Settings::pages).
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The offset in bytes of the process's own pair of lines in this page.
    #[must_use]
    pub const fn offset(self) -> u32 {
        layout::offset(self.0)
    }
}

/// A process that asks for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attaching {
    /// Its pid in the observer's namespace, according to the kernel; 0 if it has none there.
    pub pid: u32,
    /// Its user, according to the kernel.
    pub uid: u32,
    /// A number that no other process has or had, if it is known: the inode of its pidfd.
    pub process: Option<u64>,
    /// The pid that it claims, which is a label.
    pub claimed_pid: u32,
    /// The last nonce that it has used. Its lines are counted from there.
    pub nonce: u64,
    /// Its monotonic clock less the observer's: 0 unless it is in another time namespace.
    pub clock_offset: i64,
}

/// A process that may have a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// The page.
    pub page: PageIndex,
    /// The threshold of the process, in nanoseconds.
    pub threshold_ns: u64,
    /// Whether the lines of its tasks are read.
    pub tasks: bool,
}

/// Why a process may not have a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: i32,
    /// The reason, in words.
    pub reason: &'static str,
}

/// Everything that a judge remembers about pages and tasks. Without pages it takes no memory.
#[derive(Debug)]
pub(super) struct Lanes {
    pages: Pages,
    schedule: Schedule,
    tasks: Tasks,
    slack: Table,
    clocks: Clocks,
    /// Whether the lines of tasks are read.
    wants_tasks: bool,
}

impl Lanes {
    pub(super) fn new(settings: LaneSettings<'_>) -> Result<Self, OutOfMemory> {
        let LaneSettings { pages, slots, tasks, floor_ns, slack } = settings;
        let most_tasks = if tasks && pages > 0 { slots / 2 } else { 0 };
        Ok(Self {
            pages: Pages::new(pages, slots, tasks)?,
            schedule: Schedule::new(floor_ns),
            tasks: Tasks::new(most_tasks)?,
            slack: Table::new(slack),
            clocks: Clocks::default(),
            wants_tasks: tasks && pages > 0,
        })
    }

    /// How many tasks there can be.
    pub(super) const fn most_tasks(&self) -> usize {
        self.tasks.most()
    }

    /// When the next task is due.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.tasks.next_deadline()
    }

    /// How many tasks an agent has, and how many of them are late.
    pub(super) fn tasks_of(&self, slot: Slot) -> (u32, u32) {
        self.pages.agent(slot).map_or((0, 0), |agent| (agent.tasks, agent.tasks_late))
    }

    /// Moves the last calls of all tasks by the time for which the system was suspended, as
    /// those of processes.
    fn shift_tasks(&mut self, suspended: u64) {
        for page in self.pages.indexes() {
            let mut task = self.pages.at(page).first_task;
            while task != pages::NONE {
                let found = self.tasks.at_mut(task);
                found.last_ns = found.last_ns.saturating_add(suspended);
                task = self.tasks.after(task);
            }
        }
    }

    /// How long the system was suspended since the last call.
    pub(super) fn take_suspended(&mut self) -> u64 {
        std::mem::take(&mut self.clocks.suspended)
    }
}

/// What [`Lanes`] needs from the settings of a judge.
#[derive(Debug)]
pub(super) struct LaneSettings<'a> {
    /// The most pages.
    pub(super) pages: usize,
    /// The most agents and tasks together.
    pub(super) slots: usize,
    /// Whether tasks are wanted.
    pub(super) tasks: bool,
    /// The shortest time between two looks at a page.
    pub(super) floor_ns: u64,
    /// How late a task may be.
    pub(super) slack: &'a Slack,
}

/// How the observer's time and the monotonic clock of lines relate.
#[derive(Debug, Default)]
struct Clocks {
    /// The observer's time less the monotonic clock, which stands still during a suspend.
    offset: i64,
    known: bool,
    /// How long the system was suspended since the last pause.
    suspended: u64,
}

/// Two readings of the clocks are not of exactly the same instant. A suspend takes longer.
const SUSPENDED_NS: i64 = 1_000_000;

impl Clocks {
    /// Records two readings of one instant, and returns how long the system was suspended
    /// since the last ones.
    fn set(&mut self, observer_ns: u64, monotonic_ns: u64) -> u64 {
        let offset = difference(observer_ns, monotonic_ns);
        let grown = offset.saturating_sub(self.offset);
        let suspended = self.known && grown >= SUSPENDED_NS;
        if suspended || !self.known || grown < 0 {
            self.offset = offset;
        }
        self.known = true;
        let suspended = if suspended { grown.unsigned_abs() } else { 0 };
        self.suspended = self.suspended.saturating_add(suspended);
        suspended
    }

    /// The clock of a process that is ahead of the observer's monotonic clock by this much.
    #[inline]
    const fn of_page(&self, clock_offset: i64) -> PageClock {
        PageClock { behind: self.offset.saturating_sub(clock_offset) }
    }
}

/// The clock of a process.
#[derive(Debug, Clone, Copy)]
struct PageClock {
    /// The observer's time less this clock.
    behind: i64,
}

impl PageClock {
    #[inline]
    const fn to_observer(self, page_ns: u64) -> u64 {
        page_ns.saturating_add_signed(self.behind)
    }

    #[inline]
    const fn to_page(self, observer_ns: u64) -> u64 {
        observer_ns.saturating_add_signed(self.behind.saturating_neg())
    }
}

/// `a - b`, if that fits.
fn difference(a: u64, b: u64) -> i64 {
    let difference = i128::from(a) - i128::from(b);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_step_of_the_clocks_is_a_suspend() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.of_page(0).to_observer(7), 7, "one clock until both were read");
        assert_eq!(clocks.set(1_000_000, 501_000_000), 0);
        let clock = clocks.of_page(0);
        assert_eq!(clock.to_observer(501_000_000), 1_000_000);
        assert_eq!(clock.to_page(1_000_000), 501_000_000);
        let other_namespace = clocks.of_page(100);
        assert_eq!(other_namespace.to_observer(501_000_100), 1_000_000);
        assert_eq!(clocks.set(1_900_000, 501_900_300), 0, "the first readings were apart");
        assert_eq!(clocks.of_page(0).to_observer(501_900_300), 1_900_000);
        assert_eq!(clocks.set(3_000_500, 503_000_300), 0, "these are further apart");
        assert_eq!(clocks.of_page(0).to_observer(503_000_300), 3_000_000);
        assert_eq!(clocks.set(63_000_000, 504_000_300), 59_000_000);
        assert_eq!(clocks.suspended, 59_000_000);
    }
}
