//! Logs overload once instead of for every datagram: full socket queues, new agents that are
//! refused for lack of room, and readings of processes that do not return.

use std::io;

use tracing::{info, warn};
use varta_observer::{Observer, UidCounts};

/// Time between two checks.
const EVERY_NS: u64 = 1_000_000_000;

/// A flood is logged after this many checks with one, and is over after this many without.
const BEGINS_AFTER: u32 = 2;
const ENDS_AFTER: u32 = 5;

/// Minimum time between two lines of one kind.
const QUIET_NS: u64 = 60_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Pressure {
    next_ns: u64,
    flood: Flooding,
    refused_again_at_ns: u64,
    stuck: u64,
    stuck_again_at_ns: u64,
}

/// A time in which the observer may have missed beats.
#[derive(Debug, Default)]
struct Flooding {
    began_ns: u64,
    /// Consecutive checks with a flood, and without one.
    with: u32,
    without: u32,
    logged: bool,
    again_at_ns: u64,
}

impl Pressure {
    /// When the next check is due. Without agents, no beat can be lost and no new agent
    /// refused, so an idle daemon does not wake up.
    pub(super) fn due_ns(&self, has_agents: bool) -> Option<u64> {
        (has_agents || self.flood.with > 0).then_some(self.next_ns)
    }

    /// Checks, if it is time to.
    pub(super) fn check(&mut self, observer: &mut Observer) -> io::Result<()> {
        let now_ns = observer.now_ns();
        if now_ns < self.next_ns {
            return Ok(());
        }
        self.next_ns = now_ns.saturating_add(EVERY_NS);
        let flood = observer.drain_flood()?;
        self.flood.note(now_ns, flood.half_deaf, &flood.senders);
        if now_ns >= self.refused_again_at_ns {
            let refused = observer.drain_refused()?;
            if !refused.is_empty() {
                self.refused_again_at_ns = now_ns.saturating_add(QUIET_NS);
                warn!(
                    "the agent table is full: new agents of {} were refused, because live agents \
                     are never evicted for others; raise --tracker-capacity",
                    listed(&refused)
                );
            }
        }
        let stuck = observer.stats()?.cause_stuck;
        if stuck > self.stuck && now_ns >= self.stuck_again_at_ns {
            (self.stuck, self.stuck_again_at_ns) = (stuck, now_ns.saturating_add(QUIET_NS));
            warn!(
                "the kernel does not answer a reader of a silent process ({stuck} so far), so its \
                 cause stays unknown; the detail of its cause names it. Once four readings at a \
                 time do not return, there are no causes: see `varta-watch why`"
            );
        }
        Ok(())
    }
}

impl Flooding {
    fn note(&mut self, now_ns: u64, half_deaf: bool, senders: &UidCounts) {
        if half_deaf {
            if self.with == 0 {
                self.began_ns = now_ns;
            }
            (self.with, self.without) = (self.with.saturating_add(1), 0);
            if self.with >= BEGINS_AFTER && !self.logged && now_ns >= self.again_at_ns {
                self.logged = true;
                self.again_at_ns = now_ns.saturating_add(QUIET_NS);
                warn!(
                    "the socket's queue is full: beats may be lost, so stalls are delayed and \
                     marked. Most datagrams came from {}",
                    listed(senders)
                );
            }
            return;
        }
        self.without = self.without.saturating_add(1);
        if self.without < ENDS_AFTER {
            return;
        }
        self.with = 0;
        if std::mem::take(&mut self.logged) {
            let lasted = now_ns.saturating_sub(self.began_ns) / 1_000_000_000;
            info!("the socket's queue is no longer full, after about {lasted} s");
        }
    }
}

fn listed(counts: &UidCounts) -> String {
    let each: Vec<_> =
        counts.iter().map(|(uid, count)| format!("uid {uid} ({count} datagrams)")).collect();
    each.join(", ")
}
