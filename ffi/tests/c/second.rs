//! Another Rust archive: it allocates, hashes and catches a panic, as libvarta's own does.

#[unsafe(no_mangle)]
pub extern "C" fn second_sum(n: u32) -> u32 {
    let sum = || {
        let numbers: std::collections::HashMap<_, _> = (0..n).map(|i| (i, i + 1)).collect();
        assert!(n != 99, "a panic of the second archive's own");
        numbers.values().sum()
    };
    std::panic::catch_unwind(sum).unwrap_or(0)
}
