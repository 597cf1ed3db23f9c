//! A second, naive implementation of the promises. It remembers all calls and derives
//! everything from them anew, by the definitions.

use std::time::Duration;

use crate::task::{Edge, Promise, Rule};

/// A call, with the label that a test uses for a span instead of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Beat(u32),
    Idle(Duration),
    Open { span: u16, min: Duration, max: Duration },
    Close { span: u16 },
    Reach(u16),
    Progress(u32, u32),
}

/// The rules of a task.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) threshold: Duration,
    pub(super) startup: Option<Duration>,
    pub(super) progress: Option<Duration>,
    pub(super) edges: Vec<Edge>,
    pub(super) cycle: Option<(Duration, u32, u32)>,
    pub(super) spans: usize,
}

/// Something that is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Late {
    Span(u16),
    Checkpoint,
    Progress,
    Beat,
}

impl Late {
    pub(super) fn promise(self) -> Promise {
        match self {
            Self::Span(_) => Promise::Span,
            Self::Checkpoint => Promise::Checkpoint,
            Self::Progress => Promise::Progress,
            Self::Beat => Promise::Beat,
        }
    }
}

/// A task as the list of its calls. It was declared at 0.
#[derive(Debug)]
pub(super) struct Reference {
    terms: Terms,
    calls: Vec<(Duration, Call)>,
}

impl Reference {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, calls: Vec::new() }
    }

    /// The violations of a call that is made now, in order: rule, from, to.
    pub(super) fn call(&mut self, now: Duration, call: Call) -> Vec<(Rule, u16, u16, u64)> {
        let mut violations = self.windows(now);
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
        let mut judge = |taken: Duration, min, max, from, to| {
            if taken < min {
                violations.push((Rule::TooEarly, from, to, ns(min - taken)));
            } else if taken >= max {
                violations.push((Rule::TooLate, from, to, ns(taken - max)));
            }
        };
        match call {
            Call::Close { span } => {
                let open = self.open_spans().into_iter().find(|(label, ..)| *label == span);
                if let Some((label, opened, min, max)) = open {
                    judge(self.active(opened, now), min, max, label, 0);
                }
            }
            Call::Reach(to) if !self.terms.edges.is_empty() => {
                let (from, since) = self.place();
                match self.terms.edges.iter().find(|edge| (edge.from, edge.to) == (from, to)) {
                    Some(edge) => judge(self.active(since, now), edge.min, edge.max, from, to),
                    None => violations.push((Rule::WrongOrder, from, to, 0)),
                }
            }
            _ => {}
        }
        self.calls.push((now, call));
        violations
    }

    /// What is late at a time after the last call.
    pub(super) fn late(&self, now: Duration) -> Vec<Late> {
        let mut late = Vec::new();
        for (label, opened, _, max) in self.open_spans() {
            if self.active(opened, now) >= max {
                late.push(Late::Span(label));
            }
        }
        let (place, since) = self.place();
        let leaving = self.terms.edges.iter().filter(|edge| edge.from == place);
        if leaving.map(|edge| edge.max).max().is_some_and(|max| self.active(since, now) >= max)
        {
            late.push(Late::Checkpoint);
        }
        if let (Some(limit), Some(since)) = (self.terms.progress, self.without_progress_since())
        {
            if self.active(since, now) >= limit {
                late.push(Late::Progress);
            }
        }
        let (last, limit) = match self.calls.last() {
            None => (Duration::ZERO, self.terms.startup.unwrap_or(self.terms.threshold)),
            Some((at, Call::Idle(at_most))) => (*at, *at_most),
            Some((at, _)) => (*at, self.terms.threshold),
        };
        if now - last >= limit {
            late.push(Late::Beat);
        }
        late
    }

    /// The checkpoint, and since when the task is there.
    pub(super) fn place(&self) -> (u16, Duration) {
        let reached = self.calls.iter().rev().find_map(|(at, call)| match call {
            Call::Reach(checkpoint) => Some((*checkpoint, *at)),
            _ => None,
        });
        reached.unwrap_or_default()
    }

    pub(super) fn open_spans(&self) -> Vec<(u16, Duration, Duration, Duration)> {
        let mut open = Vec::new();
        for (at, call) in &self.calls {
            match *call {
                Call::Open { span, min, max } if open.len() < self.terms.spans => {
                    open.push((span, *at, min, max));
                }
                Call::Close { span } => open.retain(|(label, ..)| *label != span),
                _ => {}
            }
        }
        open
    }

    /// The later of the last change of what is done and of when there was something left.
    fn without_progress_since(&self) -> Option<Duration> {
        let (mut done, mut left, mut since) = (0, 0, None);
        for (at, call) in &self.calls {
            if let Call::Progress(now_done, now_left) = *call {
                if now_done != done || (left == 0 && now_left > 0) {
                    since = Some(*at);
                }
                (done, left) = (now_done, now_left);
            }
        }
        since.filter(|_| left > 0)
    }

    /// The violations of windows that ended between the last call and now.
    fn windows(&self, now: Duration) -> Vec<(Rule, u16, u16, u64)> {
        let Some((length, least, most)) = self.terms.cycle else { return Vec::new() };
        let idle = self.calls.iter().rposition(|(_, call)| matches!(call, Call::Idle(_)));
        let since_idle = &self.calls[idle.map_or(0, |at| at + 1)..];
        let beats: Vec<Duration> = since_idle
            .iter()
            .filter(|(_, call)| matches!(call, Call::Beat(_)))
            .map(|(at, _)| *at)
            .collect();
        let (Some(first), Some((last, _))) = (beats.first(), since_idle.last()) else {
            return Vec::new();
        };
        let window = |at: Duration| (at - *first).as_nanos() / length.as_nanos();
        let (open, current) = (window(*last), window(now));
        let mut violations = Vec::new();
        if current > open {
            let counted = beats.iter().filter(|at| window(**at) == open).count();
            let counted = u32::try_from(counted).unwrap();
            if counted < least {
                violations.push((Rule::TooFew, 0, 0, (least - counted).into()));
            }
            if counted > most {
                violations.push((Rule::TooMany, 0, 0, (counted - most).into()));
            }
            if current > open + 1 && least > 0 {
                violations.push((Rule::TooFew, 0, 0, least.into()));
            }
        }
        violations
    }

    /// The time between two moments in which the task was not idle.
    fn active(&self, from: Duration, to: Duration) -> Duration {
        let mut idle = Duration::ZERO;
        for (index, (began, call)) in self.calls.iter().enumerate() {
            if let Call::Idle(_) = call {
                let ended = self.calls.get(index + 1).map_or(to, |(at, _)| *at).min(to);
                idle += ended.saturating_sub((*began).max(from));
            }
        }
        to.saturating_sub(from).saturating_sub(idle)
    }
}
