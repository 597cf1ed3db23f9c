//! Whatever the file of a history contains, it is read to its end, and each record that is found
//! can be shown and written again.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use varta_history::{
    ClockPair, Entry, Item, Limits, Origin, Reader, Record, Run, Words, Writer,
};

/// A folder of this process, the file in it, and what a good file begins with.
struct Place {
    folder: PathBuf,
    file: PathBuf,
    header: Vec<u8>,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("varta-fuzz-{}", std::process::id()));
        let run = Run { boot_id: [7; 16], start_us: 1 };
        let origin = Origin { host: "db-1".to_owned(), run, boot_ns: 1_000 };
        Writer::open(&folder, Limits::default(), origin, ClockPair::default()).unwrap();
        let file = folder.join("0000000001.varta");
        let header = fs::read(&file).unwrap();
        Place { folder, file, header }
    })
}

/// Frames with good checksums, from a kind, a length and a body for each.
fn frames(mut data: &[u8]) -> Vec<u8> {
    let (mut bytes, mut seq) = (Vec::new(), 0);
    while let [kind, length, rest @ ..] = data {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        data = rest;
        seq = (seq + 1) % 128;
        let start = bytes.len();
        // The length is a varint of two bytes.
        let content = body.len() + 3;
        bytes.extend([0x80 | (content % 128) as u8, (content / 128) as u8, *kind, seq, seq]);
        bytes.extend_from_slice(body);
        let checksum = varta::crc32c(&bytes[start..]);
        bytes.extend(checksum.to_le_bytes());
    }
    bytes
}

fn check(entry: &Entry<'_>) {
    let Some(record) = entry.record() else { return };
    let members = entry.members().unwrap();
    assert_eq!(members["event"], record.kind().name());
    let _ = Words(&members).to_string();
    let mut body = Vec::new();
    record.encode(&mut body);
    assert_eq!(Record::decode(record.kind(), &body), Some(record));
}

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let Place { folder, file, header } = place();
    let bytes = match how % 3 {
        0 => [&header[..], &frames(data)].concat(),
        1 => [&header[..], data].concat(),
        _ => data.to_vec(),
    };
    fs::write(file, &bytes).unwrap();
    let mut reader = Reader::open(folder).unwrap();
    let mut items = 0;
    while let Some(item) = reader.next().unwrap() {
        items += 1;
        assert!(items <= bytes.len(), "more items than bytes");
        match item {
            Item::Record(entry) => check(&entry),
            Item::Damaged { offset, bytes: length, .. } => {
                assert!(offset + length <= bytes.len() as u64);
            }
            Item::Newer { .. } => {}
            Item::Overtaken { .. } => panic!("nothing was read before"),
        }
    }
});
