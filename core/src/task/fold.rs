//! What a beat says about the tasks of the process when its observer does not read their lines.

use std::sync::atomic::Ordering;

use super::verdict::broken;
use crate::lane::layout::PAIRS;
use crate::lane::pairs::Pairs;
use crate::status::Status;

/// A beat that stands for the tasks too.
pub(crate) struct Folded {
    pub(crate) status: Status,
    /// The violations that the status accounts for, if any were not reported yet.
    reports: Option<(&'static Pairs, u64)>,
}

/// The beat with this status: Critical if a task is late, and at least Degraded if there were
/// violations that no beat has reported. None if a vital task is late, so that nothing must be
/// sent.
#[inline]
pub(crate) fn fold(pairs: Option<&'static Pairs>, now: u64, status: Status) -> Option<Folded> {
    match pairs {
        Some(pairs) if is_due(pairs) => fold_tasks(pairs, now, status),
        _ => Some(Folded { status, reports: None }),
    }
}

/// Whether a beat may say anything about tasks.
#[inline]
pub(crate) fn is_due(pairs: &Pairs) -> bool {
    !pairs.wanted() && (pairs.live() != 0 || unreported(pairs).is_some())
}

#[cold]
fn fold_tasks(pairs: &'static Pairs, now: u64, status: Status) -> Option<Folded> {
    let reports = unreported(pairs).map(|violations| (pairs, violations));
    let mut folded = Folded { status, reports };
    if reports.is_some() {
        folded.status = status.max(Status::Degraded);
    }
    for is_vital in late(pairs, now) {
        if is_vital {
            return None;
        }
        folded.status = Status::Critical;
    }
    Some(folded)
}

/// Whether each task that is late is vital.
fn late(pairs: &Pairs, now: u64) -> impl Iterator<Item = bool> + '_ {
    let tasks = (1..PAIRS).filter_map(|pair| pairs.read(pair));
    tasks.filter(move |(cold, hot)| broken(now, cold, hot) != 0).map(|(cold, _)| cold.vital)
}

/// Whether a vital task is late, also where an observer reads the tasks.
pub(crate) fn is_vital_task_late(pairs: Option<&Pairs>, now: u64) -> bool {
    pairs.is_some_and(|pairs| pairs.live() != 0 && late(pairs, now).any(|is_vital| is_vital))
}

/// The number of all violations, if beats have reported fewer.
#[inline]
fn unreported(pairs: &Pairs) -> Option<u64> {
    let violations = pairs.violations().into();
    (pairs.reported().load(Ordering::Relaxed) != violations).then_some(violations)
}

impl Folded {
    /// The beat was sent.
    #[inline]
    pub(crate) fn sent(self) {
        if let Some((pairs, violations)) = self.reports {
            pairs.reported().store(violations, Ordering::Relaxed);
        }
    }
}
