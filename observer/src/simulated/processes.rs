//! The processes: their names and namespaces, what can be read of them, and their ends.

use super::Simulated;
use super::environment::Reading;
use crate::cause::CauseInfo;
use crate::event::ExitCause;
use crate::io::causes::call_named;
use crate::judge::{Call, Exits, Namespace, Sample};
use crate::names::Label;
use crate::program_name::ProgramName;

impl Simulated {
    /// Sets the name of the program that the process with this pid runs, before it is heard.
    pub fn set_program(&mut self, pid: u32, name: &str) {
        self.environment.programs.insert(pid, ProgramName::from_bytes(name.as_bytes()));
    }

    /// Sets the name that the process with this pid declares. It is the
    /// [`label`](Self::label) of its agent from now on; without it, that is the name of its program.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Sender};
    /// use varta_observer::{ExitCause, Label, Observer};
    ///
    /// let mut observer = Observer::simulated();
    /// observer.set_name(4321, Label::new(b"indexer"));
    /// let mut beat = [0; 32];
    /// Frame::new(Status::Ok, 4321, 0, 1, 0).encode(&mut beat);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// observer.feed(0, &Datagram::new(0, sender, &beat));
    /// observer.exit(1_000_000_000, 4321, ExitCause::Code(1));
    /// let last = std::iter::from_fn(|| observer.poll()).last().unwrap();
    /// assert_eq!(
    ///     last.named(observer.label(1)).to_string(),
    ///     "1.000 s: agent 1 (indexer, pid 4321): exit, exit code 1, last status ok"
    /// );
    /// ```
    pub fn set_name(&mut self, pid: u32, name: Label) {
        self.environment.declared.insert(pid, name);
    }

    /// The name to show for an agent, as [`Observer::label`](crate::Observer::label). It stays
    /// known after the agent has exited.
    #[must_use]
    pub fn label(&self, agent: u64) -> Label {
        match self.judge.find(agent) {
            Some(slot) => self.environment.label(slot),
            None => self.environment.label_of_departed(agent).unwrap_or_default(),
        }
    }

    /// Reports that a process has ended, and how. Returns false if no agent has that pid, or
    /// if [exits are not detected](crate::Builder::detect_exits).
    pub fn exit(&mut self, at_ns: u64, pid: u32, cause: ExitCause) -> bool {
        self.set_time(at_ns);
        if self.environment.exits == Exits::Unseen {
            return false;
        }
        let Some(slot) = self.judge.find_pid(pid) else { return false };
        let pages: Vec<_> = self.judge.pages_of(slot).collect();
        for page in pages {
            self.look_at(page);
        }
        self.judge.exited(self.now, slot, cause, &mut self.environment);
        self.collect_events();
        true
    }

    /// Sets the pid namespace of the process with this pid. By default every process is in the
    /// observer's namespace.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Namespace, Sender};
    ///
    /// let mut observer = varta_observer::Observer::simulated();
    /// observer.set_namespace(4321, Namespace::Other);
    /// let mut beat = [0; 32];
    /// Frame::new(Status::Ok, 7, 0, 1, 0).encode(&mut beat);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// observer.feed(0, &Datagram::new(0, sender, &beat));
    /// assert_eq!(observer.stats().namespace_refused, 1);
    /// ```
    pub fn set_namespace(&mut self, pid: u32, namespace: Namespace) {
        self.environment.namespaces.insert(pid, namespace);
        self.environment.innermost.remove(&pid);
    }

    /// Puts the process with this pid into another namespace, in which its pid is `innermost`.
    /// With [`set_namespace`](Self::set_namespace) it has whichever pid its frames name.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Sender};
    /// use varta_observer::{Builder, Uids};
    ///
    /// let mut observer = Builder::new().uids(Uids::Any).namespaces(true).simulate()?;
    /// observer.set_innermost_pid(4321, 7);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// for (claimed, kind) in [(8, "auth-failure"), (7, "beat")] {
    ///     let mut beat = [0; 32];
    ///     Frame::new(Status::Ok, claimed, 0, 1, 0).encode(&mut beat);
    ///     observer.feed(0, &Datagram::new(0, sender, &beat));
    ///     assert_eq!(observer.poll().unwrap().what.name(), kind);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_innermost_pid(&mut self, pid: u32, innermost: u32) {
        self.environment.namespaces.insert(pid, Namespace::Other);
        self.environment.innermost.insert(pid, innermost);
    }

    /// Sets what can be read of the process with this pid from now on, if
    /// [causes](crate::Builder::causes) are looked up. The judge reads it after half of its
    /// threshold of silence, when it reports the Stall, and from time to time afterwards. The
    /// times in it are set when it is read.
    ///
    /// ```
    /// use varta::{Frame, Status};
    /// use varta_observer::judge::{Datagram, Sample, Sender, ThreadReading};
    /// use varta_observer::{Builder, Cause, Simulated, Uids, What};
    ///
    /// let mut observer = Builder::new().uids(Uids::Any).causes(true).simulate()?;
    /// let mut beat = [0; 32];
    /// Frame::new(Status::Ok, 4321, 0, 1, 7).encode(&mut beat);
    /// let sender = Sender::Kernel { pid: 4321, uid: 0, process: None };
    /// observer.feed(0, &Datagram::new(0, sender, &beat));
    /// observer.poll();
    ///
    /// // It waits for a lock: a futex whose value says that others wait too.
    /// let call = Simulated::call("futex", [0x7000, 0x80, 2, 0]).unwrap();
    /// let mut reading = Sample::try_new()?;
    /// reading.push(ThreadReading { thread: 4321, state: b'S', call, ..ThreadReading::NOTHING });
    /// observer.set_reading(4321, &reading);
    /// observer.advance(1_000_000_000);
    /// observer.advance(2_000_000_000);
    /// let What::Stall { why: Some(why), .. } = observer.poll().unwrap().what else { panic!() };
    /// assert_eq!(why.cause, Cause::Lock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_reading(&mut self, pid: u32, reading: &Sample) {
        self.set_slow_reading(pid, reading, 0);
    }

    /// As [`set_reading`](Self::set_reading), for a process that takes this long to read. In
    /// 10 ms processes are read for 2 ms at most, and once more.
    pub fn set_slow_reading(&mut self, pid: u32, reading: &Sample, spent_ns: u64) {
        self.environment.readings.insert(pid, Reading { sample: reading.clone(), spent_ns });
    }

    /// What can be read of the process with this pid, to change it.
    pub fn reading_mut(&mut self, pid: u32) -> Option<&mut Sample> {
        self.environment.readings.get_mut(&pid).map(|reading| &mut reading.sample)
    }

    /// The system call of this name, with its first four arguments; `running` if a thread is in
    /// none, and `outside` if it waits in the kernel outside of calls. `None` if there is no
    /// such call on this machine, or not in the list of those in which threads often wait.
    #[must_use]
    pub fn call(name: &str, arguments: [u64; 4]) -> Option<Call> {
        match name {
            "running" => Some(Call::Running),
            "outside" => Some(Call::Outside),
            name => call_named(name, arguments),
        }
    }

    /// As [`Observer::cause`](crate::Observer::cause).
    #[must_use]
    pub fn cause(&self, agent: u64, task: u32) -> Option<CauseInfo> {
        self.judge.cause(agent, task)
    }
}
