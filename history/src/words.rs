//! A record in words, as in the lines of `varta-watch events`.

use std::fmt;

use serde_json::{Map, Value};

/// The members of a record, displayed in words.
///
/// ```
/// use varta_history::{Record, Recovered, Words};
///
/// let back = Recovered { agent: 17, silent_ns: 2_500_000_000, promise: "beat".into(), task: None };
/// let mut members = Record::from(back).members();
/// members.insert("pid".to_owned(), 4321.into());
/// members.insert("program".to_owned(), "ingestd".into());
/// let words = "agent 17 (pid 4321): recovered after 2.500 s of silence [ingestd]";
/// assert_eq!(Words(&members).to_string(), words);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Words<'a>(pub &'a Map<String, Value>);

impl Words<'_> {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    fn seconds(&self, name: &str) -> Seconds {
        Seconds(self.number(name).unwrap_or_default())
    }

    /// What it is about: an agent, a task of one, or a program.
    fn about(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(agent) = self.number("agent").filter(|agent| *agent != 0) {
            write!(f, "agent {agent} (")?;
            match (self.number("pid").unwrap_or_default(), self.number("claimed_pid")) {
                (0, claimed) => write!(f, "claims pid {}", claimed.unwrap_or_default())?,
                (pid, Some(claimed)) if pid != claimed => {
                    write!(f, "pid {pid}, claims pid {claimed}")?;
                }
                (pid, _) => write!(f, "pid {pid}")?,
            }
            match self.text("origin") {
                "" | "kernel-attested" => {}
                origin => write!(f, ", {origin}")?,
            }
            f.write_str("): ")?;
        }
        if let Some(task) = self.number("task") {
            match self.text("task_name") {
                "" => write!(f, "task {task}: ")?,
                name => write!(f, "task {task} ({name}): ")?,
            }
        }
        Ok(())
    }

    fn event(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text("event") {
            "stall" => self.stall(f),
            "recovered" if self.text("promise") == "beat" => {
                write!(f, "recovered after {} of silence", self.seconds("silent_ns"))
            }
            "recovered" => {
                let late = self.seconds("silent_ns");
                write!(f, "recovered, {} was {late} late", self.text("promise"))
            }
            "exit" => {
                f.write_str("exit, ")?;
                self.ending(f)?;
                write!(f, ", last status {}", self.text("last_status"))
            }
            "paused" => write!(f, "observer paused for {}", self.seconds("paused_ns")),
            "task" => match self.number("threshold_ns") {
                None | Some(u64::MAX) => f.write_str("task declared"),
                Some(threshold) => write!(f, "task declared, threshold {}", Seconds(threshold)),
            },
            "ended" => write!(f, "task ended, {}", self.text("how")),
            "violation" => self.violation(f),
            "cause" => {
                f.write_str("cause")?;
                self.cause(f, " ")
            }
            "recovery" => {
                f.write_str("recovery: ")?;
                self.recovery(f)
            }
            "missing" | "present" => {
                let there = self.number("there").unwrap_or_default();
                let count = self.number("count").unwrap_or_default();
                let (program, event) = (self.text("program"), self.text("event"));
                write!(f, "program {program} {event}: {there} of {count} agents")
            }
            "service" => {
                f.write_str("service: ")?;
                self.service(f)
            }
            "agent" => write!(f, "followed, threshold {}", self.seconds("threshold_ns")),
            "eviction" => f.write_str("not followed any more"),
            "started" => write!(f, "varta-watch {} started", self.text("version")),
            "stopped" => match self.text("error") {
                "" => f.write_str("varta-watch stopped"),
                error => write!(f, "varta-watch stopped: {error}"),
            },
            "lost" => match (self.number("first"), self.number("last")) {
                (Some(first), Some(last)) => write!(f, "records {first} to {last} were lost"),
                _ => f.write_str("records were lost"),
            },
            "late" => {
                write!(f, "observer late by {}", self.seconds("late_ns"))?;
                match self.number("forgiven_ns") {
                    None | Some(0) => Ok(()),
                    Some(forgiven) => write!(f, ", {} forgiven", Seconds(forgiven)),
                }
            }
            "clock" => f.write_str("clock"),
            "threshold" => {
                match self.number("threshold_ns") {
                    None | Some(u64::MAX) => f.write_str("no threshold")?,
                    Some(threshold) => write!(f, "threshold {}", Seconds(threshold))?,
                }
                write!(f, ", by {}", self.text("by"))
            }
            "floor" => {
                write!(f, "silences are recorded from {} on", self.seconds("floor_ns"))
            }
            "gap" => {
                write!(f, "silent for {}", self.seconds("silent_ns"))?;
                match self.text("end") {
                    "" => Ok(()),
                    end => write!(f, ", until its {end}"),
                }
            }
            "minute" => {
                let number = |name| self.number(name).unwrap_or_default();
                write!(f, "{} beats in a minute, {} missed", number("beats"), number("missed"))
            }
            "beat" => self.beat(f),
            "beats" => {
                let beats = self.0.get("beats").and_then(Value::as_array);
                write!(f, "its last {} beats", beats.map_or(0, Vec::len))
            }
            other => f.write_str(other),
        }
    }

    fn stall(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.seconds("last_ns");
        match self.text("promise") {
            "" => {
                let nonce = self.number("last_nonce").unwrap_or_default();
                write!(f, "stall, last heard at {at} with nonce {nonce}")?;
                if self.0.get("deaf") == Some(&Value::Bool(true)) {
                    f.write_str(", while the queue was full")?;
                }
            }
            promise => {
                let due = self.seconds("due_ns");
                write!(f, "stall, {promise} was due at {due}, last call at {at}")?;
                match self.number("checkpoint") {
                    None | Some(0) => {}
                    Some(label) => write!(f, ", checkpoint {label}")?,
                }
            }
        }
        self.cause(f, ", cause ")
    }

    fn beat(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |name| self.number(name).unwrap_or_default();
        write!(f, "beat, {}, payload {}, ", self.text("status"), number("payload"))?;
        match number("nonce") {
            varta::NONCE_TERMINAL => f.write_str("last words")?,
            nonce => write!(f, "nonce {nonce}")?,
        }
        match number("missed") {
            0 => {}
            missed => write!(f, ", {missed} missed")?,
        }
        match number("count") {
            0 | 1 => Ok(()),
            count => write!(f, ", {count} beats"),
        }
    }

    fn cause(&self, f: &mut fmt::Formatter<'_>, before: &str) -> fmt::Result {
        match (self.text("cause"), self.text("cause_text")) {
            ("", _) => Ok(()),
            (_, text) if !text.is_empty() => write!(f, "{before}{text}"),
            ("unknown", _) => write!(f, "{before}unknown"),
            (cause, _) => write!(f, "{before}{cause} ({})", self.text("certainty")),
        }
    }

    fn ending(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = |name: &str| self.0.get(name).and_then(Value::as_i64);
        match (signed("code"), signed("signal")) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (_, Some(signal)) => write!(f, "killed by signal {signal}"),
            _ => f.write_str("cause unknown"),
        }
    }

    fn violation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.number("by").unwrap_or_default();
        write!(f, "violation, {}", self.text("rule"))?;
        match self.text("rule") {
            "wrong-order" => {
                let from = self.number("from").unwrap_or_default();
                let to = self.number("to").unwrap_or_default();
                write!(f, ", from checkpoint {from} to {to}")?;
            }
            "too-few" | "too-many" => write!(f, " by {by} beats")?,
            _ => write!(f, " by {}", Seconds(by))?,
        }
        match self.number("count") {
            None | Some(1) => Ok(()),
            Some(count) => write!(f, ", {count} violations"),
        }
    }

    fn recovery(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |name| self.number(name).unwrap_or_default();
        match self.text("step") {
            "spawned" => {
                let (pid, attempt) = (number("child_pid"), number("attempt"));
                write!(f, "command started as pid {pid}, try {attempt}")
            }
            "would-spawn" => write!(f, "would start: {}", self.text("command")),
            "spawn-failed" => {
                let (attempt, why) = (number("attempt"), self.text("error"));
                write!(f, "command could not be started, try {attempt}: {why}")
            }
            "completed" => {
                let killed = self.0.get("timed_out") == Some(&Value::Bool(true));
                write!(f, "command {} exited: ", number("child_pid"))?;
                f.write_str(if killed { "timed out, " } else { "" })?;
                self.ending(f)
            }
            "refused" => write!(f, "refused: {}", self.text("reason")),
            "debounced" => {
                let ms = number("wait_ns") / 1_000_000;
                write!(f, "waits {ms} ms: the last run for this pid is too recent")
            }
            "over-budget" => f.write_str("waits: the recovery budget is spent"),
            "gave-up" => {
                let tries = number("tries");
                write!(f, "gave up after {tries} tries; this agent needs manual attention")
            }
            "ended" => write!(f, "run over: {}", self.text("ending")),
            step => f.write_str(step),
        }
    }
}

impl Words<'_> {
    fn service(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |name| self.number(name).unwrap_or_default();
        match self.text("change") {
            "registered" => f.write_str("registered by a launcher"),
            "state" => f.write_str(self.text("state")),
            "status" => write!(f, "status: {}", self.text("status")),
            "errno" => write!(f, "reports error {}", number("errno")),
            "watchdog-off" => f.write_str("does not want to be judged any more"),
            "main-process" => write!(f, "has another main process than {}", number("before")),
            _ => f.write_str("has changed"),
        }
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.about(f)?;
        self.event(f)?;
        match (self.text("event"), self.text("program")) {
            (_, "") | ("missing" | "present", _) => Ok(()),
            (_, program) => write!(f, " [{program}]"),
        }
    }
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
    use serde_json::json;

    use super::*;
    use crate::record::tests::samples;

    fn words(members: Value) -> String {
        let Value::Object(members) = members else { panic!() };
        Words(&members).to_string()
    }

    #[test]
    fn each_kind_has_words_of_its_own() {
        for record in samples() {
            let mut members = record.members();
            members.insert("pid".to_owned(), 4_321.into());
            let words = Words(&members).to_string();
            let is_about_agent = record.agent().is_some();
            assert_eq!(words.starts_with("agent "), is_about_agent, "{words}");
            assert!(words.contains(' ') || words == "clock", "{words}");
        }
    }

    #[test]
    fn the_words_are_those_of_the_events() {
        let about = json!({"agent": 3, "pid": 5, "claimed_pid": 7, "origin": "network"});
        let with = |more: Value| {
            let mut members = about.clone();
            members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            words(members)
        };
        let stall = json!({"event": "stall", "last_ns": 500_000_000, "last_nonce": 17,
            "deaf": true, "cause": "lock", "certainty": "guess", "program": "nginx"});
        assert_eq!(
            with(stall),
            "agent 3 (pid 5, claims pid 7, network): stall, last heard at 0.500 s with nonce 17, \
             while the queue was full, cause lock (guess) [nginx]"
        );
        let beat = json!({"event": "beat", "status": "ok", "payload": 7, "nonce": u64::MAX, "missed": 2,
            "count": 3});
        let expected = "agent 3 (pid 5, claims pid 7, network): beat, ok, payload 7, last words, 2 missed, 3 beats";
        assert_eq!(with(beat), expected);
        let exit = json!({"event": "exit", "signal": 9, "last_status": "ok"});
        let expected =
            "agent 3 (pid 5, claims pid 7, network): exit, killed by signal 9, last status ok";
        assert_eq!(with(exit), expected);
        let missing = json!({"event": "missing", "program": "db", "there": 1, "count": 2});
        assert_eq!(words(missing), "program db missing: 1 of 2 agents");
        let ready = json!({"event": "service", "change": "state", "state": "ready"});
        assert_eq!(with(ready), "agent 3 (pid 5, claims pid 7, network): service: ready");
        assert_eq!(
            words(json!({"event": "lost", "first": 3, "last": 9})),
            "records 3 to 9 were lost"
        );
        let violation = json!({"event": "violation", "task": 2, "task_name": "a", "rule": "too-many",
            "by": 3, "count": 2});
        assert_eq!(
            words(violation),
            "task 2 (a): violation, too-many by 3 beats, 2 violations"
        );
    }
}
