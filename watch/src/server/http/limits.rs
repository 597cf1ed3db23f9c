//! How often one source may ask. Each loopback address is a source of its own here, so that
//! a local process does not use up the rate of every other one; and requests that show the token
//! have a rate apart from those of the same source that do not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::source::Source;

/// Sources whose rate is kept at once.
const MOST_SOURCES: usize = 1_024;

/// Whose rate it is: a source, and whether it shows the token.
type Asker = (Source, bool);

/// A bucket of tokens for each source: it fills at the rate and holds the burst.
#[derive(Debug)]
pub(super) struct Limits {
    per_second: u32,
    burst: u32,
    buckets: HashMap<Asker, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limits {
    /// Either at 0 means that there is no limit.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, buckets: HashMap::new() }
    }

    /// Whether a request may be answered now.
    pub(super) fn admit(&mut self, asker: Asker, now: Instant) -> bool {
        if self.per_second == 0 || self.burst == 0 {
            return true;
        }
        if self.buckets.len() >= MOST_SOURCES && !self.buckets.contains_key(&asker) {
            self.make_room(now);
        }
        let (rate, burst) = (f64::from(self.per_second), f64::from(self.burst));
        let bucket = self.buckets.entry(asker).or_insert(Bucket { tokens: burst, at: now });
        let filled = now.duration_since(bucket.at).as_secs_f64() * rate;
        bucket.tokens = (bucket.tokens + filled).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Forgets buckets that are full again, which say no more than none, and else the one that
    /// was asked of longest ago.
    fn make_room(&mut self, now: Instant) {
        let full = f64::from(self.burst) / f64::from(self.per_second);
        let full = Duration::from_secs_f64(full);
        self.buckets.retain(|_, bucket| now.duration_since(bucket.at) < full);
        if self.buckets.len() >= MOST_SOURCES {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.at);
            if let Some(oldest) = oldest.map(|(asker, _)| *asker) {
                self.buckets.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn asker(last: u32) -> Asker {
        (IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + last)).into(), false)
    }

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for _ in 0..10 {
            assert!(limits.admit(asker(1), start));
        }
        assert!(!limits.admit(asker(1), start));
        assert!(limits.admit(asker(2), start));
        assert!(
            limits.admit((asker(1).0, true), start),
            "requests with the token have their own rate"
        );
        let later = start + Duration::from_millis(201);
        assert!(limits.admit(asker(1), later));
        assert!(!limits.admit(asker(1), later));
    }

    #[test]
    fn kept_sources_are_bounded_and_a_new_source_is_never_refused() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for last in 0..5_000 {
            let now = start + Duration::from_micros(last.into());
            assert!(limits.admit(asker(last), now));
        }
        assert_eq!(limits.buckets.len(), MOST_SOURCES);
        assert!(limits.buckets.contains_key(&asker(4_000)), "the oldest were forgotten");
        assert!(limits.admit(asker(9_999), start + Duration::from_secs(3)));
        assert_eq!(limits.buckets.len(), 1, "full buckets are forgotten");
    }
}
