//! What can be read of a process of a simulated observer, to find out why it is silent.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use varta_observer::judge::{
    Call, Lacks, ProcessReading, Quota, Quotas, Sample, Text, ThreadReading,
};
use varta_observer::{ProgramName, Simulated};

use crate::failure::named;

/// What is read of a process as a whole. What is absent is not known, or does not apply.
#[napi(object)]
pub struct Reading {
    /// How long it takes to read it.
    pub spent_ns: Option<BigInt>,
    /// Its CPU clock.
    pub cpu_ns: Option<BigInt>,
    /// How many threads it has, if not as many as are added.
    pub thread_count: Option<u32>,
    /// What cannot be read without a permission, as bits.
    pub lacks: Option<u32>,
    /// The device of the program that it executes.
    pub device: Option<BigInt>,
    /// The inode of the program that it executes.
    pub inode: Option<BigInt>,
    /// The name of its first thread.
    pub name: Option<String>,
    /// Whether it writes its core file.
    pub dumping: Option<bool>,
    /// Whether SIGKILL is pending for it.
    pub killed: Option<bool>,
    /// The process that traces it.
    pub tracer: Option<u32>,
    /// Whether its control group is frozen.
    pub frozen: Option<bool>,
    /// Whether its control group waits for memory.
    pub under_oom: Option<bool>,
    /// The path of that control group.
    pub group: Option<String>,
    /// The periods of its quota.
    pub quota_periods: Option<BigInt>,
    /// In how many of them the quota was used up.
    pub quota_throttled: Option<BigInt>,
    /// How long any process of the system has waited for memory.
    pub memory_pressure_ns: Option<BigInt>,
}

impl Reading {
    pub(crate) fn spent_ns(&self) -> u64 {
        number(self.spent_ns.as_ref())
    }

    pub(crate) fn sample(&self) -> crate::Result<Sample> {
        let mut sample =
            Sample::try_new().map_err(|_| named("12", "there is not enough memory"))?;
        let known = |value: Option<&BigInt>| Some(number(value)).filter(|value| *value != 0);
        let is_set = |value: Option<bool>| value.unwrap_or(false);
        let executable = (number(self.device.as_ref()), number(self.inode.as_ref()));
        let mut quotas = Quotas::NONE;
        let quota = Quota {
            group: 1,
            periods: number(self.quota_periods.as_ref()),
            throttled: number(self.quota_throttled.as_ref()),
            ..Quota::default()
        };
        if quota.periods != 0 {
            quotas.push(quota);
        }
        sample.process = ProcessReading {
            clock_ns: known(self.cpu_ns.as_ref()),
            threads: self.thread_count.unwrap_or(0),
            lacks: Lacks(byte(self.lacks)),
            executable: Some(executable).filter(|executable| *executable != (0, 0)),
            name: ProgramName::from_bytes(bytes(self.name.as_ref())),
            dumping: is_set(self.dumping),
            killed: is_set(self.killed),
            tracer: self.tracer.unwrap_or(0),
            frozen: is_set(self.frozen),
            under_oom: is_set(self.under_oom),
            group: Text::from_bytes(bytes(self.group.as_ref())),
            quotas,
            memory_pressure_ns: known(self.memory_pressure_ns.as_ref()),
            ..ProcessReading::NOTHING
        };
        Ok(sample)
    }
}

/// What is read of a thread.
#[napi(object)]
pub struct ReadingOfThread {
    /// Its number.
    pub thread: u32,
    /// Its state, as the code of a letter.
    pub state: u32,
    /// How long it ran.
    pub run_ns: Option<BigInt>,
    /// How long it was ready to run but did not.
    pub wait_ns: Option<BigInt>,
    /// How often it began to run.
    pub slices: Option<BigInt>,
    /// The flags in `stat`.
    pub flags: Option<u32>,
    /// How often it waited for a page.
    pub major_faults: Option<BigInt>,
    /// The signal that stopped it.
    pub stop_signal: Option<u32>,
    /// The kernel function in which it waits.
    pub wait_channel: Option<String>,
    /// The call in which it is.
    pub call: Option<String>,
    /// The arguments of the call.
    pub arguments: Option<Vec<BigInt>>,
}

impl ReadingOfThread {
    pub(crate) fn thread(&self) -> crate::Result<ThreadReading> {
        Ok(ThreadReading {
            thread: self.thread,
            state: byte(Some(self.state)),
            run_ns: number(self.run_ns.as_ref()),
            wait_ns: number(self.wait_ns.as_ref()),
            slices: number(self.slices.as_ref()),
            flags: self.flags.unwrap_or(0),
            major_faults: number(self.major_faults.as_ref()),
            stop_signal: byte(self.stop_signal),
            wait_channel: Text::from_bytes(bytes(self.wait_channel.as_ref())),
            call: self.call()?,
            ..ThreadReading::NOTHING
        })
    }

    fn call(&self) -> crate::Result<Call> {
        let Some(name) = &self.call else { return Ok(Call::Unknown) };
        let mut arguments = [0; 4];
        let given = self.arguments.iter().flatten();
        for (argument, value) in arguments.iter_mut().zip(given) {
            *argument = value.get_u64().1;
        }
        Simulated::call(name, arguments)
            .ok_or_else(|| named("22", format!("{name} is not a known system call")))
    }
}

fn number(value: Option<&BigInt>) -> u64 {
    value.map_or(0, |value| value.get_u64().1)
}

fn byte(value: Option<u32>) -> u8 {
    value.and_then(|value| value.try_into().ok()).unwrap_or(0)
}

fn bytes(value: Option<&String>) -> &[u8] {
    value.map_or(&[], |value| value.as_bytes())
}
