//! Beats to a Unix socket as fast as possible: `flood SOCKET MILLISECONDS`. Prints how many beats
//! the kernel accepted.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use varta::{FRAME_BYTES, Frame, Status};

/// The number of beats between two readings of the clock.
const AT_ONCE: u32 = 64;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [path, time] = arguments.as_slice() else { return usage() };
    let Ok(time) = time.parse() else { return usage() };
    match flood(path, Duration::from_millis(time)) {
        Ok(sent) => {
            println!("{sent}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("flood: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: flood SOCKET MILLISECONDS");
    ExitCode::from(2)
}

fn flood(path: &str, time: Duration) -> std::io::Result<u64> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    let pid = std::process::id();
    let mut sent = 0;
    // Above the nonces of an earlier process with the same pid.
    let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut nonce = first << 24;
    let mut wire = [0; FRAME_BYTES];
    let end = Instant::now() + time;
    while Instant::now() < end {
        for _ in 0..AT_ONCE {
            nonce += 1;
            Frame::new(Status::Ok, pid, nonce, nonce, 1).encode(&mut wire);
            sent += u64::from(socket.send(&wire).is_ok());
        }
    }
    Ok(sent)
}
