//! The observer's pauses, by which silences are forgiven.

/// How many pauses are kept.
const MOST_KEPT: usize = 16;

/// The pauses that may matter to a silence: of two, the earlier one only if it was longer.
#[derive(Debug, Default)]
pub(super) struct Pauses(Vec<Pause>);

#[derive(Debug, Clone, Copy)]
struct Pause {
    ended_ns: u64,
    length_ns: u64,
}

impl Pauses {
    pub(super) fn add(&mut self, ended_ns: u64, length_ns: u64) {
        self.0.retain(|earlier| earlier.length_ns > length_ns);
        if self.0.len() == MOST_KEPT {
            self.0.remove(0);
        }
        self.0.push(Pause { ended_ns, length_ns });
    }

    /// By how much the deadline of an agent that has been silent since then is put off: by the
    /// longest pause in the silence.
    pub(super) fn forgiven_since(&self, last_ns: u64) -> u64 {
        let within = self.0.iter().find(|pause| pause.ended_ns > last_ns);
        within.map_or(0, |pause| pause.length_ns)
    }
}
