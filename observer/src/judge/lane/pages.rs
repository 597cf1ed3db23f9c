//! The table of pages, and which agent each belongs to.

use super::PageIndex;
use crate::judge::deadline::{Linked, Links, List};
use crate::judge::local::Process;
use crate::judge::tracker::Slot;
use crate::memory::{self, OutOfMemory};

/// No page, task or pair.
pub(super) const NONE: u32 = u32::MAX;

/// A process has at most this many pages: one for each copy of the library in it.
pub(super) const MOST_PER_AGENT: usize = 4;

/// How many pairs of lines a page has for tasks.
const TASK_PAIRS: usize = 31;

/// How far the handing over of a page has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// The index is not in use.
    Free,
    /// The process may map it.
    Offered,
    /// The process has mapped it.
    Mapped,
}

/// Why the timers of a page may have to be set again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Change {
    Nothing,
    /// Something else may be due first.
    News,
    /// Its period may be another one too.
    Period,
}

/// What every look touches, in one cache line. The rest is in [`Details`].
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Page {
    /// In its class of the schedule; and the time before which no line is due.
    pub(super) links: Links,
    /// The sequence of the last news in the process's own line.
    pub(super) sequence: u64,
    /// The time and the nonce of these news.
    pub(super) at: u64,
    pub(super) nonce: u64,
    /// When it is looked at next.
    pub(super) next_look: u64,
    /// The slot of the agent that it belongs to, once there was a sign of life, or [`NONE`].
    slot: u32,
    /// The first of its tasks, which are in the order of their pairs.
    pub(super) first_task: u32,
    /// The class in the schedule, while it is mapped.
    pub(super) class: u16,
    pub(super) stage: Stage,
    /// Whether it has been looked at: what the first look finds was there before.
    pub(super) looked: bool,
    pub(super) change: Change,
    /// Whether its details say nothing that matters to a beat: no datagrams were heard since the
    /// last news, and the clock of the process is the observer's.
    pub(super) is_plain: bool,
}

const _: () = assert!(size_of::<Page>() == 64);

/// What few looks need to know of a page.
#[derive(Debug, Clone)]
pub(super) struct Details {
    /// The pairs of the tasks that are followed.
    pub(super) pairs: u32,
    /// The next page of its agent.
    pub(super) next_page: u32,
    /// Datagrams heard since the last news whose nonces are ahead of it. Before the page belongs to
    /// an agent: those that had been heard of the process when it attached.
    pub(super) heard: u32,
    /// The nonce of the last of these.
    pub(super) heard_nonce: u64,
    /// The clock of the process less the observer's monotonic clock.
    pub(super) clock_offset: i64,
    /// Half of this is the longest period in which it is looked at.
    pub(super) finest_ns: u64,
    /// The pairs of tasks for which there was no room.
    pub(super) without_room: u32,
    pub(super) claimed_pid: u32,
    pub(super) process: Process,
    /// When the process mapped it.
    pub(super) mapped_ns: u64,
}

impl Page {
    pub(super) const FREE: Self = Self {
        links: Links::due_at(u64::MAX),
        sequence: 0,
        at: 0,
        nonce: 0,
        next_look: 0,
        slot: NONE,
        first_task: NONE,
        class: 0,
        stage: Stage::Free,
        looked: false,
        change: Change::Nothing,
        is_plain: true,
    };

    #[inline]
    pub(super) fn slot(&self) -> Option<Slot> {
        (self.slot != NONE).then_some(Slot(self.slot))
    }

    /// Notes that its timers may have to change because of news.
    #[inline]
    pub(super) fn change(&mut self, change: Change) {
        self.change = self.change.max(change);
    }
}

impl Details {
    pub(super) const NONE: Self = Self {
        pairs: 0,
        next_page: NONE,
        heard: 0,
        heard_nonce: 0,
        clock_offset: 0,
        finest_ns: 0,
        without_room: 0,
        claimed_pid: 0,
        process: Process { pid: 0, uid: 0, process: None },
        mapped_ns: 0,
    };
}

impl Linked for Page {
    #[inline]
    fn links(&self) -> &Links {
        &self.links
    }

    #[inline]
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// What is remembered about an agent that has pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct PagedAgent {
    first_page: u32,
    /// The number of its next task.
    pub(super) next_task: u32,
    /// Its tasks, and those that are late.
    pub(super) tasks: u32,
    pub(super) tasks_late: u32,
    /// How late its tasks may be, by the name of its program.
    pub(super) slack_ns: u64,
    /// How late its tasks may be, if that was set for it alone.
    pub(super) own_slack_ns: Option<u64>,
    /// When the work that was done for it will have been a small share of the time.
    pub(super) paid_at: u64,
}

impl PagedAgent {
    pub(super) const NEW: Self = Self {
        first_page: NONE,
        next_task: 1,
        tasks: 0,
        tasks_late: 0,
        slack_ns: 0,
        own_slack_ns: None,
        paid_at: 0,
    };
}

/// What is remembered about the pairs of a page.
#[derive(Debug, Clone)]
struct Pairs {
    /// The sequences that were seen last.
    sequences: [u64; TASK_PAIRS],
    /// The numbers of tasks that are over although they are live: their threads are gone.
    gone: [u32; TASK_PAIRS],
}

impl Pairs {
    const NEW: Self = Self { sequences: [0; TASK_PAIRS], gone: [0; TASK_PAIRS] };
}

#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Page>,
    /// By page.
    details: Vec<Details>,
    free: List,
    /// The page that the next process gets, if that has been decided.
    next: Option<u32>,
    most: usize,
    /// By slot, as far as agents have had pages.
    agents: Vec<PagedAgent>,
    /// By page, if tasks are wanted.
    pairs: Vec<Pairs>,
    tasks: bool,
}

impl Pages {
    pub(super) fn new(most: usize, slots: usize, tasks: bool) -> Result<Self, OutOfMemory> {
        let most = most.min(NONE as usize - 1);
        Ok(Self {
            pages: memory::vector(most)?,
            details: memory::vector(most)?,
            free: List::EMPTY,
            next: None,
            most,
            agents: memory::vector(if most > 0 { slots } else { 0 })?,
            pairs: memory::vector(if tasks { most } else { 0 })?,
            tasks,
        })
    }

    /// The page that the next process gets, if one is free.
    pub(super) fn next(&mut self) -> Option<PageIndex> {
        if self.next.is_none() {
            self.next = self.take_free();
        }
        self.next.map(PageIndex)
    }

    fn take_free(&mut self) -> Option<u32> {
        if let Some(index) = self.free.first() {
            self.free.remove(&mut self.pages, index);
            return Some(index);
        }
        if self.pages.len() >= self.most {
            return None;
        }
        self.pages.push(Page::FREE);
        self.details.push(Details::NONE);
        if self.tasks {
            self.pairs.push(Pairs::NEW);
        }
        u32::try_from(self.pages.len() - 1).ok()
    }

    /// A page for a process, if one is free.
    pub(super) fn take(&mut self, nonce: u64, details: Details) -> Option<PageIndex> {
        let index = self.next()?;
        self.next = None;
        *self.at_mut(index) = Page { stage: Stage::Offered, nonce, ..Page::FREE };
        let (heard, heard_nonce) = (details.heard, details.heard_nonce);
        *self.details_mut(index) = details;
        self.set_heard(index, heard, heard_nonce);
        if let Some(pairs) = self.pairs.get_mut(index.index()) {
            *pairs = Pairs::NEW;
        }
        Some(index)
    }

    /// Frees a page that belongs to no agent and is in no class.
    pub(super) fn free(&mut self, page: PageIndex) {
        *self.at_mut(page) = Page::FREE;
        *self.details_mut(page) = Details::NONE;
        self.free.append(&mut self.pages, page.0);
    }

    /// The page with this index, if it is in use.
    #[inline]
    pub(super) fn get(&self, page: PageIndex) -> Option<&Page> {
        self.pages.get(page.index()).filter(|page| page.stage != Stage::Free)
    }

    /// The sequence of a task's line that was seen last.
    pub(super) fn sequence(&mut self, page: PageIndex, pair: u32) -> Option<&mut u64> {
        let pairs = self.pairs.get_mut(page.index())?;
        pairs.sequences.get_mut((pair as usize).checked_sub(1)?)
    }

    /// The number of a task that had a pair until its thread was gone; 0 if there is none.
    pub(super) fn gone(&mut self, page: PageIndex, pair: u32) -> Option<&mut u32> {
        let pairs = self.pairs.get_mut(page.index())?;
        pairs.gone.get_mut((pair as usize).checked_sub(1)?)
    }

    /// Gives a page to an agent. Returns false if it has the most there may be.
    pub(super) fn join(&mut self, page: PageIndex, slot: Slot) -> bool {
        if self.agents.len() <= slot.index() {
            self.agents.resize(slot.index() + 1, PagedAgent::NEW);
        }
        if self.of(slot).count() >= MOST_PER_AGENT {
            return false;
        }
        let Some(agent) = self.agents.get_mut(slot.index()) else { return false };
        let next_page = std::mem::replace(&mut agent.first_page, page.0);
        self.at_mut(page).slot = slot.0;
        self.details_mut(page).next_page = next_page;
        true
    }

    /// Takes a page from its agent. Returns whether that was its last one.
    pub(super) fn leave(&mut self, page: PageIndex) -> bool {
        let Some(slot) = self.at(page).slot() else { return false };
        self.at_mut(page).slot = NONE;
        let after = std::mem::replace(&mut self.details_mut(page).next_page, NONE);
        let Some(agent) = self.agents.get_mut(slot.index()) else { return false };
        if agent.first_page == page.0 {
            agent.first_page = after;
            return after == NONE;
        }
        let mut at = agent.first_page;
        while let Some(before) = self.details.get_mut(at as usize) {
            if before.next_page == page.0 {
                before.next_page = after;
                break;
            }
            at = before.next_page;
        }
        false
    }

    /// Forgets what is remembered about an agent that has no page any more.
    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(agent) = self.agents.get_mut(slot.index()) {
            *agent = PagedAgent::NEW;
        }
    }

    pub(super) fn first_of(&self, slot: Slot) -> Option<PageIndex> {
        self.of(slot).next()
    }

    /// The next page of the same agent.
    pub(super) fn after(&self, page: PageIndex) -> Option<PageIndex> {
        let next = self.details.get(page.index())?.next_page;
        (next != NONE).then_some(PageIndex(next))
    }

    /// The pages of an agent.
    pub(super) fn of(&self, slot: Slot) -> impl Iterator<Item = PageIndex> + '_ {
        let mut next = self.agents.get(slot.index()).map_or(NONE, |agent| agent.first_page);
        std::iter::from_fn(move || {
            let page = self.details.get(next as usize)?;
            Some(PageIndex(std::mem::replace(&mut next, page.next_page)))
        })
    }

    pub(super) fn agent(&self, slot: Slot) -> Option<&PagedAgent> {
        self.agents.get(slot.index())
    }

    pub(super) fn agent_mut(&mut self, slot: Slot) -> Option<&mut PagedAgent> {
        self.agents.get_mut(slot.index())
    }

    /// All indexes that were ever in use.
    pub(super) fn indexes(&self) -> impl Iterator<Item = PageIndex> + use<> {
        (0..u32::try_from(self.pages.len()).unwrap_or(NONE)).map(PageIndex)
    }

    pub(super) fn all_mut(&mut self) -> &mut [Page] {
        &mut self.pages
    }

    #[inline]
    pub(super) fn all(&self) -> &[Page] {
        &self.pages
    }

    /// Sets how many datagrams were heard since the last news, and the nonce of the last one.
    pub(super) fn set_heard(&mut self, page: PageIndex, heard: u32, nonce: u64) {
        let details = self.details_mut(page);
        (details.heard, details.heard_nonce) = (heard, nonce);
        let is_plain = heard == 0 && details.clock_offset == 0;
        self.at_mut(page).is_plain = is_plain;
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "the index was checked when it was passed in")]
    pub(super) fn details(&self, page: PageIndex) -> &Details {
        &self.details[page.index()]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "the index was checked when it was passed in")]
    pub(super) fn details_mut(&mut self, page: PageIndex) -> &mut Details {
        &mut self.details[page.index()]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "the index was checked when it was passed in")]
    pub(super) fn at(&self, page: PageIndex) -> &Page {
        &self.pages[page.index()]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "the index was checked when it was passed in")]
    pub(super) fn at_mut(&mut self, page: PageIndex) -> &mut Page {
        &mut self.pages[page.index()]
    }
}
