//! Opening the sockets that an observer reads, at bind and later.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use varta::internal::LONGEST_SOCKET_NAME;
use varta::secure::Key;
use varta::{Endpoint, KeyFile, UnixSocket};

use crate::io::listener::{
    LaneListener, Listener, NotifyListener, UdpListener, UdsListener, path_beside,
};
use crate::io::processes::Processes;
use crate::io::sockets::Sockets;

/// A place where an observer listens.
#[derive(Debug)]
pub(crate) enum ListenAt {
    Endpoint(Endpoint),
    Udp(SocketAddr),
    SecureUdp(SocketAddr),
    Inherited(OwnedFd),
    /// For notifications, with this mode.
    Notify(PathBuf, u32),
    InheritedNotify(OwnedFd),
}

/// A key that an endpoint names.
#[derive(Debug)]
pub(crate) enum NamedKey {
    Shared(Key),
    Master(Key),
}

impl ListenAt {
    /// Whether only sealed frames are accepted there.
    pub(crate) const fn is_sealed(&self) -> bool {
        matches!(self, Self::SecureUdp(_) | Self::Endpoint(Endpoint::SecureUdp { .. }))
    }

    /// Reads the key that it names from its file.
    pub(crate) fn key(&self) -> io::Result<Option<NamedKey>> {
        let Self::Endpoint(Endpoint::SecureUdp { key, .. }) = self else { return Ok(None) };
        match key {
            KeyFile::Shared(file) => Key::from_file(file).map(NamedKey::Shared),
            KeyFile::Master(file) => Key::from_file(file).map(NamedKey::Master),
        }
        .map(Some)
    }
}

/// The options with which sockets are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketOptions {
    pub(crate) socket_mode: u32,
    pub(crate) receive_buffer: Option<usize>,
    /// Whether there is a second socket beside each Unix socket, for shared memory.
    pub(crate) lane: bool,
}

/// The sockets that were opened for one place.
pub(crate) struct Opened {
    pub(crate) datagrams: Option<Listener>,
    pub(crate) lane: Option<LaneListener>,
    /// Why there is no second socket.
    advice: Option<String>,
}

impl SocketOptions {
    pub(crate) fn open(self, place: ListenAt) -> io::Result<Opened> {
        let (listener, lane) = match place {
            ListenAt::Endpoint(Endpoint::Path(path)) => return self.open_both(&path),
            ListenAt::Endpoint(Endpoint::Abstract(name)) => {
                let lane = self.lane.then(|| LaneListener::bind_abstract(&name)).transpose();
                (Some(UdsListener::bind_abstract(&name)?.into()), lane?)
            }
            ListenAt::Endpoint(Endpoint::DatagramsOnly(UnixSocket::Path(path))) => {
                (Some(UdsListener::bind(&path, self.socket_mode)?.into()), None)
            }
            ListenAt::Endpoint(Endpoint::DatagramsOnly(UnixSocket::Abstract(name))) => {
                (Some(UdsListener::bind_abstract(&name)?.into()), None)
            }
            ListenAt::Endpoint(
                Endpoint::Udp(address) | Endpoint::SecureUdp { address, .. },
            )
            | ListenAt::Udp(address)
            | ListenAt::SecureUdp(address) => (Some(UdpListener::bind(address)?.into()), None),
            ListenAt::Notify(path, mode) => {
                (Some(NotifyListener::bind(&path, mode)?.into()), None)
            }
            ListenAt::InheritedNotify(socket) => {
                (Some(NotifyListener::inherit(socket)?.into()), None)
            }
            ListenAt::Inherited(socket) if LaneListener::is_for_one(&socket) => {
                (None, Some(LaneListener::inherit(socket, self.lane)?))
            }
            ListenAt::Inherited(socket) => (Some(UdsListener::inherit(socket)?.into()), None),
        };
        self.opened(listener, lane, None)
    }

    /// Opens the socket at a path, and the second one beside it. The second one comes first: an
    /// agent whose datagrams are taken does not look for it again. If both fail, the reason of
    /// the first one counts.
    fn open_both(self, path: &Path) -> io::Result<Opened> {
        let (beside, fits) = path_beside(path);
        let lane = self.lane && fits;
        let lane = lane.then(|| LaneListener::bind(&beside, self.socket_mode)).transpose();
        let listener = UdsListener::bind(path, self.socket_mode)?;
        let advice = (self.lane && !fits).then(|| {
            let (path, length) = (path.display(), beside.as_os_str().len());
            format!(
                "agents at {path} do not beat through shared memory: {} has {length} bytes, and the \
                 path of a socket may have {LONGEST_SOCKET_NAME}; use a shorter path",
                beside.display()
            )
        });
        self.opened(Some(listener.into()), lane?, advice)
    }

    fn opened(
        self,
        mut datagrams: Option<Listener>,
        lane: Option<LaneListener>,
        advice: Option<String>,
    ) -> io::Result<Opened> {
        if let (Some(listener), Some(bytes)) = (&mut datagrams, self.receive_buffer) {
            listener.set_receive_buffer(bytes)?;
        }
        Ok(Opened { datagrams, lane, advice })
    }
}

impl Opened {
    /// Has the sockets read from now on. `sealed` is whether only sealed frames are accepted.
    pub(crate) fn add_to(
        self,
        sockets: &mut Sockets,
        sealed: bool,
        processes: &mut Processes,
    ) -> io::Result<()> {
        if let Some(listener) = self.datagrams {
            sockets.add(listener, sealed, processes.epoll())?;
        }
        if let Some(listener) = self.lane {
            processes.add_lane_listener(listener)?;
        }
        if let (Some(lanes), Some(advice)) = (processes.lanes_mut(), self.advice) {
            lanes.advise(advice);
        }
        Ok(())
    }
}

/// An observer has at most one master key, because a frame does not identify the key it was
/// sealed with.
pub(crate) fn second_master_key() -> io::Error {
    invalid("cannot bind: more than one master key was given")
}

pub(crate) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
