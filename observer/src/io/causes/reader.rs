//! Reading any process, for tools.

use std::io;

use super::Reader;
use crate::judge::{Call, Depth, Lacks, Sample, ThreadReading};

/// Reads what the kernel reports about a process, whether it is an agent or not.
///
/// Two readings, a moment apart, show what it does. Reading
/// never waits for the process and does not disturb it. What it can see depends on the
/// permissions of the caller; [`lacks`](crate::judge::ProcessReading::lacks) lists what it
/// could not.
///
/// ```
/// use varta_observer::ProcessReader;
/// use varta_observer::judge::Sample;
///
/// let mut sample = Sample::try_new()?;
/// ProcessReader::new().read(std::process::id(), &mut sample)?;
/// assert!(sample.thread(std::process::id()).is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ProcessReader {
    reader: Reader,
}

impl ProcessReader {
    /// Creates a reader, which may read any number of processes.
    #[must_use]
    pub fn new() -> Self {
        Self { reader: Reader::new() }
    }

    /// Reads a process: all that is listed in [`Sample`], of at most
    /// [`MOST_THREADS`](crate::judge::MOST_THREADS) threads.
    ///
    /// # Errors
    ///
    /// If there is no such process, or if this process may not see it.
    pub fn read(&mut self, pid: u32, sample: &mut Sample) -> io::Result<()> {
        self.reader.read(pid, Depth::Whole, &[], sample)?;
        let threads = sample.threads().to_vec();
        let mut process = sample.process;
        sample.clear();
        for mut thread in threads {
            // A thread that has ended since is kept as it was.
            let _ = self.reader.read_wait(pid, &mut thread, &mut process.lacks);
            sample.push(thread);
        }
        sample.process = process;
        Ok(())
    }

    /// Reads one thread of a process: all that is listed in [`ThreadReading`].
    ///
    /// # Errors
    ///
    /// If there is no such thread, or if this process may not see it.
    pub fn read_thread(&mut self, pid: u32, thread: u32) -> io::Result<ThreadReading> {
        let found = self.reader.schedule(pid, thread, true);
        let (mut thread, _) = found.ok_or(io::ErrorKind::NotFound)?;
        self.reader.read_wait(pid, &mut thread, &mut Lacks::default())?;
        Ok(thread)
    }

    /// The thread that holds the lock for which a thread waits in `futex`. `None` if that is not
    /// known: only mutexes of glibc record their owner.
    #[must_use]
    pub fn lock_owner(&self, pid: u32, waiting: &ThreadReading) -> Option<u32> {
        match waiting.call {
            Call::In { name: "futex", arguments: [address, ..], .. } => {
                self.reader.lock_owner(pid, address)
            }
            _ => None,
        }
    }
}

impl Default for ProcessReader {
    fn default() -> Self {
        Self::new()
    }
}
