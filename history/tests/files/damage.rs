//! Torn, bit-flipped and foreign files.

use std::fs;

use varta_history::{Limits, Reader, Repair, Writer};

use crate::support::{Folder, Found, SECOND, at, open, origin, push, segments};

const RECORDS: u64 = 9;

/// A folder with one segment, and its bytes.
fn one_segment() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    push(&mut writer, 1..=RECORDS);
    writer.flush(at(SECOND), Vec::new).unwrap();
    drop(writer);
    let bytes = fs::read(&segments(folder.path())[0]).unwrap();
    (folder, bytes)
}

fn restart(folder: &Folder) -> Writer {
    Writer::open(folder.path(), Limits::default(), origin(2), at(0)).unwrap()
}

#[test]
fn a_torn_tail_is_waited_for_and_cut_at_the_next_start() {
    let (folder, bytes) = one_segment();
    let path = segments(folder.path()).remove(0);
    // Every place in a record, as their lengths differ.
    for cut in (0..bytes.len()).step_by(11) {
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = Found::in_folder(folder.path());
        // It could still be written.
        assert_eq!(whole.damaged, []);
        let records = whole.of_run(1);
        assert_eq!(records, Vec::from_iter(1..=records.len() as u64));

        let mut writer = restart(&folder);
        push(&mut writer, 1..=3);
        writer.end(at(SECOND)).unwrap();
        let found = Found::in_folder(folder.path());
        assert_eq!((&found.damaged, found.of_run(1)), (&vec![], records), "{cut}");
        assert_eq!(found.of_run(2), [1, 2, 3]);
        segments(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    }
}

#[test]
fn what_was_cut_is_reported() {
    let (folder, bytes) = one_segment();
    let path = segments(folder.path()).remove(0);
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let writer = restart(&folder);
    let [Repair::Cut { path: cut, bytes: 1.. }] = writer.repairs() else { panic!() };
    assert_eq!(*cut, path);
    assert!(writer.repairs()[0].to_string().contains("bytes of an unfinished record"));
}

#[test]
fn one_wrong_bit_costs_at_most_one_record() {
    let (folder, bytes) = one_segment();
    restart(&folder).end(at(1)).unwrap();
    let path = segments(folder.path()).remove(0);
    let first = Found::in_folder(folder.path());
    assert_eq!(first.of_run(1).len() as u64, RECORDS);
    let (mut without_header, mut with_damage) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, wrong).unwrap();
        let found = Found::in_folder(folder.path());
        if found.of_run(1).is_empty() {
            // The header, which belongs to all records.
            assert!(found.damaged.len() + found.newer.len() == 1, "{bit}");
            without_header += 1;
            continue;
        }
        assert_eq!(found.of_run(1).len() as u64, RECORDS - 1, "{bit}");
        let [(_, offset, length)] = found.damaged[..] else { panic!("{bit}") };
        assert!((offset..offset + length).contains(&(bit as u64 / 8)));
        with_damage += 1;
    }
    assert!(without_header > 0 && with_damage > without_header);
}

#[test]
fn damage_in_the_middle_is_kept_at_the_next_start() {
    let (folder, mut bytes) = one_segment();
    let path = segments(folder.path()).remove(0);
    let middle = bytes.len() - 80;
    bytes[middle..middle + 30].fill(0);
    fs::write(&path, &bytes).unwrap();
    let writer = restart(&folder);
    assert_eq!(writer.repairs(), []);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let found = Found::in_folder(folder.path());
    let records = found.of_run(1);
    assert_eq!((records[0], records.last()), (1, Some(&RECORDS)));
    assert!(records.is_sorted() && found.damaged.len() == 1);
}

/// A large damaged file must not take forever either.
#[test]
fn megabytes_of_damage_are_skipped() {
    let folder = Folder::new();
    let mut writer = open(folder.path()).unwrap();
    let first = 1_000_000;
    push(&mut writer, first..first + RECORDS);
    writer.end(at(SECOND)).unwrap();
    let path = segments(folder.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    let mut state = 7u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    });
    let end = bytes.len() - 5;
    let mut wrong = bytes[..end - 80].to_vec();
    wrong.extend(noise.take(1 << 20));
    wrong.extend_from_slice(&bytes[end - 80..]);
    fs::write(&path, &wrong).unwrap();
    let found = Found::in_folder(folder.path());
    let records = found.of_run(1);
    assert!(records.len() as u64 >= RECORDS - 2, "{}", records.len());
    assert_eq!(records.last(), Some(&(first + RECORDS - 1)));
    assert!(found.damaged.len() <= 2 && !found.damaged.is_empty());
}

#[test]
fn a_file_of_a_newer_version_is_left_alone_and_named() {
    let folder = Folder::new();
    let path = folder.join("0000000007.varta");
    let mut newer = b"varta-history\0\r\n".to_vec();
    newer.extend_from_slice(&2u32.to_le_bytes());
    newer.extend_from_slice(b"whatever it may be");
    fs::write(&path, &newer).unwrap();
    let mut writer = open(folder.path()).unwrap();
    let repair = Repair::Newer { path: path.clone(), version: 2 };
    assert_eq!(writer.repairs(), [repair]);
    let repair = writer.repairs()[0].to_string();
    assert!(repair.contains("newer version of varta-watch (format 2)"), "{repair}");
    push(&mut writer, 1..=3);
    writer.flush(at(1), Vec::new).unwrap();
    assert_eq!(segments(folder.path())[1], folder.join("0000000008.varta"));
    let found = Found::in_folder(folder.path());
    assert_eq!((&found.newer, found.of_run(1)), (&vec![(path.clone(), 2)], vec![1, 2, 3]));
    assert_eq!(fs::read(&path).unwrap(), newer);
}

#[test]
fn other_files_are_ignored() {
    let (folder, _) = one_segment();
    for name in ["notes.txt", "1.varta", "0000000001.varta.gz", "x.varta"] {
        fs::write(folder.join(name), "x").unwrap();
    }
    fs::create_dir(folder.join("lost+found")).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(Found::by(&mut reader).of_run(1).len() as u64, RECORDS);
    assert_eq!(restart(&folder).repairs(), []);
    assert!(folder.join("notes.txt").exists());
}
