//! What starts the recovery command, as a list of names.

use varta_observer::{Cause, CauseClass};

/// An event that can start the recovery command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A process stalls, and hangs by itself as far as is known.
    Hung,
    /// A process exits with a code other than 0, or in an unknown way.
    Crash,
    /// A task stalls, whether or not its process beats.
    LateTask,
}

/// A set of triggers: a bit for each cause, by its number, and two for other events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Triggers(u64);

const CRASH: u64 = 1 << 62;
const LATE_TASK: u64 = 1 << 63;

impl Triggers {
    pub(crate) const NONE: Self = Self(0);

    #[cfg(test)]
    pub(crate) const fn of(triggers: &[Trigger]) -> Self {
        let (mut bits, mut rest) = (0, triggers);
        while let [first, others @ ..] = rest {
            bits |= first.bits();
            rest = others;
        }
        Self(bits)
    }

    pub(crate) const fn contains(self, trigger: Trigger) -> bool {
        self.0 & trigger.bits() == trigger.bits()
    }

    /// Whether a stall with this cause is a trigger.
    pub(crate) const fn has(self, cause: Cause) -> bool {
        self.0 & of_cause(cause) != 0
    }

    /// Whether any stall of a process is a trigger.
    pub(crate) const fn has_stalls(self) -> bool {
        self.0 & !(CRASH | LATE_TASK) != 0
    }

    /// Parses names that are separated by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bits = text.split(',').map(|name| bits_of(name.trim()));
        let bits: Option<Vec<_>> = bits.collect();
        let set = bits.map(|bits| Self(bits.into_iter().fold(0, |all, bits| all | bits)));
        set.ok_or_else(|| {
            let classes = CauseClass::ALL.map(CauseClass::name).join(", ");
            let causes = Cause::ALL.map(Cause::name).join(", ");
            format!(
                "give a list of: hung, crash, late-task; classes of causes: {classes}; \
                 causes: {causes}"
            )
        })
    }

    /// The names of the triggers without which most users are not protected, and which are not
    /// in this set.
    pub(crate) fn left_out(self) -> Vec<&'static str> {
        let usual = [(Trigger::Hung, "hung"), (Trigger::Crash, "crash")];
        let left_out = usual.into_iter().filter(|(trigger, _)| !self.contains(*trigger));
        left_out.map(|(_, name)| name).collect()
    }
}

impl Trigger {
    const fn bits(self) -> u64 {
        match self {
            // A program that was replaced by another one is judged again when it beats.
            Self::Hung => {
                (of_class(CauseClass::Unknown)
                    | of_class(CauseClass::Own)
                    | of_class(CauseClass::Changed))
                    & !of_cause(Cause::Exec)
            }
            Self::Crash => CRASH,
            Self::LateTask => LATE_TASK,
        }
    }
}

const fn of_cause(cause: Cause) -> u64 {
    1 << cause as u8
}

/// The causes of a class have the ten numbers from ten times its own.
const fn of_class(class: CauseClass) -> u64 {
    0x3ff << (10 * class as u8)
}

fn bits_of(name: &str) -> Option<u64> {
    match name {
        "hung" => return Some(Trigger::Hung.bits()),
        "crash" => return Some(CRASH),
        "late-task" => return Some(LATE_TASK),
        _ => {}
    }
    let class = CauseClass::ALL.into_iter().find(|class| class.name() == name);
    let cause = Cause::ALL.into_iter().find(|cause| cause.name() == name);
    class.map(of_class).or(cause.map(of_cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_is_the_set_of_exactly_these() {
        let parsed = Triggers::parse("hung, late-task").unwrap();
        assert_eq!(parsed, Triggers::of(&[Trigger::LateTask, Trigger::Hung]));
        assert_eq!(parsed.left_out(), ["crash"]);
        for wrong in ["", "hung,", "late_task", "all"] {
            let error = Triggers::parse(wrong).unwrap_err();
            let beginning = "give a list of: hung, crash, late-task; ";
            assert!(error.starts_with(beginning) && error.contains("starved"), "{error}");
        }
    }

    #[test]
    fn a_name_stands_for_a_cause_or_for_all_causes_of_a_class() {
        let has = |list: &str, cause| Triggers::parse(list).unwrap().has(cause);
        for cause in Cause::ALL {
            assert!(has(cause.name(), cause) && has(cause.class().name(), cause), "{cause}");
            let is_hung = match cause.class() {
                CauseClass::Outside | CauseClass::Kernel => false,
                _ => cause != Cause::Exec,
            };
            assert_eq!(has("hung", cause), is_hung, "{cause}");
            assert!(!has("crash,late-task", cause));
        }
        assert!(has("stopped", Cause::Stopped) && !has("stopped", Cause::Frozen));
        assert!(!Triggers::parse("crash,late-task").unwrap().has_stalls());
    }
}
