//! Several observers that want one path.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Binds in several threads at once. Exactly one must succeed, and datagrams must reach it.
fn race_of_threads(path: &Path, threads: usize) {
    let barrier = Barrier::new(threads);
    let mut listeners: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    UdsListener::bind(path, 0o600)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners = listeners.iter().filter(|listener| listener.is_ok()).count();
    assert_eq!(winners, 1, "{listeners:?}");
    for listener in &mut listeners {
        match listener {
            Ok(listener) => assert!(is_reached(listener, path)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
        }
    }
}

#[test]
fn one_of_several_threads_that_bind_at_once_wins() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    for _ in 0..50 {
        race_of_threads(&path, 4);
        assert!(!path.exists());
        leave_dead_socket(&path);
        race_of_threads(&path, 4);
    }
}

#[test]
fn one_of_several_processes_that_bind_at_once_wins() {
    const TAKEN: i32 = 17;
    let folder = Folder::new();
    let (path, go) = (folder.join("a.sock"), folder.join("go"));
    for _ in 0..50 {
        leave_dead_socket(&path);
        let racers: Vec<_> = (0..3)
            .map(|_| {
                Child::start(|| {
                    while !go.exists() {
                        std::thread::yield_now();
                    }
                    match UdsListener::bind(&path, 0o600) {
                        Ok(listener) => {
                            // Stays bound while others may try.
                            while go.exists() {
                                std::thread::yield_now();
                            }
                            std::mem::forget(listener);
                        }
                        Err(error) if error.kind() == ErrorKind::AddrInUse => exit(TAKEN),
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        fs::write(&go, b"").unwrap();
        let mut waiting = racers;
        let mut ended = Vec::new();
        wait_until(|| {
            waiting.retain_mut(|racer| match racer.ended() {
                Some(how) => {
                    ended.push(how);
                    false
                }
                None => true,
            });
            waiting.len() <= 1
        });
        fs::remove_file(&go).unwrap();
        ended.extend(waiting.iter_mut().map(Child::wait));
        let codes: Vec<_> = ended.iter().map(ToString::to_string).collect();
        let losers = codes.iter().filter(|code| *code == "exited with 17").count();
        let winners = codes.iter().filter(|code| *code == "exited with 0").count();
        assert_eq!((winners, losers), (1, 2), "{codes:?}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_bound_listener_is_reached_while_others_try_to_bind() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let bound = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..300 {
                    match UdsListener::bind(&path, 0o600) {
                        Ok(mut listener) => {
                            let before = bound.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(before, 0, "two at once");
                            assert!(is_reached(&mut listener, &path));
                            bound.fetch_sub(1, Ordering::SeqCst);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
                    }
                }
            });
        }
    });
    assert!(!path.exists());
}

/// Replaces the file at a path by one of another kind again and again, until `stop` is set.
fn swap(path: &Path, victim: &Path, live: &Path, stop: &AtomicBool) {
    let next = path.with_extension("next");
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let _ = fs::remove_file(&next);
        match turn % 4 {
            0 => symlink(victim, &next).unwrap(),
            1 => symlink(live, &next).unwrap(),
            2 => fs::hard_link(victim, &next).unwrap(),
            _ => drop(UnixDatagram::bind(&next).unwrap()),
        }
        fs::rename(&next, path).unwrap();
    }
}

#[test]
fn a_path_that_is_swapped_during_bind_affects_no_other_file() {
    let folder = Folder::new();
    let (path, victim) = (folder.join("a.sock"), folder.join("victim"));
    let live_path = folder.join("live.sock");
    fs::write(&victim, b"precious").unwrap();
    fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
    let mut live = bind(&live_path);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&path, &victim, &live_path, &stop));
        for _ in 0..300 {
            // It may succeed, find the path in use, or find that it was removed.
            drop(UdsListener::bind(&path, 0o600));
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!((fs::read(&victim).unwrap(), mode(&victim)), (b"precious".to_vec(), 0o644));
    assert!(is_reached(&mut live, &live_path));
    assert_eq!(mode(&live_path), 0o600);
}
