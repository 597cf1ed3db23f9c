//! How often one source may ask.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::source::Source;

/// Sources whose rate is kept at once.
const MOST_SOURCES: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    TooOften,
    /// There is no room to keep its rate.
    Crowded,
}

/// A bucket of tokens for each source: it fills at the rate and holds the burst.
#[derive(Debug)]
pub(super) struct Limits {
    per_second: u32,
    burst: u32,
    buckets: HashMap<Source, Bucket>,
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

    pub(super) fn ask(&mut self, from: Source, now: Instant) -> Verdict {
        if self.per_second == 0 || self.burst == 0 {
            return Verdict::Welcome;
        }
        if self.buckets.len() >= MOST_SOURCES && !self.buckets.contains_key(&from) {
            let full = self.full_again_after();
            // A full bucket says no more than none.
            self.buckets.retain(|_, bucket| now.duration_since(bucket.at) < full);
            if self.buckets.len() >= MOST_SOURCES {
                return Verdict::Crowded;
            }
        }
        let (rate, burst) = (f64::from(self.per_second), f64::from(self.burst));
        let bucket = self.buckets.entry(from).or_insert(Bucket { tokens: burst, at: now });
        let filled = now.duration_since(bucket.at).as_secs_f64() * rate;
        bucket.tokens = (bucket.tokens + filled).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Verdict::TooOften;
        }
        bucket.tokens -= 1.0;
        Verdict::Welcome
    }

    fn full_again_after(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.burst) / f64::from(self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(last: u32) -> Source {
        IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + last)).into()
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for _ in 0..10 {
            assert_eq!(limits.ask(source(1), start), Verdict::Welcome);
        }
        assert_eq!(limits.ask(source(1), start), Verdict::TooOften);
        assert_eq!(limits.ask(source(2), start), Verdict::Welcome);
        let later = start + Duration::from_millis(201);
        assert_eq!(limits.ask(source(1), later), Verdict::Welcome);
        assert_eq!(limits.ask(source(1), later), Verdict::TooOften);
    }

    #[test]
    fn sources_kept_are_bounded_and_forgotten() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for last in 0..1_024 {
            assert_eq!(limits.ask(source(last), start), Verdict::Welcome);
        }
        assert_eq!(limits.ask(source(5_000), start), Verdict::Crowded);
        assert_eq!(limits.ask(source(7), start), Verdict::Welcome);
        let later = start + Duration::from_secs(2);
        assert_eq!(limits.ask(source(5_000), later), Verdict::Welcome);
    }
}
