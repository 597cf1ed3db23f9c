//! How often one address may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses whose rate is kept at once.
const MOST_ADDRESSES: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    TooOften,
    /// There is no room to keep its rate.
    Crowded,
}

/// A bucket of tokens for each address: it fills at the rate and holds the burst.
#[derive(Debug)]
pub(super) struct Limits {
    per_second: u32,
    burst: u32,
    buckets: HashMap<IpAddr, Bucket>,
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

    pub(super) fn ask(&mut self, from: IpAddr, now: Instant) -> Verdict {
        if self.per_second == 0 || self.burst == 0 {
            return Verdict::Welcome;
        }
        let from = counted_as(from);
        if self.buckets.len() >= MOST_ADDRESSES && !self.buckets.contains_key(&from) {
            let full = self.full_again_after();
            // A full bucket says no more than none.
            self.buckets.retain(|_, bucket| now.duration_since(bucket.at) < full);
            if self.buckets.len() >= MOST_ADDRESSES {
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

/// A host may have a whole network of version 6 to itself.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + last))
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for _ in 0..10 {
            assert_eq!(limits.ask(address(1), start), Verdict::Welcome);
        }
        assert_eq!(limits.ask(address(1), start), Verdict::TooOften);
        assert_eq!(limits.ask(address(2), start), Verdict::Welcome);
        let later = start + Duration::from_millis(201);
        assert_eq!(limits.ask(address(1), later), Verdict::Welcome);
        assert_eq!(limits.ask(address(1), later), Verdict::TooOften);
    }

    #[test]
    fn addresses_kept_are_bounded_and_forgotten() {
        let (mut limits, start) = (Limits::new(5, 10), Instant::now());
        for last in 0..1_024 {
            assert_eq!(limits.ask(address(last), start), Verdict::Welcome);
        }
        assert_eq!(limits.ask(address(5_000), start), Verdict::Crowded);
        assert_eq!(limits.ask(address(7), start), Verdict::Welcome);
        let later = start + Duration::from_secs(2);
        assert_eq!(limits.ask(address(5_000), later), Verdict::Welcome);
    }

    #[test]
    fn one_network_of_version_6_is_one_source() {
        let (mut limits, now) = (Limits::new(1, 1), Instant::now());
        assert_eq!(limits.ask("2001:db8::1".parse().unwrap(), now), Verdict::Welcome);
        assert_eq!(limits.ask("2001:db8::2".parse().unwrap(), now), Verdict::TooOften);
        assert_eq!(limits.ask("2001:db8:0:1::1".parse().unwrap(), now), Verdict::Welcome);
    }
}
