//! Runs that have not started, grouped by uid and within a uid by program, so that each group
//! gets its turn. The uid comes first, because a process chooses its program name itself.

use std::collections::{BTreeMap, BTreeSet};

use varta_observer::Label;

use crate::recovery::report::Subject;

/// The group of an agent. Agents without a uid, such as those over a network, share one uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share {
    pub(super) uid: Option<u32>,
    pub(super) program: Label,
}

impl Share {
    pub(super) const fn of(subject: &Subject) -> Self {
        Self { uid: subject.uid, program: subject.program }
    }
}

/// The time at which a run is due, and its agent.
pub(super) type Start = (u64, u64);

/// Starts by share.
#[derive(Debug, Default)]
pub(super) struct Starts {
    uids: BTreeMap<Option<u32>, Uid>,
    len: usize,
}

#[derive(Debug, Default)]
struct Uid {
    programs: BTreeMap<Label, BTreeSet<Start>>,
    len: usize,
}

impl Starts {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn clear(&mut self) {
        self.uids.clear();
        self.len = 0;
    }

    pub(super) fn insert(&mut self, share: Share, start: Start) {
        let uid = self.uids.entry(share.uid).or_default();
        if uid.programs.entry(share.program).or_default().insert(start) {
            uid.len += 1;
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, share: Share, start: Start) {
        let Some(uid) = self.uids.get_mut(&share.uid) else { return };
        let Some(starts) = uid.programs.get_mut(&share.program) else { return };
        if !starts.remove(&start) {
            return;
        }
        if starts.is_empty() {
            uid.programs.remove(&share.program);
        }
        uid.len -= 1;
        self.len -= 1;
        if uid.len == 0 {
            self.uids.remove(&share.uid);
        }
    }

    /// The oldest start of the share whose turn it is, among the uids that are admitted.
    pub(super) fn next(
        &self,
        turns: &Turns,
        admits: impl Fn(Option<u32>) -> bool,
    ) -> Option<Start> {
        let uids = self.uids.iter().filter(|(uid, _)| admits(**uid));
        let (uid, group) =
            uids.min_by_key(|(uid, group)| (turns.of_uid(**uid), group.oldest()))?;
        let oldest = |program: Label, starts: &BTreeSet<Start>| {
            (turns.of(Share { uid: *uid, program }), starts.first().copied())
        };
        let programs = group.programs.iter();
        let (_, starts) = programs.min_by_key(|(program, starts)| oldest(**program, starts))?;
        starts.first().copied()
    }

    /// The newest start of the uid that has the most, if that uid has more than this one. Else
    /// the newest of the program of this uid that has the most, if it has more than this one.
    pub(super) fn newest_of_larger(&self, than: Share) -> Option<Start> {
        let own = self.uids.get(&than.uid);
        let largest = self.uids.values().max_by_key(|uid| uid.len)?;
        if largest.len > own.map_or(0, |own| own.len) {
            return largest.largest_program()?.last().copied();
        }
        let own = own?;
        let program = own.programs.get(&than.program).map_or(0, BTreeSet::len);
        own.largest_program().filter(|largest| largest.len() > program)?.last().copied()
    }
}

impl Uid {
    fn oldest(&self) -> Option<Start> {
        self.programs.values().filter_map(BTreeSet::first).min().copied()
    }

    fn largest_program(&self) -> Option<&BTreeSet<Start>> {
        self.programs.values().max_by_key(|starts| starts.len())
    }
}

/// The maximum number of programs to remember. The oldest turns are forgotten first, which
/// changes nothing, because those programs are next anyway.
const MOST_TURNS: usize = 4_096;

/// When each share had its last start. The share whose start is the longest ago is next.
#[derive(Debug, Default)]
pub(super) struct Turns {
    uids: BTreeMap<Option<u32>, u64>,
    programs: BTreeMap<Share, u64>,
    latest: u64,
}

impl Turns {
    pub(super) fn note(&mut self, share: Share) {
        self.latest += 1;
        self.uids.insert(share.uid, self.latest);
        self.programs.insert(share, self.latest);
        if self.programs.len() > MOST_TURNS {
            let old = self.latest.saturating_sub(MOST_TURNS as u64 / 2);
            self.uids.retain(|_, turn| *turn > old);
            self.programs.retain(|_, turn| *turn > old);
        }
    }

    fn of_uid(&self, uid: Option<u32>) -> u64 {
        self.uids.get(&uid).copied().unwrap_or(0)
    }

    fn of(&self, share: Share) -> u64 {
        self.programs.get(&share).copied().unwrap_or(0)
    }
}
