//! A body that several requests share.

use std::ptr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::state::Snapshot;

/// While a body is still being read, it is handed out again for this long: readers that take
/// it slowly then hold one copy together, not one each.
const SHARED: Duration = Duration::from_secs(1);

/// The body that was made last, and of which snapshot.
#[derive(Debug, Default)]
pub(super) struct Rendering(Option<Made>);

#[derive(Debug)]
struct Made {
    at: Instant,
    of: Weak<Snapshot>,
    parts: Vec<Bytes>,
}

impl Rendering {
    /// The last body, if it is new enough and another request still holds it.
    pub(super) fn shared(&self) -> Option<Vec<Bytes>> {
        let Made { at, parts, .. } = self.0.as_ref()?;
        let held = parts.iter().any(|part| !part.is_unique());
        (held && at.elapsed() < SHARED).then(|| parts.clone())
    }

    /// The last body, if it was made of this snapshot.
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>) -> Option<Vec<Bytes>> {
        let Made { of, parts, .. } = self.0.as_ref()?;
        ptr::eq(of.as_ptr(), Arc::as_ptr(snapshot)).then(|| parts.clone())
    }

    /// Keeps a body, to be given again.
    pub(super) fn keep(&mut self, of: Weak<Snapshot>, parts: Vec<Bytes>) -> Vec<Bytes> {
        self.0 = Some(Made { at: Instant::now(), of, parts: parts.clone() });
        parts
    }
}
