#![allow(unsafe_code, reason = "umasks, and descriptors as others leave them")]

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};

mod races;
mod unowned;

use super::*;
use crate::io::listener::Listener;
use crate::testing::{
    Child, Folder, become_user, exit, in_child, is_root, send_with_descriptors, wait_until,
};

const NOBODY: u32 = 65_534;

#[track_caller]
fn bind(path: &Path) -> UdsListener {
    UdsListener::bind(path, 0o600).unwrap()
}

/// Whether a datagram to the path reaches this listener.
fn is_reached(listener: &mut UdsListener, path: &Path) -> bool {
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"are you there", path).is_ok()
        && listener.receive().unwrap() == 1
        && listener.batch().take(0).unwrap().bytes == b"are you there"
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Leaves a dead socket, as a killed observer does. It is bound in a child, because a child of
/// another test could hold a copy of a socket of this process, which would keep it alive.
fn leave_dead_socket(path: &Path) {
    in_child(|| std::mem::forget(UnixDatagram::bind(path).unwrap()));
}

#[track_caller]
fn bind_error(path: &Path) -> (ErrorKind, String) {
    let error = UdsListener::bind(path, 0o600).unwrap_err();
    let text = error.to_string();
    let (what, why) = text.split_once(": ").unwrap();
    assert_eq!(what, format!("cannot bind {}", path.display()));
    (error.kind(), why.to_owned())
}

/// A process that a killed observer was just starting holds its sockets for a moment.
#[test]
fn bind_waits_for_a_socket_that_is_closed_soon() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let name = path.as_os_str().as_bytes();
    for _ in 0..5 {
        let holder = Child::start(|| {
            let _both = (bind(&path), UdsListener::bind_abstract(name).unwrap());
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        });
        wait_until(|| UnixDatagram::unbound().unwrap().connect(&path).is_ok());
        std::thread::scope(|scope| {
            let next = scope.spawn(|| (bind(&path), UdsListener::bind_abstract(name)));
            std::thread::sleep(std::time::Duration::from_millis(5));
            // The killed holder leaves its file.
            drop(holder);
            let (mut listener, named) = next.join().unwrap();
            assert!(is_reached(&mut listener, &path) && named.is_ok());
        });
    }
}

#[test]
fn a_free_path_is_bound_and_removed_on_drop() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let mut listener = bind(&path);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert!(is_reached(&mut listener, &path));
    drop(listener);
    assert!(!path.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");
    let mut again = bind(&path);
    assert!(is_reached(&mut again, &path));
}

#[test]
fn the_mode_is_as_requested_with_any_umask() {
    in_child(|| {
        let folder = Folder::new();
        let path = folder.join("a.sock");
        for umask in [0, 0o022, 0o077, 0o277, 0o777] {
            // SAFETY: in a child, which has no other threads.
            unsafe { libc::umask(umask) };
            for asked in [0o600, 0o660, 0o666, 0o777, 0o620, 0] {
                let listener = UdsListener::bind(&path, asked).unwrap();
                assert_eq!(mode(&path), asked, "umask {umask:o}");
                drop(listener);
                assert!(!path.exists());
                // SAFETY: as above.
                assert_eq!(unsafe { libc::umask(umask) }, umask, "it was changed");
            }
        }
    });
}

#[test]
fn the_mode_is_never_wider_than_requested() {
    /// The number of checks of the mode, and of files that are created.
    const MANY: usize = 300;
    for (umask, asked) in [(0, 0o600), (0o022, 0o660), (0o077, 0o606)] {
        // In a child, because the umask belongs to the whole process.
        in_child(|| {
            let folder = Folder::new();
            let (path, other) = (folder.join("a.sock"), folder.join("a file"));
            // SAFETY: takes a number.
            unsafe { libc::umask(umask) };
            let (parent, children) = UnixDatagram::pair().unwrap();
            let report = |done: usize| {
                if done == MANY {
                    children.send(&[0]).unwrap();
                }
            };
            let watcher = like_a_thread(|| {
                let mut seen = 0;
                while path.parent().is_some_and(Path::exists) {
                    let Ok(about) = fs::symlink_metadata(&path) else { continue };
                    let wider = about.mode() & 0o7777 & !asked;
                    assert_eq!(wider, 0, "{:o} with umask {umask:o}", about.mode());
                    seen += 1;
                    report(seen);
                }
            });
            // Files that another thread creates meanwhile have their usual mode.
            let maker = like_a_thread(|| {
                for made in 0.. {
                    let Ok(file) = File::create(&other) else { break };
                    let mode = file.metadata().unwrap().mode() & 0o7777;
                    assert_eq!(mode, 0o666 & !umask, "the umask was changed");
                    let _ = fs::remove_file(&other);
                    report(made);
                }
            });
            parent.set_nonblocking(true).unwrap();
            let (mut rounds, mut done) = (0, 0);
            let mut both = [watcher, maker];
            while rounds < MANY || done < both.len() {
                let listener = UdsListener::bind(&path, asked).unwrap();
                assert_eq!(mode(&path), asked);
                drop(listener);
                rounds += 1;
                done += usize::from(parent.recv(&mut [0]).is_ok());
                // Until the folder is removed, a child ends only if a check has failed.
                if both.iter_mut().any(|child| child.ended().is_some()) {
                    break;
                }
            }
            wait_until(|| fs::remove_dir_all(folder.path()).is_ok());
            both.into_iter().for_each(Child::finish);
        });
    }
}

/// A process that shares the umask with this one, as threads do. A forked child of a threaded
/// process must not create threads.
fn like_a_thread(run: impl FnOnce()) -> Child {
    let flags = libc::c_ulong::from((libc::CLONE_FS | libc::SIGCHLD).unsigned_abs());
    // SAFETY: a fork in a child that has no other threads.
    let fork = || unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    Child::start_by(|| fork().try_into().unwrap(), run)
}

#[test]
fn a_live_observer_keeps_its_path() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let mut first = bind(&path);
    let (kind, why) = bind_error(&path);
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert_eq!(why, "an observer is already listening there");
    assert_eq!(first.receive().unwrap(), 0, "the probe is not received");
    assert!(is_reached(&mut first, &path));

    // An observer with a full queue is alive, too.
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(&[7], &path).is_ok() {}
    assert_eq!(bind_error(&path).0, ErrorKind::AddrInUse);
    drop(first);
    assert!(is_reached(&mut bind(&path), &path));
}

#[test]
fn a_dead_socket_is_replaced() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    leave_dead_socket(&path);
    let mut listener = UdsListener::bind(&path, 0o640).unwrap();
    assert_eq!(mode(&path), 0o640);
    assert!(is_reached(&mut listener, &path));
    drop(listener);
    // A dead socket of another kind is replaced, too.
    in_child(|| std::mem::forget(UnixListener::bind(&path).unwrap()));
    assert!(is_reached(&mut bind(&path), &path));
}

#[test]
fn a_file_that_is_not_a_socket_is_left_alone() {
    let folder = Folder::new();
    let path = folder.join("a");
    let target = folder.join("target");
    let make_fifo = || {
        let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    };
    let live = folder.join("live.sock");
    let _live = bind(&live);
    leave_dead_socket(&target);
    let cases: [(&dyn Fn(), &str); 6] = [
        (&|| fs::write(&path, b"precious").unwrap(), "a file that is not a socket"),
        (&|| fs::create_dir(&path).unwrap(), "a directory"),
        (&make_fifo, "a file that is not a socket"),
        (&|| symlink(folder.join("nothing"), &path).unwrap(), "a symbolic link"),
        (&|| symlink(&target, &path).unwrap(), "a symbolic link"),
        (&|| symlink(&live, &path).unwrap(), "a symbolic link"),
    ];
    for (make, what) in cases {
        make();
        let before = fs::symlink_metadata(&path).unwrap();
        let (kind, why) = bind_error(&path);
        assert_eq!(kind, ErrorKind::AlreadyExists);
        assert_eq!(why, format!("{what} is already there; remove it or use another path"));
        let after = fs::symlink_metadata(&path).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
        match before.is_dir() {
            true => fs::remove_dir(&path).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
    }
    assert!(target.exists() && live.exists());
}

#[test]
fn a_socket_of_another_kind_is_left_alone() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let stream = UnixListener::bind(&path).unwrap();
    let (kind, why) = bind_error(&path);
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert_eq!(why, "a socket of another kind is in use there");
    drop(stream);
    fs::remove_file(&path).unwrap();

    // A socket that is connected to another one cannot be probed.
    let engaged = UnixDatagram::bind(&path).unwrap();
    let other = folder.join("other");
    let _other = UnixDatagram::bind(&other).unwrap();
    engaged.connect(&other).unwrap();
    let (kind, why) = bind_error(&path);
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert!(why.starts_with("a socket is already there and cannot be probed"), "{why}");
    assert!(path.exists());
}

#[test]
fn a_socket_that_may_not_be_probed_is_left_alone() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let path = folder.join("a.sock");
    let check = || {
        in_child(|| {
            become_user(NOBODY);
            let (kind, why) = bind_error(&path);
            assert_eq!(kind, ErrorKind::PermissionDenied);
            assert!(why.starts_with("a socket is already there and cannot be probed"), "{why}");
            assert!(why.ends_with("; remove it or use another path"), "{why}");
        });
        assert!(path.exists());
    };
    let mut live = bind(&path);
    check();
    assert!(is_reached(&mut live, &path));
    drop(live);
    // Whether it is dead cannot be determined.
    leave_dead_socket(&path);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    check();
}

#[test]
fn a_missing_directory_is_reported() {
    let folder = Folder::new();
    let (kind, why) = bind_error(&folder.join("missing/a.sock"));
    assert_eq!(kind, ErrorKind::NotFound);
    let missing = folder.join("missing");
    assert_eq!(why, format!("the directory {} does not exist", missing.display()));

    fs::write(&missing, b"").unwrap();
    let (kind, why) = bind_error(&folder.join("missing/a.sock"));
    assert_eq!(kind, ErrorKind::NotADirectory);
    assert_eq!(why, format!("{} is not a directory", missing.display()));

    in_child(|| {
        let gone = folder.join("gone");
        fs::create_dir(&gone).unwrap();
        std::env::set_current_dir(&gone).unwrap();
        fs::remove_dir(&gone).unwrap();
        let (kind, why) = bind_error(Path::new("a.sock"));
        assert_eq!((kind, &*why), (ErrorKind::NotFound, "its directory has been removed"));
    });
}

#[test]
fn an_invalid_path_is_refused() {
    let folder = Folder::new();
    let longest = LONGEST_NAME - folder.path().as_os_str().len() - 1;
    let path = folder.join(&"x".repeat(longest));
    assert!(is_reached(&mut bind(&path), &path));
    let (kind, why) = bind_error(&folder.join(&"x".repeat(longest + 1)));
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert_eq!(why, "the path has 108 bytes; a Unix socket allows at most 107");

    let slash = folder.join("a/");
    let dots = folder.join("..");
    let dot = folder.join("a/.");
    for (path, reason) in [
        (Path::new(""), "the path is empty"),
        (Path::new("/tmp/a\0b"), "the path holds a NUL byte"),
        (Path::new("/"), "it names a directory"),
        (&slash, "it names a directory"),
        (&dots, "it names a directory"),
        (&dot, "it names a directory"),
    ] {
        assert_eq!(bind_error(path), (ErrorKind::InvalidInput, reason.into()), "{path:?}");
    }
    let error = UdsListener::bind(&folder.join("a"), 0o4600).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(": the mode 0o4600 is not a set of permissions; use at most 0o777")
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_failed_bind_leaves_no_file() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    in_child(|| {
        become_user(NOBODY);
        let (kind, _) = bind_error(&folder.join("a.sock"));
        assert_eq!(kind, ErrorKind::PermissionDenied);
    });
    // A directory that can be written but not read cannot be locked.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o333)).unwrap();
    let path = folder.join("a.sock");
    in_child(|| {
        become_user(NOBODY);
        let mut listener = bind(&path);
        assert!(is_reached(&mut listener, &path));
        assert_eq!(bind_error(&path).0, ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        leave_dead_socket(&path);
        let (kind, why) = bind_error(&path);
        assert_eq!(kind, ErrorKind::AddrInUse);
        assert!(why.starts_with("a dead socket is in the way"), "{why}");
        assert!(why.ends_with("remove it by hand"), "{why}");
    });
    assert!(path.exists());
}

#[test]
fn a_path_that_now_belongs_to_another_is_not_removed() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let first = bind(&path);
    fs::remove_file(&path).unwrap();
    let mut second = bind(&path);
    drop(first);
    assert!(is_reached(&mut second, &path));
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"precious").unwrap();
    drop(second);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    drop(bind(&path));
    assert!(!path.exists());
}

#[test]
fn the_file_is_removed_even_if_its_directory_has_moved() {
    in_child(|| {
        let folder = Folder::new();
        fs::create_dir(folder.join("before")).unwrap();
        std::env::set_current_dir(folder.join("before")).unwrap();
        let listener = bind(Path::new("a.sock"));
        std::env::set_current_dir("/").unwrap();
        fs::rename(folder.join("before"), folder.join("after")).unwrap();
        assert!(folder.join("after/a.sock").exists());
        drop(listener);
        assert!(!folder.join("after/a.sock").exists());
    });
}

#[test]
fn a_forked_child_leaves_the_file() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let listener = bind(&path);
    let mut listener = Some(listener);
    in_child(|| {
        drop(listener.take());
        assert!(path.exists());
        // The child removes the file of its own listener.
        let own = folder.join("own.sock");
        drop(bind(&own));
        assert!(!own.exists());
    });
    assert!(is_reached(listener.as_mut().unwrap(), &path));
    drop(listener);
    assert!(!path.exists());
}

/// The descriptors that stay open across exec, except the first three.
fn kept_on_exec() -> Vec<String> {
    let mut kept = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let number: i32 = name.parse().unwrap();
        // SAFETY: reads the flags of a descriptor, which may already be closed.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if number > 2 && flags == 0 {
            let target = fs::read_link(format!("/proc/self/fd/{name}"));
            kept.push(format!("{name}: {target:?}"));
        }
    }
    kept
}

#[test]
fn no_descriptor_stays_open_across_exec() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    in_child(|| {
        let before = kept_on_exec();
        let mut listener = bind(&path);
        listener.pass_pidfds(true).unwrap();
        UnixDatagram::unbound().unwrap().send_to(&[7], &path).unwrap();
        assert_eq!(listener.receive().unwrap(), 1);
        let _pidfd = listener.batch().take(0).unwrap().pidfd.unwrap().unwrap();
        let _udp =
            crate::io::listener::UdpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _epoll = sys::Epoll::new().unwrap();
        let _timer = sys::Timer::new().unwrap();
        let _watch = sys::open_pidfd(std::process::id()).unwrap();
        assert_eq!(kept_on_exec(), before);
    });
}

#[test]
fn the_queue_holds_queue_bound_datagrams() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let mut listener = Listener::from(bind(&path));
    assert!(listener.is_local() && listener.uds().is_some());
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sender.send_to(&[7], &path).is_ok() {
        sent += 1;
    }
    assert_eq!(listener.queue_bound(), sent);
    assert_eq!(listener.receive().unwrap(), sent.min(BATCH));
    assert!(listener.set_receive_buffer(1 << 20).unwrap() >= 1 << 20);
}

#[test]
fn pidfds_can_be_switched_on_and_off() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let mut listener = bind(&path);
    let sender = UnixDatagram::unbound().unwrap();
    for on in [true, true, false, false, true] {
        sender.send_to(&[1], &path).unwrap();
        listener.pass_pidfds(on).unwrap();
        sender.send_to(&[2], &path).unwrap();
        assert_eq!(listener.receive().unwrap(), 2);
        for index in 0..2 {
            let message = listener.batch().take(index).unwrap();
            assert_eq!(message.pidfd.is_some(), on);
            assert!(!message.control_truncated);
            assert_eq!(message.credentials.unwrap().pid, std::process::id());
        }
    }
}

#[test]
fn attached_descriptors_are_refused_or_closed() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    in_child(|| {
        let mut listener = bind(&path);
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let (refused, refuses) = UnixDatagram::pair().unwrap();
        sys::refuse_descriptors(refuses.as_fd());
        let can_refuse = send_with_descriptors(&refused, &[7], &[sender.as_fd()]).is_err();
        let before = crate::testing::open_descriptors();
        for _ in 0..100 {
            let sent = send_with_descriptors(&sender, &[7; 32], &[sender.as_fd(); 3]);
            assert_eq!(sent.is_err(), can_refuse);
            assert_eq!(listener.receive().unwrap(), usize::from(!can_refuse));
            assert_eq!(crate::testing::open_descriptors(), before);
        }
    });
}
