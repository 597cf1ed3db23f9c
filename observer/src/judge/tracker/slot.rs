//! Where an agent is kept, and how its end will be known.

/// Where an agent is kept while it is followed: a small number, given again to another
/// agent later. It indexes tables that are kept beside the observer's own.
///
/// ```
/// use varta_observer::judge::Slot;
///
/// fn descriptor_of(slot: Slot, descriptors: &[Option<i32>]) -> Option<i32> {
///     descriptors.get(slot.index()).copied().flatten()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub(super) u32);

impl Slot {
    /// Below the capacity.
    ///
    /// ```
    /// # fn shown(slot: varta_observer::judge::Slot) -> usize {
    /// slot.index()
    /// # }
    /// ```
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How the end of a local agent will be known.
///
/// ```
/// use varta_observer::judge::Exits;
///
/// assert_eq!(Exits::default(), Exits::Reported);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exits {
    /// The kernel will tell: a pidfd is held.
    #[default]
    Reported,
    /// No descriptor could be spared: it is looked for when it has been silent too long.
    LookedUp,
    /// It will not: silence does the work.
    Unseen,
}
