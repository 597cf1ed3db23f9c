//! Agents for endpoint strings.

use std::io;

use super::engine::Engine;
use crate::endpoint::Endpoint;
use crate::outcome::is_absence;
use crate::transport::AnyTransport;

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
}

impl Default for Options {
    fn default() -> Self {
        Self { follow: true, reconnect_after: 0 }
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
}

pub(super) fn engine(
    endpoint: &Endpoint,
    options: Options,
) -> io::Result<Engine<AnyTransport>> {
    let mut engine = match AnyTransport::connect(endpoint) {
        Ok(transport) if options.follow && transport.is_local() => {
            Engine::following(transport, true)
        }
        Ok(transport) => Engine::new(transport),
        Err(error) if options.follow && is_absence(&error) => {
            Engine::following(AnyTransport::unconnected(endpoint)?, false)
        }
        Err(error) => Err(error),
    }?;
    engine.set_reconnect_after(options.reconnect_after);
    Ok(engine)
}
