//! The first pass over a history: what it covers, and what cannot be read.

use std::io::{self, Write};
use std::path::Path;

use varta_history::{Item, Kind, Reader, Run};

use super::utc;
use crate::commands::Failure;
use crate::commands::period::{Covered, Period};

/// Two times that differ by less are in order. Another thread made the decisions of recovery, so
/// that their records can be late.
const TOLERANCE_NS: u64 = 1_000_000_000;

/// What a history covers.
#[derive(Debug, Default)]
pub(super) struct Survey {
    covered: Covered,
    /// The first time that is covered.
    first_ns: Option<u64>,
    /// The stretches of the wall clock that occur twice.
    twice: Vec<(u64, u64)>,
    /// What could not be read.
    obstacles: Vec<String>,
}

/// One run of the daemon.
#[derive(Debug)]
struct Stretch {
    run: Run,
    first_ns: u64,
    last_ns: u64,
}

impl Survey {
    /// Surveys a history, reports what cannot be read and how the period was understood, and
    /// checks that something in it is recorded.
    pub(super) fn of(period: &Period) -> Result<Self, Failure> {
        let survey = Self::read(period.folder())?;
        period.check(&survey.covered).map_err(Failure::new)?;
        let (since_ns, until_ns) = period.wall_ns();
        let mut notes = survey.obstacles.clone();
        if since_ns > 0 || until_ns < u64::MAX {
            notes.push(format!("history {period}"));
        }
        if let Some(first_ns) =
            survey.first_ns.filter(|first| since_ns > 0 && *first > since_ns)
        {
            notes.push(format!("nothing is recorded before {}", utc(first_ns)));
        }
        for note in notes {
            // If stderr is closed, nobody wants to know.
            let _ = writeln!(io::stderr(), "varta-watch: {note}");
        }
        Ok(survey)
    }

    fn read(folder: &Path) -> Result<Self, Failure> {
        let mut reader = Reader::open(folder).map_err(Failure::new)?;
        let mut survey = Self::default();
        let mut stretch: Option<Stretch> = None;
        let mut highest_ns = 0;
        while let Some(item) = reader.next().map_err(Failure::new)? {
            let entry = match item {
                Item::Record(entry) => entry,
                other => {
                    survey.obstacles.extend(obstacle(&other));
                    continue;
                }
            };
            // What is repeated has its old time, except for the clock.
            if entry.again && entry.kind() != Some(Kind::Clock) {
                continue;
            }
            let wall_ns = entry.wall_ns;
            match &mut stretch {
                Some(stretch) if stretch.run == entry.header.run => {
                    stretch.first_ns = stretch.first_ns.min(wall_ns);
                    stretch.last_ns = stretch.last_ns.max(wall_ns);
                }
                _ => {
                    let first_ns = entry.header.began.wall_ns.min(wall_ns);
                    let run = entry.header.run;
                    survey.end(stretch.replace(Stretch { run, first_ns, last_ns: wall_ns }));
                }
            }
            if wall_ns.saturating_add(TOLERANCE_NS) < highest_ns {
                survey.repeats(wall_ns, highest_ns);
            }
            highest_ns = highest_ns.max(wall_ns);
        }
        survey.end(stretch);
        Ok(survey)
    }

    fn end(&mut self, stretch: Option<Stretch>) {
        if let Some(Stretch { first_ns, last_ns, .. }) = stretch {
            self.first_ns = Some(self.first_ns.map_or(first_ns, |first| first.min(first_ns)));
            self.covered.add(first_ns, last_ns);
        }
    }

    /// The wall clock shows a time again that it showed before.
    fn repeats(&mut self, wall_ns: u64, highest_ns: u64) {
        match self.twice.last_mut() {
            Some((from, to)) if *to == highest_ns => *from = (*from).min(wall_ns),
            _ => self.twice.push((wall_ns, highest_ns)),
        }
    }

    /// Whether the wall clock showed this time twice.
    pub(super) fn is_twice(&self, wall_ns: u64) -> bool {
        self.twice.iter().any(|(from, to)| (*from..=*to).contains(&wall_ns))
    }
}

fn obstacle(item: &Item<'_>) -> Option<String> {
    match item {
        Item::Record(_) => None,
        Item::Damaged { path, offset, bytes } => {
            let path = path.display();
            Some(format!("{path}: {bytes} bytes at {offset} are damaged and left out"))
        }
        Item::Newer { path, version } => {
            let path = path.display();
            Some(format!(
                "{path} is left out: a newer version of varta-watch has written it (format \
                 {version})"
            ))
        }
        Item::Overtaken { .. } => {
            Some("the daemon removed a part of the history while it was read".to_owned())
        }
    }
}
