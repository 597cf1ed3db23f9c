//! The rate limit for each source. Every loopback address is a source of its own here, so that
//! one local process does not use up the rate of the others. Requests with the token have a
//! separate rate from those of the same source without it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::source::Source;

/// The maximum number of sources to track.
const MOST_SOURCES: usize = 1_024;

/// The key of a bucket: a source, and whether the request has the token.
type Client = (Source, bool);

/// Token buckets by client. A bucket fills at the rate and holds the burst.
#[derive(Debug)]
pub(super) struct Limits {
    per_second: u32,
    burst: u32,
    buckets: HashMap<Client, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limits {
    /// If either is 0, there is no limit.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, buckets: HashMap::new() }
    }

    /// Returns whether a request is within the limit.
    pub(super) fn admit(&mut self, client: Client, now: Instant) -> bool {
        if self.per_second == 0 || self.burst == 0 {
            return true;
        }
        if self.buckets.len() >= MOST_SOURCES && !self.buckets.contains_key(&client) {
            self.make_room(now);
        }
        let (rate, burst) = (f64::from(self.per_second), f64::from(self.burst));
        let bucket = self.buckets.entry(client).or_insert(Bucket { tokens: burst, at: now });
        let filled = now.duration_since(bucket.at).as_secs_f64() * rate;
        bucket.tokens = (bucket.tokens + filled).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Removes buckets that are full again, which are equivalent to new ones. If there are none,
    /// removes the one that was used the longest time ago.
    fn make_room(&mut self, now: Instant) {
        let full = f64::from(self.burst) / f64::from(self.per_second);
        let full = Duration::from_secs_f64(full);
        self.buckets.retain(|_, bucket| now.duration_since(bucket.at) < full);
        if self.buckets.len() >= MOST_SOURCES {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.at);
            if let Some(oldest) = oldest.map(|(client, _)| *client) {
                self.buckets.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn client(last: u32) -> Client {
        (IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + last)).into(), false)
    }

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for _ in 0..10 {
            assert!(limits.admit(client(1), start));
        }
        assert!(!limits.admit(client(1), start));
        assert!(limits.admit(client(2), start));
        assert!(limits.admit((client(1).0, true), start), "the token has a rate of its own");
        let later = start + Duration::from_millis(201);
        assert!(limits.admit(client(1), later));
        assert!(!limits.admit(client(1), later));
    }

    #[test]
    fn the_number_of_sources_is_bounded_and_a_new_one_is_never_refused() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for last in 0..5_000 {
            let now = start + Duration::from_micros(last.into());
            assert!(limits.admit(client(last), now));
        }
        assert_eq!(limits.buckets.len(), MOST_SOURCES);
        assert!(limits.buckets.contains_key(&client(4_000)), "the oldest were forgotten");
        assert!(limits.admit(client(9_999), start + Duration::from_secs(3)));
        assert_eq!(limits.buckets.len(), 1, "full buckets are forgotten");
    }
}
