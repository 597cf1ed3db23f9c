//! `top`: the agents and their state, live in a terminal.

mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::Failure;
use crate::server::control::client::{Connection, Target};
use crate::server::control::protocol::{Report, Row};

/// Show agents live in the terminal
///
/// Agents that need attention come first, each with its tasks below it. A line below a stalled
/// agent or a late task says why it is silent. Keys: q quits, s changes the sort order, the
/// arrow and page keys scroll.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Time between two updates
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..))]
    every_ms: u64,
    /// Sort order
    #[arg(long, value_name = "ORDER", value_enum, default_value_t = Order::State)]
    sort: Order,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    /// Worst state first
    State,
    /// By program name
    Name,
    /// Longest silence first
    Age,
    /// Most beats first
    Beats,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::State => Self::Name,
            Self::Name => Self::Age,
            Self::Age => Self::Beats,
            Self::Beats => Self::State,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Name => "name",
            Self::Age => "age",
            Self::Beats => "beats",
        }
    }

    fn sort(self, rows: &mut [Row]) {
        match self {
            Self::State => rows.sort_by_key(|row| (std::cmp::Reverse(row.state), row.agent)),
            Self::Name => {
                rows.sort_by(|a, b| (&a.program, a.agent).cmp(&(&b.program, b.agent)))
            }
            Self::Age => rows.sort_by_key(|row| std::cmp::Reverse(row.age_ms)),
            Self::Beats => rows.sort_by_key(|row| std::cmp::Reverse(row.beats)),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() {
        return Err(Failure::new("top needs a terminal; use check or events in scripts"));
    }
    // Connect before switching the screen, so that an error stays readable.
    let mut connection = arguments.target.connect().map_err(Failure::new)?;
    let report = connection.report().map_err(Failure::new)?;
    let mut top = Top {
        arguments,
        connection: Some(connection),
        report,
        order: arguments.sort,
        first: 0,
        trouble: None,
    };
    let mut terminal = ratatui::try_init().map_err(Failure::new)?;
    let shown = top.show(&mut terminal);
    ratatui::try_restore().map_err(Failure::new)?;
    shown.map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

struct Top<'a> {
    arguments: &'a Arguments,
    connection: Option<Connection>,
    report: Report,
    order: Order,
    /// The first visible row.
    first: usize,
    /// Why the last update failed.
    trouble: Option<String>,
}

impl Top<'_> {
    fn show(&mut self, terminal: &mut DefaultTerminal) -> io::Result<()> {
        let every = Duration::from_millis(self.arguments.every_ms);
        let mut next = Instant::now() + every;
        loop {
            self.order.sort(&mut self.report.agents);
            let lines = view::lines_of(&self.report).count();
            self.first = self.first.min(lines.saturating_sub(1));
            terminal.draw(|frame| view::draw(frame, self))?;
            if event::poll(next.saturating_duration_since(Instant::now()))? {
                match event::read()? {
                    Event::Key(key) if quits(&key) => return Ok(()),
                    Event::Key(key) if key.kind == KeyEventKind::Press => self.press(key.code),
                    _ => {}
                }
            }
            if next <= Instant::now() {
                self.trouble = self.refresh().err().map(|error| error.to_string());
                next = Instant::now() + every;
            }
        }
    }

    /// Fetches a new report, and reconnects if the daemon was restarted.
    fn refresh(&mut self) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.arguments.target.connect()?,
        };
        self.report = connection.report()?;
        self.connection = Some(connection);
        Ok(())
    }

    const fn press(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Up | KeyCode::Char('k') => self.first = self.first.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.first = self.first.saturating_add(1),
            KeyCode::PageUp => self.first = self.first.saturating_sub(20),
            KeyCode::PageDown => self.first = self.first.saturating_add(20),
            KeyCode::Home => self.first = 0,
            _ => {}
        }
    }
}

fn quits(key: &KeyEvent) -> bool {
    let interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}
