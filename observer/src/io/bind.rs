//! Opening the sockets that an observer reads, at bind and later.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use varta::secure::Key;
use varta::{Endpoint, KeyFile};

use crate::io::listener::{Listener, UdpListener, UdsListener};

/// Where an observer listens.
#[derive(Debug)]
pub(crate) enum Place {
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

impl Place {
    /// Whether only sealed frames are taken there.
    pub(crate) const fn is_sealed(&self) -> bool {
        matches!(self, Self::SecureUdp(_) | Self::Endpoint(Endpoint::SecureUdp { .. }))
    }

    /// The key that it names, from its file.
    pub(crate) fn key(&self) -> io::Result<Option<NamedKey>> {
        let Self::Endpoint(Endpoint::SecureUdp { key, .. }) = self else { return Ok(None) };
        match key {
            KeyFile::Shared(file) => Key::from_file(file).map(NamedKey::Shared),
            KeyFile::Master(file) => Key::from_file(file).map(NamedKey::Master),
        }
        .map(Some)
    }
}

/// How sockets are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) socket_mode: u32,
    pub(crate) receive_buffer: Option<usize>,
}

impl Opening {
    pub(crate) fn open(self, place: Place) -> io::Result<Listener> {
        let mut listener = match place {
            Place::Endpoint(Endpoint::Path(path)) => {
                Listener::from(UdsListener::bind(&path, self.socket_mode)?)
            }
            Place::Endpoint(Endpoint::Abstract(name)) => {
                UdsListener::bind_abstract(&name)?.into()
            }
            Place::Endpoint(Endpoint::Udp(address) | Endpoint::SecureUdp { address, .. })
            | Place::Udp(address)
            | Place::SecureUdp(address) => UdpListener::bind(address)?.into(),
            Place::Inherited(socket) => UdsListener::inherit(socket)?.into(),
        };
        if let Some(bytes) = self.receive_buffer {
            listener.set_receive_buffer(bytes)?;
        }
        Ok(listener)
    }
}

/// An observer has one master key: a frame does not say which it was sealed with.
pub(crate) fn second_master_key() -> io::Error {
    invalid("cannot bind: more than one master key was given")
}

pub(crate) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
