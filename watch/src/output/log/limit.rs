//! Limits the log lines of one kind, so that a user whose processes crash in a loop can neither
//! fill the log nor make its collector drop the lines of other users.

use std::collections::BTreeMap;
use std::fmt;

use tracing::{Level, info, warn};

/// Maximum number of lines about the agents of one user in a window.
const MOST_OF_A_UID: u64 = 20;

/// Maximum number of lines in a window. journald accepts 10,000 in 30 seconds.
const MOST: u64 = 100;

const WINDOW_NS: u64 = 1_000_000_000;

/// Maximum number of users with a count of their own in a window. Further ones share one.
const MOST_UIDS: usize = 1024;

/// Maximum number of users that a summary names.
const NAMED: usize = 3;

/// Admits a limited number of lines per second, and counts the others by user for a summary.
#[derive(Debug, Default)]
pub(crate) struct LineLimit {
    window_began_ns: u64,
    admitted: u64,
    left_out: u64,
    users: BTreeMap<User, Lines>,
}

/// The user whose agent a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Uid(u32),
    /// The sender is on a network, so the kernel attests no uid.
    Unknown,
    /// A user without a count of its own.
    Other,
}

#[derive(Debug, Default, Clone, Copy)]
struct Lines {
    admitted: u64,
    left_out: u64,
}

/// The lines that were left out of the log in one window.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    count: u64,
    /// The users with most of them, the worst first, as in "1000: 470, 0: 7, others: 3".
    by_uid: String,
}

impl LineLimit {
    /// Returns whether to log a line about an agent of this user. Lines that are not
    /// admitted are counted until [`take_left_out`](Self::take_left_out) returns them.
    pub(crate) fn admits(&mut self, now_ns: u64, uid: Option<u32>) -> bool {
        if self.left_out == 0 && now_ns >= self.window_ends_ns() {
            *self = Self { window_began_ns: now_ns, ..Self::default() };
        }
        let user = uid.map_or(User::Unknown, User::Uid);
        let has_count = self.users.len() < MOST_UIDS || self.users.contains_key(&user);
        let of_user = self.users.entry(if has_count { user } else { User::Other }).or_default();
        let admitted = self.admitted < MOST && of_user.admitted < MOST_OF_A_UID;
        if admitted {
            self.admitted += 1;
            of_user.admitted += 1;
        } else {
            self.left_out += 1;
            of_user.left_out += 1;
        }
        admitted
    }

    /// When the next summary is due, if lines were left out.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        (self.left_out > 0).then(|| self.window_ends_ns())
    }

    /// Logs one summary of the lines that were left out, once the window is over. `level` is
    /// the level of those lines. Levels other than INFO make the summary a warning.
    pub(crate) fn sum_up(&mut self, now_ns: u64, kind: &str, level: Level) {
        const MESSAGE: &str = "too many log lines of this kind in a second; some were left out";
        let Some(LeftOut { count, by_uid: uids }) = self.take_left_out(now_ns) else { return };
        match level {
            Level::INFO => info!(kind, count, uids, "{MESSAGE}"),
            _ => warn!(kind, count, uids, "{MESSAGE}"),
        }
    }

    /// Returns what was left out once the window is over, and begins a new one.
    fn take_left_out(&mut self, now_ns: u64) -> Option<LeftOut> {
        self.due_ns().filter(|due| now_ns >= *due)?;
        let full = std::mem::replace(self, Self { window_began_ns: now_ns, ..Self::default() });
        let left_out = full.users.into_iter().map(|(user, lines)| (user, lines.left_out));
        let mut users: Vec<_> = left_out.filter(|(_, lines)| *lines > 0).collect();
        users.sort_by_key(|(user, lines)| (*user == User::Other, u64::MAX - lines));
        let named = users.iter().take_while(|(user, _)| *user != User::Other).take(NAMED);
        let mut parts: Vec<_> = named.map(|(user, lines)| (user.to_string(), *lines)).collect();
        let others: u64 = users.iter().skip(parts.len()).map(|(_, lines)| lines).sum();
        if others > 0 {
            parts.push((User::Other.to_string(), others));
        }
        let parts: Vec<_> =
            parts.iter().map(|(user, lines)| format!("{user}: {lines}")).collect();
        Some(LeftOut { count: full.left_out, by_uid: parts.join(", ") })
    }

    const fn window_ends_ns(&self) -> u64 {
        self.window_began_ns.saturating_add(WINDOW_NS)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Unknown => f.write_str("unknown"),
            Self::Other => f.write_str("others"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_use_up_the_log_lines_of_another() {
        let mut limit = LineLimit::default();
        let admitted = (0..500).filter(|_| limit.admits(5, Some(1000))).count() as u64;
        assert_eq!(admitted, MOST_OF_A_UID);
        assert!(limit.admits(6, Some(0)));
        assert!(limit.admits(7, None));
        assert_eq!(limit.take_left_out(limit.due_ns().unwrap() - 1), None);
        // Lines that arrive before the summary is taken are included.
        assert!(!limit.admits(WINDOW_NS * 2, Some(1000)));
        let left_out = limit.take_left_out(WINDOW_NS * 2).unwrap();
        let count = 500 - MOST_OF_A_UID + 1;
        assert_eq!(left_out, LeftOut { count, by_uid: format!("1000: {count}") });
        assert_eq!(limit.due_ns(), None);
        assert!(limit.admits(WINDOW_NS * 2, Some(1000)));
    }

    #[test]
    fn all_users_together_have_a_limit_and_the_worst_are_named() {
        let mut limit = LineLimit::default();
        let (mut admitted, mut lines) = (0, 0);
        for uid in 0..3 * u32::try_from(MOST_UIDS).unwrap() {
            for _ in 0..2 + uid % 7 {
                lines += 1;
                admitted += u64::from(limit.admits(1, Some(uid)));
            }
        }
        for uid in [7_000_000, 7] {
            (0..30).for_each(|_| {
                lines += 1;
                admitted += u64::from(limit.admits(2, Some(uid)));
            });
        }
        assert_eq!(admitted, MOST);
        assert_eq!(limit.users.len(), MOST_UIDS + 1);
        let left_out = limit.take_left_out(WINDOW_NS * 2).unwrap();
        assert_eq!(left_out.count + admitted, lines);
        assert!(left_out.by_uid.starts_with("7: 30, "), "{}", left_out.by_uid);
        let named = left_out.by_uid.split(", ").map(|part| part.rsplit_once(": ").unwrap().1);
        assert_eq!(
            named.map(|count| count.parse::<u64>().unwrap()).sum::<u64>(),
            left_out.count
        );
    }
}
