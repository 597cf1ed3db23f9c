//! The names of users.

use std::collections::HashMap;
use std::io;

/// The users in /etc/passwd. A name service is never asked, because it may block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Users(HashMap<u32, String>);

impl Users {
    pub(super) fn read() -> io::Result<Self> {
        std::fs::read("/etc/passwd").map(|text| Self::parse(&String::from_utf8_lossy(&text)))
    }

    pub(super) fn parse(text: &str) -> Self {
        let user = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid = fields.nth(1)?.parse().ok()?;
            Some((uid, name.to_owned()))
        };
        let mut users = HashMap::new();
        for (uid, name) in text.lines().filter_map(user) {
            // The first of several names is the one that other tools show.
            users.entry(uid).or_insert(name);
        }
        Self(users)
    }

    pub(super) fn name(&self, uid: u32) -> Option<&str> {
        self.0.get(&uid).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_uid_counts_and_damaged_lines_do_not() {
        let users = Users::parse("a:x:1:1::/:\nb:x:1:1::/:\n# c\nd:x:no:1\n:\ne:x:2");
        assert_eq!((users.name(1), users.name(2), users.name(0)), (Some("a"), Some("e"), None));
    }
}
