//! What is shown of each agent.

use std::collections::HashMap;
use std::ops::Range;

use varta::Status;

use super::bound::Bound;
use super::exposition::{Exposition, label, push_label};
use crate::books::{Book, shown_pid};
use crate::histogram::{INTERVALS, Intervals};
use crate::state::{Agent, Snapshot};

/// Agents with label sets of their own.
const MOST_AGENTS: usize = 10_000;

/// Agents whose beat intervals have a histogram of their own: fifteen samples each.
const MOST_INTERVALS: usize = 1_000;

/// Agents are numbered from 1, and no pid is 0: here is the sum of those without labels of
/// their own.
const OTHERS: &str = "program=\"\",agent=\"0\"";
const OTHER_PIDS: &str = "pid=\"0\"";

/// Who has label sets of their own, from one scrape to the next.
#[derive(Debug)]
pub(crate) struct Listed {
    agents: Bound,
    intervals: Bound,
}

impl Default for Listed {
    fn default() -> Self {
        Self { agents: Bound::new(MOST_AGENTS), intervals: Bound::new(MOST_INTERVALS) }
    }
}

/// What is counted of an agent, followed or gone.
struct Row<'a> {
    /// Where they stand among those of all rows.
    labels: Range<usize>,
    agent: u64,
    book: &'a Book,
    followed: Option<&'a Agent>,
}

/// What there is of one pid.
#[derive(Default)]
struct OfPid {
    beats: u64,
    stalls: u64,
    /// The highest number among its agents.
    agent: u64,
    status: Option<Status>,
}

pub(super) fn write(snapshot: &Snapshot, listed: &mut Listed, to: &mut Exposition) {
    let mut present: Vec<_> = snapshot.agents.iter().map(|agent| agent.info.agent).collect();
    present.extend(snapshot.departed.iter().map(|departed| departed.agent));
    present.sort_unstable();
    listed.agents.look_at(&present);
    listed.intervals.look_at(&present);
    let followed = snapshot.agents.iter().map(|it| (it.info.agent, &it.book, Some(it)));
    let departed = snapshot.departed.iter().map(|it| (it.agent, &it.book, None));
    let mut rows = Rows::with_capacity(present.len());
    let mut others = snapshot.gone;
    for (agent, book, followed) in followed.chain(departed) {
        if listed.agents.has(agent) {
            rows.add(agent, book, followed);
        } else {
            others.absorb(book);
        }
    }
    to.reserve(rows.rows.len() * 800 + rows.rows.len().min(MOST_INTERVALS) * 2_000);
    write_pids(&rows.rows, &others, to);
    write_agents(&rows, &others, to);
    write_intervals(&rows, others.intervals, listed, to);
}

/// Rows with their labels in one text: ten thousand small ones would cost more than what is
/// written with them.
struct Rows<'a> {
    rows: Vec<Row<'a>>,
    labels: String,
}

impl<'a> Rows<'a> {
    fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), labels: String::with_capacity(rows * 48) }
    }

    fn add(&mut self, agent: u64, book: &'a Book, followed: Option<&'a Agent>) {
        let start = self.labels.len();
        push_label(&mut self.labels, "program", book.name);
        self.labels.push(',');
        push_label(&mut self.labels, "agent", agent);
        let labels = start..self.labels.len();
        self.rows.push(Row { labels, agent, book, followed });
    }

    /// Each with its labels.
    fn iter(&self) -> impl Iterator<Item = (&str, &Row<'a>)> {
        self.rows
            .iter()
            .map(|row| (self.labels.get(row.labels.clone()).unwrap_or_default(), row))
    }
}

/// What the published daemon shows of each pid. A pid is whose it is now: of those that are
/// followed, or if there are none, of who had it last. What others had counts for the sum.
fn write_pids(rows: &[Row<'_>], others: &Book, to: &mut Exposition) {
    let (mut beats, mut stalls) = (others.beats, others.stalls);
    let mut pids: HashMap<u32, OfPid> = HashMap::with_capacity(rows.len());
    // The followed stand before the departed.
    for Row { agent, book, followed, .. } in rows {
        let of_pid = pids.entry(shown_pid(book.pid, book.claimed_pid)).or_default();
        let first = of_pid.agent == 0;
        if followed.is_some() || first {
            of_pid.beats += book.beats;
            of_pid.stalls += book.stalls;
        } else if of_pid.status.is_none() && of_pid.agent < *agent {
            beats += std::mem::replace(&mut of_pid.beats, book.beats);
            stalls += std::mem::replace(&mut of_pid.stalls, book.stalls);
        } else {
            beats += book.beats;
            stalls += book.stalls;
        }
        if let Some(Agent { info, .. }) = followed {
            let status = if info.stalled { Status::Stall } else { info.status };
            of_pid.status = of_pid.status.max_by_code(status);
        }
        of_pid.agent = of_pid.agent.max(*agent);
    }
    let mut pids: Vec<_> =
        pids.into_iter().map(|(pid, of_pid)| (label("pid", pid), of_pid)).collect();
    pids.sort_unstable_by_key(|(_, of_pid)| of_pid.agent);
    let mut family = to.counter("varta_beats", "Beats accepted.");
    pids.iter().for_each(|(pid, it)| family.put(pid, it.beats));
    family.put(OTHER_PIDS, beats);
    let help = "Silences, and exits that no silence came before.";
    let mut family = to.counter("varta_stalls", help);
    pids.iter().for_each(|(pid, it)| family.put(pid, it.stalls));
    family.put(OTHER_PIDS, stalls);
    let help =
        "What the agent says of itself: 0 ok, 1 degraded, 2 critical; 3 if it is silent.";
    let mut family = to.gauge("varta_status", help);
    for (pid, it) in &pids {
        if let Some(status) = it.status {
            family.put(pid, u64::from(status as u8));
        }
    }
}

/// The worse of what several say that claim the same pid.
trait Worse {
    fn max_by_code(self, other: Status) -> Self;
}

impl Worse for Option<Status> {
    fn max_by_code(self, other: Status) -> Self {
        self.filter(|status| *status as u8 >= other as u8).or(Some(other))
    }
}

fn write_agents(rows: &Rows<'_>, others: &Book, to: &mut Exposition) {
    let followed = || rows.iter().filter_map(|(labels, row)| Some((labels, row.followed?)));
    let help = "1 for each agent that is followed, with its pid and how it is known.";
    let mut family = to.gauge("varta_agent_info", help);
    let mut all = String::new();
    for (labels, Agent { info, book }) in followed() {
        all.clear();
        all.push_str(labels);
        all.push(',');
        push_label(&mut all, "pid", shown_pid(book.pid, book.claimed_pid));
        all.push(',');
        push_label(&mut all, "origin", info.origin.name());
        family.put(&all, 1);
    }
    let help = "What the agent's last beat carried for the application.";
    let mut family = to.gauge("varta_agent_payload", help);
    followed().for_each(|(labels, agent)| family.put(labels, agent.book.payload));
    let help = "How long the agent has not been heard.";
    let mut family = to.gauge("varta_agent_last_beat_age_seconds", help);
    followed().for_each(|(labels, agent)| family.put_seconds(labels, agent.info.age_ns));
    let help = "How long the agent may be silent.";
    let mut family = to.gauge("varta_agent_threshold_seconds", help);
    followed().for_each(|(labels, agent)| family.put_seconds(labels, agent.info.threshold_ns));
    let help = "1 if the agent has been called stalled and is not back.";
    let mut family = to.gauge("varta_agent_stalled", help);
    followed().for_each(|(labels, agent)| family.put(labels, agent.info.stalled.into()));
    let mut counted = |name, help, count: fn(&Book) -> u64| {
        let mut family = to.counter(name, help);
        rows.iter().for_each(|(labels, row)| family.put(labels, count(row.book)));
        family.put(OTHERS, count(others));
    };
    let help = "Beats that never came, by the nonces of those that did.";
    counted("varta_agent_missed_beats", help, |book| book.missed);
    let help = "Silences that ended with a beat.";
    counted("varta_agent_recoveries", help, |book| book.recoveries);
}

fn write_intervals(
    rows: &Rows<'_>,
    mut others: Intervals,
    listed: &Listed,
    to: &mut Exposition,
) {
    let help = "From one beat of the agent to the next.";
    let mut family = to.histogram("varta_agent_beat_interval_seconds", help, INTERVALS);
    for (labels, Row { agent, book, .. }) in rows.iter() {
        if listed.intervals.has(*agent) {
            family.put(labels, &book.intervals);
        } else {
            others.add(&book.intervals);
        }
    }
    family.put(OTHERS, &others);
}
