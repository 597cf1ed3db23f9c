//! What the control groups of a process do to it: freeze it, limit its CPU time, or make it
//! wait for memory.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;

use super::text::{keyed, number, read, words};
use crate::judge::{Lacks, ProcessReading, Quota, Text};

/// A process is in a deeper group than this only if someone wants to cost time.
const MOST_LEVELS: usize = 16;

/// The longest content of a file of a group that is read.
const LONGEST: usize = 2_048;

/// Where the control groups are mounted.
#[derive(Debug, Default)]
pub(super) struct Groups {
    unified: Option<Mount>,
    cpu: Option<Mount>,
    freezer: Option<Mount>,
    memory: Option<Mount>,
}

#[derive(Debug, Clone)]
struct Mount {
    point: String,
    /// The group that is mounted there.
    root: String,
}

/// What is asked of the groups of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Quotas,
    QuotasAndFreezing,
}

impl Groups {
    /// Finds the mounted hierarchies. Without any, nothing is known about groups.
    pub(super) fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&mounts)
    }

    fn parse(mounts: &str) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let mut fields = before.split(' ').skip(3);
            let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
            let mount = || Some(Mount { point: point.to_owned(), root: root.to_owned() });
            let mut fields = after.split(' ');
            let (kind, options) = (fields.next(), fields.nth(1).unwrap_or_default());
            let has = |name| options.split(',').any(|option| option == name);
            match kind {
                Some("cgroup2") if found.unified.is_none() => found.unified = mount(),
                Some("cgroup") if has("cpu") => found.cpu = mount(),
                Some("cgroup") if has("freezer") => found.freezer = mount(),
                Some("cgroup") if has("memory") => found.memory = mount(),
                _ => {}
            }
        }
        found
    }

    /// Reads the groups of a process. `paths` is room for their paths.
    pub(super) fn read(
        &self,
        pid: u32,
        asked: Asked,
        paths: &mut [u8],
        process: &mut ProcessReading,
    ) {
        let Ok(lines) = read(format_args!("/proc/{pid}/cgroup"), paths) else {
            return process.lacks.add(Lacks::GROUPS);
        };
        for Group { controllers, path } in groups(lines) {
            if has(controllers, b"cpu") {
                read_quotas(self.cpu.as_ref(), path, Version::First, process);
            }
            if controllers.is_empty() {
                self.read_unified(path, asked, process);
            }
            if asked == Asked::QuotasAndFreezing && has(controllers, b"freezer") {
                self.read_freezer(path, process);
            }
        }
    }

    /// Reads whether the group of a process waits for memory that is not there. A thread that
    /// waits for that is in the state D; without one, this need not be read.
    pub(super) fn read_memory(&self, pid: u32, paths: &mut [u8], process: &mut ProcessReading) {
        let Some(mount) = &self.memory else { return };
        // If this fails, that has been recorded before.
        let lines = read(format_args!("/proc/{pid}/cgroup"), paths).unwrap_or_default();
        for Group { controllers, path } in groups(lines) {
            if has(controllers, b"memory") && path != "/" {
                read_out_of_memory(mount, path, process);
            }
        }
    }

    fn read_unified(&self, path: &str, asked: Asked, process: &mut ProcessReading) {
        read_quotas(self.unified.as_ref(), path, Version::Second, process);
        if asked == Asked::Quotas {
            return;
        }
        let Some(mount) = self.unified.as_ref() else { return };
        for (level, group) in mount.levels(path).enumerate() {
            let mut buffer = [0; LONGEST];
            // The state of the group shows the freezing of those above it, but not while one
            // of its processes cannot freeze.
            let by_group = |buffer: &mut [u8]| {
                let events = mount.read(group, "cgroup.events", buffer);
                events.is_ok_and(|events| keyed(events, b"frozen") == Some(1))
            };
            let is_frozen = level == 0 && by_group(&mut buffer) || {
                let freeze = mount.read(group, "cgroup.freeze", &mut buffer);
                freeze.is_ok_and(|freeze| number(freeze) == Some(1))
            };
            if is_frozen {
                process.frozen = true;
                process.group = Text::from_bytes(group.as_bytes());
                return;
            }
        }
    }

    fn read_freezer(&self, path: &str, process: &mut ProcessReading) {
        let Some(mount) = self.freezer.as_ref().filter(|_| path != "/") else { return };
        let mut buffer = [0; LONGEST];
        match mount.read(path, "freezer.state", &mut buffer) {
            // FROZEN, or FREEZING until all its processes are.
            Ok(state) if !state.starts_with(b"THAWED") => {
                process.frozen = true;
                process.group = Text::from_bytes(path.as_bytes());
            }
            Ok(_) => {}
            Err(_) => process.lacks.add(Lacks::GROUPS),
        }
    }
}

fn read_out_of_memory(mount: &Mount, path: &str, process: &mut ProcessReading) {
    let mut buffer = [0; LONGEST];
    match mount.read(path, "memory.oom_control", &mut buffer) {
        Ok(control) if keyed(control, b"under_oom") == Some(1) => {
            process.under_oom = true;
            if !process.frozen {
                process.group = Text::from_bytes(path.as_bytes());
            }
        }
        Ok(_) => {}
        Err(_) => process.lacks.add(Lacks::GROUPS),
    }
}

/// A line of `/proc/PID/cgroup`.
struct Group<'a> {
    /// Their names, separated by commas; empty for a group of the second version.
    controllers: &'a [u8],
    path: &'a str,
}

/// The groups of a process, except those whose path is not UTF-8.
fn groups(lines: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        Some(Group { controllers, path: std::str::from_utf8(path).ok()? })
    })
}

fn has(controllers: &[u8], name: &[u8]) -> bool {
    controllers.split(|byte| *byte == b',').any(|it| it == name)
}

impl Mount {
    /// A group and those above it, its own first, without the root.
    fn levels<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let up = |path: &&'a str| path.rfind('/').and_then(|end| path.get(..end));
        let first = Some(path).filter(|path| *path != "/");
        let groups = std::iter::successors(first, up);
        groups.take_while(|path| !path.is_empty()).take(MOST_LEVELS)
    }

    fn read<'a>(&self, group: &str, file: &str, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let below = match self.root.as_str() {
            "/" => Some(group),
            root => group.strip_prefix(root),
        };
        let Some(below) = below else { return Err(io::ErrorKind::NotFound.into()) };
        read(format_args!("{}{below}/{file}", self.point), buffer)
    }
}

/// How a version sets quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

impl Version {
    /// The time for which the quota of a group holds, in nanoseconds, if it has one.
    fn period_ns(self, mount: &Mount, group: &str, buffer: &mut [u8]) -> Option<u64> {
        let period_us = match self {
            Self::First => {
                let quota = mount.read(group, "cpu.cfs_quota_us", buffer).ok()?;
                // It is -1 if there is none.
                number(quota)?;
                mount.read(group, "cpu.cfs_period_us", buffer).ok().and_then(number)
            }
            Self::Second => {
                let mut quota = words(mount.read(group, "cpu.max", buffer).ok()?);
                quota.next().filter(|quota| *quota != b"max")?;
                quota.next().and_then(number)
            }
        };
        Some(period_us.unwrap_or(0).saturating_mul(1_000))
    }
}

/// Adds the groups with a quota of CPU time, from a group upwards.
fn read_quotas(
    mount: Option<&Mount>,
    path: &str,
    version: Version,
    process: &mut ProcessReading,
) {
    let Some(mount) = mount else { return };
    for group in mount.levels(path) {
        let mut buffer = [0; LONGEST];
        let Some(period_ns) = version.period_ns(mount, group, &mut buffer) else { continue };
        let Ok(counters) = mount.read(group, "cpu.stat", &mut buffer) else {
            process.lacks.add(Lacks::GROUPS);
            continue;
        };
        let count = |key| keyed(counters, key).unwrap_or(0);
        process.quotas.push(Quota {
            group: number_of(group.as_bytes()),
            periods: count(b"nr_periods"),
            throttled: count(b"nr_throttled"),
            period_ns,
        });
    }
}

/// A number that stands for a path.
pub(super) fn number_of(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchies_of_both_versions_are_found() {
        let groups = Groups::parse(
            "30 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             31 23 0:27 /docker/1 /sys/fs/cgroup/freezer rw shared:9 - cgroup cgroup rw,freezer\n\
             32 23 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
             33 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        let point = |mount: &Option<Mount>| mount.as_ref().map(|mount| mount.point.clone());
        assert_eq!(point(&groups.cpu).unwrap(), "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(groups.freezer.unwrap().root, "/docker/1");
        assert_eq!(point(&groups.unified).unwrap(), "/sys/fs/cgroup/unified");
        assert!(groups.memory.is_none());
        assert!(Groups::parse("").unified.is_none());
    }

    #[test]
    fn the_levels_of_a_group_end_below_the_root() {
        let mount = Mount { point: "/m".into(), root: "/".into() };
        assert!(mount.levels("/a/b/c").eq(["/a/b/c", "/a/b", "/a"]));
        assert_eq!(mount.levels("/").count(), 0);
        assert_eq!(mount.levels(&"/a".repeat(100)).count(), MOST_LEVELS);
    }
}
