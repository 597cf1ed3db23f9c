//! Opening the sockets that an observer reads, at bind and later.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use varta::secure::Key;
use varta::{Endpoint, KeyFile, UnixSocket};

use crate::io::listener::{Listener, UdpListener, UdsListener};

/// A place where an observer listens.
#[derive(Debug)]
pub(crate) enum ListenAt {
    Endpoint(Endpoint),
    Udp(SocketAddr),
    SecureUdp(SocketAddr),
    Inherited(OwnedFd),
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
}

impl SocketOptions {
    pub(crate) fn open(self, place: ListenAt) -> io::Result<Listener> {
        let mut listener = match place {
            ListenAt::Endpoint(
                Endpoint::Path(path) | Endpoint::DatagramsOnly(UnixSocket::Path(path)),
            ) => Listener::from(UdsListener::bind(&path, self.socket_mode)?),
            ListenAt::Endpoint(
                Endpoint::Abstract(name) | Endpoint::DatagramsOnly(UnixSocket::Abstract(name)),
            ) => UdsListener::bind_abstract(&name)?.into(),
            ListenAt::Endpoint(
                Endpoint::Udp(address) | Endpoint::SecureUdp { address, .. },
            )
            | ListenAt::Udp(address)
            | ListenAt::SecureUdp(address) => UdpListener::bind(address)?.into(),
            ListenAt::Inherited(socket) => UdsListener::inherit(socket)?.into(),
        };
        if let Some(bytes) = self.receive_buffer {
            listener.set_receive_buffer(bytes)?;
        }
        Ok(listener)
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
