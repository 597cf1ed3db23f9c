//! Last words: the final message of a crashing process.

use std::sync::Arc;

use napi::bindgen_prelude::External;
use varta::LastWords;

use crate::agent::{number, secret, socket_address};
use crate::failure::{from_io, named};
use crate::sys;

exported! {
    /// Opens a socket to an endpoint of any transport.
    fn words_open(endpoint: String) -> Result<External<Arc<LastWords>>> {
        LastWords::open(endpoint).map(|words| External::new(Arc::new(words))).map_err(|error| from_io(&error))
    }
}

exported! {
    /// Opens a socket to a UDP address, to send last words sealed with a shared key.
    fn words_open_secure_udp(address: String, key: &[u8]) -> Result<External<Arc<LastWords>>> {
        LastWords::open_secure_udp(socket_address(&address)?, secret(key)?)
            .map(|words| External::new(Arc::new(words)))
            .map_err(|error| from_io(&error))
    }
}

exported! {
    /// Sends the last words, and returns the number of the outcome.
    fn words_say(words: &mut External<Arc<LastWords>>, payload: u32) -> Result<i32> {
        Ok(number(words.say(payload)))
    }
}

exported! {
    /// Sends the last words when one of these signals is about to end the process. They are
    /// kept for the lifetime of the process.
    fn words_at_signals(words: &mut External<Arc<LastWords>>, signals: Vec<String>) -> Result<()> {
        let numbers = signals.iter().map(|name| {
            sys::signal_number(name)
                .ok_or_else(|| named("22", format!("{name} is not a supported signal")))
        });
        let numbers = numbers.collect::<crate::Result<Vec<i32>>>()?;
        sys::install_at_signals(Arc::clone(words), &numbers).map_err(|error| from_io(&error))
    }
}
