//! Runs that have not started, kept by uid and within a uid by program, so that each gets its
//! turn. A process chooses its program name itself, so the uid comes first.

use std::collections::{BTreeMap, BTreeSet};

use varta_observer::ProgramName;

use crate::recovery::report::Subject;

/// Who shares with whom. Agents without a uid, such as those over a network, share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share {
    pub(super) uid: Option<u32>,
    pub(super) program: ProgramName,
}

impl Share {
    pub(super) const fn of(subject: &Subject) -> Self {
        Self { uid: subject.uid, program: subject.program }
    }
}

/// When a run is to start, and of which agent it is.
pub(super) type Place = (u64, u64);

/// Places by share.
#[derive(Debug, Default)]
pub(super) struct Places {
    uids: BTreeMap<Option<u32>, Uid>,
    len: usize,
}

#[derive(Debug, Default)]
struct Uid {
    programs: BTreeMap<ProgramName, BTreeSet<Place>>,
    len: usize,
}

impl Places {
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

    pub(super) fn insert(&mut self, share: Share, place: Place) {
        let uid = self.uids.entry(share.uid).or_default();
        if uid.programs.entry(share.program).or_default().insert(place) {
            uid.len += 1;
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, share: Share, place: Place) {
        let Some(uid) = self.uids.get_mut(&share.uid) else { return };
        let Some(places) = uid.programs.get_mut(&share.program) else { return };
        if !places.remove(&place) {
            return;
        }
        if places.is_empty() {
            uid.programs.remove(&share.program);
        }
        uid.len -= 1;
        self.len -= 1;
        if uid.len == 0 {
            self.uids.remove(&share.uid);
        }
    }

    /// The oldest place of the share whose turn it is, among the uids that are admitted.
    pub(super) fn next(
        &self,
        turns: &Turns,
        admits: impl Fn(Option<u32>) -> bool,
    ) -> Option<Place> {
        let uids = self.uids.iter().filter(|(uid, _)| admits(**uid));
        let (uid, lane) =
            uids.min_by_key(|(uid, lane)| (turns.of_uid(**uid), lane.oldest()))?;
        let oldest = |program: ProgramName, places: &BTreeSet<Place>| {
            (turns.of(Share { uid: *uid, program }), places.first().copied())
        };
        let programs = lane.programs.iter();
        let (_, places) = programs.min_by_key(|(program, places)| oldest(**program, places))?;
        places.first().copied()
    }

    /// The newest place of the uid that has most, if that has more than this uid; else the
    /// newest of this uid's program that has most, if that has more than this program.
    pub(super) fn newest_of_larger(&self, than: Share) -> Option<Place> {
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
    fn oldest(&self) -> Option<Place> {
        self.programs.values().filter_map(BTreeSet::first).min().copied()
    }

    fn largest_program(&self) -> Option<&BTreeSet<Place>> {
        self.programs.values().max_by_key(|places| places.len())
    }
}

/// How many programs are remembered at most. The turns that are forgotten first are those
/// that come first anyway.
const MOST_TURNS: usize = 4_096;

/// Who had its last start when: whose is longest ago is next.
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
