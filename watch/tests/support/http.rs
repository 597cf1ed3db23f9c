//! An HTTP client that can misbehave.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, socket};

use super::{Daemon, PATIENCE, wait_until};

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// Parses all received bytes.
    #[track_caller]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// The HTTP address of a daemon that was started with port 0, from its log.
#[track_caller]
pub(crate) fn address_of(daemon: &Daemon) -> String {
    daemon.wait_for_log("serving HTTP");
    let log = daemon.log();
    let line = log.lines().rev().find(|line| line.contains("serving HTTP")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["address"].as_str().unwrap().to_owned()
}

pub(crate) fn connect(address: &str) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

/// Connects from 127.0.0.N, which has its own rate limit.
pub(crate) fn connect_from(last: u8, address: &str) -> TcpStream {
    connect_from_address(Ipv4Addr::new(127, 0, 0, last), address)
}

pub(crate) fn connect_from_address(from: Ipv4Addr, address: &str) -> TcpStream {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &SocketAddr::from((from, 0))).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    rustix::net::connect(&stream, &address).unwrap();
    patient(stream.into())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and reads until the other end closes.
#[track_caller]
pub(crate) fn send(address: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(address);
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[track_caller]
pub(crate) fn get(address: &str, path: &str) -> Reply {
    get_with(address, path, "")
}

/// Sends further header lines, each with its line ending.
#[track_caller]
pub(crate) fn get_with(address: &str, path: &str, head: &str) -> Reply {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}\r\n");
    Reply::of(&send(address, request.as_bytes()).unwrap())
}

/// The value of the sample with exactly this name and these labels. An exemplar may follow it.
pub(crate) fn sample(metrics: &str, name: &str) -> Option<f64> {
    let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.map(|value| value.split(' ').next().unwrap().parse().unwrap())
}

/// Scrapes until a sample has a wanted value.
#[track_caller]
pub(crate) fn wait_for_sample(address: &str, name: &str, wanted: impl Fn(f64) -> bool) {
    wait_until(|| {
        let reply = get(address, "/metrics");
        // The scrape may be over the rate limit.
        reply.status == 200 && sample(&reply.body, name).is_some_and(&wanted)
    });
}
