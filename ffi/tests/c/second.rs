//! Another Rust archive, which allocates, hashes and catches a panic, like libvarta.

#[unsafe(no_mangle)]
pub extern "C" fn second_sum(n: u32) -> u32 {
    let sum = || {
        let numbers: std::collections::HashMap<_, _> = (0..n).map(|i| (i, i + 1)).collect();
        assert!(n != 99, "a panic in the second archive");
        numbers.values().sum()
    };
    std::panic::catch_unwind(sum).unwrap_or(0)
}
