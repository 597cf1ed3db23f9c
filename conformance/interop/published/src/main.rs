//! The published agents: `published 0.1|0.2 ENDPOINT COUNT`, with an endpoint as ours, of
//! which version 0.1 knows Unix sockets alone.

use std::error::Error;
use std::fs;
use std::thread;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, version, endpoint, count] = arguments.as_slice() else {
        return Err("usage: published 0.1|0.2 ENDPOINT COUNT".into());
    };
    let mut beat: Box<dyn FnMut(u32)> = match version.as_str() {
        "0.1" => {
            let mut agent = client_0_1::Varta::connect(endpoint)?;
            Box::new(move |payload| {
                let _ = agent.beat(client_0_1::Status::Ok, payload.into());
            })
        }
        "0.2" => newer(endpoint)?,
        other => return Err(format!("no version {other} is published").into()),
    };
    for payload in 1..=count.parse()? {
        beat(payload);
        thread::sleep(EVERY);
    }
    Ok(())
}

fn newer(endpoint: &str) -> Result<Box<dyn FnMut(u32)>, Box<dyn Error>> {
    use client_0_2::{BeatTransport, Status, Varta};
    use varta_vlp::crypto::Key;

    fn beats<T: BeatTransport>(mut agent: Varta<T>) -> Box<dyn FnMut(u32)> {
        Box::new(move |payload| {
            let _ = agent.beat(Status::Ok, payload);
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
