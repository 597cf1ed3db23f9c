//! What can be read of a process, as a story sets it.

use varta_observer::judge::{
    Call, Lacks, ProcessReading, Quota, Quotas, Sample, Text, ThreadReading,
};
use varta_observer::{ProgramName, Simulated};

use crate::failure::Failure;
use crate::fields::Fields;

pub(super) fn process(observer: &mut Simulated, step: &Fields<'_>) -> Result<(), Failure> {
    step.only(&[
        "at_ns",
        "op",
        "pid",
        "spent_ns",
        "cpu_ns",
        "thread_count",
        "lacks",
        "device",
        "inode",
        "name",
        "dumping",
        "killed",
        "tracer",
        "frozen",
        "under_oom",
        "group",
        "quota_periods",
        "quota_throttled",
        "memory_pressure_ns",
    ])?;
    let known = |value: u64| Some(value).filter(|value| *value != 0);
    let is_set = |name| Ok(step.has(name) && step.boolean(name)?);
    let executable = (number(step, "device")?, number(step, "inode")?);
    let mut quotas = Quotas::NONE;
    let quota = Quota {
        group: 1,
        periods: number(step, "quota_periods")?,
        throttled: number(step, "quota_throttled")?,
        ..Quota::default()
    };
    if quota.periods != 0 {
        quotas.push(quota);
    }
    let mut sample =
        Sample::try_new().map_err(|_| Failure::new("a reading", "enough memory", "less"))?;
    sample.process = ProcessReading {
        clock_ns: known(number(step, "cpu_ns")?),
        threads: number(step, "thread_count")?,
        lacks: Lacks(number(step, "lacks")?),
        executable: Some(executable).filter(|executable| *executable != (0, 0)),
        name: ProgramName::from_bytes(text(step, "name")?.as_bytes()),
        dumping: is_set("dumping")?,
        killed: is_set("killed")?,
        tracer: number(step, "tracer")?,
        frozen: is_set("frozen")?,
        under_oom: is_set("under_oom")?,
        group: Text::from_bytes(text(step, "group")?.as_bytes()),
        quotas,
        memory_pressure_ns: known(number(step, "memory_pressure_ns")?),
        ..ProcessReading::NOTHING
    };
    observer.set_slow_reading(step.number("pid")?, &sample, number(step, "spent_ns")?);
    Ok(())
}

pub(super) fn thread(observer: &mut Simulated, step: &Fields<'_>) -> Result<(), Failure> {
    step.only(&[
        "at_ns",
        "op",
        "pid",
        "thread",
        "state",
        "run_ns",
        "wait_ns",
        "slices",
        "flags",
        "major_faults",
        "stop_signal",
        "wait_channel",
        "call",
        "arguments",
    ])?;
    let state = match text(step, "state")?.as_bytes() {
        [] => b'S',
        [state] => *state,
        _ => return Err(Failure::new("state", "a letter", text(step, "state")?)),
    };
    let thread = ThreadReading {
        thread: step.number("thread")?,
        state,
        run_ns: number(step, "run_ns")?,
        wait_ns: number(step, "wait_ns")?,
        slices: number(step, "slices")?,
        flags: number(step, "flags")?,
        major_faults: number(step, "major_faults")?,
        stop_signal: number(step, "stop_signal")?,
        wait_channel: Text::from_bytes(text(step, "wait_channel")?.as_bytes()),
        call: call(step)?,
        ..ThreadReading::NOTHING
    };
    let reading = observer.reading_mut(step.number("pid")?);
    let added = reading.is_some_and(|reading| reading.push(thread));
    added
        .then_some(())
        .ok_or_else(|| Failure::new("pid", "a process that has a reading", "another"))
}

fn call(step: &Fields<'_>) -> Result<Call, Failure> {
    if !step.has("call") {
        return Ok(Call::Unknown);
    }
    let arguments = if step.has("arguments") { step.numbers("arguments")? } else { vec![0; 4] };
    let arguments: [u64; 4] = arguments
        .try_into()
        .map_err(|_| Failure::new("arguments", "four numbers", "another count"))?;
    let name = step.text("call")?;
    Simulated::call(name, arguments).ok_or_else(|| Failure::new("call", "a system call", name))
}

fn number<N: TryFrom<u64> + Default>(step: &Fields<'_>, name: &str) -> Result<N, Failure> {
    if step.has(name) { step.number(name) } else { Ok(N::default()) }
}

fn text<'a>(step: &Fields<'a>, name: &str) -> Result<&'a str, Failure> {
    if step.has(name) { step.text(name) } else { Ok("") }
}
