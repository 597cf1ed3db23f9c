//! Applies the steps of a story to its observer.

use std::net::IpAddr;

use varta_observer::judge::{Datagram, Namespace, Sender};
use varta_observer::{ExitCause, Simulated};

use super::reading;
use crate::failure::Failure;
use crate::fields::Fields;

pub(crate) fn apply(observer: &mut Simulated, step: &Fields<'_>) -> Result<(), Failure> {
    let at_ns = step.number("at_ns")?;
    match step.text("op")? {
        "frame" => return feed(observer, at_ns, step),
        "poll" => {
            step.only(&["at_ns", "op"])?;
            observer.advance(at_ns);
        }
        "full" => {
            step.only(&["at_ns", "op"])?;
            observer.advance_full(at_ns);
        }
        "exit" => {
            step.only(&["at_ns", "op", "pid", "code", "signal"])?;
            observer.exit(at_ns, step.number("pid")?, cause(step)?);
        }
        "late" => {
            step.only(&["at_ns", "op", "due_ns"])?;
            observer.late(at_ns, step.number("due_ns")?);
        }
        "suspend" => {
            step.only(&["at_ns", "op", "ns"])?;
            observer.suspended(at_ns, step.number("ns")?);
        }
        "set_threshold" => {
            step.only(&["at_ns", "op", "agent", "ns"])?;
            observer.set_threshold(step.number("agent")?, step.number("ns")?);
        }
        "reading" => return reading::process(observer, step),
        "thread_reading" => return reading::thread(observer, step),
        other => {
            return Err(Failure::new(
                "op",
                "an operation that conformance/README.md lists",
                other,
            ));
        }
    }
    Ok(())
}

fn feed(observer: &mut Simulated, at_ns: u64, step: &Fields<'_>) -> Result<(), Failure> {
    step.only(&[
        "at_ns",
        "op",
        "listener",
        "sender",
        "hex",
        "truncated",
        "control_truncated",
        "fresh",
    ])?;
    let sender = step.object("sender")?;
    let (listener, sender) = match step.text("listener")? {
        "uds" => (0, local(observer, &sender)?),
        "udp" => (1, remote(&sender, false)?),
        "secure-udp" => (2, remote(&sender, true)?),
        other => return Err(Failure::new("listener", "uds, udp or secure-udp", other)),
    };
    let bytes = step.bytes("hex")?;
    let mut datagram = Datagram::new(listener, sender, &bytes);
    datagram.truncated = step.has("truncated") && step.boolean("truncated")?;
    datagram.control_truncated =
        step.has("control_truncated") && step.boolean("control_truncated")?;
    observer.set_fresh(step.has("fresh") && step.boolean("fresh")?);
    observer.feed(at_ns, &datagram);
    Ok(())
}

fn local(observer: &mut Simulated, sender: &Fields<'_>) -> Result<Sender, Failure> {
    sender.only(&["pid", "uid", "process", "namespace", "innermost"])?;
    let pid = sender.number("pid")?;
    if sender.has("namespace") {
        let namespace = namespace(sender.text("namespace")?)?;
        observer.set_namespace(pid, namespace);
        if namespace == Namespace::Other && sender.has("innermost") {
            observer.set_innermost_pid(pid, sender.number("innermost")?);
        } else if sender.has("innermost") {
            return Err(Failure::new(
                "innermost",
                "the namespace other",
                sender.text("namespace")?,
            ));
        }
    }
    let process = sender.has("process").then(|| sender.number("process")).transpose()?;
    Ok(Sender::Kernel { pid, uid: sender.number("uid")?, process })
}

fn namespace(name: &str) -> Result<Namespace, Failure> {
    match name {
        "same" => Ok(Namespace::Same),
        "other" => Ok(Namespace::Other),
        "unknown" => Ok(Namespace::Unknown),
        _ => Err(Failure::new("namespace", "same, other or unknown", name)),
    }
}

fn remote(sender: &Fields<'_>, sealed: bool) -> Result<Sender, Failure> {
    sender.only(&["source"])?;
    let source = sender.text("source")?;
    let address: IpAddr =
        source.parse().map_err(|_| Failure::new("source", "an IP address", source))?;
    Ok(Sender::Network { address, sealed })
}

fn cause(step: &Fields<'_>) -> Result<ExitCause, Failure> {
    match (step.has("code"), step.has("signal")) {
        (true, false) => step.signed("code").map(ExitCause::Code),
        (false, true) => step.signed("signal").map(ExitCause::Signal),
        (false, false) => Ok(ExitCause::Unknown),
        (true, true) => Err(Failure::new("cause", "a code or a signal", "both")),
    }
}
