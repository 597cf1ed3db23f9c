//! Wall clock times.

use std::fmt;

const SECOND: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

/// The observer's clock and the wall clock at the same moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ClockPair {
    /// Nanoseconds since the observer started.
    pub observer_ns: u64,
    /// Nanoseconds since 1970, UTC.
    pub wall_ns: u64,
}

impl ClockPair {
    /// The wall clock at another time of the observer, if nobody has set it in between.
    ///
    /// ```
    /// use varta_history::ClockPair;
    ///
    /// let pair = ClockPair { observer_ns: 500, wall_ns: 2_000 };
    /// assert_eq!(pair.wall_at(700), 2_200);
    /// assert_eq!(pair.wall_at(400), 1_900);
    /// ```
    #[must_use]
    pub const fn wall_at(&self, observer_ns: u64) -> u64 {
        match observer_ns.checked_sub(self.observer_ns) {
            Some(later) => self.wall_ns.saturating_add(later),
            None => self.wall_ns.saturating_sub(self.observer_ns - observer_ns),
        }
    }
}

/// Displays nanoseconds since 1970 as a time of RFC 3339 in UTC, with nanoseconds.
///
/// ```
/// use varta_history::Rfc3339;
///
/// let text = Rfc3339(1_709_210_096_000_000_789).to_string();
/// assert_eq!(text, "2024-02-29T12:34:56.000000789Z");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339(pub u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.0 / SECOND, self.0 % SECOND);
        let (year, month, day) = date(seconds / DAY_SECONDS);
        let second = seconds % DAY_SECONDS;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:09}Z")
    }
}

/// The date of a day since 1970. Years begin in March here, so that a leap day is the last of
/// its year.
const fn date(day: u64) -> (u64, u64, u64) {
    // Days since March 1st of the year 0.
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_of_days_follow_each_other() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for day in 0..100_000 {
            let (year, month, of_month) = date(day);
            let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length =
                lengths[usize::try_from(month - 1).unwrap()] + u64::from(month == 2 && leaps);
            let next = match (month, of_month == length) {
                (_, false) => (year, month, of_month + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
            assert_eq!(date(day + 1), next);
        }
    }
}
