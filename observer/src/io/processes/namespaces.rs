//! The pid namespaces of senders that are known only by their pids.

use crate::io::identity::{Namespace, namespace_of_pid};

/// How long a pid's namespace is cached.
const FRESH_NS: u64 = 1_000_000_000;
const PLACES: usize = 64;

/// Namespaces by pid. Cached, because senders of forged frames cause many queries.
pub(super) struct Namespaces([CachedNamespace; PLACES]);

#[derive(Clone, Copy)]
struct CachedNamespace {
    pid: u32,
    until: u64,
    namespace: Namespace,
}

impl Namespaces {
    pub(super) const fn new() -> Self {
        Self([CachedNamespace { pid: 0, until: 0, namespace: Namespace::Unknown }; PLACES])
    }

    /// The namespace of a pid. `has_table` is whether the process table can be asked.
    pub(super) fn by_pid(&mut self, pid: u32, now: u64, has_table: bool) -> Namespace {
        let Some(seen) = self.0.get_mut(pid as usize % PLACES) else {
            return Namespace::Unknown;
        };
        if seen.pid != pid || seen.until < now {
            let namespace = match has_table {
                true => namespace_of_pid(pid),
                false => Namespace::Unknown,
            };
            *seen = CachedNamespace { pid, until: now.saturating_add(FRESH_NS), namespace };
        }
        seen.namespace
    }
}
