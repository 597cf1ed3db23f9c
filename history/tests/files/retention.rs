//! Retention: the oldest segments are removed.

use std::fs;

use varta_history::{ClockPair, Limits, Writer};

use crate::support::{
    DAY, Folder, Found, HOUR, SECOND, START, at, open, origin, push, segments,
};

const SMALL: Limits = Limits { max_bytes: 64 * 1024, max_age_ns: 30 * DAY };

#[test]
fn all_segments_together_never_exceed_the_limit_by_more_than_a_flush() {
    let folder = Folder::new();
    let mut writer = Writer::open(folder.path(), SMALL, origin(1), at(0)).unwrap();
    let mut next = 1;
    for _ in 0..200 {
        push(&mut writer, next..next + 100);
        next += 100;
        writer.flush(at(next), Vec::new).unwrap();
        let bytes: u64 =
            segments(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(bytes <= SMALL.max_bytes, "{bytes}");
        assert_eq!(writer.counts().bytes, bytes);
    }
    let found = Found::in_folder(folder.path()).of_run(1);
    assert_eq!(found, Vec::from_iter(found[0]..next), "only the oldest are missing");
    assert!(found.len() > 1_500, "{}", found.len());
    assert_eq!(writer.counts().records, next - 1);
}

/// Segments of a day each: one that ended more than three days ago is removed.
#[test]
fn a_segment_is_removed_when_its_last_record_is_too_old() {
    let folder = Folder::new();
    let limits = Limits { max_age_ns: 3 * DAY, ..Limits::default() };
    let mut writer = Writer::open(folder.path(), limits, origin(1), at(0)).unwrap();
    for day in 1..=10 {
        push(&mut writer, [day]);
        writer.flush(at(day * DAY), Vec::new).unwrap();
    }
    assert_eq!(Found::in_folder(folder.path()).of_run(1), [7, 8, 9, 10]);
    writer.flush(at(10 * DAY + 1), Vec::new).unwrap();
    assert_eq!(Found::in_folder(folder.path()).of_run(1), [8, 9, 10]);
}

/// What an earlier run has left is as old as its last clock pair.
#[test]
fn the_age_of_an_earlier_run_is_read_from_its_segment() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, [1]);
    writer.end(at(DAY / 2)).unwrap();
    let restart = |wall_ns| {
        let now = ClockPair { observer_ns: 0, wall_ns };
        let limits = Limits { max_age_ns: DAY, ..Limits::default() };
        let mut writer = Writer::open(folder.path(), limits, origin(2), now).unwrap();
        // Before, the wall clock may not be right yet.
        assert_eq!(Found::in_folder(folder.path()).of_run(1), [1]);
        let now = ClockPair { observer_ns: 60 * SECOND, wall_ns: wall_ns + 60 * SECOND };
        writer.flush(now, Vec::new).unwrap();
        Found::in_folder(folder.path()).of_run(1).len()
    };
    assert_eq!(restart(START + 3 * DAY / 2 - 60 * SECOND), 1);
    assert_eq!(restart(START + 3 * DAY / 2 - 60 * SECOND + 1), 0);
}

#[test]
fn after_a_jump_of_the_clock_age_rests_but_size_does_not() {
    for jump in [HOUR + 1, 400 * DAY] {
        let folder = Folder::new();
        let limits = Limits { max_age_ns: DAY, max_bytes: 64 * 1024 };
        let mut writer = Writer::open(folder.path(), limits, origin(1), at(0)).unwrap();
        push(&mut writer, [1]);
        writer.flush(at(DAY), Vec::new).unwrap();
        push(&mut writer, [2]);
        let later =
            |observer_ns, jump| ClockPair { observer_ns, wall_ns: START + observer_ns + jump };
        writer.flush(later(DAY + 1, jump), Vec::new).unwrap();
        // Even when the clock is right again.
        push(&mut writer, [3]);
        writer.flush(at(3 * DAY), Vec::new).unwrap();
        assert_eq!(Found::in_folder(folder.path()).of_run(1), [1, 2, 3]);
        let mut next = 4;
        while Found::in_folder(folder.path()).of_run(1)[0] == 1 {
            push(&mut writer, next..next + 500);
            next += 500;
            assert!(next < 10_000);
            writer.flush(at(3 * DAY + next), Vec::new).unwrap();
        }
    }
}

#[test]
fn a_clock_that_is_set_back_by_an_hour_removes_nothing_and_is_followed() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, 1..=5);
    writer.flush(at(DAY), Vec::new).unwrap();
    let back = ClockPair { observer_ns: 2 * DAY, wall_ns: START + 2 * DAY - HOUR };
    push(&mut writer, 6..=9);
    writer.flush(back, Vec::new).unwrap();
    push(&mut writer, 10..=12);
    writer.end(ClockPair { observer_ns: 2 * DAY + 1, wall_ns: back.wall_ns + 1 }).unwrap();
    let found = Found::in_folder(folder.path());
    assert_eq!(found.of_run(1), Vec::from_iter(1..=12));
    assert_eq!(segments(folder.path()).len(), 3);
}
