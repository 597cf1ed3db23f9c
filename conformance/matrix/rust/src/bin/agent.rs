//! An agent that reads commands from its input: `agent [--v1] ENDPOINT`.

#![allow(clippy::print_stdout, reason = "this is its output")]

use std::io::{self, BufRead, Write};

use varta::{BeatOutcome, Status, Varta, v1};

type Beat = Box<dyn FnMut(Status, u32) -> BeatOutcome>;

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut beat: Beat = match arguments.as_slice() {
        [endpoint] => {
            let mut agent = Varta::open(endpoint)?;
            Box::new(move |status, payload| agent.beat(status, payload))
        }
        [_, endpoint] => {
            let mut agent = v1::Varta::open(endpoint)?;
            Box::new(move |status, payload| agent.beat(status, payload.into()))
        }
        _ => return Err(io::Error::other("usage: agent [--v1] ENDPOINT")),
    };
    println!("ready {}", std::process::id());
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["beat", status, payload] => {
                let outcome =
                    beat(parse_status(status)?, payload.parse().map_err(io::Error::other)?);
                println!("{}", word(outcome));
            }
            ["fork"] => fork(|| {
                let outcomes = [beat(Status::Ok, 101), beat(Status::Degraded, 102)].map(word);
                println!("child {} {}", std::process::id(), outcomes.join(" "));
                wait_for_a_line();
            })?,
            _ => return Err(io::Error::other(format!("unknown command: {line}"))),
        }
    }
    Ok(())
}

fn parse_status(status: &str) -> io::Result<Status> {
    [Status::Ok, Status::Degraded, Status::Critical]
        .into_iter()
        .find(|known| known.name() == status)
        .ok_or_else(|| io::Error::other(format!("unknown status: {status}")))
}

fn word(outcome: BeatOutcome) -> String {
    outcome.to_string().replace(' ', "-")
}

/// The child waits for a line on the input that it shares with its parent.
#[allow(unsafe_code, reason = "the parent holds the lock of the standard input")]
fn wait_for_a_line() {
    let _ = io::stdout().flush();
    let mut byte = 0_u8;
    // SAFETY: `byte` has room for the one byte that is read.
    while unsafe { libc::read(0, (&raw mut byte).cast(), 1) } == 1 && byte != b'\n' {}
}

/// Runs a function in a child and waits for its exit.
#[allow(unsafe_code, reason = "the standard library does not fork")]
fn fork(child: impl FnOnce()) -> io::Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            child();
            // SAFETY: this ends the child.
            unsafe { libc::_exit(0) }
        }
        pid => {
            // SAFETY: a null status pointer is allowed.
            let reaped = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            if reaped != pid {
                return Err(io::Error::last_os_error());
            }
            println!("ended");
            Ok(())
        }
    }
}
