//! What a simulated observer can read of processes, to find out why they are silent.

use std::ffi::c_char;
use std::ptr;

use ::varta_observer::judge::{
    Call, Lacks, ProcessReading, Quota, Quotas, Sample, Text, ThreadReading,
};
use ::varta_observer::{ProgramName, Simulated};

use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::observer::{self, AnyObserver, varta_observer};
use crate::sized::{self, Sized};

/// Reading flag: the process is writing its core file.
pub const VARTA_READING_DUMPING: u32 = 1;
/// Reading flag: SIGKILL is pending for the process.
pub const VARTA_READING_KILLED: u32 = 2;
/// Reading flag: the control group of the process, or one above it, is frozen.
pub const VARTA_READING_FROZEN: u32 = 4;
/// Reading flag: the control group of the process waits for memory, and kills nobody for it.
pub const VARTA_READING_UNDER_OOM: u32 = 8;

/// Bit of lacks in a reading: no permission to read what the threads wait in.
pub const VARTA_LACKS_WAIT_CHANNEL: u8 = 1;
/// Bit of lacks in a reading: no permission to read the system calls of the threads.
pub const VARTA_LACKS_CALL: u8 = 2;
/// Bit of lacks in a reading: no permission to read which program the process executes.
pub const VARTA_LACKS_EXECUTABLE: u8 = 4;
/// Bit of lacks in a reading: no permission to read the files of the control groups.
pub const VARTA_LACKS_GROUPS: u8 = 8;

const _: () = {
    assert!(VARTA_LACKS_WAIT_CHANNEL == Lacks::WAIT_CHANNEL.0);
    assert!(VARTA_LACKS_CALL == Lacks::CALL.0);
    assert!(VARTA_LACKS_EXECUTABLE == Lacks::EXECUTABLE.0);
    assert!(VARTA_LACKS_GROUPS == Lacks::GROUPS.0);
};

/// What a simulated observer can read of a process as a whole. In each field 0 or NULL means that it
/// is not known, or does not apply. Initialise with VARTA_READING_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_reading {
    /// sizeof(varta_reading).
    pub size: u32,
    /// VARTA_READING_ flags; others are -EINVAL.
    pub flags: u32,
    /// The debugger or tracer that is attached to it.
    pub tracer: u32,
    /// How many threads it has; 0 for as many as are added.
    pub threads: u32,
    /// How long it takes to read it. In 10 ms, processes are read for 2 ms and once more.
    pub spent_ns: u64,
    /// Its CPU clock.
    pub cpu_ns: u64,
    /// The device and the inode of the program that it executes.
    pub executable_device: u64,
    /// See executable_device.
    pub executable_inode: u64,
    /// In the control group with its quota: the periods that have begun (nr_periods).
    pub quota_periods: u64,
    /// In how many of them the quota was used up (nr_throttled).
    pub quota_throttled: u64,
    /// How long any process of the system has waited for memory (/proc/pressure/memory).
    pub memory_pressure_ns: u64,
    /// The name of its first thread, of which 15 bytes are kept.
    pub name: *const c_char,
    /// The path of the control group that is frozen or waits for memory, of which 48 bytes are kept.
    pub group: *const c_char,
    /// What there is no permission to read: VARTA_LACKS_ bits.
    pub lacks: u8,
    /// Zeros.
    pub reserved: [u8; 7],
}

// SAFETY: it begins with its size and holds numbers and pointers.
unsafe impl Sized for varta_reading {
    const ZERO: Self = Self {
        size: 0,
        flags: 0,
        tracer: 0,
        threads: 0,
        spent_ns: 0,
        cpu_ns: 0,
        executable_device: 0,
        executable_inode: 0,
        quota_periods: 0,
        quota_throttled: 0,
        memory_pressure_ns: 0,
        name: ptr::null(),
        group: ptr::null(),
        lacks: 0,
        reserved: [0; 7],
    };
}

impl varta_reading {
    /// # Safety
    ///
    /// The pointers are NULL or strings.
    unsafe fn process(&self) -> Result<ProcessReading, Failure> {
        const KNOWN_FLAGS: u32 = VARTA_READING_DUMPING
            | VARTA_READING_KILLED
            | VARTA_READING_FROZEN
            | VARTA_READING_UNDER_OOM;
        const KNOWN_LACKS: u8 = VARTA_LACKS_WAIT_CHANNEL
            | VARTA_LACKS_CALL
            | VARTA_LACKS_EXECUTABLE
            | VARTA_LACKS_GROUPS;
        let unknown = self.flags & !KNOWN_FLAGS != 0 || self.lacks & !KNOWN_LACKS != 0;
        if unknown || self.reserved != [0; 7] {
            return Err(Failure::INVALID);
        }
        let is_set = |flag| self.flags & flag != 0;
        let known = |value: u64| Some(value).filter(|value| *value != 0);
        let executable = (self.executable_device, self.executable_inode);
        let mut quotas = Quotas::NONE;
        if self.quota_periods != 0 {
            let (periods, throttled) = (self.quota_periods, self.quota_throttled);
            quotas.push(Quota { group: 1, periods, throttled, ..Quota::default() });
        }
        // SAFETY: as the caller promised.
        let name = unsafe { args::text(self.name) }?.unwrap_or_default();
        // SAFETY: as the caller promised.
        let group = unsafe { args::text(self.group) }?.unwrap_or_default();
        Ok(ProcessReading {
            clock_ns: known(self.cpu_ns),
            threads: self.threads,
            lacks: Lacks(self.lacks),
            executable: Some(executable).filter(|executable| *executable != (0, 0)),
            name: ProgramName::from_bytes(name.as_bytes()),
            dumping: is_set(VARTA_READING_DUMPING),
            killed: is_set(VARTA_READING_KILLED),
            tracer: self.tracer,
            frozen: is_set(VARTA_READING_FROZEN),
            under_oom: is_set(VARTA_READING_UNDER_OOM),
            group: Text::from_bytes(group.as_bytes()),
            quotas,
            memory_pressure_ns: known(self.memory_pressure_ns),
            ..ProcessReading::NOTHING
        })
    }
}

/// What a simulated observer can read of a thread; proc(5) describes the values. Initialise with
/// VARTA_THREAD_READING_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_thread_reading {
    /// sizeof(varta_thread_reading).
    pub size: u32,
    /// The id of the thread in the observer's namespace.
    pub thread: u32,
    /// Its state, such as 'S'; 0 for 'S'.
    pub state: u8,
    /// If it is stopped, the signal; 0 if that is not known.
    pub stop_signal: u8,
    /// Zero.
    pub reserved: u16,
    /// The flags in its stat file.
    pub flags: u32,
    /// How long it has run, from its schedstat file.
    pub run_ns: u64,
    /// How long it has been ready to run but did not.
    pub wait_ns: u64,
    /// How often it has begun to run.
    pub slices: u64,
    /// How often it has waited for a page to be read.
    pub major_faults: u64,
    /// The kernel function in which it waits, from its wchan file, of which 40 bytes are kept; NULL
    /// if it is not known.
    pub wait_channel: *const c_char,
    /// The name of the system call in which it is; "running" if it is in none, "outside" if it waits
    /// in the kernel outside of calls; NULL if it is not known.
    pub call: *const c_char,
    /// The first four arguments of the call.
    pub arguments: [u64; 4],
}

// SAFETY: it begins with its size and holds numbers and pointers.
unsafe impl Sized for varta_thread_reading {
    const ZERO: Self = Self {
        size: 0,
        thread: 0,
        state: 0,
        stop_signal: 0,
        reserved: 0,
        flags: 0,
        run_ns: 0,
        wait_ns: 0,
        slices: 0,
        major_faults: 0,
        wait_channel: ptr::null(),
        call: ptr::null(),
        arguments: [0; 4],
    };
}

impl varta_thread_reading {
    /// # Safety
    ///
    /// The pointers are NULL or strings.
    unsafe fn thread(&self) -> Result<ThreadReading, Failure> {
        if self.reserved != 0 {
            return Err(Failure::INVALID);
        }
        // SAFETY: as the caller promised.
        let channel = unsafe { args::text(self.wait_channel) }?.unwrap_or_default();
        // SAFETY: as the caller promised.
        let call = match unsafe { args::text(self.call) }? {
            Some(name) => Simulated::call(name, self.arguments).ok_or(Failure::INVALID)?,
            None => Call::Unknown,
        };
        Ok(ThreadReading {
            thread: self.thread,
            run_ns: self.run_ns,
            wait_ns: self.wait_ns,
            slices: self.slices,
            state: if self.state == 0 { b'S' } else { self.state },
            flags: self.flags,
            major_faults: self.major_faults,
            stop_signal: self.stop_signal,
            wait_channel: Text::from_bytes(channel.as_bytes()),
            call,
            ..ThreadReading::NOTHING
        })
    }
}

/// Sets what a simulated observer can read of a process from now on, to find out why it is silent.
/// An earlier reading of it is replaced, with its threads. The observer must look up causes:
/// VARTA_OBSERVER_CAUSES.
///
/// obs: from varta_observer_simulate.
/// pid: the process.
/// r: the reading, without threads. Not used after the call returns.
///
/// Returns 0; -EINVAL if r is NULL, or a flag, bit or text in it is not valid; -ENOMEM; or an error of
/// varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_reading(
    obs: *mut varta_observer,
    pid: u32,
    r: *const varta_reading,
) -> Code {
    guard::answer(|| {
        if r.is_null() {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave a reading.
        let r = unsafe { sized::read(r) }?;
        let mut sample = Sample::try_new().map_err(|_| Failure::errno(libc::ENOMEM))?;
        // SAFETY: its pointers are valid.
        sample.process = unsafe { r.process() }?;
        let set = |observer: &mut AnyObserver| {
            observer.simulated()?.set_slow_reading(pid, &sample, r.spent_ns);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, set) }
    })
}

/// Adds a thread to what a simulated observer can read of a process. Add the first thread, whose id is
/// the pid, before others.
///
/// obs: from varta_observer_simulate.
/// pid: the process, of which varta_observer_feed_reading has set a reading.
/// t: the thread. Not used after the call returns.
///
/// Returns 0, an error of varta_observer_feed, or
///     -EINVAL   t is NULL, or a text in it is not valid; the call may not exist on this machine
///     -ESRCH    there is no reading of this process
///     -ENOSPC   it has 64 threads already
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_thread_reading(
    obs: *mut varta_observer,
    pid: u32,
    t: *const varta_thread_reading,
) -> Code {
    guard::answer(|| {
        if t.is_null() {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave a thread.
        let t = unsafe { sized::read(t) }?;
        // SAFETY: its pointers are valid.
        let thread = unsafe { t.thread() }?;
        let add = |observer: &mut AnyObserver| {
            let reading = observer.simulated()?.reading_mut(pid);
            let reading = reading.ok_or(Failure::errno(libc::ESRCH))?;
            let added = reading.push(thread);
            if added { Ok(0) } else { Err(Failure::errno(libc::ENOSPC)) }
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, add) }
    })
}
