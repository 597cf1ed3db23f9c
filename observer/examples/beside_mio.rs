//! Runs an observer in a mio event loop. Ends at the first stall or exit:
//! `beside_mio ENDPOINT`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use varta_observer::{Observer, What};

const OBSERVER: Token = Token(0);

fn main() -> io::Result<()> {
    let endpoint = std::env::args().nth(1).ok_or(io::ErrorKind::InvalidInput)?;
    let mut observer = Observer::builder()
        .listen(endpoint.parse()?)
        .threshold(Duration::from_millis(300))
        .bind()?;
    println!("listening");

    let mut poll = Poll::new()?;
    let descriptor = observer.as_raw_fd();
    poll.registry().register(&mut SourceFd(&descriptor), OBSERVER, Interest::READABLE)?;
    let mut ready = Events::with_capacity(8);
    loop {
        if let Err(error) = poll.poll(&mut ready, Some(Duration::from_secs(1))) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        // mio reports readiness only once, so fetch all events now.
        while let Some(event) = observer.poll_timeout(Duration::ZERO)? {
            println!("{event}");
            if let What::Stall { .. } | What::Exit { .. } = event.what {
                return Ok(());
            }
        }
    }
}
