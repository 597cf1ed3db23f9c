//! Agents of varta-client 0.1 and 0.2 that read commands from their input:
//! `older 0.1|0.2 ENDPOINT`. Version 0.1 supports only Unix sockets.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead};

/// Sends a status and a payload, and returns the outcome.
type Beat = Box<dyn FnMut(u8, u32) -> String>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, version, endpoint] = arguments.as_slice() else {
        return Err("usage: older 0.1|0.2 ENDPOINT".into());
    };
    let mut beat = match version.as_str() {
        "0.1" => older(endpoint)?,
        "0.2" => newer(endpoint)?,
        other => return Err(format!("unknown version: {other}").into()),
    };
    println!("ready {}", std::process::id());
    for line in io::stdin().lock().lines() {
        match line?.split(' ').collect::<Vec<_>>().as_slice() {
            ["beat", status, payload] => println!("{}", beat(number(status), payload.parse()?)),
            ["fork"] => {
                // SAFETY: this process has one thread.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    let outcomes = [beat(0, 101), beat(1, 102)].join(" ");
                    println!("child {} {outcomes}", std::process::id());
                    // Wait for a line on the input that is shared with the parent.
                    let mut byte = 0_u8;
                    // SAFETY: `byte` has room for the one byte that is read.
                    while unsafe { libc::read(0, (&raw mut byte).cast(), 1) } == 1 && byte != b'\n' {}
                    // SAFETY: this ends the child.
                    unsafe { libc::_exit(0) }
                }
                // SAFETY: a null status pointer is allowed.
                if unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } != pid {
                    return Err(io::Error::last_os_error().into());
                }
                println!("ended");
            }
            other => return Err(format!("unknown command: {}", other.join(" ")).into()),
        }
    }
    Ok(())
}

fn number(status: &str) -> u8 {
    match status {
        "degraded" => 1,
        "critical" => 2,
        _ => 0,
    }
}

fn word(outcome: &impl std::fmt::Debug) -> String {
    format!("{outcome:?}").to_lowercase().replace(' ', "-")
}

fn older(endpoint: &str) -> Result<Beat, Box<dyn Error>> {
    use client_0_1::{Status, Varta};

    let mut agent = Varta::connect(endpoint)?;
    Ok(Box::new(move |status, payload| {
        let status = [Status::Ok, Status::Degraded, Status::Critical][usize::from(status)];
        word(&agent.beat(status, payload.into()))
    }))
}

fn newer(endpoint: &str) -> Result<Beat, Box<dyn Error>> {
    use client_0_2::{BeatTransport, Status, Varta};
    use varta_vlp::crypto::Key;

    fn beats<T: BeatTransport + 'static>(mut agent: Varta<T>) -> Beat {
        Box::new(move |status, payload| {
            let status = [Status::Ok, Status::Degraded, Status::Critical][usize::from(status)];
            word(&agent.beat(status, payload))
        })
    }
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return Ok(beats(Varta::connect(endpoint)?));
    };
    let (address, key) = rest.split_once('?').unwrap_or((rest, ""));
    let address = address.parse()?;
    let read = |file| -> Result<Key, Box<dyn Error>> {
        Key::from_hex(fs::read_to_string(file)?.trim())
            .map_err(|error| format!("{error:?}").into())
    };
    match (scheme, key.split_once('=')) {
        ("udp", _) => Ok(beats(Varta::connect_udp(address)?)),
        (_, Some(("key-file", file))) => {
            Ok(beats(Varta::connect_secure_udp(address, read(file)?)?))
        }
        (_, Some(("master-key-file", file))) => {
            Ok(beats(Varta::connect_secure_udp_with_master(address, read(file)?)?))
        }
        _ => Err(format!("cannot beat to {endpoint}").into()),
    }
}
