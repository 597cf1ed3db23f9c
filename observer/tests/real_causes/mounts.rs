//! Where control groups and disks are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file of the kernel; nothing if there is none.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Where a hierarchy of control groups is mounted.
pub(crate) fn mount_of(kind: &str, controller: &str) -> Option<PathBuf> {
    let mounts = read("/proc/self/mountinfo");
    let mut lines = mounts.lines().filter_map(|line| line.split_once(" - "));
    let (before, _) = lines.find(|(_, after)| {
        let mut fields = after.split(' ');
        let is_kind = fields.next() == Some(kind);
        let options = fields.nth(1).unwrap_or_default();
        is_kind && (controller.is_empty() || options.split(',').any(|it| it == controller))
    })?;
    Some(before.split(' ').nth(4).unwrap().into())
}

/// The number of the disk on which the temporary folder is, as control groups name it.
pub(crate) fn disk() -> Option<&'static str> {
    static DISK: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let device = fs::metadata(std::env::temp_dir()).ok()?.dev();
        let number = format!("{}:{}", libc::major(device), libc::minor(device));
        let about = fs::canonicalize(format!("/sys/dev/block/{number}")).ok()?;
        match about.join("partition").exists() {
            true => Some(read(about.parent()?.join("dev")).trim().to_owned()),
            false => Some(number),
        }
    };
    DISK.get_or_init(find).as_deref()
}
