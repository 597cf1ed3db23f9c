//! What a process says when it dies.

use std::sync::Arc;

use napi::bindgen_prelude::External;
use varta::LastWords;

use crate::agent::{number, secret, socket_address};
use crate::failure::{from_io, named};
use crate::sys;

exported! {
    /// Words over whatever an endpoint names.
    fn words_open(endpoint: String) -> Result<External<Arc<LastWords>>> {
        LastWords::open(endpoint).map(|words| External::new(Arc::new(words))).map_err(|error| from_io(&error))
    }
}

exported! {
    /// Words sealed with a shared key.
    fn words_open_secure_udp(address: String, key: &[u8]) -> Result<External<Arc<LastWords>>> {
        LastWords::open_secure_udp(socket_address(&address)?, secret(key)?)
            .map(|words| External::new(Arc::new(words)))
            .map_err(|error| from_io(&error))
    }
}

exported! {
    /// Says them, and answers as a beat does.
    fn words_say(words: &mut External<Arc<LastWords>>, payload: u32) -> Result<i32> {
        Ok(number(words.say(payload)))
    }
}

exported! {
    /// Has them said when one of these signals is about to end the process. They are kept
    /// as long as it lives.
    fn words_at_signals(words: &mut External<Arc<LastWords>>, signals: Vec<String>) -> Result<()> {
        let numbers = signals.iter().map(|name| {
            sys::signal_number(name)
                .ok_or_else(|| named("22", format!("{name} cannot be told of")))
        });
        let numbers = numbers.collect::<crate::Result<Vec<i32>>>()?;
        sys::install_at_signals(Arc::clone(words), &numbers).map_err(|error| from_io(&error))
    }
}
