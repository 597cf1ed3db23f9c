//! Atomic counters that any thread can increment and read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::state::histogram::{LATENCIES, Latencies};

/// A counter that never decreases.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that another thread sets from time to time.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations measured by threads other than the event loop.
#[derive(Debug)]
pub(crate) struct Times(Mutex<Latencies>);

impl Default for Times {
    fn default() -> Self {
        Self(Mutex::new(Latencies::EMPTY))
    }
}

impl Times {
    pub(crate) fn note(&self, ns: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).note(&LATENCIES, ns);
    }

    pub(crate) fn get(&self) -> Latencies {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All counters that are shared between threads.
#[derive(Debug, Default)]
pub(crate) struct SharedCounters {
    /// Iterations of the event loop, by which the watchdog sees progress.
    pub(crate) turns: Count,
    pub(crate) recovery: Recovery,
    pub(crate) audit: Audit,
    pub(crate) export: Export,
    pub(crate) history: History,
    pub(crate) http: Http,
    /// Lines that could not be written or did not fit into the queue.
    pub(crate) log_lost: Count,
    pub(crate) heartbeat_failed: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub(crate) spawned: Count,
    pub(crate) debounced: Count,
    pub(crate) reaped_zero: Count,
    pub(crate) reaped_nonzero: Count,
    pub(crate) killed: Count,
    pub(crate) spawn_failed: Count,
    /// Runs that ended after their last try.
    pub(crate) gave_up: Count,
    pub(crate) refused_unauthenticated: Count,
    pub(crate) refused_cross_namespace: Count,
    pub(crate) refused_unconfirmed: Count,
    pub(crate) refused_capacity: Count,
    pub(crate) refused_deaf: Count,
    pub(crate) refused_reused_pid: Count,
    pub(crate) refused_held: Count,
    pub(crate) refused_waited_too_long: Count,
    pub(crate) refused_no_value: Count,
    /// Starts that had to wait for the budget.
    pub(crate) over_budget: Count,
    pub(crate) duration_ns: Count,
    pub(crate) durations: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) lines: Count,
    /// Lines that could not be written.
    pub(crate) lost: Count,
    pub(crate) fsync: Times,
    pub(crate) fsync_over_budget: Count,
    pub(crate) rotation_over_budget: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Export {
    pub(crate) lines: Count,
    /// Lines that could not be written or did not fit into the queue.
    pub(crate) lost: Count,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) records: Count,
    /// Records that could not be written or did not fit into the queue.
    pub(crate) lost: Count,
    /// The size of all segments, and their number.
    pub(crate) bytes: Gauge,
    pub(crate) segments: Gauge,
    /// 1 if there should be a history, but its folder cannot be used.
    pub(crate) unavailable: Gauge,
}

#[derive(Debug, Default)]
pub(crate) struct Http {
    pub(crate) requests: Count,
    /// Requests without the token or with a wrong one.
    pub(crate) auth_failures: Count,
    pub(crate) over_rate: Count,
    /// Connections that were closed to make room for others.
    pub(crate) crowded: Count,
    /// Responses that were shared with another request.
    pub(crate) repeated: Count,
    /// Time from the request until the response was ready.
    pub(crate) took: Times,
    pub(crate) over_budget: Count,
}
