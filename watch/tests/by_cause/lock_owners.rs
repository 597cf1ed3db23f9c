//! The thread that holds the lock for which a process hangs.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use crate::hangs::locks::CMutex;
use crate::hangs::{self, Hang, Last};
use crate::support::{Daemon, needs_root, text_of, wait_until};
use crate::world::{Started, World};

/// Waits for a lock in memory that nobody can read any more.
fn on_a_mutex_in_a_page_that_is_withheld(last: Last<'_>) {
    let pages = hangs::memory::new_pages();
    let mutex = CMutex(pages.cast());
    mutex.lock();
    let (address, waiting) = (pages.expose_provenance(), std::process::id());
    thread::spawn(move || {
        let call = format!("/proc/self/task/{waiting}/syscall");
        wait_until(|| text_of(Path::new(&call)).starts_with(&libc::SYS_futex.to_string()));
        let pages = std::ptr::with_exposed_provenance_mut(address);
        std::mem::forget(hangs::memory::withhold(pages));
        // SAFETY: the pages are ours, and only the kernel uses them now.
        let dropped = unsafe { libc::madvise(pages, 4_096, libc::MADV_DONTNEED) };
        assert_eq!(dropped, 0, "{}", io::Error::last_os_error());
    });
    last();
    mutex.lock();
}

#[test]
fn the_thread_that_holds_the_lock_is_named_with_what_it_does() {
    if !needs_root() {
        return;
    }
    let mut world = World::with(|folder, flags| {
        let tries = ["--recovery-tries", "20", "--recovery-backoff-ms", "50"];
        Daemon::start(folder, &[flags, &tries].concat())
    });
    // The command fails, and is tried again.
    fs::write(world.folder.join("fail"), "").unwrap();
    // This one comes first, so that the others show that it delays nobody.
    let withheld = world.agent(on_a_mutex_in_a_page_that_is_withheld);
    withheld.hang();
    world.wait_for_command(withheld.pid());
    let hangs: [(Hang, &str); 3] = [
        (hangs::locks::on_a_mutex, ", which is in pause()"),
        (hangs::locks::on_two_mutexes, ", which waits for a lock itself"),
        (hangs::locks::on_its_own_mutex, " itself"),
    ];
    let hung = hangs.map(|(hang, does)| {
        let agent = world.agent(hang);
        agent.hang();
        (agent, does)
    });
    for (agent, does) in hung {
        let is_it = |line: &str| line.contains(" held by thread ") && line.contains(does);
        world.wait_for_line(agent.pid(), is_it);
        // If it was not known in time for the first command, then for another one.
        let is_told = |started: &Started| started.detail.contains(does);
        wait_until(|| world.started(agent.pid()).iter().any(is_told));
    }
    let log = world.daemon.log();
    let pid = format!("\"pid\":{},", withheld.pid());
    assert!(!log.lines().any(|line| line.contains(&pid) && line.contains(" held by ")));
    world.daemon.end();
}
