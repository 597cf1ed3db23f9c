//! The helper processes of the Node benchmarks: a sender to compare with, a receiver, and
//! senders for the observers.

use std::error::Error;
use std::hint::spin_loop;
use std::io::{self, BufRead, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Varta};

const USAGE: &str = "\
usage: beats blocks ENDPOINT       times a block of beats for each line `COUNT EACH GAP_NS`
       beats receive ENDPOINT      receives datagrams without ever sleeping
       beats flood ENDPOINT        beats as fast as it can
       beats pace ENDPOINT MICROS  beats at this interval, with the time as payload
Each ends when its standard input is closed.";

type Done = Result<(), Box<dyn Error>>;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["blocks", endpoint] => blocks(endpoint),
        ["receive", endpoint] => receive(endpoint),
        ["flood", endpoint] => flood(endpoint),
        ["pace", endpoint, micros] => pace(endpoint, micros),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "beats: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers each line with the number of beats that were not sent, followed by `COUNT` samples.
/// Each sample is the mean time of `EACH` beats in a row.
fn blocks(endpoint: &str) -> Done {
    let mut agent = Varta::open(endpoint)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let numbers: Vec<u32> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let &[count, each, gap] = numbers.as_slice() else { return Err(USAGE.into()) };
        let mut samples = Vec::new();
        let mut missed = 0_u32;
        while samples.len() < usize::try_from(count)? {
            wait(Duration::from_nanos(gap.into()));
            let mut sent = 0;
            let before = Instant::now();
            for _ in 0..each {
                sent += u32::from(agent.beat(Status::Ok, 7) == BeatOutcome::Sent);
            }
            let took = before.elapsed();
            if sent == each {
                samples.push((took.as_secs_f64() * 1e9 / f64::from(each)).to_string());
            } else {
                missed += each - sent;
            }
        }
        print(&format!("{missed} {}", samples.join(" ")))?;
    }
    Ok(())
}

fn receive(endpoint: &str) -> Done {
    let mut buffer = [0; 64];
    let mut take: Box<dyn FnMut() -> io::Result<usize>> =
        if let Some(address) = endpoint.strip_prefix("udp://") {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            print(&socket.local_addr()?.to_string())?;
            Box::new(move || socket.recv(&mut buffer))
        } else {
            let socket = UnixDatagram::bind(endpoint)?;
            socket.set_nonblocking(true)?;
            print("bound")?;
            Box::new(move || socket.recv(&mut buffer))
        };
    end_with_input();
    while !STOP.load(Ordering::Relaxed) {
        match take() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => spin_loop(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Prints at its end how many beats were sent and how long that took.
fn flood(endpoint: &str) -> Done {
    let mut agent = Varta::open(endpoint)?;
    let mut sent = 0_u64;
    print("ready")?;
    end_with_input();
    let begun = Instant::now();
    while !STOP.load(Ordering::Relaxed) {
        match agent.beat(Status::Ok, 7) {
            BeatOutcome::Sent => sent += 1,
            // The reader may be waiting for this CPU.
            BeatOutcome::Dropped(_) => thread::yield_now(),
            BeatOutcome::Failed(error) => return Err(error.into()),
        }
    }
    print(&format!("{sent} {}", begun.elapsed().as_secs_f64()))
}

/// The payload is the low 32 bits of the monotonic clock in microseconds.
fn pace(endpoint: &str, micros: &str) -> Done {
    let every = Duration::from_micros(micros.parse()?);
    let mut agent = Varta::open(endpoint)?;
    end_with_input();
    while !STOP.load(Ordering::Relaxed) {
        thread::sleep(every);
        let _ = agent.beat(Status::Ok, monotonic_us());
    }
    Ok(())
}

fn wait(gap: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < gap {
        spin_loop();
    }
}

fn end_with_input() {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        STOP.store(true, Ordering::Relaxed);
    });
}

fn print(line: &str) -> Done {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

#[allow(unsafe_code, reason = "the standard library does not expose the clock's value")]
fn monotonic_us() -> u32 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for the write.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let micros = now.tv_sec.wrapping_mul(1_000_000).wrapping_add(now.tv_nsec / 1_000);
    u32::try_from(micros & i64::from(u32::MAX)).unwrap_or(0)
}
