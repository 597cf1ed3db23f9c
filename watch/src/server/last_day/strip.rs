//! What happened to an agent within a day, in one letter for each half hour.

use varta_history::{Gap, Record};

const PART_NS: u64 = 30 * 60 * 1_000_000_000;
const PARTS: usize = 48;

/// One agent in one run of the daemon. The times are those of the wall clock, in nanoseconds since
/// 1970.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) pid: u32,
    pub(super) program: String,
    first_ns: u64,
    /// When it was first heard, on the boot clock.
    pub(super) heard_ns: u64,
    threshold_ns: u64,
    /// The silences that were stalls. The last one may not have ended.
    silences: Vec<(u64, Option<u64>)>,
    /// When it was silent for longer than its threshold without a stall.
    unjudged: Vec<(u64, u64)>,
    gone_ns: Option<u64>,
}

/// The last day, in half hours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    start_ns: u64,
}

/// A letter for each half hour: `s` for stalled, `n` for not judged, `o` for ok, `g` for gone and
/// `.` for not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strip([u8; PARTS]);

impl Day {
    /// An agent that appears then, by the wall clock and by the boot clock.
    pub(super) fn new(wall_ns: u64, heard_ns: u64) -> Self {
        Self { first_ns: wall_ns, heard_ns, ..Self::default() }
    }

    /// Adds a record about it, with its time by the wall clock and that of the observer.
    pub(super) fn add(&mut self, wall_ns: u64, observer_ns: u64, record: &Record) {
        match record {
            Record::Agent(agent) => {
                (self.pid, self.program) = (agent.pid, agent.program.to_string());
                self.threshold_ns = agent.threshold_ns;
                // The stall itself may be in a file that is gone.
                if agent.stalled {
                    self.silent_since(wall_ns);
                }
            }
            Record::Threshold(threshold) if threshold.task.is_none() => {
                self.threshold_ns = threshold.threshold_ns;
            }
            Record::Gap(gap) => self.silence_ended(wall_ns, gap),
            Record::Stall(stall) if stall.task.is_none() => {
                let silent_ns = observer_ns.saturating_sub(stall.last_ns);
                self.silent_since(wall_ns.saturating_sub(silent_ns));
            }
            Record::Recovered(recovered) if recovered.task.is_none() => self.end(wall_ns),
            Record::Exit(_) | Record::Eviction(_) => {
                self.end(wall_ns);
                self.gone_ns = Some(wall_ns);
            }
            _ => {}
        }
    }

    fn silent_since(&mut self, from_ns: u64) {
        if self.silences.last().is_none_or(|(_, to_ns)| to_ns.is_some()) {
            self.silences.push((from_ns, None));
        }
    }

    /// A silence has ended. One of two thresholds that was no stall was not judged: the process
    /// executed another program. An observer that is late reports a stall before that.
    fn silence_ended(&mut self, at_ns: u64, gap: &Gap) {
        let is_stalled = self.silences.last().is_some_and(|(_, to_ns)| to_ns.is_none());
        let silent_ns = gap.silent_ns.saturating_sub(gap.forgiven_ns);
        if !is_stalled && silent_ns >= self.threshold_ns.saturating_mul(2) {
            let unjudged_ns = silent_ns.saturating_sub(self.threshold_ns);
            self.unjudged.push((at_ns.saturating_sub(unjudged_ns), at_ns));
        }
    }

    fn end(&mut self, at_ns: u64) {
        if let Some((_, to_ns @ None)) = self.silences.last_mut() {
            *to_ns = Some(at_ns);
        }
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.gone_ns.is_some()
    }

    /// Forgets what was before the period. Returns whether it was there in it.
    pub(super) fn forget_before(&mut self, period: Period) -> bool {
        self.silences.retain(|(_, to_ns)| to_ns.is_none_or(|to_ns| to_ns >= period.start_ns));
        self.unjudged.retain(|(_, to_ns)| *to_ns >= period.start_ns);
        self.gone_ns.is_none_or(|gone_ns| gone_ns >= period.start_ns)
    }

    /// The worst that it was in each half hour, which is about the last thing that happened.
    /// Nothing is known of it from `end_ns` on.
    pub(super) fn strip(&self, period: Period, end_ns: u64) -> Strip {
        Strip(period.parts().map(|(from_ns, to_ns)| {
            let is_silent = |(since_ns, until_ns): &(u64, Option<u64>)| {
                *since_ns < to_ns && until_ns.is_none_or(|until_ns| until_ns > from_ns)
            };
            match () {
                () if self.first_ns >= to_ns || end_ns <= from_ns => b'.',
                () if self.silences.iter().any(is_silent) => b's',
                () if self
                    .unjudged
                    .iter()
                    .any(|(since_ns, until_ns)| *since_ns < to_ns && *until_ns > from_ns) =>
                {
                    b'n'
                }
                () if self.gone_ns.is_some_and(|gone_ns| gone_ns < to_ns) => b'g',
                () => b'o',
            }
        }))
    }

    /// Adds what is known of the time before it appeared.
    pub(super) fn strip_after(&self, before: Strip, period: Period) -> Strip {
        let mut strip = self.strip(period, u64::MAX);
        for ((letter, before), (from_ns, _)) in
            strip.0.iter_mut().zip(before.0).zip(period.parts())
        {
            if from_ns < self.first_ns {
                *letter = worse(*letter, before);
            }
        }
        strip
    }
}

impl Period {
    /// The last day, up to the half hour of this time.
    pub(super) const fn until(now_ns: u64) -> Self {
        let end_ns = now_ns.div_ceil(PART_NS).saturating_mul(PART_NS);
        Self { start_ns: end_ns.saturating_sub(PARTS as u64 * PART_NS) }
    }

    /// Whether it began before this time.
    pub(super) const fn is_before(self, at_ns: u64) -> bool {
        self.start_ns <= at_ns
    }

    /// When each half hour begins and ends.
    fn parts(self) -> [(u64, u64); PARTS] {
        let mut from_ns = self.start_ns;
        [(); PARTS].map(|()| {
            let part = (from_ns, from_ns.saturating_add(PART_NS));
            from_ns = part.1;
            part
        })
    }
}

impl Strip {
    pub(super) const EMPTY: Self = Self([b'.'; PARTS]);

    /// Combines two strips: of each half hour the worse letter remains.
    pub(super) fn combine(&mut self, other: Self) {
        for (letter, other) in self.0.iter_mut().zip(other.0) {
            *letter = worse(*letter, other);
        }
    }

    pub(super) fn text(self) -> String {
        self.0.into_iter().map(char::from).collect()
    }
}

/// Marks what was ok since `from_ns` as not judged, in a strip that ends with the half hour of
/// `now_ns`.
pub(crate) fn mark_not_judged(strip: &str, from_ns: u64, now_ns: u64) -> String {
    let place_of = |at_ns: u64| usize::try_from(at_ns.div_ceil(PART_NS)).unwrap_or(usize::MAX);
    let count = place_of(now_ns).saturating_sub(place_of(from_ns)).saturating_add(1);
    let judged = strip.len().saturating_sub(count);
    let mark = |(place, letter)| if place >= judged && letter == 'o' { 'n' } else { letter };
    strip.chars().enumerate().map(mark).collect()
}

/// Of several processes, some of which are gone, those count that are there.
fn worse(one: u8, other: u8) -> u8 {
    let rank = |letter: &u8| b".gons".iter().position(|it| it == letter);
    std::cmp::max_by_key(one, other, rank)
}

#[cfg(test)]
mod tests {
    use varta_history::{Agent, Exit, Recovered, Stall, Threshold};

    use super::*;

    const HOUR: u64 = 2 * PART_NS;
    const NOON: u64 = 20_000 * 24 * HOUR + 12 * HOUR;

    #[test]
    fn a_strip_has_a_letter_for_each_half_hour_of_the_last_day() {
        let mut first = Day::new(NOON - 30 * HOUR, 0);
        let mut second = Day::new(NOON - 3 * HOUR, 0);
        let stall = |last_ns| Stall { last_ns, ..Stall::default() };
        first.add(NOON - 9 * HOUR, 2_000, &stall(1_000).into());
        first.add(NOON - 8 * HOUR, 2_000, &Recovered::default().into());
        first.add(NOON - HOUR, 2_000, &stall(2_000).into());
        // A task that is late is no silence of its agent.
        second.add(NOON - 2 * HOUR, 2_000, &Stall { task: Some(1), ..stall(0) }.into());
        second.add(NOON - HOUR / 2, 2_000, &Exit::default().into());
        let strip = |day: &Day, end_ns| day.strip(Period::until(NOON), end_ns).text();
        let expected = ["o".repeat(29), "s".repeat(3), "o".repeat(14), "ss".into()].concat();
        assert_eq!(strip(&first, u64::MAX), expected);
        let expected = [".".repeat(42), "o".repeat(5), "g".into()].concat();
        assert_eq!(strip(&second, u64::MAX), expected);
        assert_eq!(strip(&second, NOON - 2 * HOUR), [&".".repeat(42), "oo....", ""].concat());
        let later = Period::until(NOON + 24 * HOUR);
        assert!(first.forget_before(later) && !second.forget_before(later));
        assert_eq!(first.strip(later, u64::MAX).text(), "s".repeat(48));
    }

    #[test]
    fn a_long_silence_without_a_stall_was_not_judged() {
        let gap = |silent_ns, forgiven_ns| Gap { silent_ns, forgiven_ns, ..Gap::default() };
        let strip = |threshold_ns, is_stalled, gap: Gap| {
            let mut day = Day::new(NOON - 30 * HOUR, 0);
            let stalled = is_stalled;
            day.add(NOON - 29 * HOUR, 0, &Agent { stalled, ..Agent::default() }.into());
            let threshold = Threshold { threshold_ns, ..Threshold::default() };
            day.add(NOON - 29 * HOUR, 0, &threshold.into());
            day.add(NOON - HOUR, 0, &gap.into());
            day.strip(Period::until(NOON), u64::MAX).text()
        };
        let unjudged = ["o".repeat(43), "n".repeat(3), "oo".into()].concat();
        assert_eq!(strip(HOUR / 2, false, gap(2 * HOUR, 0)), unjudged);
        // It was reported as a stall, or judged by a longer threshold, or the observer was away.
        assert_eq!(strip(HOUR / 2, true, gap(2 * HOUR, 0)), "s".repeat(48));
        for (threshold_ns, gap) in
            [(2 * HOUR, gap(2 * HOUR, 0)), (HOUR / 2, gap(2 * HOUR, 2 * HOUR))]
        {
            assert_eq!(strip(threshold_ns, false, gap), "o".repeat(48));
        }
    }

    #[test]
    fn what_was_ok_is_marked_as_not_judged_from_a_time_on() {
        let strip = |from_ns| mark_not_judged("..ooso", from_ns, NOON);
        assert_eq!(strip(NOON), "..oosn");
        assert_eq!(strip(NOON - 1), "..oosn");
        assert_eq!(strip(NOON - HOUR - 1), "..onsn");
        assert_eq!(strip(0), "..nnsn");
    }

    #[test]
    fn of_two_letters_the_worse_one_remains() {
        for (one, other, worse) in [
            ("o", "s", "s"),
            ("g", "o", "o"),
            (".", "g", "g"),
            ("s", ".", "s"),
            ("n", "o", "n"),
        ] {
            let strip = |letter: &str| Strip([letter.as_bytes()[0]; PARTS]);
            let mut combined = strip(one);
            combined.combine(strip(other));
            assert_eq!(combined, strip(worse));
        }
    }
}
