//! Reading any process, for tools.

use std::io;
use std::time::Duration;

use super::{NotYet, Readers};
use crate::judge::{Call, Depth, Lacks, Sample, ThreadReading};

/// Reads what the kernel reports about a process, whether it is an agent or not.
///
/// Two readings, a moment apart, show what it does. Reading does not disturb the process. It is
/// done in a thread of its own, because a process that executes a program can keep its readers
/// waiting. What it can see depends on the permissions of the caller;
/// [`lacks`](crate::judge::ProcessReading::lacks) lists what it could not.
///
/// ```
/// use varta_observer::ProcessReader;
/// use varta_observer::judge::Sample;
///
/// let mut sample = Sample::try_new()?;
/// ProcessReader::try_new()?.read(std::process::id(), &mut sample)?;
/// assert!(sample.thread(std::process::id()).is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ProcessReader {
    readers: Readers,
}

/// How long a reading may take.
const LONGEST: Duration = Duration::from_secs(2);

impl ProcessReader {
    /// Creates a reader, which may read any number of processes.
    ///
    /// # Errors
    ///
    /// If there is not enough memory.
    pub fn try_new() -> io::Result<Self> {
        Ok(Self { readers: Readers::new(LONGEST, Duration::ZERO)? })
    }

    /// Reads a process: all that is listed in [`Sample`], of at most
    /// [`MOST_THREADS`](crate::judge::MOST_THREADS) threads.
    ///
    /// # Errors
    ///
    /// If there is no such process, or if this process may not see it. If the kernel does not
    /// answer within two seconds, the kind is [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn read(&mut self, pid: u32, sample: &mut Sample) -> io::Result<()> {
        self.readers
            .read(pid, Depth::Whole, &[], sample)
            .map_err(|not| described(pid, not))??;
        let mut lacks = Lacks::default();
        for thread in sample.threads_mut() {
            if !thread.knows_wait() {
                // A thread that has ended since is kept as it was.
                let read = self.readers.read_wait(pid, thread, &mut lacks);
                let _ = read.map_err(|not| described(pid, not))?;
            }
        }
        sample.process.lacks.add(lacks);
        Ok(())
    }

    /// Reads one thread of a process: all that is listed in [`ThreadReading`].
    ///
    /// # Errors
    ///
    /// If there is no such thread, or if this process may not see it. If the kernel does not
    /// answer within two seconds, the kind is [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn read_thread(&mut self, pid: u32, thread: u32) -> io::Result<ThreadReading> {
        self.readers.read_thread(pid, thread).map_err(|not| described(pid, not))?
    }

    /// The thread that holds the lock for which a thread waits in `futex`. `None` if that is not
    /// known: only mutexes of glibc record their owner.
    #[must_use]
    pub fn lock_owner(&mut self, pid: u32, waiting: &ThreadReading) -> Option<u32> {
        match waiting.call {
            Call::In { name: "futex", arguments: [address, ..], .. } => {
                self.readers.lock_owner(pid, address).ok().flatten()
            }
            _ => None,
        }
    }
}

fn described(pid: u32, not: NotYet) -> io::Error {
    match not {
        NotYet::Stuck(0) => io::Error::other("no thread can be started to read processes"),
        NotYet::Late => stuck(pid),
        NotYet::Stuck(pid) => stuck(pid),
    }
}

fn stuck(pid: u32) -> io::Error {
    let text = format!("the kernel does not answer a reader of process {pid}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}
