//! Many agents at once over UDP, where one socket can send for all of them.

use std::net::UdpSocket;
use std::ops::Range;

use varta::{FRAME_BYTES, Frame, Status};

use super::Daemon;

/// The UDP address of a daemon that was started with port 0, from its log.
#[track_caller]
pub(crate) fn udp_address_of(daemon: &Daemon) -> String {
    daemon.wait_for_log("listening for UDP");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("listening for UDP")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["address"].as_str().unwrap().to_owned()
}

/// Sends one beat of each agent, with pids from a million on, slowly enough for the daemon to
/// keep up.
pub(crate) fn beat_as(address: &str, agents: Range<u32>, nonce: u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for agent in agents {
        let pid = 1_000_000 + agent;
        let frame = Frame::new(Status::Ok, pid, u64::from(agent), nonce, agent);
        let mut wire = [0; FRAME_BYTES];
        frame.encode(&mut wire);
        socket.send_to(&wire, address).unwrap();
        if agent % 64 == 63 {
            std::thread::sleep(super::ms(1));
        }
    }
}

/// Beats until the daemon tracks this many agents. Lost beats are repeated.
#[track_caller]
pub(crate) fn crowd(daemon: &Daemon, http: &str, agents: u32) {
    let (address, mut nonce) = (udp_address_of(daemon), 0);
    super::wait_until(|| {
        nonce += 1;
        beat_as(&address, 0..agents, nonce);
        let metrics = super::http::get(http, "/metrics").body;
        super::http::sample(&metrics, "varta_watch_pids_tracked") == Some(agents.into())
    });
}
