//! Sockets whose file, if any, does not belong to the observer.

use super::*;

#[test]
fn an_abstract_name_is_bound_without_a_file() {
    // In a child, so that no child of another test holds a copy of a dropped socket.
    in_child(bind_abstract_names);
}

fn bind_abstract_names() {
    let name = format!("varta-test-{}", std::process::id()).into_bytes();
    let mut listener = UdsListener::bind_abstract(&name).unwrap();
    let error = UdsListener::bind_abstract(&name).unwrap_err();
    let shown = String::from_utf8(name.clone()).unwrap();
    assert_eq!(
        error.to_string(),
        format!("cannot bind @{shown}: an observer is already listening there"),
    );
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    UnixDatagram::unbound().unwrap().send_to_addr(b"there", &address).unwrap();
    assert_eq!(listener.receive().unwrap(), 1);
    let message = listener.batch().take(0).unwrap();
    assert_eq!(message.credentials.unwrap().pid, std::process::id());
    drop(listener);
    drop(UdsListener::bind_abstract(&name).unwrap());

    let mut odd = name.clone();
    odd.extend(b"\xFF\0/");
    drop(UdsListener::bind_abstract(&odd).unwrap());
    odd.resize(LONGEST_NAME, b'x');
    drop(UdsListener::bind_abstract(&odd).unwrap());
    odd.push(b'x');
    let error = UdsListener::bind_abstract(&odd).unwrap_err();
    assert!(
        error.to_string().ends_with("the name has 108 bytes; a Unix socket allows at most 107")
    );
    let error = UdsListener::bind_abstract(b"").unwrap_err();
    assert_eq!(error.to_string(), "cannot bind @: the name after @ is empty");
}

#[test]
fn an_inherited_socket_is_used_and_its_file_is_kept() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    // A service manager may set these options, which would leave no space for credentials.
    for option in [libc::SO_TIMESTAMP, libc::SO_PASSSEC] {
        set_option(&socket, option, 1);
    }
    let descriptor = OwnedFd::from(socket);
    keep_on_exec(descriptor.as_raw_fd());
    let mut listener = UdsListener::inherit(descriptor).unwrap();
    // SAFETY: reads the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(listener.as_fd().as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);
    assert!(is_reached(&mut listener, &path));
    UnixDatagram::unbound().unwrap().send_to(&[7], &path).unwrap();
    listener.pass_pidfds(true).unwrap();
    assert_eq!(listener.receive().unwrap(), 1);
    let message = listener.batch().take(0).unwrap();
    assert!(!message.control_truncated && message.pidfd.is_some());
    assert_eq!(message.credentials.unwrap().pid, std::process::id());
    drop(listener);
    assert!(path.exists());
}

#[test]
fn a_descriptor_that_is_not_a_bound_datagram_socket_is_refused() {
    let folder = Folder::new();
    let (connected, _other) = UnixDatagram::pair().unwrap();
    let path = folder.join("a");
    let engaged = UnixDatagram::bind(&path).unwrap();
    let other = folder.join("b");
    let _other = UnixDatagram::bind(&other).unwrap();
    engaged.connect(&other).unwrap();
    let descriptors: [OwnedFd; 5] = [
        UnixDatagram::unbound().unwrap().into(),
        connected.into(),
        engaged.into(),
        UnixListener::bind(folder.join("c")).unwrap().into(),
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(),
    ];
    for fd in descriptors {
        let expected = format!(
            "cannot listen on descriptor {}: it is not a Unix datagram socket that is bound and \
             not connected",
            fd.as_raw_fd(),
        );
        let error = UdsListener::inherit(fd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), expected);
    }
    let error = UdsListener::inherit(File::create(folder.join("d")).unwrap().into());
    assert!(error.unwrap_err().to_string().starts_with("cannot listen on descriptor "));
}

fn set_option(socket: &UnixDatagram, option: libc::c_int, value: libc::c_int) {
    // SAFETY: reads a number of the given size.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of_val(&value).try_into().unwrap(),
        )
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

fn keep_on_exec(fd: i32) {
    // SAFETY: changes a flag of an open descriptor.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
}
