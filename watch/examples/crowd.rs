//! Sends one beat for each of many agents to a UDP address: `crowd ADDRESS AGENTS NONCE`. With two more
//! arguments, `TIMES INTERVAL_MS`, it does so this often, with rising nonces.

#![allow(clippy::print_stderr, reason = "it is a program")]

use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use varta::{FRAME_BYTES, Frame, Status};

/// Beats sent in a row, which a queue should be able to hold.
const AT_ONCE: u32 = 64;

/// Above all real pids on most machines.
const FIRST_PID: u32 = 1_000_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, numbers @ ..] = arguments.as_slice() else { return usage() };
    let numbers: Result<Vec<u32>, _> = numbers.iter().map(|number| number.parse()).collect();
    let (agents, nonce, times, interval) = match numbers.as_deref() {
        Ok([agents, nonce]) => (*agents, *nonce, 1, 0),
        Ok([agents, nonce, times, interval]) => (*agents, *nonce, *times, *interval),
        _ => return usage(),
    };
    let interval = Duration::from_millis(interval.into());
    match beat(address, agents, nonce, times, interval) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crowd: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: crowd ADDRESS AGENTS NONCE [TIMES INTERVAL_MS]");
    ExitCode::from(2)
}

fn beat(
    address: &str,
    agents: u32,
    first_nonce: u32,
    times: u32,
    interval: Duration,
) -> std::io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    let mut wire = [0; FRAME_BYTES];
    let start = Instant::now();
    for time in 0..times {
        thread::sleep((start + interval * time).saturating_duration_since(Instant::now()));
        let nonce = u64::from(first_nonce + time);
        for agent in 0..agents {
            Frame::new(Status::Ok, FIRST_PID + agent, nonce, nonce, agent).encode(&mut wire);
            socket.send(&wire)?;
            if agent % AT_ONCE == AT_ONCE - 1 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    Ok(())
}
