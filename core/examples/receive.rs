//! Prints each frame that arrives at a Unix socket, until one says its last words:
//!
//! `receive PATH`

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

use varta::{Frame, NONCE_TERMINAL};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: receive PATH");
        return ExitCode::from(2);
    };
    match receive(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receive: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn receive(path: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::bind(path)?;
    loop {
        // One byte more than a frame, to see what is too long.
        let mut datagram = [0; 33];
        let length = socket.recv(&mut datagram)?;
        let wire = match datagram.first_chunk::<32>() {
            Some(wire) if length == wire.len() => wire,
            _ => {
                println!("  {length} bytes are no frame");
                continue;
            }
        };
        match Frame::decode(wire) {
            Ok(Frame { status, pid, nonce: NONCE_TERMINAL, .. }) => {
                println!("  pid {pid}: {status}, and these are its last words");
                return std::fs::remove_file(path);
            }
            Ok(Frame { status, pid, timestamp, nonce, payload }) => println!(
                "  pid {pid}: {status}, nonce {nonce}, payload {payload}, {:.1} s after it connected",
                timestamp as f64 / 1e9,
            ),
            Err(error) => println!("  {error}"),
        }
    }
}
