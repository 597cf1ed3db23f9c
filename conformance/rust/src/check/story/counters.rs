//! Compares counters by name.

use varta_observer::Counters;

use crate::failure::Failure;
use crate::fields::Fields;

macro_rules! counters {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        fn values(counters: &Counters) -> Vec<u64> {
            vec![$(counters.$name),*]
        }
    };
}

counters! {
    beats bad_magic bad_version bad_crc bad_status stall_on_wire bad_pid bad_timestamp
    bad_nonce wrong_length auth_failures decrypt_failures replays rate_limited_agent
    rate_limited_global capacity_exceeded sender_memory_full uid_refused namespace_refused
    origin_conflicts control_truncated probes
    received kernel_drops evictions missed not_forward stalls recoveries exits pauses
    stalls_deaf full_looks
}

/// Counters that are not listed must be 0, and each datagram must be counted once.
pub(super) fn compare(seen: &Counters, expected: &Fields<'_>) -> Result<(), Failure> {
    expected.only(NAMES)?;
    for (name, seen) in NAMES.iter().zip(values(seen)) {
        let expected: u64 = if expected.has(name) { expected.number(name)? } else { 0 };
        if seen != expected {
            return Err(Failure::new(&format!("counter {name}"), &expected.to_string(), seen));
        }
    }
    if seen.settled() != seen.received {
        let expected = format!("{} datagrams in one counter each", seen.received);
        return Err(Failure::new("the sum of the counters", &expected, seen.settled()));
    }
    Ok(())
}
