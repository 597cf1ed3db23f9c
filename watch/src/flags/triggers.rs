//! What starts the recovery command, as a list of names.

use clap::ValueEnum;

/// An event that can start the recovery command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trigger {
    /// A process stalls.
    Hung,
    /// A process exits with a code other than 0, or in an unknown way.
    Crash,
    /// A task stalls, whether or not its process beats.
    LateTask,
}

/// A set of triggers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Triggers(u32);

impl Triggers {
    pub(crate) const fn of(triggers: &[Trigger]) -> Self {
        let (mut bits, mut rest) = (0, triggers);
        while let [first, others @ ..] = rest {
            bits |= 1 << *first as u32;
            rest = others;
        }
        Self(bits)
    }

    pub(crate) const fn contains(self, trigger: Trigger) -> bool {
        self.0 & (1 << trigger as u32) != 0
    }

    /// Parses names that are separated by commas.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(|name| Trigger::from_str(name.trim(), false));
        let list: Result<Vec<_>, _> = names.collect();
        list.map(|list| Self::of(&list)).map_err(|_| {
            let known: Vec<_> = Trigger::value_variants().iter().map(|it| it.name()).collect();
            format!("give a list of: {}", known.join(", "))
        })
    }

    /// The names of the triggers that are in the default, but not in this set.
    pub(crate) fn left_out(self) -> Vec<String> {
        let default = [Trigger::Hung, Trigger::Crash].into_iter();
        default.filter(|trigger| !self.contains(*trigger)).map(|it| it.name()).collect()
    }
}

impl Trigger {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
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
            assert_eq!(error, "give a list of: hung, crash, late-task", "{wrong:?}");
        }
    }
}
