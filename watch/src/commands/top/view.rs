//! Draws the screen of `top`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

use super::Top;
use crate::output::cause::CauseFields;
use crate::server::control::protocol::{
    Gone, Report, Row, ServiceRow, State, TaskRow, TaskState,
};
use crate::server::control::rules::ExpectedRow;

/// The maximum number of lines for agents that are gone.
const MOST_GONE: u16 = 6;

/// The width of the first column, with the space after it.
const AGENT_WIDTH: u16 = 8;

/// The width of a day, with a character for each hour.
const DAY_WIDTH: u16 = 24;

/// The colour of a state, which is printed as a word too.
const fn colour(state: State) -> Color {
    match state {
        State::Ok => Color::Green,
        State::Changed => Color::Cyan,
        State::Degraded => Color::Yellow,
        State::Critical => Color::Magenta,
        State::Stalled => Color::Red,
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, top: &Top<'_>) {
    let gone = u16::try_from(top.report.gone.len()).unwrap_or(u16::MAX).min(MOST_GONE);
    let gone_height = if gone == 0 { 0 } else { gone + 1 };
    let missing = missing_line(&top.report);
    let [summary, services, agents, departed, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(missing.is_some().into()),
        Constraint::Min(3),
        Constraint::Length(gone_height),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(summary_of(&top.report), summary);
    if let Some(missing) = missing {
        frame.render_widget(missing, services);
    }
    let lines: Vec<_> =
        lines_of(&top.report).skip(top.first).take(agents.height.into()).collect();
    frame.render_widget(table_of(&lines), agents);
    // A cause is longer than a column. The first line of the table has the names of the columns.
    for (line, row) in lines.iter().zip(agents.rows().skip(1)) {
        if let Entry::Cause { cause, indent } = line {
            let (x, width) = (row.x + indent, row.width.saturating_sub(*indent));
            frame.render_widget(cause_line(cause), Rect { x, width, ..row });
        }
    }
    if gone > 0 {
        let lines = std::iter::once(Line::styled("GONE", header()));
        let lines = lines.chain(top.report.gone.iter().take(gone.into()).map(gone_line));
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), departed);
    }
    frame.render_widget(keys_of(top), keys);
}

fn header() -> Style {
    Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
}

fn summary_of(report: &Report) -> Paragraph<'static> {
    let of = |state| report.agents.iter().filter(|row| row.state == state).count();
    let mut states = vec![Span::raw(format!("{} agents: ", report.agents.len()))];
    for state in State::ALL {
        let count = of(state);
        if count == 0 && state == State::Changed {
            continue;
        }
        let style =
            if count == 0 { Style::new() } else { Style::new().fg(colour(state)).bold() };
        states.push(Span::styled(format!("{count} {}  ", state.name()), style));
    }
    let totals = &report.totals;
    let up = time(report.uptime_ms);
    let counts = format!(
        "up {up}  beats {}  stalls {}  recoveries {}  exits {}  missed {}",
        totals.beats, totals.stalls, totals.recoveries, totals.exits, totals.missed
    );
    Paragraph::new(vec![Line::from(states), Line::raw(counts)])
}

/// The expected programs that are missing, if any are.
fn missing_line(report: &Report) -> Option<Line<'static>> {
    let missing = report.expected.iter().filter(|program| program.missing);
    let names = missing.map(|ExpectedRow { program, there, count, .. }| {
        format!("{program} ({there} of {count} agents)")
    });
    let names: Vec<_> = names.collect();
    let text = format!("missing: {}", names.join(", "));
    (!names.is_empty()).then(|| Line::styled(text, Style::new().fg(Color::Red).bold()))
}

/// A line of the table: an agent, or one of its tasks, which follow it. Below each is why it is
/// silent, if that is known, and what an agent says as a service.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    Agent(&'a Row),
    Task(&'a TaskRow),
    Cause { cause: &'a CauseFields, indent: u16 },
    Service(&'a ServiceRow),
}

pub(super) fn lines_of(report: &Report) -> impl Iterator<Item = Entry<'_>> {
    report.agents.iter().flat_map(|row| {
        let tasks = row.tasks.iter().flat_map(|task| {
            with_cause(Entry::Task(task), task.cause.as_ref(), AGENT_WIDTH + 4)
        });
        let service = row.service.iter().map(Entry::Service);
        let agent = with_cause(Entry::Agent(row), row.cause.as_ref(), AGENT_WIDTH + 2);
        agent.chain(service).chain(tasks)
    })
}

fn with_cause<'a>(
    entry: Entry<'a>,
    cause: Option<&'a CauseFields>,
    indent: u16,
) -> impl Iterator<Item = Entry<'a>> {
    std::iter::once(entry).chain(cause.map(|cause| Entry::Cause { cause, indent }))
}

fn cause_line(cause: &CauseFields) -> Line<'static> {
    let colour = match cause.cause_class.as_str() {
        "outside" => Color::Yellow,
        "kernel" => Color::Magenta,
        "unknown" => Color::DarkGray,
        "changed" if cause.cause == "exec" => colour(State::Changed),
        _ => Color::Red,
    };
    Line::styled(cause.text().to_owned(), Style::new().fg(colour))
}

fn cells_of(row: &Row) -> [Cell<'static>; 8] {
    [
        Cell::from(row.agent.to_string()),
        Cell::from(row.program.clone()),
        Cell::from(row.shown_pid().to_string()),
        Cell::from(row.state.name()).style(Style::new().fg(colour(row.state))),
        Cell::from(time(row.age_ms)),
        Cell::from(row.beats.to_string()),
        Cell::from(row.missed.to_string()),
        Cell::from(row.payload.to_string()),
    ]
}

fn cells_of_task(task: &TaskRow) -> [Cell<'static>; 8] {
    let colour = match task.state {
        TaskState::Ok | TaskState::Idle => Color::Green,
        TaskState::Degraded => Color::Yellow,
        TaskState::Critical => Color::Magenta,
        TaskState::Late => Color::Red,
    };
    // What it has done tells more than a payload, if it reports it.
    let mut last = match (task.done, task.left) {
        (0, 0) => task.payload.to_string(),
        (done, left) => format!("{done} done, {left} left"),
    };
    if task.is_late() {
        last = format!("{}, {last}", task.broken.join(" "));
    }
    [
        Cell::from(""),
        Cell::from(format!("  {}", task.name)),
        Cell::from(""),
        Cell::from(task.state.name()).style(Style::new().fg(colour)),
        Cell::from(time(task.age_ms)),
        Cell::from(task.beats.to_string()),
        Cell::from(""),
        Cell::from(last),
    ]
}

fn cells_of_service(service: &ServiceRow) -> [Cell<'static>; 8] {
    let ServiceRow { state, status, pings, .. } = service;
    [
        Cell::from(""),
        Cell::from(format!("  {status}")),
        Cell::from(""),
        Cell::from(state.clone()),
        Cell::from(""),
        Cell::from(pings.to_string()),
        Cell::from(""),
        Cell::from(""),
    ]
}

fn table_of(lines: &[Entry<'_>]) -> Table<'static> {
    let day = |line: &Entry<'_>| match line {
        Entry::Agent(row) => row.day.as_deref().map(day_line),
        _ => None,
    };
    let mut names =
        vec!["AGENT", "PROGRAM", "PID", "STATE", "AGE", "BEATS", "MISSED", "PAYLOAD"];
    let has_days = lines.iter().any(|line| day(line).is_some());
    let rows = lines.iter().map(|line| match line {
        Entry::Agent(row) => {
            TableRow::new(cells_of(row).into_iter().chain(day(line).map(Cell::from)))
        }
        Entry::Task(task) => TableRow::new(cells_of_task(task)),
        Entry::Cause { .. } => TableRow::new([""]),
        Entry::Service(service) => TableRow::new(cells_of_service(service)),
    });
    let mut widths = vec![
        Constraint::Length(AGENT_WIDTH - 1),
        Constraint::Min(16),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Min(8),
    ];
    if has_days {
        names.push("LAST DAY");
        widths.push(Constraint::Length(DAY_WIDTH));
    }
    Table::new(rows, widths).header(TableRow::new(names).style(header()))
}

/// The last day of an agent, with one character for each hour. The letters are as in the report.
fn day_line(day: &str) -> Line<'static> {
    let hours = day.as_bytes().chunks(2).map(|hour| {
        let is = |letter: u8| hour.contains(&letter);
        let (text, colour) = match () {
            () if is(b's') => ("█", colour(State::Stalled)),
            () if is(b'n') => ("▒", colour(State::Changed)),
            () if is(b'g') => ("·", Color::DarkGray),
            () if is(b'o') => ("▁", colour(State::Ok)),
            () => (" ", Color::Reset),
        };
        Span::styled(text, Style::new().fg(colour))
    });
    hours.collect()
}

fn gone_line(gone: &Gone) -> Line<'static> {
    let Gone { agent, program, pid, ago_ms, cause, day, .. } = gone;
    let style = if gone.clean { Style::new() } else { Style::new().fg(Color::Red) };
    let ago = time(*ago_ms);
    let text = format!("{agent:<7} {program:<16} {pid:<8} {ago} ago, {cause}");
    let mut line = Line::styled(text, style);
    if let Some(day) = day {
        line.push_span("  ");
        line.spans.extend(day_line(day).spans);
    }
    line
}

fn keys_of(top: &Top<'_>) -> Line<'static> {
    if let Some(trouble) = &top.trouble {
        return Line::styled(trouble.clone(), Style::new().fg(Color::Red).bold());
    }
    let order = top.order.name();
    Line::raw(format!("q quit  s sort (by {order})  arrows, page keys: scroll"))
}

/// Formats a time in few characters.
fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_of_a_day_shows_the_worst_that_happened() {
        let text: String =
            day_line("....oooossogsgggnonn").iter().map(|it| it.content.as_ref()).collect();
        assert_eq!(text, "  ▁▁█·█·▒▒");
    }

    #[test]
    fn times_are_formatted_in_few_characters() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_050, "1.0s"),
            (59_999, "59.9s"),
            (61_000, "1m01s"),
            (3_660_000, "1h01m"),
        ] {
            assert_eq!(time(ms), text);
        }
    }
}
