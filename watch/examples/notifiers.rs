//! `notifiers SOCKET CLIENTS TIMES PAUSE_MS`: as many clients of sd_notify, which send `WATCHDOG=1` and
//! wait for room in the queue, as libsystemd does. Prints how many messages were sent, and how long
//! the longest send took, in nanoseconds.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [socket, clients, times, pause_ms] = words.as_slice() else {
        return Err("usage: notifiers SOCKET CLIENTS TIMES PAUSE_MS".into());
    };
    let (clients, times): (u32, u32) = (clients.parse()?, times.parse()?);
    let pause = Duration::from_millis(pause_ms.parse()?);
    let begun = Instant::now();
    let client = |number: u32| -> std::io::Result<Duration> {
        let sender = UnixDatagram::unbound()?;
        let mut longest = Duration::ZERO;
        // Spread over the pause, so that they do not all send in the same instant.
        let first = begun + pause * number / clients;
        for time in 0..times {
            thread::sleep((first + pause * time).saturating_duration_since(Instant::now()));
            let before = Instant::now();
            sender.send_to(b"WATCHDOG=1", socket)?;
            longest = longest.max(before.elapsed());
        }
        Ok(longest)
    };
    let longest = thread::scope(|scope| {
        let running: Vec<_> =
            (0..clients).map(|number| scope.spawn(move || client(number))).collect();
        running.into_iter().try_fold(Duration::ZERO, |longest, one| {
            let took = one.join().map_err(|_| "a client panicked")??;
            Ok::<_, Box<dyn Error>>(longest.max(took))
        })
    })?;
    println!("{} {}", u64::from(clients) * u64::from(times), longest.as_nanos());
    Ok(())
}
