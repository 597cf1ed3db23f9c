//! The table of tasks and their deadlines.

use std::fmt;

use varta::TaskName;
use varta::internal::lane::layout::done_and_left;

use super::pages::NONE;
use super::promises::Promises;
use super::{PageClock, PageIndex};
use crate::event;
use crate::judge::deadline::{Entry, Linked, Links, List, Wheel, WheelSlot};
use crate::judge::tracker::Tracker;
use crate::memory::{self, OutOfMemory};

/// A task that is followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    /// The number of its agent.
    pub(super) agent: u64,
    pub(super) page: PageIndex,
    pub(super) pair: u32,
    /// The next task of the page.
    next: u32,
    /// Its number in events, and the one in its line.
    pub(super) number: u32,
    pub(super) own_number: u32,
    pub(super) name: TaskName,
    pub(super) threshold_ns: u64,
    pub(super) finest_ns: u64,
    /// How late it may be.
    pub(super) slack_ns: u64,
    pub(super) promises: Promises,
    /// What it has done and what is left, packed as in its line.
    pub(super) progress: u64,
    pub(super) thread: u32,
    pub(super) roams: bool,
    /// The violations that were reported, as its line counts them.
    pub(super) violations: u32,
    /// Those of them that are events.
    pub(super) reported: u64,
    pub(super) beats: u64,
    /// The number and counts words of its cold line when it was read last.
    pub(super) marks: (u64, u64),
    /// When its last call was made, in the observer's time.
    pub(super) last_ns: u64,
    /// The call after which its process was read early.
    pub(super) read_after: u64,
    /// Whether its timer is for that, rather than for a promise.
    pub(super) early: bool,
    links: Links,
    place: WheelSlot,
}

impl Task {
    pub(super) fn event(&self) -> event::Task {
        event::Task {
            number: self.number,
            name: self.name,
            done: done_and_left(self.progress).0,
        }
    }

    /// The shortest time after which something can be due.
    pub(super) const fn finest(&self) -> u64 {
        if self.finest_ns == 0 || self.finest_ns > self.threshold_ns {
            self.threshold_ns
        } else {
            self.finest_ns
        }
    }
}

impl Linked for Task {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Entry for Task {
    /// The task whose last call is older comes first, then the one whose agent has the lower
    /// number, then the one with the lower pair.
    type Rank = (u64, u64, u32);

    fn place(&self) -> WheelSlot {
        self.place
    }

    fn set_place(&mut self, place: WheelSlot) {
        self.place = place;
    }

    fn rank(&self) -> Self::Rank {
        (self.last_ns, self.agent, self.pair)
    }
}

/// What is known about a new task.
#[derive(Debug)]
pub(super) struct NewTask {
    pub(super) agent: u64,
    pub(super) page: PageIndex,
    pub(super) pair: u32,
    pub(super) number: u32,
    pub(super) own_number: u32,
    pub(super) name: TaskName,
    pub(super) promises: Promises,
}

pub(super) struct Tasks {
    tasks: Vec<Task>,
    wheel: Wheel,
    free: List,
    followed: usize,
    most: usize,
}

impl Tasks {
    pub(super) fn new(most: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            tasks: memory::vector(most)?,
            wheel: Wheel::new(most)?,
            free: List::EMPTY,
            followed: 0,
            most,
        })
    }

    pub(super) const fn most(&self) -> usize {
        self.most
    }

    pub(super) const fn followed(&self) -> usize {
        self.followed
    }

    pub(super) const fn is_full(&self) -> bool {
        self.followed >= self.most
    }

    /// Follows a task. There must be room.
    pub(super) fn add(&mut self, first: &mut u32, new: NewTask) -> u32 {
        let NewTask { agent, page, pair, number, own_number, name, promises } = new;
        let index = match self.free.last() {
            Some(index) => {
                self.free.remove(&mut self.tasks, index);
                index
            }
            None => u32::try_from(self.tasks.len()).unwrap_or(NONE),
        };
        let task = Task {
            agent,
            page,
            pair,
            next: NONE,
            number,
            own_number,
            name,
            threshold_ns: 0,
            finest_ns: 0,
            slack_ns: 0,
            promises,
            progress: 0,
            thread: 0,
            roams: false,
            violations: 0,
            reported: 0,
            beats: 0,
            marks: (0, 0),
            last_ns: 0,
            read_after: 0,
            early: false,
            links: Links::LOOSE,
            place: WheelSlot::NOWHERE,
        };
        match self.tasks.get_mut(index as usize) {
            Some(place) => *place = task,
            None => self.tasks.push(task),
        }
        self.followed += 1;
        // The tasks of a page are in the order of their pairs.
        let mut before = NONE;
        let mut after = *first;
        while let Some(at) = self.tasks.get(after as usize).filter(|at| at.pair < pair) {
            (before, after) = (after, at.next);
        }
        self.at_mut(index).next = after;
        match self.tasks.get_mut(before as usize) {
            Some(before) => before.next = index,
            None => *first = index,
        }
        index
    }

    /// Stops following a task.
    pub(super) fn remove(&mut self, first: &mut u32, index: u32) {
        let after = self.at(index).next;
        if *first == index {
            *first = after;
        } else {
            let mut at = *first;
            while let Some(before) = self.tasks.get_mut(at as usize) {
                if before.next == index {
                    before.next = after;
                    break;
                }
                at = before.next;
            }
        }
        self.wheel.clear(&mut self.tasks, index);
        self.free.append(&mut self.tasks, index);
        self.followed -= 1;
    }

    /// The task of a page with this pair.
    pub(super) fn find(&self, first: u32, pair: u32) -> Option<u32> {
        self.of(first).find(|index| self.at(*index).pair == pair)
    }

    /// The tasks of a page.
    pub(super) fn of(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let mut next = first;
        std::iter::from_fn(move || {
            let task = self.tasks.get(next as usize)?;
            Some(std::mem::replace(&mut next, task.next))
        })
    }

    pub(super) fn after(&self, index: u32) -> u32 {
        self.at(index).next
    }

    /// Sets the timer of a task if something is due before the next look at its page.
    pub(super) fn time(&mut self, index: u32, deadline: Option<u64>, next_look: u64) {
        match deadline {
            Some(deadline) if deadline < next_look => {
                self.wheel.set(&mut self.tasks, index, deadline);
            }
            _ => self.wheel.clear(&mut self.tasks, index),
        }
    }

    /// The next task whose deadline is `horizon` or earlier, and its deadline. A pause in its silence extends it first.
    pub(super) fn first_due(
        &mut self,
        horizon: u64,
        tracker: &Tracker,
        clock: impl Fn(PageIndex) -> PageClock,
    ) -> Option<(u64, u32)> {
        let extend = |task: &mut Task| {
            if task.early || task.promises.pardon_ns > 0 {
                return None;
            }
            let clock = clock(task.page);
            let last_ns = clock.to_observer(task.promises.call.at);
            task.promises.pardon_ns =
                tracker.pause_within_line(last_ns).filter(|pardon_ns| *pardon_ns > 0)?;
            task.promises.next(task.slack_ns).map(|at| clock.to_observer(at))
        };
        let index = self.wheel.first_due(&mut self.tasks, horizon, extend)?;
        Some((self.at(index).links.deadline, index))
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        if self.followed == 0 {
            return None;
        }
        self.wheel.next_deadline(&self.tasks)
    }

    #[allow(clippy::indexing_slicing, reason = "the indexes come from this table")]
    pub(super) fn at(&self, index: u32) -> &Task {
        &self.tasks[index as usize]
    }

    #[allow(clippy::indexing_slicing, reason = "the indexes come from this table")]
    pub(super) fn at_mut(&mut self, index: u32) -> &mut Task {
        &mut self.tasks[index as usize]
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("followed", &self.followed)
            .field("most", &self.most)
            .field("wheel", &self.wheel)
            .finish_non_exhaustive()
    }
}
