//! Compares beats with a bare send of as many bytes and with varta-client 0.2.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::measure::{Contender, Group, Plan, side_by_side};
use crate::receiver::Receiver;
use crate::report::Target;
use crate::stage::Stage;
use crate::sys::{self, AT_ONCE};

pub(crate) const BARE: &str = "bare send";
pub(crate) const CONNECT: &str = "varta connect";
pub(crate) const OPEN: &str = "varta open";
pub(crate) const VARTA_0_2: &str = "varta 0.2";

const UDS: &str = "uds";
const QUEUE_FULL: &str = "uds, queue full";
const OBSERVER_GONE: &str = "uds, observer gone";
const UDP: &str = "udp";
const SECURE_UDP: &str = "secure udp";

const KEY: [u8; 32] = [7; 32];

pub(crate) const UDS_TARGETS: &[Target] = &[
    Target::median(UDS, CONNECT, BARE, 1.10),
    Target::median(UDS, CONNECT, VARTA_0_2, 0.80),
    // The difference must be smaller than the noise between two runs.
    Target::median(UDS, OPEN, CONNECT, 1.02),
    Target::p99(UDS, CONNECT, VARTA_0_2),
];
pub(crate) const QUEUE_FULL_TARGETS: &[Target] = &[
    Target::median(QUEUE_FULL, CONNECT, BARE, 1.10),
    Target::p99(QUEUE_FULL, CONNECT, VARTA_0_2),
];
pub(crate) const OBSERVER_GONE_TARGETS: &[Target] = &[
    Target::median(OBSERVER_GONE, CONNECT, BARE, 1.10),
    Target::p99(OBSERVER_GONE, CONNECT, VARTA_0_2),
];
pub(crate) const UDP_TARGETS: &[Target] =
    &[Target::median(UDP, CONNECT, BARE, 1.05), Target::p99(UDP, CONNECT, VARTA_0_2)];
pub(crate) const SECURE_UDP_TARGETS: &[Target] = &[
    Target::median(SECURE_UDP, CONNECT, BARE, 1.20),
    Target::median(SECURE_UDP, CONNECT, VARTA_0_2, 0.72),
    Target::p99(SECURE_UDP, CONNECT, VARTA_0_2),
];

/// The expected outcome of the datagrams of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    QueueFull,
    ObserverGone,
}

/// Whether an outcome, of either client, is the expected one.
macro_rules! is_fate {
    ($client:ident, $outcome:expr, $fate:expr) => {{
        use $client::{BeatOutcome, DropReason};
        match $fate {
            Fate::Sent => matches!($outcome, BeatOutcome::Sent),
            Fate::QueueFull => {
                matches!($outcome, BeatOutcome::Dropped(DropReason::KernelQueueFull))
            }
            // The first send and the later ones are dropped for different reasons.
            Fate::ObserverGone => matches!(
                $outcome,
                BeatOutcome::Dropped(DropReason::NoObserver | DropReason::PeerGone)
            ),
        }
    }};
}

pub(crate) fn uds(plan: Plan, stage: &Stage) -> io::Result<Group> {
    side_by_side(UDS, plan, || {
        let path = stage.path("busy.sock")?;
        let receiver = Receiver::busy(stage, &path)?;
        Ok((receiver, to_path(&path, Fate::Sent)?))
    })
}

pub(crate) fn queue_full(plan: Plan, stage: &Stage) -> io::Result<Group> {
    side_by_side(QUEUE_FULL, plan, || {
        let path = stage.path("full.sock")?;
        let never_read = UnixDatagram::bind(&path)?;
        let filler = UnixDatagram::unbound()?;
        filler.connect(&path)?;
        while sys::send(filler.as_fd(), &[0x55; 32], AT_ONCE) {}
        Ok((never_read, to_path(&path, Fate::QueueFull)?))
    })
}

pub(crate) fn observer_gone(plan: Plan, stage: &Stage) -> io::Result<Group> {
    side_by_side(OBSERVER_GONE, plan, || {
        let path = stage.path("gone.sock")?;
        let _observer = UnixDatagram::bind(&path)?;
        Ok(((), to_path(&path, Fate::ObserverGone)?))
    })
}

pub(crate) fn udp(plan: Plan, stage: &Stage) -> io::Result<Group> {
    side_by_side(UDP, plan, || {
        let (receiver, address) = Receiver::busy_udp(stage)?;
        let contenders = vec![
            bare(BARE, connected(address)?, [0x55; 32], AT_ONCE, Fate::Sent),
            ours(CONNECT, varta::Varta::connect_udp(address)?, Fate::Sent),
            ours(OPEN, varta::Varta::open(format!("udp://{address}"))?, Fate::Sent),
            varta_0_2(varta_client::Varta::connect_udp(address)?, Fate::Sent),
        ];
        Ok((receiver, contenders))
    })
}

pub(crate) fn secure_udp(plan: Plan, stage: &Stage) -> io::Result<Group> {
    let key_file = key_file(stage)?;
    side_by_side(SECURE_UDP, plan, || {
        let (receiver, address) = Receiver::busy_udp(stage)?;
        let endpoint = format!("udp+secure://{address}?key-file={}", key_file.display());
        let key = varta::secure::Key::from_bytes(KEY);
        let their_key = varta_vlp::crypto::Key::from_bytes(KEY);
        let contenders = vec![
            bare(BARE, connected(address)?, [0x55; 60], AT_ONCE, Fate::Sent),
            ours(CONNECT, varta::Varta::connect_secure_udp(address, key)?, Fate::Sent),
            ours(OPEN, varta::Varta::open(endpoint)?, Fate::Sent),
            varta_0_2(varta_client::Varta::connect_secure_udp(address, their_key)?, Fate::Sent),
        ];
        Ok((receiver, contenders))
    })
}

fn to_path(path: &Path, fate: Fate) -> io::Result<Vec<Contender<'static>>> {
    let socket = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket)
    };
    Ok(vec![
        bare(BARE, socket()?, [0x55; 32], AT_ONCE, fate),
        bare("bare send, no flags", socket()?, [0x55; 32], 0, fate),
        ours(CONNECT, varta::Varta::connect(path)?, fate),
        ours(OPEN, varta::Varta::open(path)?, fate),
        varta_0_2(varta_client::Varta::connect(path)?, fate),
    ])
}

fn bare<const N: usize>(
    name: &'static str,
    socket: impl AsFd + 'static,
    datagram: [u8; N],
    flags: i32,
    fate: Fate,
) -> Contender<'static> {
    Contender::new(name, move || {
        sys::send(socket.as_fd(), &datagram, flags) == (fate == Fate::Sent)
    })
}

fn ours<T: varta::BeatTransport>(
    name: &'static str,
    mut agent: varta::Varta<T>,
    fate: Fate,
) -> Contender<'static> {
    Contender::new(name, move || {
        let outcome = agent.beat(varta::Status::Ok, 7);
        is_fate!(varta, outcome, fate)
    })
}

fn varta_0_2<T: varta_client::BeatTransport>(
    mut agent: varta_client::Varta<T>,
    fate: Fate,
) -> Contender<'static> {
    Contender::new(VARTA_0_2, move || {
        let outcome = agent.beat(varta_client::Status::Ok, 7);
        is_fate!(varta_client, outcome, fate)
    })
}

fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    Ok(socket)
}

fn key_file(stage: &Stage) -> io::Result<PathBuf> {
    let path = stage.path("key")?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all("07".repeat(32).as_bytes())?;
    Ok(path)
}
