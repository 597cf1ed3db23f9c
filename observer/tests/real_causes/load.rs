//! A machine that is busy with something else.

use std::thread;

use crate::hangs::end_with_parent;
use crate::outside::set_nice;
use crate::support::Child;

/// How much sooner the observer runs than others: it has little to do.
const FIRST: libc::c_int = -15;

/// Endless loops, until it is dropped.
pub(crate) struct Load {
    #[allow(dead_code, reason = "killed when they are dropped")]
    loops: Vec<Child>,
}

impl Load {
    /// Starts this many endless loops for each CPU. This process then runs before them, as the
    /// daemon does, and agents as one of them.
    pub(crate) fn start(for_each_cpu: usize) -> Self {
        let count = for_each_cpu * thread::available_parallelism().map_or(1, Into::into);
        let spin = || {
            // SAFETY: there is no alarm for it, and it ends with its parent.
            unsafe { libc::alarm(0) };
            end_with_parent();
            loop {
                std::hint::spin_loop();
            }
        };
        let loops = (0..count).map(|_| Child::start(spin)).collect();
        if for_each_cpu > 0 {
            set_nice(FIRST);
        }
        Self { loops }
    }
}
