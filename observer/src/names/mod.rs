//! The names of an agent, and which of them is shown.

mod cgroup;
mod departed;
mod label;

pub(crate) use cgroup::Group;
pub(crate) use departed::Departed;
pub use label::Label;

/// All that is known about the name of an agent. Each is empty if it is not known.
///
/// A process chooses some of these names itself, so they prove nothing about it: it declares
/// one, it can be started as another script, and users name the units of their own service
/// manager. Only `unit` and `container` are chosen by others, unless the process is root.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The name that the agent declared: its option `name`, or `$VARTA_NAME`.
    pub declared: Label,
    /// The name that its launcher gave it.
    pub launcher: Label,
    /// The first 12 digits of the id of its container.
    pub container: Label,
    /// The unit of the system's service manager.
    pub unit: Label,
    /// The unit of its user's service manager.
    pub user_unit: Label,
    /// The script, module or archive that it runs.
    pub script: Label,
}

impl Names {
    /// The name to show for an agent whose program has this name.
    ///
    /// ```
    /// use varta_observer::{Label, Names};
    ///
    /// let mut names = Names::default();
    /// assert_eq!(names.label(b"python3").as_str(), "python3");
    /// names.unit = Label::new(b"web.service");
    /// assert_eq!(names.label(b"python3").as_str(), "web.service");
    /// names.declared = Label::new(b"indexer");
    /// assert_eq!(names.label(b"python3").as_str(), "indexer");
    /// ```
    #[must_use]
    pub fn label(&self, program: &[u8]) -> Label {
        let unit = self.unit.as_str().as_bytes();
        // A session or a service manager is what all programs of a user share.
        let service = match cgroup::is_of_user(unit) || unit == b"init.scope" {
            true => self.user_unit,
            false => self.unit,
        };
        let given = self.declared.or(self.launcher);
        given.or(self.container).or(service).or(self.script).or(Label::new(program))
    }

    pub(crate) fn set_group(&mut self, group: Group) {
        let Group { unit, user_unit, container } = group;
        (self.unit, self.user_unit, self.container) = (unit, user_unit, container);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_name_is_shown() {
        let label = |text: &str| Label::new(text.as_bytes());
        let mut names = Names::default();
        let mut shows = |change: fn(&mut Names, Label), name: &str, shown: &str| {
            change(&mut names, label(name));
            assert_eq!(names.label(b"comm").as_str(), shown);
        };
        shows(|_, _| (), "", "comm");
        shows(|names, name| names.script = name, "app.py", "app.py");
        shows(|names, name| names.unit = name, "session-1.scope", "app.py");
        shows(|names, name| names.unit = name, "init.scope", "app.py");
        shows(|names, name| names.unit = name, "user@1000.service", "app.py");
        shows(|names, name| names.user_unit = name, "mine.service", "mine.service");
        shows(|names, name| names.unit = name, "web.service", "web.service");
        shows(|names, name| names.container = name, "0123456789ab", "0123456789ab");
        shows(|names, name| names.launcher = name, "job", "job");
        shows(|names, name| names.declared = name, "indexer", "indexer");
        assert_eq!(Names::default().label(b""), Label::EMPTY);
        assert_eq!(Names::default().label(b"a\nb").as_str(), r"a\u{a}b");
    }
}
