//! Following a history that grows, and going on after a restart.

use std::fs;

use varta_history::{Agent, Cursor, Limits, Reader, Writer};

use crate::support::{DAY, Folder, Found, SECOND, at, open, origin, push, run, segments};

#[test]
fn a_reader_returns_what_was_written_since() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(reader.cursor(), None);
    let mut all = Vec::new();
    for round in 0..20 {
        push(&mut writer, round * 10 + 1..=round * 10 + 10);
        // Some end a segment.
        writer.flush(at(round * DAY / 3), Vec::new).unwrap();
        all.extend(Found::by(&mut reader).of_run(1));
        assert_eq!(all.len() as u64, round * 10 + 10);
        assert_eq!(reader.cursor().unwrap().seq, round * 10 + 10);
    }
    assert_eq!(all, Vec::from_iter(1..=200));
    assert!(segments(folder.path()).len() > 3);
}

#[test]
fn a_reader_goes_on_after_its_cursor() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    let agent = Agent { agent: 5, program: "ingestd".into(), ..Agent::default() };
    writer.push(1, 1, &agent.into());
    push(&mut writer, 2..=10);
    writer.flush(at(DAY), Vec::new).unwrap();
    push(&mut writer, 11..=20);
    writer.end(at(DAY + 1)).unwrap();
    for seq in 1..=20 {
        let cursor = Cursor { run: run(1), segment: if seq > 10 { 2 } else { 1 }, seq };
        let mut reader = Reader::resume(folder.path(), cursor).unwrap();
        let found = Found::by(&mut reader);
        assert_eq!(found.of_run(1), Vec::from_iter(seq + 1..=20));
        assert_eq!((found.overtaken, reader.cursor().unwrap().seq), (vec![], 20));
        if seq <= 10 {
            // What lies before the cursor is known.
            assert_eq!(reader.agents().get(5).unwrap().agent.program, "ingestd");
        }
    }
}

#[test]
fn a_reader_goes_on_in_the_next_run() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, 1..=5);
    writer.end(at(SECOND)).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    Found::by(&mut reader);
    let cursor = reader.cursor().unwrap();
    let mut writer = Writer::open(folder.path(), Limits::default(), origin(2), at(0)).unwrap();
    push(&mut writer, 1..=2);
    writer.flush(at(1), Vec::new).unwrap();
    let mut resumed = Reader::resume(folder.path(), cursor).unwrap();
    for reader in [&mut reader, &mut resumed] {
        let found = Found::by(reader);
        assert_eq!((found.seqs, found.overtaken), (vec![(2, 1), (2, 2)], vec![]));
    }
}

#[test]
fn a_reader_reports_what_retention_removed_before_it_was_read() {
    let folder = Folder::new();
    let limits = Limits { max_bytes: 32 * 1024, ..Limits::default() };
    let mut writer = Writer::open(folder.path(), limits, origin(1), at(0)).unwrap();
    push(&mut writer, 1..=5);
    writer.flush(at(1), Vec::new).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(Found::by(&mut reader).seqs.len(), 5);
    let cursor = reader.cursor().unwrap();
    for round in 0..50 {
        push(&mut writer, 6 + round * 100..106 + round * 100);
        writer.flush(at(1), Vec::new).unwrap();
    }
    let mut resumed = Reader::resume(folder.path(), cursor).unwrap();
    let found = Found::by(&mut resumed);
    let [(read, now)] = found.overtaken[..] else { panic!("{:?}", found.overtaken) };
    assert_eq!((read, now.run), (cursor, run(1)));
    assert_eq!(found.of_run(1), Vec::from_iter(now.seq + 1..=5_005));

    // One that still has the removed file open reads it to its end first.
    let found = Found::by(&mut reader);
    let [(read, again)] = found.overtaken[..] else { panic!("{:?}", found.overtaken) };
    assert!(read.seq > 5 && again == now);
    let seqs = found.of_run(1);
    assert_eq!(seqs, Vec::from_iter((6..=read.seq).chain(now.seq + 1..=5_005)));
}

/// Nothing is missing if all of what was removed had been read.
#[test]
fn a_removed_segment_that_was_read_is_no_loss() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, 1..=5);
    writer.flush(at(DAY), Vec::new).unwrap();
    push(&mut writer, 6..=7);
    writer.flush(at(DAY + 1), Vec::new).unwrap();
    fs::remove_file(&segments(folder.path())[0]).unwrap();
    let resumed = |seq| {
        let cursor = Cursor { run: run(1), segment: 1, seq };
        Found::by(&mut Reader::resume(folder.path(), cursor).unwrap())
    };
    assert_eq!((resumed(5).of_run(1), resumed(5).overtaken), (vec![6, 7], vec![]));
    assert_eq!((resumed(4).of_run(1), resumed(4).overtaken.len()), (vec![6, 7], 1));
}

#[test]
fn a_cursor_into_another_history_is_overtaken() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, 1..=3);
    writer.flush(at(1), Vec::new).unwrap();
    for segment in [0, 1, 2, 900] {
        let cursor = Cursor { run: run(77), segment, seq: 2 };
        let found = Found::by(&mut Reader::resume(folder.path(), cursor).unwrap());
        assert_eq!(found.of_run(1), [1, 2, 3], "{segment}");
        assert_eq!(found.overtaken.len(), 1, "{segment}");
    }
}

#[test]
fn a_reader_notices_that_the_folder_was_emptied() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, 1..=3);
    writer.flush(at(DAY), Vec::new).unwrap();
    push(&mut writer, 4..=5);
    writer.end(at(DAY + 1)).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(Found::by(&mut reader).of_run(1), [1, 2, 3, 4, 5]);
    segments(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(Found::by(&mut reader), Found::default());
    let mut writer = Writer::open(folder.path(), Limits::default(), origin(2), at(0)).unwrap();
    push(&mut writer, 1..=2);
    writer.flush(at(1), Vec::new).unwrap();
    let found = Found::by(&mut reader);
    assert_eq!((found.of_run(2), found.overtaken.len()), (vec![1, 2], 1));
}
