//! What is written about a process that hangs by itself before its command starts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hangs;
use crate::support::{Daemon, Folder, WATCH, kill, lines_of, needs_root, text_of, wait_until};
use crate::world::World;

fn world(snapshots: &Path) -> World {
    World::with(|folder, flags| {
        let tries = ["--recovery-tries", "2", "--recovery-backoff-ms", "10"];
        let place = ["--recovery-snapshot-dir", snapshots.to_str().unwrap()];
        Daemon::start(folder, &[flags, &tries, &place].concat())
    })
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_run_writes_one_file_and_removes_the_oldest_of_a_hundred() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let (other, target) = (folder.join("other"), folder.join("target"));
    fs::write(&target, "kept").unwrap();
    fs::create_dir(folder.join("old")).unwrap();
    let old = |number| folder.join(&format!("old/varta-stall-{number:013}-1"));
    for number in 0..100 {
        fs::write(old(number), "").unwrap();
    }
    symlink(&target, folder.join("old/varta-stall-0000000000000-0")).unwrap();
    fs::write(&other, "").unwrap();
    fs::rename(&other, folder.join("old/a")).unwrap();

    let world = world(&folder.join("old"));
    // The command fails, and is tried again.
    fs::write(world.folder.join("fail"), "").unwrap();
    let agent = world.agent(hangs::locks::on_a_mutex);
    let pid = agent.pid();
    agent.hang();
    world.wait_for_command(pid);
    let files = files_in(&folder.join("old"));
    let file = files.last().unwrap();
    assert!(file.to_str().unwrap().ends_with(&format!("-{pid}")), "{}", file.display());
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = text_of(file);
    for wanted in [
        &format!("(pid {pid}), silent for ")[..],
        ": hung on a lock",
        &format!("\n/proc/{pid}/limits:\nLimit"),
        &format!("\n/proc/{pid}/task/{pid}/wchan:\nfutex"),
        &format!("\n/proc/{pid}/task/{pid}/syscall:\n{} 0x", libc::SYS_futex),
        &format!("\n/proc/{pid}/task/{pid}/stack:\n[<0>]"),
        // The thread that holds the lock.
        "/stack:\n[<0>] __do_sys_pause",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in:\n{text}");
    }
    wait_until(|| lines_of(&world.folder.join("audit"), 3, "gave_up").len() == 1);
    assert_eq!(files_in(&folder.join("old")), files, "one file for both tries");
    assert_eq!(files.len(), 100 + 2);
    assert!(!old(0).exists() && old(1).exists());
    assert_eq!(text_of(&target), "kept");

    // There is nothing to read of a process that has ended.
    let mut agent = world.agent(hangs::waits::parked);
    kill(agent.pid(), libc::SIGKILL);
    agent.child.wait();
    world.wait_for_command(agent.pid());
    assert_eq!(files_in(&folder.join("old")), files);
}

#[test]
fn a_command_starts_even_if_its_snapshot_cannot_be_written() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let full = Disk::mount(&folder);
    let cases = [
        (folder.join("missing"), "No such file or directory"),
        (full.0.clone(), "No space left on device"),
    ];
    for (place, error) in cases {
        let world = world(&place);
        let agent = world.agent(hangs::waits::parked);
        agent.hang();
        world.wait_for_command(agent.pid());
        let warning = format!("--recovery-snapshot-dir {}: {error}", place.display());
        world.wait_for_line(agent.pid(), |line| line.contains(&warning));
    }
    assert_eq!(files_in(&full.0), [full.0.join("all")], "half of a file was left");
}

/// A disk that is full.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Folder) -> Self {
        let place = folder.join("full");
        fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4k", "tmpfs"]).arg(&place);
        assert!(mount.status().unwrap().success());
        fs::write(place.join("all"), [0; 4_096]).unwrap();
        Self(place)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap().success());
    }
}

#[test]
fn the_folder_is_checked_in_advance() {
    let folder = Folder::new();
    let (file, link) = (folder.join("file"), folder.join("link"));
    fs::write(&file, "").unwrap();
    symlink(folder.path(), &link).unwrap();
    let check = |place: &Path, more: &[&str]| {
        let mut command = Command::new(WATCH);
        command.args(["--check-config", "--threshold-ms", "1000", "--socket", "s"]);
        command.args(more).arg("--recovery-snapshot-dir").arg(place);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let with_command = ["--recovery-exec", "true"];
    let (code, said) = check(&folder.join("missing"), &with_command);
    assert!(code == 0 && said.contains("missing: there is no such folder"), "{said}");
    assert_eq!(check(folder.path(), &with_command), (0, String::new()));
    let without_causes = ["--recovery-exec", "true", "--causes", "off"];
    for (place, flags, why) in [
        (&*file, &with_command[..], "it is not a folder"),
        (&link, &with_command, "it is a symbolic link, which is not followed"),
        (folder.path(), &[], "needs a command"),
        (folder.path(), &without_causes, "has no effect with --causes off"),
    ] {
        let (code, said) = check(place, flags);
        assert!(code == 2 && said.contains(why), "{code} {said}");
    }
}
