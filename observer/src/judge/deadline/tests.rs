//! Compares the timer wheel with a sorted set.

use std::collections::BTreeSet;

use super::*;

#[derive(Debug, Clone, Copy)]
struct Item {
    links: Links,
    place: WheelSlot,
    rank: u64,
    extension: Option<u64>,
}

impl Linked for Item {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Entry for Item {
    type Rank = u64;

    fn place(&self) -> WheelSlot {
        self.place
    }

    fn set_place(&mut self, place: WheelSlot) {
        self.place = place;
    }

    fn rank(&self) -> u64 {
        self.rank
    }
}

struct Table {
    wheel: Wheel,
    items: Vec<Item>,
}

impl Table {
    fn new(size: usize) -> Self {
        let item = |rank| Item {
            links: Links::LOOSE,
            place: WheelSlot::NOWHERE,
            // The order differs from that of the indexes.
            rank: rank * 7919 % 1009 + rank,
            extension: None,
        };
        let items = (0..size as u64).map(item).collect();
        Self { wheel: Wheel::new(size).unwrap(), items }
    }

    fn set(&mut self, index: u32, deadline: u64) {
        self.wheel.set(&mut self.items, index, deadline);
    }

    fn clear(&mut self, index: u32) {
        self.wheel.clear(&mut self.items, index);
    }

    fn next_due(&mut self, horizon: u64) -> Option<u32> {
        let extend = |item: &mut Item| Some(item.links.deadline + item.extension.take()?);
        self.wheel.next_due(&mut self.items, horizon, extend)
    }

    fn all_due(&mut self, horizon: u64) -> Vec<u32> {
        std::iter::from_fn(|| self.next_due(horizon)).collect()
    }

    fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline(&self.items)
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let high = self.0 ^ self.0 >> 31;
        (high.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16) % bound
    }

    /// A number of any size; small and large ones are equally likely.
    fn of_any_size(&mut self, bits: u64) -> u64 {
        let bits = self.below(bits);
        self.below(1 << bits)
    }
}

#[test]
fn the_wheel_agrees_with_a_sorted_set() {
    for (seed, bits) in [(1, 20), (2, 26), (3, 34), (4, 47), (5, 47)] {
        let mut dice = Dice(seed);
        let (mut table, mut model) = (Table::new(200), BTreeSet::new());
        let mut deadlines = [None; 200];
        let mut now = dice.of_any_size(bits);
        for step in 0..40_000 {
            let index = u32::try_from(dice.below(200)).unwrap();
            let known = &mut deadlines[index as usize];
            let entry = |deadline| (deadline, table.items[index as usize].rank, index);
            match dice.below(10) {
                0 => {
                    known.take().map(|deadline| model.remove(&entry(deadline)));
                    table.clear(index);
                }
                1..9 => {
                    known.take().map(|deadline| model.remove(&entry(deadline)));
                    // Sometimes the deadline has long passed.
                    let deadline =
                        (now + dice.of_any_size(bits)).saturating_sub(dice.below(90_000));
                    *known = Some(deadline);
                    model.insert(entry(deadline));
                    table.set(index, deadline);
                }
                _ => {
                    now += dice.of_any_size(bits) / 8;
                    for _ in 0..dice.below(50) {
                        let expected = model.first().copied().filter(|first| first.0 <= now);
                        let due = table.next_due(now);
                        assert_eq!(due, expected.map(|(_, _, index)| index), "{seed}, {step}");
                        let Some(expected) = expected else { break };
                        model.remove(&expected);
                        deadlines[expected.2 as usize] = None;
                    }
                }
            }
            let (next, first) = (table.next_deadline(), model.first().map(|first| first.0));
            assert_eq!(next.is_some(), first.is_some());
            assert!(next.is_none_or(|next| next <= first.unwrap().max(now)), "{seed}, {step}");
        }
        let rest: Vec<_> = model.iter().map(|(_, _, index)| *index).collect();
        assert_eq!(table.all_due(u64::MAX), rest);
    }
}

#[test]
fn deadlines_are_exact_to_the_nanosecond() {
    let mut table = Table::new(3);
    for (index, deadline) in [(0, 1_000_001), (1, 1_000_000), (2, 1_000_002)] {
        table.set(index, deadline);
    }
    assert_eq!(table.all_due(999_999), []);
    assert_eq!(table.all_due(1_000_000), [1]);
    assert_eq!(table.next_deadline(), Some(1_000_001));
    assert_eq!(table.all_due(1_000_001), [0]);
    assert_eq!(table.all_due(1_000_002), [2]);
}

#[test]
fn an_item_moved_or_cleared_while_due_is_not_returned() {
    let mut table = Table::new(4);
    for index in 0..4 {
        table.set(index, 100);
    }
    assert_eq!(table.next_due(100), Some(0));
    table.set(1, 200);
    table.clear(2);
    assert_eq!(table.all_due(100), [3]);
    assert_eq!(table.all_due(200), [1]);
}

#[test]
fn an_extension_moves_a_deadline_by_any_amount() {
    let mut table = Table::new(4);
    for (index, extension) in [(0, Some(3)), (1, Some(1 << 40)), (2, None), (3, Some(1 << 20))]
    {
        table.set(index, 100);
        table.items[index as usize].extension = extension;
    }
    assert_eq!(table.all_due(102), [2]);
    assert_eq!(table.all_due(103), [0]);
    assert_eq!(table.all_due(1 << 40), [3]);
    assert_eq!(table.all_due((1 << 40) + 100), [1]);
    // After a short extension the order is still by deadline.
    table.set(0, 1 << 41);
    table.set(1, (1 << 41) + 2);
    table.items[0].extension = Some(5);
    assert_eq!(table.all_due(u64::MAX), [1, 0]);
}

#[test]
fn a_deadline_causes_few_early_wakeups() {
    const SECOND: u64 = 1_000_000_000;
    let mut dice = Dice(9);
    for (longest, most) in [(18 * 60 * SECOND, 4), (1 << 63, 8)] {
        for _ in 0..500 {
            let mut table = Table::new(1);
            let start = dice.of_any_size(47);
            assert_eq!(table.next_due(start), None);
            let deadline = start + 1 + dice.below(1 << 47) % longest;
            table.set(0, deadline);
            let mut wakes = 0;
            loop {
                let wake = table.next_deadline().unwrap();
                assert!(wake <= deadline);
                if table.next_due(wake).is_some() {
                    assert_eq!(wake, deadline, "on time");
                    break;
                }
                wakes += 1;
            }
            assert!(wakes <= most, "{wakes} early wakes for {} ns", deadline - start);
        }
    }
}

#[test]
fn many_items_in_one_slot_are_sorted_once() {
    let mut table = Table::new(50_000);
    for index in 0..50_000 {
        table.set(index, 65_000 - u64::from(index));
    }
    assert_eq!(table.next_due(0), None);
    // Scanning all of them each time would take minutes.
    for index in (0..50_000).rev() {
        assert_eq!(table.next_deadline(), Some(65_000 - u64::from(index)));
        assert_eq!(table.all_due(65_000 - u64::from(index)), [index]);
    }
}

#[test]
fn removed_items_take_no_room() {
    let mut table = Table::new(2);
    let room = table.wheel.due.capacity();
    table.set(0, 60_000);
    for now in 0..1000 {
        table.set(1, now);
        assert_eq!(table.all_due(now), [1]);
        table.set(1, now + 2);
        assert_eq!(table.all_due(now), []);
    }
    assert_eq!(table.wheel.due.capacity(), room);
}

#[test]
fn due_items_are_found_at_the_limits_of_time() {
    let mut table = Table::new(4);
    for (index, deadline) in [(0, u64::MAX), (1, u64::MAX - 1), (2, 0), (3, 1 << 63)] {
        table.set(index, deadline);
    }
    assert_eq!(table.all_due(0), [2]);
    assert_eq!(table.all_due(u64::MAX), [3, 1, 0]);
    table.set(0, 5);
    assert_eq!(table.all_due(u64::MAX), [0]);
}
