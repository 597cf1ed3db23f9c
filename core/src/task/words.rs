//! What a task can promise, and which rules its calls can break.

use std::fmt;

/// What a task promises. The numbers are the same in every language.
///
/// ```
/// use varta::Promise;
///
/// assert_eq!((Promise::Span as u8, Promise::Span.name()), (2, "span"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Promise {
    /// To make a call again within the threshold.
    Beat = 1,
    /// To end a span in time.
    Span = 2,
    /// To reach the next checkpoint in time.
    Checkpoint = 3,
    /// To get something done while something is left.
    Progress = 4,
}

impl Promise {
    /// All promises, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Beat, Self::Span, Self::Checkpoint, Self::Progress];

    /// The promise with this number.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Beat),
            2 => Some(Self::Span),
            3 => Some(Self::Checkpoint),
            4 => Some(Self::Progress),
            _ => None,
        }
    }

    /// Its bit in a set of promises.
    #[must_use]
    pub const fn bit(self) -> u8 {
        1 << (self as u8 - 1)
    }

    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Beat => "beat",
            Self::Span => "span",
            Self::Checkpoint => "checkpoint",
            Self::Progress => "progress",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The rule that a call broke. The numbers are the same in every language.
///
/// ```
/// use varta::Rule;
///
/// assert_eq!((Rule::TooEarly as u8, Rule::TooEarly.name()), (1, "too-early"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rule {
    /// A span ended, or a checkpoint was reached, before its shortest time.
    TooEarly = 1,
    /// It was done, but after its longest time.
    TooLate = 2,
    /// No edge leads from the last checkpoint to this one.
    WrongOrder = 3,
    /// A cycle had too few beats.
    TooFew = 4,
    /// A cycle had too many beats.
    TooMany = 5,
}

impl Rule {
    /// All rules, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::TooEarly, Self::TooLate, Self::WrongOrder, Self::TooFew, Self::TooMany];

    /// The rule with this number.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::TooEarly),
            2 => Some(Self::TooLate),
            3 => Some(Self::WrongOrder),
            4 => Some(Self::TooFew),
            5 => Some(Self::TooMany),
            _ => None,
        }
    }

    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooEarly => "too-early",
            Self::TooLate => "too-late",
            Self::WrongOrder => "wrong-order",
            Self::TooFew => "too-few",
            Self::TooMany => "too-many",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
