//! An event loop that hands jobs to three workers, each of which is a task. While a file exists,
//! one worker hangs: `pool ENDPOINT SECONDS FILE`

#![allow(clippy::print_stderr, reason = "this is a program")]

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use varta::{Status, Task, Varta};

/// How long a job may take.
const LIMIT: Duration = Duration::from_millis(300);

/// The longest time without any call. The workers are idle most of the time.
const THRESHOLD: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [endpoint, seconds, file] = arguments.as_slice() else {
        eprintln!("usage: pool ENDPOINT SECONDS FILE");
        return ExitCode::from(2);
    };
    match run(endpoint, seconds.parse().unwrap_or(10), Path::new(file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(endpoint: &str, seconds: u32, file: &Path) -> io::Result<()> {
    let mut agent = Varta::open(endpoint)?;
    let start = |name: &str, hangs_with: Option<PathBuf>| -> io::Result<Sender<u32>> {
        let task = agent.task(name, THRESHOLD)?;
        let (jobs, queue) = channel();
        thread::spawn(move || work(task, &queue, hangs_with.as_deref()));
        Ok(jobs)
    };
    let workers = [
        start("resize", None)?,
        start("encode", Some(file.to_owned()))?,
        start("upload", None)?,
    ];
    for piece in 0..seconds * 10 {
        for jobs in &workers {
            jobs.send(piece).map_err(io::Error::other)?;
        }
        let _ = agent.beat(Status::Ok, piece);
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn work(mut task: Task, queue: &Receiver<u32>, hangs_with: Option<&Path>) {
    task.idle();
    while let Ok(job) = queue.recv() {
        let mut block = task.watch(LIMIT);
        let _ = block.beat(Status::Ok, job);
        while hangs_with.is_some_and(Path::exists) {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(20));
        drop(block);
        task.idle();
    }
    task.close();
}
