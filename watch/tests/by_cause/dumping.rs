//! A process that writes its core file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hangs::Last;
use crate::support::{Ended, Folder, kernel_lacks, needs_root};
use crate::world::World;

const SIZE: usize = 8 << 20;

/// Crashes with a core file on the disk that [`Disk`] has mounted.
fn crash(last: Last<'_>) {
    std::env::set_current_dir("disk").unwrap();
    let bytes = Box::leak(vec![0_u8; SIZE].into_boxed_slice());
    for page in bytes.chunks_mut(4_096) {
        page[0] = 1;
    }
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads `limit`.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    // SAFETY: takes numbers.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    last();
    // SAFETY: takes a number.
    unsafe { libc::raise(libc::SIGSEGV) };
}

/// A disk in a file, on which writing may take as long as a test wants.
struct Disk {
    place: PathBuf,
}

impl Disk {
    fn mount(folder: &Folder) -> Self {
        let (image, place) = (folder.join("image"), folder.join("disk"));
        fs::create_dir(&place).unwrap();
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &place]));
        Self { place }
    }

    fn freeze(&self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.place));
    }

    fn thaw(&self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.place));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It is frozen only if the test has failed.
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.place).output();
        run(Command::new("umount").arg("--lazy").arg(&self.place));
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How long the core file must be according to its program headers.
fn length_of_core(core: &[u8]) -> u64 {
    let number = |at: usize, length: usize| {
        let bytes = &core[at..at + length];
        bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    assert_eq!(&core[..5], b"\x7fELF\x02", "not a core file of 64 bits");
    let first = usize::try_from(number(32, 8)).unwrap();
    let (size, count) = (number(54, 2), number(56, 2));
    let headers = (0..count).map(|index| first + usize::try_from(index * size).unwrap());
    headers.map(|at| number(at + 8, 8) + number(at + 32, 8)).max().unwrap()
}

#[test]
fn nothing_cuts_a_core_file_short() {
    if !needs_root() {
        return;
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/', '@']) {
        return kernel_lacks(
            "core files in the current folder, as by kernel.core_pattern=core",
        );
    }
    if !Path::new("/dev/loop-control").exists() {
        return kernel_lacks("loop devices");
    }
    let world = World::new();
    let disk = Disk::mount(&world.folder);
    let mut agent = world.agent(crash);
    let pid = agent.pid();
    disk.freeze();
    agent.tell_to_hang();
    world.wait_until_held(pid, ["dumping"]);
    assert!(world.started(pid).is_empty());
    disk.thaw();
    assert_eq!(agent.child.wait(), Ended::Killed(libc::SIGSEGV));
    let started = world.wait_for_command(pid);
    assert_eq!((&*started.cause, &*started.class), ("signal:11", "none"));
    let files = fs::read_dir(&disk.place).unwrap().map(|file| file.unwrap().path());
    let core = files.filter_map(|path| fs::read(path).ok()).find(|file| file.len() >= SIZE);
    let core = core.unwrap();
    assert_eq!(core.len() as u64, length_of_core(&core));
}
