//! Each record is read as it was written, and has the members of its body in JSON.

use std::collections::BTreeSet;

use super::*;
use crate::histogram::Histogram;

fn why() -> Part<CauseMembers> {
    Part(Some(CauseMembers {
        cause: "lock".into(),
        cause_class: "own".into(),
        certainty: "likely".into(),
        cause_flags: 3,
        thread: 4_325,
        other: 4_326,
        cause_detail: Some("futex_do_wait futex".into()),
        cause_text: Some("hung on a lock held by thread 4326".into()),
    }))
}

fn intervals() -> Histogram {
    let mut intervals = Histogram::default();
    intervals.add(102_000_000, 580);
    intervals.add(104_000_000, 19);
    intervals.add(2_000_000_000, 1);
    intervals
}

/// A record of each kind, with all its members.
pub(crate) fn samples() -> Vec<Record> {
    let at = 93_784_000_123_456;
    let beat = |back, nonce| Beat {
        observer_ns: at - back,
        status: "ok".into(),
        payload: 7,
        nonce,
        missed: 1,
        count: 1,
    };
    let expected = || Expected { program: "ingestd".into(), count: 3, there: 2 };
    vec![
        Started {
            version: "0.3.0".into(),
            pid: 812,
            threshold_ns: 2_000_000_000,
            causes: true,
            recovery: true,
            lane: true,
            tasks: true,
            capacity: 4_096,
            max_beat_rate: Some(100),
            global_beat_rate: Some(10_000),
            pause_after_ns: Some(50_000_000),
        }
        .into(),
        Stopped { error: Some("the socket is gone".into()) }.into(),
        Clock {
            wall_ns: 1_764_511_200_000_000_000,
            full_looks: Some(1),
            rate_limited: Some(2),
            refused: Some(3),
            kernel_drops: Some(4),
        }
        .into(),
        Late {
            late_ns: 61_000_000,
            away_ns: 70_000_000,
            suspended_ns: 9,
            forgiven_ns: 60_000_000,
        }
        .into(),
        Paused { paused_ns: 3_000_000_000 }.into(),
        Lost { first: 17, last: 21 }.into(),
        Agent {
            agent: 17,
            pid: 4_321,
            claimed_pid: 21,
            uid: Some(0),
            program: "ingestd".into(),
            unit: "ingest.service".into(),
            user_unit: "mine.service".into(),
            container: "0123456789ab".into(),
            origin: "kernel-attested".into(),
            threshold_ns: 2_000_000_000,
            floor_ns: 500_000_000,
            first_ns: Some(0),
            last_ns: Some(at),
            stalled: true,
            lane: true,
            exits: Some("seen".into()),
        }
        .into(),
        Threshold { agent: 17, task: Some(2), threshold_ns: u64::MAX, by: "rule".into() }
            .into(),
        Floor { agent: 17, floor_ns: 1_000_000_000 }.into(),
        Eviction { agent: 17, claimed_pid: 21, last_ns: at }.into(),
        Task { agent: 17, task: 2, task_name: "ingest".into(), threshold_ns: 9 }.into(),
        Ended { agent: 17, task: 2, how: "closed".into() }.into(),
        Violation {
            agent: 17,
            task: 2,
            rule: "too-early".into(),
            count: 4,
            from: 1,
            to: 65_535,
            by: 77,
        }
        .into(),
        Stall {
            agent: 17,
            task: Some(2),
            last_nonce: 99,
            last_ns: at,
            deaf: true,
            promise: Some("span".into()),
            due_ns: Some(at - 1),
            checkpoint: Some(3),
            threshold_ns: 2_000_000_000,
            why: why(),
        }
        .into(),
        CauseFound { agent: 17, task: Some(2), why: why() }.into(),
        Recovered { agent: 17, task: Some(2), silent_ns: 8, promise: "beat".into() }.into(),
        Exit {
            agent: 17,
            code: Some(0),
            signal: Some(-9),
            last_status: "critical".into(),
            expected: true,
            last_ns: at,
            stalled: true,
            why: why(),
        }
        .into(),
        Recovery {
            agent: 17,
            pid: 4_321,
            task: Some(2),
            task_name: Some("ingest".into()),
            promise: Some("beat".into()),
            step: "spawned".into(),
            child_pid: Some(5_000),
            attempt: Some(1),
            command: Some("/bin/true".into()),
            error: Some("no such file".into()),
            duration_ns: Some(1),
            timed_out: Some(false),
            code: Some(i32::MIN),
            signal: Some(i32::MAX),
            reason: Some("reused_pid".into()),
            wait_ns: Some(0),
            tries: Some(3),
            ending: Some("recovered".into()),
            why: why(),
        }
        .into(),
        Record::Missing(expected()),
        Record::Present(expected()),
        Gap { agent: 1_000, silent_ns: 612_345_678, forgiven_ns: 3, end: Some("exit".into()) }
            .into(),
        Minute { program: "ingestd".into(), beats: 600, missed: 1, intervals: intervals() }
            .into(),
        Beats { agent: 17, beats: vec![beat(200, 4), beat(100, 5)] }.into(),
        Service {
            agent: 18,
            pid: 4_322,
            claimed_pid: 4_322,
            program: "tor".into(),
            change: "state".into(),
            state: Some("ready".into()),
            errno: Some(5),
            before: Some(4_321),
        }
        .into(),
    ]
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut body = Vec::new();
    record.encode(&mut body);
    body
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let samples = samples();
    for record in &samples {
        let body = encoded(record);
        assert_eq!(Record::decode(record.kind(), &body).as_ref(), Some(record));
    }
    let kinds: Vec<_> = samples.iter().map(Record::kind).collect();
    assert_eq!(kinds, Kind::ALL);
}

#[test]
fn a_kind_has_one_number_and_one_name() {
    let codes: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        assert_eq!(Kind::from_code(kind.code()), Some(*kind));
        assert_eq!(Kind::from_name(kind.name()), Some(*kind));
    }
    assert_eq!(Kind::from_code(0), None);
}

#[test]
fn a_reader_leaves_out_the_members_that_it_does_not_know() {
    for record in samples() {
        let mut body = encoded(&record);
        crate::wire::put_number_field(1_000, 7, &mut body);
        crate::wire::put_bytes_field(1_001, b"more", &mut body);
        assert_eq!(Record::decode(record.kind(), &body), Some(record));
    }
}

#[test]
fn a_member_that_an_older_version_did_not_write_has_its_default() {
    let Some(Record::Exit(exit)) = Record::decode(Kind::Exit, &[]) else { panic!() };
    assert_eq!(exit, Exit::default());
}

#[test]
fn the_members_in_json_are_those_of_the_struct() {
    for record in samples() {
        let members = record.members();
        assert_eq!(members["event"], record.kind().name());
        assert_eq!(members.get("agent").and_then(Value::as_u64), record.agent());
        let task = members.get("task").and_then(Value::as_u64);
        assert_eq!(task, record.task().map(u64::from), "{record:?}");
        assert_eq!(record.agent().is_some(), members.contains_key("agent"));
        let has_cause = format!("{record:?}").contains("cause_text");
        assert_eq!(members.contains_key("cause_text"), has_cause);
        assert!(!members.contains_key("why"), "the cause has members of its own");
    }
    let Some(Record::Minute(minute)) = samples().into_iter().nth(21) else { panic!() };
    let members = Record::from(minute).members();
    assert_eq!(members["intervals"].as_array().unwrap().len(), 2);
    assert_eq!(members["intervals"][1][1], 1);
}

#[test]
fn a_text_that_is_too_long_is_cut_between_characters() {
    let long = "\u{65e5}".repeat(400);
    let body = encoded(&Stopped { error: Some(long.clone().into()) }.into());
    let Some(Record::Stopped(stopped)) = Record::decode(Kind::Stopped, &body) else { panic!() };
    assert_eq!(stopped.error.unwrap(), long[..1023]);
}

/// The size of a history depends on these.
#[test]
fn a_gap_and_a_minute_are_small() {
    let gap = Record::from(Gap { agent: 1_000, silent_ns: 612_345_678, ..Gap::default() });
    assert_eq!(encoded(&gap).len(), 9);
    let minute =
        Minute { program: "ingestd".into(), beats: 600, missed: 0, intervals: intervals() };
    assert!(encoded(&minute.into()).len() < 25);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_record_or_are_refused(kind in 0u8..32, bytes: Vec<u8>) {
        if let Some(kind) = Kind::from_code(kind)
            && let Some(record) = Record::decode(kind, &bytes)
        {
            // What was read can be written and read again.
            let again = Record::decode(kind, &encoded(&record));
            proptest::prop_assert_eq!(again, Some(record));
        }
    }

    #[test]
    fn any_histogram_is_read_as_it_was_written(lengths: Vec<(u64, u32)>) {
        let mut intervals = Histogram::default();
        for (ns, count) in lengths {
            intervals.add(ns, count.into());
        }
        let minute = Record::from(Minute { intervals, ..Minute::default() });
        proptest::prop_assert_eq!(Record::decode(Kind::Minute, &encoded(&minute)), Some(minute));
    }
}
