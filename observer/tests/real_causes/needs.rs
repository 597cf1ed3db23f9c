//! What a kind of silence takes that not every system has.

use std::path::Path;
use std::process::Command;

use crate::mounts::{disk, mount_of, read};
use crate::programs;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A hierarchy of the first version with this controller.
    FirstVersion(&'static str),
    /// The hierarchy of the second version.
    SecondVersion,
    /// The same, with this controller in its root.
    SecondVersionWith(&'static str),
    Fuse,
    /// Core files are written to the folder of the process.
    CoreFiles,
    LoopDevices,
    /// The temporary folder is on a disk.
    Disk,
    Swap,
    Gdb,
    Python,
    Go,
    Java,
    Node,
}

impl Need {
    /// What is missing on this system, if anything is.
    pub(crate) fn missing(self) -> Option<String> {
        let (is_there, what) = match self {
            Self::FirstVersion(controller) => (
                mount_of("cgroup", controller).is_some(),
                format!("the controller {controller} of control groups of the first version"),
            ),
            Self::SecondVersion => {
                let there = mount_of("cgroup2", "").is_some();
                (there, "control groups of the second version".to_owned())
            }
            Self::SecondVersionWith(controller) => {
                let there = mount_of("cgroup2", "").is_some_and(|mount| {
                    let controllers = read(mount.join("cgroup.subtree_control"));
                    controllers.split_whitespace().any(|it| it == controller)
                });
                (
                    there,
                    format!(
                        "the controller {controller} in control groups of the second version"
                    ),
                )
            }
            Self::Fuse => (Path::new("/dev/fuse").exists(), "/dev/fuse".to_owned()),
            Self::CoreFiles => {
                let pattern = read("/proc/sys/kernel/core_pattern");
                (
                    !pattern.starts_with(['|', '/', '@']),
                    "a relative kernel.core_pattern".to_owned(),
                )
            }
            Self::LoopDevices => {
                let there = Path::new("/dev/loop-control").exists() && has("mkfs.ext4");
                (there, "loop devices and mkfs.ext4".to_owned())
            }
            Self::Disk => (disk().is_some(), "a disk below the temporary folder".to_owned()),
            Self::Swap => (read("/proc/swaps").lines().count() > 1, "swap space".to_owned()),
            Self::Gdb => (has("gdb"), "gdb".to_owned()),
            Self::Python => (programs::python().is_some(), "python3".to_owned()),
            Self::Go => (programs::go().is_some(), "go".to_owned()),
            Self::Java => (programs::java().is_some(), "a JDK".to_owned()),
            Self::Node => (has("node"), "node".to_owned()),
        };
        (!is_there).then_some(what)
    }
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
