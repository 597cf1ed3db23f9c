//! The part of the history that a command is about.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::flags::time;

/// Where a daemon keeps its history unless it is told otherwise.
pub(crate) const DEFAULT_FOLDER: &str = "/var/lib/varta/history";

/// The length of a date.
const DATE: usize = "2026-11-29".len();

/// A folder with a history, and the time of interest.
#[derive(Debug, Args)]
pub(crate) struct Period {
    /// Begin at this time in the local zone: today, yesterday, -2h, 03:12, 2026-11-29,
    /// "2026-11-29 03:12", or a time with its zone [default: the beginning]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<When>,
    /// End at this time, given in the same way [default: the end]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<When>,
    /// The folder of the history
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    history_dir: PathBuf,
}

/// A point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When(ZonedDateTime);

/// The times that a history covers, as nanoseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Covered(Vec<(u64, u64)>);

impl Period {
    /// The minute before and after a moment.
    pub(crate) fn around(moment: &When, folder: &Path) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            since: moment.0.checked_sub(minute).ok().map(When),
            until: moment.0.checked_add(minute).ok().map(When),
            history_dir: folder.to_owned(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.history_dir
    }

    /// Its beginning and end, in nanoseconds since 1970.
    pub(crate) fn wall_ns(&self) -> (u64, u64) {
        let (since, until) = (self.since.as_ref(), self.until.as_ref());
        (since.map_or(0, When::wall_ns), until.map_or(u64::MAX, When::wall_ns))
    }

    /// Checks that something in the period is recorded.
    ///
    /// # Errors
    ///
    /// What is recorded instead.
    pub(crate) fn check(&self, covered: &Covered) -> Result<(), String> {
        let (since_ns, until_ns) = self.wall_ns();
        if since_ns > until_ns {
            return Err(format!("the period is empty: {self}"));
        }
        let overlaps = |part: &&(u64, u64)| part.0 <= until_ns && since_ns <= part.1;
        if covered.0.iter().any(|part| overlaps(&part)) {
            return Ok(());
        }
        let folder = self.history_dir.display();
        Err(match covered.0.is_empty() {
            true => format!("{folder}: nothing is recorded there"),
            false => format!("nothing is recorded {self}; {folder} has {covered}"),
        })
    }
}

impl Covered {
    /// Adds a time without gaps.
    pub(crate) fn add(&mut self, first_ns: u64, last_ns: u64) {
        self.0.push((first_ns, last_ns));
    }
}

impl When {
    /// In nanoseconds since 1970.
    pub(crate) fn wall_ns(&self) -> u64 {
        u64::try_from(self.0.timestamp().as_nanosecond()).unwrap_or(0)
    }

    fn parse(text: &str, now: &ZonedDateTime) -> Option<Self> {
        let at = |datetime: DateTime| datetime.to_zoned_datetime(now.time_zone().clone()).ok();
        let midnight = |date: Date| at(date.to_datetime(Time::midnight()));
        let found = match text {
            "now" => Some(now.clone()),
            "today" => midnight(now.date()),
            "yesterday" => now.date().yesterday().ok().and_then(midnight),
            _ => None,
        };
        if let Some(ago) = text.strip_prefix('-') {
            return now.checked_sub(time(ago).ok()?).ok().map(Self);
        }
        let of_day = || {
            let clock: Time = Some(text).filter(|it| it.contains(':'))?.parse().ok()?;
            let today = at(now.date().to_datetime(clock))?;
            // The last time that a clock showed it.
            match today > *now {
                true => at(now.date().yesterday().ok()?.to_datetime(clock)),
                false => Some(today),
            }
        };
        let zoned =
            || Some(text.parse::<Timestamp>().ok()?.to_zoned_datetime(now.time_zone().clone()));
        let date = || text.parse().ok().filter(|_| text.len() == DATE).and_then(midnight);
        let local = || text.parse().ok().and_then(at);
        found.or_else(zoned).or_else(date).or_else(local).or_else(of_day).map(Self)
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, &ZonedDateTime::now()).ok_or_else(|| {
            "give today, yesterday, -2h, 03:12, 2026-11-29, \"2026-11-29 03:12\", or a time \
             with its zone like 2026-11-29T03:12:00Z"
                .to_owned()
        })
    }
}

/// In the zone in which it was given, which it names.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.0.time_zone().iana_name().map(str::to_owned);
        let zone = zone.unwrap_or_else(|| self.0.offset().to_string());
        write!(f, "{} {zone}", self.0.strftime("%Y-%m-%d %H:%M:%S"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.since, &self.until) {
            (None, None) => f.write_str("at any time"),
            (Some(since), None) => write!(f, "since {since}"),
            (None, Some(until)) => write!(f, "until {until}"),
            (Some(since), Some(until)) => write!(f, "from {since} to {until}"),
        }
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = TimeZone::system();
        let when = |ns: u64| {
            let timestamp = Timestamp::from_nanosecond(ns.into()).unwrap_or_default();
            When(timestamp.to_zoned_datetime(local.clone()))
        };
        for (index, (first_ns, last_ns)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{} to {}", when(*first_ns), when(*last_ns))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_the_local_zone_unless_it_names_another() {
        let now: ZonedDateTime = "2026-11-29T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        for (text, expected) in [
            ("now", "2026-11-29 12:00:00 Europe/Berlin"),
            ("today", "2026-11-29 00:00:00 Europe/Berlin"),
            ("yesterday", "2026-11-28 00:00:00 Europe/Berlin"),
            ("-36h", "2026-11-28 00:00:00 Europe/Berlin"),
            ("-7d", "2026-11-22 12:00:00 Europe/Berlin"),
            ("03:12", "2026-11-29 03:12:00 Europe/Berlin"),
            ("13:00:05", "2026-11-28 13:00:05 Europe/Berlin"),
            ("2026-11-27", "2026-11-27 00:00:00 Europe/Berlin"),
            ("2026-11-27 03:12", "2026-11-27 03:12:00 Europe/Berlin"),
            ("2026-11-27T03:12:05", "2026-11-27 03:12:05 Europe/Berlin"),
            ("2026-11-27 03", "2026-11-27 03:00:00 Europe/Berlin"),
            ("2026-11-27T03:12:05Z", "2026-11-27 04:12:05 Europe/Berlin"),
        ] {
            let found = When::parse(text, &now).map(|when| when.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
        for text in ["", "-", "7", "tomorrow", "-7", "25:00", "2026-13-01"] {
            assert_eq!(When::parse(text, &now), None, "{text}");
        }
    }

    #[test]
    fn a_period_that_is_not_covered_is_an_error_that_says_what_is_recorded() {
        let when = |text: &str| Some(text.parse().unwrap());
        let period = |since, until| Period { since, until, history_dir: "/h".into() };
        let mut covered = Covered::default();
        let none = period(None, None).check(&covered);
        assert_eq!(none, Err("/h: nothing is recorded there".to_owned()));
        covered.add(1_000_000_000_000_000_000, 1_000_000_100_000_000_000);
        assert_eq!(period(None, None).check(&covered), Ok(()));
        let (before, in_it) = (when("2001-09-09T01:00:00Z"), when("2001-09-09T01:47:00Z"));
        assert_eq!(period(before.clone(), in_it.clone()).check(&covered), Ok(()));
        let why = period(None, before.clone()).check(&covered).unwrap_err();
        assert!(why.starts_with("nothing is recorded until 2001-09-0"), "{why}");
        assert!(why.contains(":46:40 ") && why.contains(":48:20 "), "{why}");
        let why = period(in_it, before).check(&covered).unwrap_err();
        assert!(why.starts_with("the period is empty: from 2001-09-0"), "{why}");
    }
}
