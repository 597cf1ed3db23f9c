//! Slots, and how the end of an agent will become known.

/// The place of an agent while it is tracked: a small number that is reused for another agent
/// later. Use it as an index into tables that are kept beside the observer's own.
///
/// ```
/// use varta_observer::judge::Slot;
///
/// fn descriptor_of(slot: Slot, descriptors: &[Option<i32>]) -> Option<i32> {
///     descriptors.get(slot.index()).copied().flatten()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub(in crate::judge) u32);

impl Slot {
    /// The index, which is below the capacity.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How the end of a local agent will become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exits {
    /// The kernel reports it: a pidfd is held.
    #[default]
    Reported,
    /// There is no descriptor for it: the process is looked up when the agent has been silent
    /// for too long.
    LookedUp,
    /// It cannot be seen, except by the agent's silence.
    Unseen,
}
