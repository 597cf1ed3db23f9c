//! Events as texts.

use std::fmt;

use varta::{Promise, Rule};

use super::{Event, What};
use crate::cause::Why;
use crate::names::Label;

/// An event and the name of its agent.
pub(super) struct Named<'a> {
    pub(super) event: &'a Event,
    pub(super) label: Label,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named(Label::EMPTY).fmt(f)
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.event;
        write!(f, "{}: ", Seconds(event.observer_ns))?;
        if let Some(about) = &event.about {
            about.write(self.label, f)?;
            f.write_str(": ")?;
        }
        if let Some(task) = &event.task {
            write!(f, "{task}: ")?;
        }
        event.what.fmt(f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beat { status, payload, nonce, missed, count } => {
                write!(f, "beat, {status}, payload {payload}, ")?;
                match *nonce {
                    varta::NONCE_TERMINAL => f.write_str("last words")?,
                    nonce => write!(f, "nonce {nonce}")?,
                }
                match missed {
                    0 => {}
                    missed => write!(f, ", {missed} missed")?,
                }
                match count {
                    1 => Ok(()),
                    count => write!(f, ", {count} beats"),
                }
            }
            Self::Stall { last_ns, late: Some(late), why, .. } => {
                let (due, at) = (Seconds(late.due_ns), Seconds(*last_ns));
                write!(f, "stall, {} was due at {due}, last call at {at}", late.promise)?;
                match late.checkpoint {
                    0 => {}
                    label => write!(f, ", checkpoint {label}")?,
                }
                write_why(f, why.as_ref())
            }
            Self::Stall { last_nonce, last_ns, deaf, late: None, why } => {
                let at = Seconds(*last_ns);
                write!(f, "stall, last heard at {at} with nonce {last_nonce}")?;
                f.write_str(if *deaf { ", while the queue was full" } else { "" })?;
                write_why(f, why.as_ref())
            }
            Self::Recovered { silent_ns, promise: Promise::Beat } => {
                write!(f, "recovered after {} of silence", Seconds(*silent_ns))
            }
            Self::Recovered { silent_ns, promise } => {
                write!(f, "recovered, {promise} was {} late", Seconds(*silent_ns))
            }
            Self::Exit { cause, last_status } => {
                write!(f, "exit, {cause}, last status {last_status}")
            }
            Self::Decode(error) => write!(f, "no frame, {error}"),
            Self::AuthFailure { claimed_pid, true_pid } => {
                write!(f, "auth failure, pid {true_pid} sent a frame that names {claimed_pid}")
            }
            Self::Io { errno } => write!(f, "socket failed, errno {errno}"),
            Self::Paused { ns } => write!(f, "observer paused for {}", Seconds(*ns)),
            Self::Task { threshold_ns: u64::MAX } => f.write_str("task declared"),
            Self::Task { threshold_ns } => {
                write!(f, "task declared, threshold {}", Seconds(*threshold_ns))
            }
            Self::Ended { how } => write!(f, "task ended, {how}"),
            Self::Violation { rule, count, from, to, by } => {
                write!(f, "violation, {rule}")?;
                match rule {
                    Rule::WrongOrder => write!(f, ", from checkpoint {from} to {to}")?,
                    Rule::TooFew | Rule::TooMany => write!(f, " by {by} beats")?,
                    Rule::TooEarly | Rule::TooLate => write!(f, " by {}", Seconds(*by))?,
                }
                match count {
                    1 => Ok(()),
                    count => write!(f, ", {count} violations"),
                }
            }
            Self::Cause { why } => write!(f, "cause {why}"),
        }
    }
}

fn write_why(f: &mut fmt::Formatter<'_>, why: Option<&Why>) -> fmt::Result {
    why.map_or(Ok(()), |why| write!(f, ", cause {why}"))
}

/// Nanoseconds, displayed as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use varta::{DecodeError, Status};

    use super::*;
    use crate::cause::Cause;
    use crate::event::{About, Ending, ExitCause, Late, Origin};

    #[test]
    fn every_kind_has_a_code_a_name_and_a_text() {
        let all = [
            What::Beat { status: Status::Ok, payload: 0, nonce: u64::MAX, missed: 0, count: 1 },
            What::Stall {
                last_nonce: 1,
                last_ns: 1_500_000_000,
                deaf: false,
                late: None,
                why: None,
            },
            What::Stall {
                last_nonce: 1,
                last_ns: 1_500_000_000,
                deaf: true,
                late: None,
                why: None,
            },
            What::Recovered { silent_ns: 999_999, promise: Promise::Beat },
            What::Exit { cause: ExitCause::Code(-1), last_status: Status::Critical },
            What::Decode(DecodeError::BadMagic),
            What::AuthFailure { claimed_pid: 2, true_pid: 3 },
            What::Io { errno: 5 },
            What::Paused { ns: 10_000_000_000 },
            What::Task { threshold_ns: 2_000_000_000 },
            What::Ended { how: Ending::ThreadGone },
            What::Violation { rule: Rule::TooLate, count: 2, from: 0, to: 0, by: 5_000_000 },
            What::Violation { rule: Rule::WrongOrder, count: 1, from: 3, to: 5, by: 0 },
            What::Beat { status: Status::Ok, payload: 0, nonce: 9, missed: 0, count: 20 },
            What::Stall {
                last_nonce: 0,
                last_ns: 1_000_000_000,
                deaf: false,
                late: Some(Late {
                    promise: Promise::Span,
                    due_ns: 1_200_000_000,
                    checkpoint: 7,
                }),
                why: Some(Why { cause: Cause::Lock, thread: 7, other: 8, ..Why::UNKNOWN }),
            },
            What::Recovered { silent_ns: 5_000_000, promise: Promise::Progress },
            What::Cause { why: Why::UNKNOWN },
        ];
        let texts: Vec<_> =
            all.iter().map(|what| format!("{} {} {what}", what.code(), what.name())).collect();
        assert_eq!(
            texts,
            [
                "1 beat beat, ok, payload 0, last words",
                "2 stall stall, last heard at 1.500 s with nonce 1",
                "2 stall stall, last heard at 1.500 s with nonce 1, while the queue was full",
                "3 recovered recovered after 0.000 s of silence",
                "4 exit exit, exit code -1, last status critical",
                "5 decode no frame, bad magic: the bytes do not begin with 56 41",
                "6 auth-failure auth failure, pid 3 sent a frame that names 2",
                "7 io socket failed, errno 5",
                "8 paused observer paused for 10.000 s",
                "9 task task declared, threshold 2.000 s",
                "10 ended task ended, thread-gone",
                "11 violation violation, too-late by 0.005 s, 2 violations",
                "11 violation violation, wrong-order, from checkpoint 3 to 5",
                "1 beat beat, ok, payload 0, nonce 9, 20 beats",
                "2 stall stall, span was due at 1.200 s, last call at 1.000 s, checkpoint 7, \
                 cause lock (guess), thread 7, held by thread 8",
                "3 recovered recovered, progress was 0.005 s late",
                "12 cause cause unknown",
            ]
        );
    }

    #[test]
    fn an_agent_is_described_by_what_is_known() {
        let about = About { agent: 1, pid: 50, claimed_pid: 7, origin: Origin::KernelAttested };
        assert_eq!(about.to_string(), "agent 1 (pid 50, claims pid 7)");
        let sealed = About { pid: 0, origin: Origin::SecureNetwork, ..about };
        assert_eq!(sealed.to_string(), "agent 1 (claims pid 7, secure-network)");
        let event = Event { about: Some(sealed), ..Event::NOTHING };
        let text =
            "0.000 s: agent 1 (index \"a\", claims pid 7, secure-network): observer paused";
        let named = event.named(Label::new(b"index \"a\"")).to_string();
        assert!(named.starts_with(text), "{named}");
    }
}
