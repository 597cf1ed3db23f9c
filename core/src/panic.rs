//! Last words from a panic.

use std::ffi::OsStr;
use std::io;
#[cfg(feature = "udp")]
use std::net::SocketAddr;
use std::panic;

use crate::last_words::LastWords;
#[cfg(feature = "secure-udp")]
use crate::secure::Key;

/// Installs a panic hook that sends last words to the observer at this endpoint. The
/// previous hook runs next, and then the panic unwinds as usual. A process that survives
/// the panic can continue beating.
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
/// The endpoint or its key file is invalid, or no observer is bound there.
pub fn install_panic_handler(endpoint: impl AsRef<OsStr>) -> io::Result<()> {
    install(LastWords::open(endpoint)?);
    Ok(())
}

/// As [`install_panic_handler`], over plain UDP.
///
/// # Errors
///
/// The address is unreachable, or the process is out of descriptors.
#[cfg(feature = "udp")]
pub fn install_panic_handler_udp(address: SocketAddr) -> io::Result<()> {
    install(LastWords::open_udp(address)?);
    Ok(())
}

/// As [`install_panic_handler`], over UDP sealed with a shared key. Each panic's last words
/// have their own AEAD nonce, including those of a second panic and of a forked child.
///
/// # Errors
///
/// The address is unreachable, the process is out of descriptors, or there is no entropy.
#[cfg(feature = "secure-udp")]
pub fn install_panic_handler_secure_udp(address: SocketAddr, key: Key) -> io::Result<()> {
    install(LastWords::open_secure_udp(address, key)?);
    Ok(())
}

fn install(last_words: LastWords) {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // A panicking process can do nothing about a failed send.
        let _ = last_words.say(0);
        previous(info);
    }));
}
