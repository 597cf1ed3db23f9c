//! Runs an observer in a tokio task. Ends at the first stall or exit:
//! `beside_tokio ENDPOINT`

#![allow(unsafe_code, reason = "tokio requires a promise about the descriptor's lifetime")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use varta_observer::{Event, Observer, What};

/// Waits for the next event.
async fn next(observer: &mut AsyncFd<Observer>) -> io::Result<Event> {
    loop {
        let mut ready = observer.ready_mut(Interest::READABLE).await?;
        match ready.get_inner_mut().poll_timeout(Duration::ZERO)? {
            Some(event) => return Ok(event),
            None => ready.clear_ready(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let endpoint = std::env::args().nth(1).ok_or(io::ErrorKind::InvalidInput)?;
    let observer = Observer::builder()
        .listen(endpoint.parse()?)
        .threshold(Duration::from_millis(300))
        .bind()?;
    println!("listening");

    // SAFETY: an observer keeps the same descriptor until it is dropped, and AsyncFd owns it.
    let mut observer =
        unsafe { AsyncFd::register_with_interest(observer, Interest::READABLE) }?;
    loop {
        let event = next(&mut observer).await?;
        println!("{event}");
        if let What::Stall { .. } | What::Exit { .. } = event.what {
            return Ok(());
        }
    }
}
