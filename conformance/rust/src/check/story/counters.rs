//! Compares counters by name.

use varta_observer::Counters;

use crate::failure::Failure;
use crate::fields::Fields;

macro_rules! counters {
    ([$($datagram:ident)*] [$($other:ident)*]) => {
        const NAMES: &[&str] = &[$(stringify!($datagram),)* $(stringify!($other)),*];

        fn values(counters: &Counters) -> Vec<u64> {
            vec![$(counters.$datagram,)* $(counters.$other),*]
        }
    };
}

varta_observer::for_each_counter!(counters);

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
