//! A response body that several requests share.

use std::ptr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::state::Snapshot;

/// A body that is still being sent is reused for this long, so that slow readers share one
/// copy instead of holding one each.
const SHARED: Duration = Duration::from_secs(1);

/// The latest body, and the snapshot that it was made from.
#[derive(Debug, Default)]
pub(super) struct Rendering(Option<Made>);

#[derive(Debug)]
struct Made {
    at: Instant,
    of: Weak<Snapshot>,
    parts: Vec<Bytes>,
}

impl Rendering {
    /// Returns the latest body, if it is recent enough and another request still holds it.
    pub(super) fn shared(&self) -> Option<Vec<Bytes>> {
        let Made { at, parts, .. } = self.0.as_ref()?;
        let held = parts.iter().any(|part| !part.is_unique());
        (held && at.elapsed() < SHARED).then(|| parts.clone())
    }

    /// Returns the latest body, if it was made from this snapshot.
    pub(super) fn of(&self, snapshot: &Arc<Snapshot>) -> Option<Vec<Bytes>> {
        let Made { of, parts, .. } = self.0.as_ref()?;
        ptr::eq(of.as_ptr(), Arc::as_ptr(snapshot)).then(|| parts.clone())
    }

    /// Keeps a body for reuse.
    pub(super) fn keep(&mut self, of: Weak<Snapshot>, parts: Vec<Bytes>) -> Vec<Bytes> {
        self.0 = Some(Made { at: Instant::now(), of, parts: parts.clone() });
        parts
    }
}
