//! Agents for endpoint strings.

use std::io;

use super::engine::Engine;
use crate::endpoint::Endpoint;
use crate::lane::attach::Lane;
use crate::lane::handle::Handle;
use crate::lane::message::NAME_BYTES;
use crate::lane::pairs::Pairs;
use crate::nonce::Nonces;
use crate::outcome::is_absence;
use crate::sys::lane::Address;
use crate::sys::{self, monotonic_ns};
use crate::transport::{AnyTransport, BeatTransport};

/// The environment variable that names the service to which this process belongs.
const NAME_VARIABLE: &str = "VARTA_NAME";

/// How [`Varta::open_with`](crate::Varta::open_with) makes an agent.
///
/// ```
/// use varta::Options;
///
/// let options = Options::default().follow(false).reconnect_after(5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    follow: bool,
    reconnect_after: u32,
    lane: bool,
    notify: bool,
    /// All zeros: the one in the environment.
    name: [u8; NAME_BYTES],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            follow: true,
            reconnect_after: 0,
            lane: true,
            notify: false,
            name: [0; NAME_BYTES],
        }
    }
}

impl Options {
    /// Whether the agent reconnects to its observer by itself, which is the default. If
    /// false, the observer must be bound when the agent is opened.
    #[must_use]
    pub fn follow(self, follow: bool) -> Self {
        Self { follow, ..self }
    }

    /// As [`Varta::set_reconnect_after`](crate::Varta::set_reconnect_after).
    #[must_use]
    pub fn reconnect_after(self, drops: u32) -> Self {
        Self { reconnect_after: drops, ..self }
    }

    /// Whether beats go through memory that is shared with the observer, if it offers that,
    /// which is the default. If false they always go as datagrams, as with `?lane=off` in the
    /// endpoint.
    #[must_use]
    pub fn lane(self, lane: bool) -> Self {
        Self { lane, ..self }
    }

    /// Whether the agent also notifies the service manager that has started this process, such as
    /// systemd, which `$NOTIFY_SOCKET` names. If `$WATCHDOG_USEC` is set too, a beat with
    /// [`Status::Ok`](crate::Status::Ok) sends a keep-alive when half of that time has passed.
    /// The default is whether `$VARTA_NOTIFY` is 1.
    ///
    /// ```no_run
    /// use varta::{Endpoint, Options, Varta};
    ///
    /// let agent = Varta::open_with(&Endpoint::from_env()?, Options::default().notify(true))?;
    /// let _ = agent.ready();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn notify(self, notify: bool) -> Self {
        Self { notify, ..self }
    }

    /// The name of the service, which an observer that offers shared memory shows instead of that
    /// of the program. It is cut to 63 bytes. The default, and an empty name, is
    /// `$VARTA_NAME`. The first agent that a process opens for an endpoint decides.
    ///
    /// ```no_run
    /// use varta::{Endpoint, Options, Varta};
    ///
    /// let options = Options::default().name("indexer");
    /// let agent = Varta::open_with(&Endpoint::from_env()?, options)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        Self { name: padded(name), ..self }
    }
}

pub(super) fn engine(
    endpoint: &Endpoint,
    options: Options,
) -> io::Result<Engine<AnyTransport>> {
    let mut engine = connected(endpoint, options)?;
    if options.notify {
        engine.turn_notifications_on()?;
    }
    engine.set_reconnect_after(options.reconnect_after);
    Ok(engine)
}

fn connected(endpoint: &Endpoint, options: Options) -> io::Result<Engine<AnyTransport>> {
    let mut transport = AnyTransport::unconnected(endpoint)?;
    let mut lane = match options.lane {
        true => lane(endpoint, &transport, options.name)?.and_then(|pairs| {
            pairs.open();
            Handle::new(pairs)
        }),
        false => None,
    };
    if options.follow {
        let is_watched = |lane: &mut Handle| lane.watched(monotonic_ns()).is_some();
        if let Some(lane) = lane.take_if(is_watched) {
            // The socket for datagrams is opened when one must be sent.
            return Engine::on_lane(transport, lane);
        }
    }
    let mut engine = match transport.connect_local(endpoint) {
        Ok(()) if options.follow && transport.is_local() => Engine::following(transport, true),
        Ok(()) => Engine::new(transport),
        Err(error) if options.follow && is_absence(&error) => {
            Engine::following(transport, false)
        }
        Err(error) => Err(error),
    }?;
    engine.set_lane(lane);
    Ok(engine)
}

/// The lane to the observer of an endpoint, if there can be one.
fn lane(
    endpoint: &Endpoint,
    transport: &AnyTransport,
    name: [u8; NAME_BYTES],
) -> io::Result<Option<&'static Pairs>> {
    let socket = match endpoint {
        Endpoint::Path(_) | Endpoint::Abstract(_) => endpoint.unix_socket(),
        _ => None,
    };
    let Some(address) = socket.and_then(|socket| Address::beside(&socket)) else {
        return Ok(None);
    };
    let counted_as = transport.endpoint();
    let lane = || {
        let name = if name[0] == 0 { service_name() } else { name };
        Ok(Lane::new(address, name, Nonces::of(counted_as)?))
    };
    Pairs::of(counted_as, Some(lane)).map(|pairs| Some(pairs).filter(|it| it.has_lane()))
}

/// The name of the service in `$VARTA_NAME`. As the endpoint, it is not taken from the environment
/// by a program that has more rights than its user.
fn service_name() -> [u8; NAME_BYTES] {
    let name = sys::trusted_variable(NAME_VARIABLE).and_then(|name| name.into_string().ok());
    padded(&name.unwrap_or_default())
}

/// A name as HELLO carries it: cut to what fits before a NUL.
fn padded(name: &str) -> [u8; NAME_BYTES] {
    let mut bytes = [0; NAME_BYTES];
    let fits = |end: &usize| *end < NAME_BYTES;
    let end = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(fits).last();
    for (place, byte) in bytes.iter_mut().zip(name.bytes().take(end.unwrap_or(0))) {
        *place = byte;
    }
    bytes
}
