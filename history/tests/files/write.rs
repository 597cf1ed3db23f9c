//! Writing: what is pushed is read, in order, with its number and its times.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use varta_history::{
    Agent, Clock, Error, Exit, Gap, Item, Kind, Limits, Reader, Record, Rfc3339, Stall, Task,
    Writer,
};

use crate::support::{
    DAY, Folder, Found, HOUR, SECOND, START, at, open, origin, push, run, segments,
};

#[test]
fn records_are_read_as_they_were_pushed() {
    let folder = Folder::new();
    let path = folder.join("history");
    let mut writer = open(&path).unwrap();
    push(&mut writer, 1..=100);
    assert_eq!(Found::in_folder(&path), Found::default(), "nothing is written before a flush");
    writer.flush(at(SECOND), Vec::new).unwrap();
    push(&mut writer, 101..=200);
    writer.flush(at(2 * SECOND), Vec::new).unwrap();
    let found = Found::in_folder(&path);
    assert_eq!(found.of_run(1), Vec::from_iter(1..=200));
    let counts = writer.counts();
    assert_eq!((counts.records, counts.lost, counts.segments), (200, 0, 1));
    assert_eq!(counts.bytes, fs::metadata(&segments(&path)[0]).unwrap().len());
}

#[test]
fn the_folder_has_mode_0750_and_a_segment_0640() {
    let folder = Folder::new();
    let path = folder.join("history");
    let _writer = open(&path).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(path.clone()), 0o750);
    assert_eq!(mode(segments(&path)[0].clone()), 0o640);
}

#[test]
fn a_second_writer_is_refused_until_the_first_one_ends() {
    let folder = Folder::new();
    let path = folder.join("history");
    let first = open(&path).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(matches!(&refused, Error::InUse { folder } if *folder == path));
    assert!(refused.to_string().contains("another daemon already writes the history in"));
    assert_eq!(segments(&path).len(), 1, "the second one changed nothing");
    first.end(at(SECOND)).unwrap();
    open(&path).unwrap();
}

#[test]
fn no_symbolic_link_is_followed() {
    let folder = Folder::new();
    let (path, link) = (folder.join("history"), folder.join("link"));
    open(&path).unwrap().end(at(1)).unwrap();
    symlink(&path, &link).unwrap();
    for error in [open(&link).unwrap_err(), Reader::open(&link).unwrap_err()] {
        assert!(error.to_string().contains("it is a symbolic link"), "{error}");
    }
    let elsewhere = folder.join("elsewhere");
    symlink(&elsewhere, path.join("0000000002.varta")).unwrap();
    assert!(open(&path).is_err());
    assert!(!elsewhere.exists());
}

#[test]
fn something_else_in_place_of_a_folder_is_an_error_with_its_path() {
    let folder = Folder::new();
    let path = folder.join("file");
    fs::write(&path, "x").unwrap();
    for wanted in [path, folder.join("not/there")] {
        let error = open(&wanted).unwrap_err().to_string();
        assert!(error.contains(&wanted.display().to_string()), "{error}");
    }
}

#[test]
fn a_number_that_was_left_out_is_recorded_as_lost() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, [3, 4, 9, 10, 10, 2]);
    writer.flush(at(SECOND), Vec::new).unwrap();
    let found = Found::in_folder(folder.path());
    assert_eq!(found.of_run(1), [3, 4, 9, 10]);
    assert_eq!(found.lost, [(1, 2), (5, 8)]);
    let counts = writer.counts();
    assert_eq!((counts.records, counts.lost), (4, 6));
}

#[test]
fn a_segment_ends_after_16_mib() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    let text = "x".repeat(1_000);
    let stall = Record::from(Exit { last_status: text.into(), ..Exit::default() });
    let mut seq = 0;
    while segments(folder.path()).len() == 1 {
        for _ in 0..500 {
            seq += 1;
            writer.push(seq, seq, &stall);
        }
        writer.flush(at(seq), Vec::new).unwrap();
    }
    let length = fs::metadata(&segments(folder.path())[0]).unwrap().len();
    assert!((16 << 20..17 << 20).contains(&length), "{length}");
    assert_eq!(writer.counts().segments, 2);
}

/// The state that a segment begins with is what its first record follows.
#[test]
fn a_segment_ends_after_a_day_and_its_successor_begins_with_the_state() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    let agent =
        Agent { agent: 1, program: "ingestd".into(), threshold_ns: 7, ..Agent::default() };
    let task = Task { agent: 1, task: 2, task_name: "parse".into(), threshold_ns: 9 };
    push(&mut writer, 1..=3);
    writer.flush(at(DAY - 1), || panic!("the segment is not a day old")).unwrap();
    push(&mut writer, 4..=5);
    let state = || vec![(5, agent.clone().into()), (6, task.clone().into())];
    writer.flush(at(DAY), state).unwrap();
    push(&mut writer, 6..=7);
    writer.flush(at(DAY + 1), Vec::new).unwrap();

    assert_eq!(segments(folder.path()).len(), 2);
    let clock = Clock { wall_ns: START + DAY, ..Clock::default() };
    let found = Found::in_folder(folder.path());
    assert_eq!(found.repeated, [clock.into(), agent.into(), task.into()]);
    assert_eq!(found.of_run(1), Vec::from_iter(1..=7));

    // Without the first segment, the second one explains itself.
    fs::remove_file(&segments(folder.path())[0]).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(Found::by(&mut reader).of_run(1), [6, 7]);
    let known = reader.agents().get(1).unwrap();
    assert_eq!(known.agent.program, "ingestd");
    assert_eq!(known.tasks[&2], ("parse".to_owned(), 9));
}

#[test]
fn a_record_has_the_members_that_all_have_and_those_of_its_agent() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    let agent = Agent {
        agent: 17,
        pid: 4_321,
        claimed_pid: 21,
        program: "ingestd".into(),
        origin: "kernel-attested".into(),
        threshold_ns: 2_000,
        ..Agent::default()
    };
    let stall = Stall { agent: 17, last_ns: 3, threshold_ns: 1_999, ..Stall::default() };
    let exit = Exit { agent: 17, signal: Some(9), ..Exit::default() };
    let gap = Gap { agent: 17, silent_ns: 5, ..Gap::default() };
    writer.push(1, 10, &agent.into());
    writer.push(2, 2_003, &stall.into());
    writer.push(3, 3_000, &exit.into());
    writer.push(4, 3_000, &gap.into());
    writer.flush(at(4_000), Vec::new).unwrap();

    let mut reader = Reader::open(folder.path()).unwrap();
    for (seq, observer_ns) in [(1, 10), (2, 2_003), (3, 3_000), (4, 3_000)] {
        let Some(Item::Record(entry)) = reader.next().unwrap() else { panic!() };
        let members = entry.members().unwrap();
        assert_eq!(members["seq"], seq);
        assert_eq!(members["observer_ns"], observer_ns);
        assert_eq!(members["time"], Rfc3339(START + observer_ns).to_string());
        assert_eq!(
            (&members["host"], &members["run"]),
            (&"db-1".into(), &run(1).to_string().into())
        );
        assert_eq!((&members["agent"], &members["pid"]), (&17.into(), &4_321.into()));
        assert_eq!(
            (&members["claimed_pid"], &members["program"]),
            (&21.into(), &"ingestd".into())
        );
        assert_eq!(members["origin"], "kernel-attested");
        // That of the record, or else that of the agent.
        assert_eq!(members["threshold_ns"], if seq == 2 { 1_999 } else { 2_000 });
    }
    assert!(reader.next().unwrap().is_none());
    assert!(reader.agents().get(17).unwrap().gone);
    assert_eq!(reader.agents().living().count(), 0);
}

#[test]
fn the_wall_clock_of_a_record_is_that_of_the_last_clock_pair() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, [1]);
    // The wall clock is set back by an hour.
    let back = Clock { wall_ns: START + 10 * SECOND - HOUR, ..Clock::default() };
    writer.push(2, 10 * SECOND, &back.into());
    writer.push(3, 11 * SECOND, &Gap::default().into());
    writer.flush(at(11 * SECOND), Vec::new).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    for wall_ns in [START + 1_000_000, START + 10 * SECOND - HOUR, START + 11 * SECOND - HOUR] {
        let Some(Item::Record(entry)) = reader.next().unwrap() else { panic!() };
        assert_eq!(entry.wall_ns, wall_ns);
    }
}

#[test]
fn each_run_begins_a_segment_and_counts_from_1() {
    let folder = Folder::new();
    for start_us in 1..=3 {
        let mut writer =
            Writer::open(folder.path(), Limits::default(), origin(start_us), at(0)).unwrap();
        push(&mut writer, 1..=start_us);
        writer.end(at(SECOND)).unwrap();
    }
    let found = Found::in_folder(folder.path());
    assert_eq!(found.seqs, [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)]);
    assert_eq!(segments(folder.path()).len(), 3);
}

#[test]
fn a_file_is_synced_once_a_second() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, [1]);
    writer.flush(at(SECOND / 2), Vec::new).unwrap();
    assert!(writer.has_unsynced());
    writer.flush(at(SECOND), Vec::new).unwrap();
    assert!(!writer.has_unsynced());
    push(&mut writer, [2]);
    writer.flush(at(3 * SECOND / 2), Vec::new).unwrap();
    assert!(writer.has_unsynced());
}

#[test]
fn kinds_that_a_reader_does_not_know_are_returned_without_a_record() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, [1]);
    writer.flush(at(1), Vec::new).unwrap();
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let mut frame = vec![5, 100, 2, 3, 0xff, 0xff];
    let checksum = varta::crc32c(&frame).to_le_bytes();
    frame.extend_from_slice(&checksum);
    bytes.extend_from_slice(&frame);
    fs::write(&path, bytes).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    reader.next().unwrap();
    let Some(Item::Record(entry)) = reader.next().unwrap() else { panic!() };
    assert_eq!((entry.code, entry.seq, entry.observer_ns), (100, 2, 3));
    assert_eq!((entry.kind(), entry.record()), (None::<Kind>, None));
    assert!(entry.members().is_none());
    assert!(reader.next().unwrap().is_none());
}
