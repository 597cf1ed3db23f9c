//! Patterns for names.

use std::fmt;

/// A pattern for a whole name: `*` stands for any characters or none, `?` for exactly one. Case
/// counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(String);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Takes time in proportion to the two lengths multiplied, whatever the pattern.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut name) = (self.0.chars(), name.chars());
        // Where to go on if what follows the last star does not fit.
        let mut retry = None;
        loop {
            let rest = name.clone();
            match (pattern.next(), name.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    retry = Some((pattern.clone(), rest.clone()));
                    name = rest;
                }
                (Some('?'), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                _ => {
                    let Some((after_star, mut skipped)) = retry.take() else { return false };
                    if skipped.next().is_none() {
                        return false;
                    }
                    (pattern, name) = (after_star.clone(), skipped.clone());
                    retry = Some((after_star, skipped));
                }
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_name() {
        let cases = [
            ("indexer", "indexer", true),
            ("indexer", "indexers", false),
            ("indexer", "Indexer", false),
            ("index*", "index", true),
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*.service", "web.service", true),
            ("*.service", "web.service.d", false),
            ("w?b*.s*e", "web@7.service", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**b", "ab", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Glob::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_stars_needs_no_exponential_time() {
        let pattern = "*a".repeat(30) + "b";
        assert!(!Glob::new(&pattern).matches(&"a".repeat(63)));
    }
}
