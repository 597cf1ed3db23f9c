//! The tasks of agents without a lane.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;

use crate::lane::attach::Lane;
use crate::lane::pairs::Pairs;
use crate::sys::List;
use crate::sys::lane::Pointer;

/// Where an agent finds the tasks of this process, once there are any. All agents with the same
/// endpoint have the same; one whose transport does not name its endpoint has its own.
pub(crate) enum Registry {
    Shared(&'static Place),
    Own(Place),
}

pub(crate) struct Place {
    endpoint: Option<OsString>,
    pairs: Pointer<Pairs>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pairs) = self.pairs.get() {
            pairs.give_back();
        }
    }
}

impl Registry {
    pub(crate) fn of(endpoint: Option<&OsStr>) -> Self {
        static SHARED: List<Place> = List::new();
        let place =
            Place { endpoint: endpoint.map(OsStr::to_owned), pairs: Pointer::default() };
        if endpoint.is_none() {
            return Self::Own(place);
        }
        let is_the_same = |place: &Place| place.endpoint.as_deref() == endpoint;
        match SHARED.find_or_add(is_the_same, || Ok::<_, Infallible>(place)) {
            Ok(place) => Self::Shared(place),
            Err(never) => match never {},
        }
    }

    /// The pairs, if a task was ever declared.
    #[inline]
    pub(crate) fn pairs(&self) -> Option<&'static Pairs> {
        self.place().pairs.get()
    }

    /// The pairs, made if there are none.
    pub(crate) fn pairs_for_tasks(&self) -> io::Result<&'static Pairs> {
        let Place { endpoint, pairs } = self.place();
        if let Some(found) = pairs.get() {
            return Ok(found);
        }
        let made = Pairs::of(endpoint.as_deref(), None::<fn() -> io::Result<Lane>>)?;
        // From now on they are known as those of this process, and not of its parent.
        made.settle();
        let found = pairs.get_or_set(made);
        if endpoint.is_none() && !std::ptr::eq(found, made) {
            made.give_back();
        }
        Ok(found)
    }

    #[inline]
    fn place(&self) -> &Place {
        match self {
            Self::Shared(place) => place,
            Self::Own(place) => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ptr;

    use super::*;
    use crate::lane::layout::State;

    #[test]
    fn agents_without_an_endpoint_leave_their_pairs_to_others() {
        let used = |registry: &Registry| registry.pairs_for_tasks().unwrap();
        let of_each: HashSet<_> =
            (0..1_000).map(|_| ptr::from_ref(used(&Registry::of(None)))).collect();
        // Other tests may take some of them meanwhile.
        assert!(of_each.len() < 100, "{}", of_each.len());

        let (one, other) = (Registry::of(None), Registry::of(None));
        assert!(!ptr::eq(used(&one), used(&other)), "two agents at once");
        assert!(ptr::eq(used(&one), used(&one)));
    }

    #[test]
    fn pairs_are_not_left_to_others_before_their_last_task_ends() {
        let registry = Registry::of(None);
        let pairs = registry.pairs_for_tasks().unwrap();
        let task = pairs.claim().unwrap();
        drop(registry);
        for _ in 0..100 {
            let another = Registry::of(None);
            assert!(!ptr::eq(another.pairs_for_tasks().unwrap(), pairs));
        }
        task.end(State::Closed);
    }
}
