//! What holds a process at this moment, looked up right before a command is started for it.

use std::io;

use varta_observer::judge::{Sample, diagnose};
use varta_observer::{Cause, CauseClass, ProcessReader};

/// Reads processes, without waiting for long if the kernel does not answer.
#[derive(Debug)]
pub(super) struct Holds {
    reader: ProcessReader,
}

impl Holds {
    pub(super) fn try_new() -> io::Result<Self> {
        Ok(Self { reader: ProcessReader::try_new()? })
    }

    /// What holds the process from outside, if the kernel reports that. What needs two readings,
    /// such as starvation, is not found.
    pub(super) fn held_by(&mut self, pid: u32) -> Option<Cause> {
        let mut sample = Sample::try_new().ok()?;
        // What cannot be read is as if causes were not looked up.
        self.reader.read(pid, &mut sample).ok()?;
        let cause = diagnose(None, &sample, None).why.cause;
        (cause.class() == CauseClass::Outside).then_some(cause)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// Waits until something holds a child, or nothing does.
    fn wait_for(child: &Child, expected: Option<Cause>) {
        let (mut holds, started) = (Holds::try_new().unwrap(), Instant::now());
        while holds.held_by(child.id()) != expected {
            assert!(started.elapsed() < Duration::from_secs(60), "{expected:?}");
        }
    }

    #[test]
    fn a_process_is_held_while_it_is_stopped() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let send = |signal| kill_process(Pid::from_child(&child), signal).unwrap();
        wait_for(&child, None);
        send(Signal::STOP);
        wait_for(&child, Some(Cause::Stopped));
        send(Signal::CONT);
        wait_for(&child, None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Holds::try_new().unwrap().held_by(child.id()), None, "it has ended");
    }
}
