//! Last words from a panic.

use std::ffi::OsStr;
use std::io;
#[cfg(feature = "udp")]
use std::net::SocketAddr;
use std::panic;

use crate::last_words::LastWords;
#[cfg(feature = "secure-udp")]
use crate::secure::Key;

/// From now on a panic is told to the observer at this endpoint, before it takes its
/// course: the hook that was there runs next, then the unwinding. A process that survives
/// goes on beating.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("varta-doc-panic-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("varta.sock");
/// let observer = std::os::unix::net::UnixDatagram::bind(&path)?;
/// varta::install_panic_handler(&path)?;
///
/// let _ = std::thread::spawn(|| panic!("enough")).join();
/// let mut wire = [0; 32];
/// observer.recv(&mut wire)?;
/// assert_eq!(varta::Frame::decode(&wire).unwrap().status, varta::Status::Critical);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The endpoint or its key file is no good, or nobody is bound there.
pub fn install_panic_handler(endpoint: impl AsRef<OsStr>) -> io::Result<()> {
    install(LastWords::open(endpoint)?);
    Ok(())
}

/// As [`install_panic_handler`], over plain UDP.
///
/// ```
/// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// varta::install_panic_handler_udp(observer.local_addr()?)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// There is no way to the address, or no descriptor for the socket.
#[cfg(feature = "udp")]
pub fn install_panic_handler_udp(address: SocketAddr) -> io::Result<()> {
    install(LastWords::open_udp(address)?);
    Ok(())
}

/// As [`install_panic_handler`], over UDP sealed with a shared key. Each panic's words
/// have an AEAD nonce of their own, also the second panic's and a forked child's.
///
/// ```
/// use varta::secure::Key;
///
/// let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// varta::install_panic_handler_secure_udp(observer.local_addr()?, Key::from_bytes([7; 32]))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// There is no way to the address, no descriptor for the socket, or no entropy.
#[cfg(feature = "secure-udp")]
pub fn install_panic_handler_secure_udp(address: SocketAddr, key: Key) -> io::Result<()> {
    install(LastWords::open_secure_udp(address, key)?);
    Ok(())
}

fn install(last_words: LastWords) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |about| {
        // Whether they were heard changes nothing for a process that is panicking.
        let _ = last_words.say(0);
        before(about);
    }));
}
