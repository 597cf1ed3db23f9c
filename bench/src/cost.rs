//! The cost of a handle: the time to create and drop it, and its memory.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::agent::{CONNECT, OPEN, VARTA_0_2};
use crate::measure::{Contender, Group, Plan, side_by_side};
use crate::report::Figure;
use crate::stage::Stage;
use crate::sys;

/// Number of handles that exist at the same time.
const HANDLES: usize = 100;

pub(crate) fn connect_uds(plan: Plan, stage: &Stage) -> io::Result<Group> {
    side_by_side("uds, connect and drop", plan, || {
        let path = stage.path("bound.sock")?;
        let observer = UnixDatagram::bind(&path)?;
        let contenders = vec![
            connecting("bare socket", &path, |path| {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(socket)
            }),
            connecting(CONNECT, &path, |path| varta::Varta::connect(path)),
            connecting(OPEN, &path, |path| varta::Varta::open(path)),
            connecting(VARTA_0_2, &path, |path| varta_client::Varta::connect(path)),
        ];
        Ok((observer, contenders))
    })
}

pub(crate) fn connect_secure_udp(plan: Plan, _: &Stage) -> io::Result<Group> {
    side_by_side("secure udp, connect and drop", plan, || {
        let observer = UdpSocket::bind("127.0.0.1:0")?;
        let address = observer.local_addr()?;
        let contenders = vec![
            Contender::new("bare socket", move || bare_udp(address).is_ok()),
            Contender::new(CONNECT, move || secure(address).is_ok()),
            Contender::new(VARTA_0_2, move || varta_0_2_secure(address).is_ok()),
        ];
        Ok((observer, contenders))
    })
}

/// The size of a handle, and the heap memory that it holds.
pub(crate) fn handles(stage: &Stage) -> io::Result<Vec<Figure>> {
    let path = stage.path("handles.sock")?;
    let _observer = UnixDatagram::bind(&path)?;
    let udp_observer = UdpSocket::bind("127.0.0.1:0")?;
    let address = udp_observer.local_addr()?;

    let before = sys::heap_bytes();
    let first = varta::Varta::connect(&path)?;
    let first_heap = sys::heap_bytes().saturating_sub(before);
    let mut figures = vec![Figure::bytes("first varta handle of a process, heap", first_heap)];
    drop(first);

    add_sizes(&mut figures, "varta uds", || varta::Varta::connect(&path))?;
    add_sizes(&mut figures, "varta open, any transport", || varta::Varta::open(&path))?;
    add_sizes(&mut figures, "varta udp", || varta::Varta::connect_udp(address))?;
    add_sizes(&mut figures, "varta secure udp", || secure(address))?;
    add_sizes(&mut figures, "varta 0.2 uds", || varta_client::Varta::connect(&path))?;
    add_sizes(&mut figures, "varta 0.2 udp", || varta_client::Varta::connect_udp(address))?;
    add_sizes(&mut figures, "varta 0.2 secure udp", || varta_0_2_secure(address))?;
    Ok(figures)
}

fn add_sizes<H>(
    figures: &mut Vec<Figure>,
    name: &str,
    make: impl Fn() -> io::Result<H>,
) -> io::Result<()> {
    let mut handles = Vec::with_capacity(HANDLES);
    // The first handle may allocate memory that all handles of this kind share.
    drop(make()?);
    let before = sys::heap_bytes();
    for _ in 0..HANDLES {
        handles.push(make()?);
    }
    let heap = sys::heap_bytes().saturating_sub(before) / HANDLES;
    figures.push(Figure::bytes(format!("{name} handle, itself"), size_of::<H>()));
    figures.push(Figure::bytes(format!("{name} handle, heap"), heap));
    Ok(())
}

fn connecting<H>(
    name: &'static str,
    path: &Path,
    make: fn(&Path) -> io::Result<H>,
) -> Contender<'static>
where
    H: 'static,
{
    let path = path.to_owned();
    Contender::new(name, move || make(&path).is_ok())
}

fn bare_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    Ok(socket)
}

fn secure(address: SocketAddr) -> io::Result<varta::Varta<varta::SecureUdpTransport>> {
    varta::Varta::connect_secure_udp(address, varta::secure::Key::from_bytes([7; 32]))
}

fn varta_0_2_secure(
    address: SocketAddr,
) -> io::Result<varta_client::Varta<varta_client::SecureUdpTransport>> {
    varta_client::Varta::connect_secure_udp(
        address,
        varta_vlp::crypto::Key::from_bytes([7; 32]),
    )
}
