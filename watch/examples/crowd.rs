//! Sends one beat for each of many agents to a UDP address: `crowd ADDRESS AGENTS NONCE`.

#![allow(clippy::print_stderr, reason = "it is a program")]

use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use varta::{FRAME_BYTES, Frame, Status};

/// Beats sent in a row, which a queue should be able to hold.
const AT_ONCE: u32 = 64;

/// Above all real pids on most machines.
const FIRST_PID: u32 = 1_000_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, agents, nonce] = arguments.as_slice() else { return usage() };
    let (Ok(agents), Ok(nonce)) = (agents.parse(), nonce.parse()) else { return usage() };
    match beat(address, agents, nonce) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crowd: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: crowd ADDRESS AGENTS NONCE");
    ExitCode::from(2)
}

fn beat(address: &str, agents: u32, nonce: u64) -> std::io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    let mut wire = [0; FRAME_BYTES];
    for agent in 0..agents {
        Frame::new(Status::Ok, FIRST_PID + agent, nonce, nonce, agent).encode(&mut wire);
        socket.send(&wire)?;
        if agent % AT_ONCE == AT_ONCE - 1 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}
