//! Disks that are full or cannot be written to.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};
use varta_history::{Limits, Writer};

use crate::support::{Folder, Found, SECOND, at, needs_root, open, origin, push, skipped};

/// A file system of its own.
struct Disk(PathBuf);

impl Disk {
    fn at(path: PathBuf, kib: usize) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let size = std::ffi::CString::new(format!("size={kib}k")).unwrap();
        let size = Some(size.as_c_str());
        match rustix::mount::mount("none", &path, "tmpfs", MountFlags::empty(), size) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                skipped(&format!("permission to mount a tmpfs: {error}"));
                None
            }
        }
    }

    fn make_read_only(&self) {
        let flags = MountFlags::RDONLY;
        rustix::mount::mount_remount(&self.0, flags, c"").unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Takes all the space that is left on a disk, but for some bytes.
fn fill(ballast: &Path, left: usize) {
    let mut full = Vec::new();
    while fs::write(ballast, &full).is_ok() {
        full.resize(full.len() + 4_096, 0);
    }
    full.truncate(full.len().saturating_sub(4_096 + left));
    fs::write(ballast, full).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_what_it_cost_is_recorded() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let Some(disk) = Disk::at(folder.join("disk"), 512) else { return };
    let (path, ballast) = (disk.0.join("history"), disk.0.join("ballast"));
    let mut writer = open(&path).unwrap();
    push(&mut writer, 1..=10);
    writer.flush(at(1), Vec::new).unwrap();
    fill(&ballast, 0);
    let mut next = 11;
    let mut failures = 0;
    // The page that the file ends in still has room.
    while failures < 3 {
        push(&mut writer, next..next + 100);
        next += 100;
        if let Err(error) = writer.flush(at(2), Vec::new) {
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            let text = error.to_string();
            assert!(text.contains("0000000001.varta") && text.contains("write to"), "{text}");
            failures += 1;
            // What is there is whole.
            assert_eq!(Found::in_folder(&path).damaged, []);
        }
    }
    let before = Found::in_folder(&path).of_run(1);
    let kept = before.len() as u64;
    assert_eq!(before, Vec::from_iter(1..=kept), "whole records before the end were kept");
    fs::remove_file(&ballast).unwrap();
    push(&mut writer, next..next + 5);
    writer.flush(at(3), Vec::new).unwrap();
    let found = Found::in_folder(&path);
    assert_eq!(found.lost, [(kept + 1, next - 1)]);
    assert_eq!(found.of_run(1), Vec::from_iter((1..=kept).chain(next..next + 5)));
    assert_eq!(found.damaged, []);
    let counts = writer.counts();
    assert_eq!((counts.records, counts.lost), (kept + 5, next - 1 - kept));
}

#[test]
fn a_segment_that_cannot_be_begun_leaves_the_old_one_in_use() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let Some(disk) = Disk::at(folder.join("disk"), 512) else { return };
    let (path, ballast) = (disk.0.join("history"), disk.0.join("ballast"));
    let limits = Limits { max_bytes: 4 * 4_096, ..Limits::default() };
    let mut writer = Writer::open(&path, limits, origin(1), at(0)).unwrap();
    push(&mut writer, 1..=300);
    // The old segment has room for a page more, a new one has none.
    fill(&ballast, 2 * 4_096);
    let mut failed = writer.flush(at(SECOND), || vec![(0, crate::support::sample(1)); 5_000]);
    let error = failed.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    assert_eq!(crate::support::segments(&path).len(), 1, "nothing is left of it");
    fs::remove_file(&ballast).unwrap();
    push(&mut writer, 301..=310);
    failed = writer.flush(at(SECOND + 1), || panic!("it is not tried again at once"));
    failed.unwrap();
    assert_eq!(Found::in_folder(&path).of_run(1), Vec::from_iter(1..=310));
    push(&mut writer, 311..=320);
    writer.flush(at(2 * SECOND), Vec::new).unwrap();
    assert_eq!(crate::support::segments(&path).len(), 2);
    assert_eq!(Found::in_folder(&path).of_run(1), Vec::from_iter(1..=320));
}

#[test]
fn a_disk_that_is_read_only_is_an_error_for_a_writer_and_none_for_a_reader() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let Some(disk) = Disk::at(folder.join("disk"), 512) else { return };
    let path = disk.0.join("history");
    let mut writer = open(&path).unwrap();
    push(&mut writer, 1..=10);
    writer.end(at(1)).unwrap();
    disk.make_read_only();
    let error = open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(error.to_string().contains("cannot create"), "{error}");
    let error = open(&disk.0.join("other")).unwrap_err();
    assert!(error.to_string().contains("cannot create the history folder"), "{error}");
    assert_eq!(Found::in_folder(&path).of_run(1).len(), 10);
}
