//! When each page is looked at.
//!
//! Pages with the same period are looked at together, at the multiples of the period in the
//! observer's time, so that one wake-up serves all of them. There are ten periods per decade.

use super::PageIndex;
use super::pages::Page;
use crate::judge::deadline::List;

/// The first digits of the periods.
const DIGITS: [u64; 10] = [100, 125, 150, 200, 250, 300, 400, 500, 600, 800];

/// The longest period is 92 days.
const DECADES: u32 = 14;

#[derive(Debug)]
pub(super) struct Schedule {
    /// The shortest period first.
    classes: Vec<Class>,
    /// The class whose pages are being looked at.
    current: Option<usize>,
    /// When the next class with pages is due, or earlier.
    next: u64,
}

/// The pages with one period.
#[derive(Debug)]
struct Class {
    period_ns: u64,
    next: u64,
    pages: List,
    /// The page that is looked at next, while this is the current class.
    cursor: Option<u32>,
}

impl Class {
    fn first_after(&self, now: u64) -> u64 {
        (now / self.period_ns).saturating_add(1).saturating_mul(self.period_ns)
    }
}

impl Schedule {
    /// No period is shorter than `floor_ns`.
    pub(super) fn new(floor_ns: u64) -> Self {
        let floor_ns = floor_ns.max(1);
        let decades = (0..DECADES).map(|exponent| 10_u64.saturating_pow(exponent));
        let periods = decades.flat_map(|decade| DIGITS.map(|digit| digit * decade));
        let longer = periods.filter(|period| *period > floor_ns);
        let class = |period_ns| Class { period_ns, next: 0, pages: List::EMPTY, cursor: None };
        Self {
            classes: std::iter::once(floor_ns).chain(longer).map(class).collect(),
            current: None,
            next: u64::MAX,
        }
    }

    /// The class of a page on which something may be due after `finest_ns`, and whether it is
    /// looked at less than twice in that time.
    pub(super) fn class_for(&self, finest_ns: u64) -> (u16, bool) {
        let wanted = finest_ns / 2;
        let class = self.classes.partition_point(|class| class.period_ns <= wanted);
        (u16::try_from(class.saturating_sub(1)).unwrap_or(u16::MAX), class == 0)
    }

    /// When the pages of a class are looked at next after `now`.
    #[inline]
    pub(super) fn next_after(&self, class: u16, now: u64) -> u64 {
        self.classes.get(usize::from(class)).map_or(u64::MAX, |class| {
            // During a look at all pages of the class it is the same for each.
            let known = now < class.next && class.next - now <= class.period_ns;
            if known { class.next } else { class.first_after(now) }
        })
    }

    pub(super) fn add(&mut self, pages: &mut [Page], page: u32, class: u16, now: u64) {
        let Some(class) = self.classes.get_mut(usize::from(class)) else { return };
        if class.pages.first().is_none() {
            class.next = class.first_after(now);
            self.next = self.next.min(class.next);
        }
        class.pages.append(pages, page);
    }

    pub(super) fn remove(&mut self, pages: &mut [Page], page: u32, class: u16) {
        let Some(class) = self.classes.get_mut(usize::from(class)) else { return };
        if class.cursor == Some(page) {
            class.cursor = List::after(pages, page);
        }
        class.pages.remove(pages, page);
    }

    /// The time before which no page is due.
    pub(super) fn next(&self) -> Option<u64> {
        if self.current.is_some() {
            return Some(0);
        }
        (self.next != u64::MAX).then_some(self.next)
    }

    /// The next page that is due at `now`. Each page is returned once per period.
    #[inline]
    pub(super) fn due(&mut self, pages: &[Page], now: u64) -> Option<PageIndex> {
        if self.current.is_none() && now < self.next {
            return None;
        }
        loop {
            if let Some(current) = self.current {
                let class = self.classes.get_mut(current)?;
                while let Some(index) = class.cursor {
                    class.cursor = List::after(pages, index);
                    // One that has just joined this class may have been looked at before.
                    let due = |page: &Page| page.next_look <= now;
                    if pages.get(index as usize).is_some_and(due) {
                        return Some(PageIndex(index));
                    }
                }
                self.current = None;
            }
            let with_pages = self.classes.iter().enumerate();
            let with_pages = with_pages.filter(|(_, class)| class.pages.first().is_some());
            let earliest = with_pages.min_by_key(|(_, class)| class.next);
            self.next = earliest.map_or(u64::MAX, |(_, class)| class.next);
            let at = earliest.filter(|(_, class)| class.next <= now)?.0;
            let class = self.classes.get_mut(at)?;
            class.cursor = class.pages.first();
            class.next = class.first_after(now);
            self.current = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn schedule(classes: &[u64]) -> (Schedule, Vec<Page>) {
        let mut schedule = Schedule::new(10 * MS);
        let mut pages: Vec<_> = classes.iter().map(|_| Page::FREE).collect();
        for (page, finest) in (0..).zip(classes) {
            let (class, _) = schedule.class_for(*finest);
            schedule.add(&mut pages, page, class, 0);
        }
        (schedule, pages)
    }

    fn due(schedule: &mut Schedule, pages: &[Page], now: u64) -> Vec<usize> {
        std::iter::from_fn(|| schedule.due(pages, now)).map(PageIndex::index).collect()
    }

    #[test]
    fn pages_with_equal_periods_are_looked_at_together() {
        let (mut schedule, pages) = schedule(&[2_000 * MS, 100 * MS, 2_000 * MS, 1]);
        assert_eq!(schedule.next(), Some(10 * MS));
        assert_eq!(due(&mut schedule, &pages, 9 * MS), []);
        assert_eq!(due(&mut schedule, &pages, 10 * MS), [3]);
        assert_eq!(due(&mut schedule, &pages, 10 * MS), []);
        assert_eq!(due(&mut schedule, &pages, 1_001 * MS), [3, 1, 0, 2]);
        assert_eq!(schedule.next(), Some(1_010 * MS));
        let (class, _) = schedule.class_for(2_000 * MS);
        assert_eq!(schedule.next_after(class, 1_000 * MS), 2_000 * MS);
    }

    #[test]
    fn a_period_is_half_of_the_finest_time_or_a_little_less() {
        let schedule = Schedule::new(10 * MS);
        for finest in [1, 20 * MS, 21 * MS, 30 * MS, 64 * MS, 10_000 * MS, u64::MAX] {
            let (class, raised) = schedule.class_for(finest);
            let period = schedule.classes[usize::from(class)].period_ns;
            assert_eq!(raised, finest < 20 * MS);
            assert!(period <= (finest / 2).max(10 * MS), "{finest}");
            assert!(period > finest.min(1 << 53) / 2 * 3 / 4, "{finest}");
        }
    }

    #[test]
    fn a_page_may_leave_while_its_class_is_looked_at() {
        let (mut schedule, mut pages) = schedule(&[2_000 * MS; 4]);
        let (class, _) = schedule.class_for(2_000 * MS);
        assert_eq!(schedule.due(&pages, 1_000 * MS), Some(PageIndex(0)));
        schedule.remove(&mut pages, 1, class);
        schedule.remove(&mut pages, 0, class);
        assert_eq!(schedule.due(&pages, 1_000 * MS), Some(PageIndex(2)));
        schedule.remove(&mut pages, 3, class);
        assert_eq!(schedule.due(&pages, 1_000 * MS), None);
        schedule.remove(&mut pages, 2, class);
        assert_eq!(due(&mut schedule, &pages, 9_000 * MS), []);
        assert_eq!(schedule.next(), None);
    }
}
