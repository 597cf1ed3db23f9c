//! The tasks of agents without a lane.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;

use crate::lane::attach::Lane;
use crate::lane::pairs::Pairs;
use crate::sys::List;

/// Where an agent finds the tasks of this process, once there are any. All agents with the same
/// endpoint have the same; one whose transport does not name its endpoint has its own.
pub(crate) enum Registry {
    Shared(&'static Place),
    Own(Place),
}

pub(crate) struct Place {
    endpoint: Option<OsString>,
    /// At most one.
    pairs: List<&'static Pairs>,
}

impl Registry {
    pub(crate) fn of(endpoint: Option<&OsStr>) -> Self {
        static SHARED: List<Place> = List::new();
        let place = Place { endpoint: endpoint.map(OsStr::to_owned), pairs: List::new() };
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
        self.place().pairs.iter().next().copied()
    }

    /// The pairs, made if there are none.
    pub(crate) fn pairs_for_tasks(&self) -> io::Result<&'static Pairs> {
        let Place { endpoint, pairs } = self.place();
        let lane = None::<fn() -> io::Result<Lane>>;
        pairs.find_or_add(|_| true, || Pairs::of(endpoint.as_deref(), lane)).copied()
    }

    #[inline]
    fn place(&self) -> &Place {
        match self {
            Self::Shared(place) => place,
            Self::Own(place) => place,
        }
    }
}
