//! What is logged, once and not for every datagram, when others press upon the daemon: that
//! queues are full, and that newcomers find no room.

use std::io;

use tracing::{info, warn};
use varta_observer::{Observer, UidCounts};

/// How often it looks.
const EVERY_NS: u64 = 1_000_000_000;

/// A flood has lasted for this many looks before it is logged, and is over after this many
/// without one.
const BEGINS_AFTER: u32 = 2;
const ENDS_AFTER: u32 = 5;

/// No line of one kind comes sooner than this after the last.
const QUIET_NS: u64 = 60_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Pressure {
    next_ns: u64,
    flood: Flooding,
    refused_again_at_ns: u64,
}

/// A time in which the observer may have missed beats.
#[derive(Debug, Default)]
struct Flooding {
    began_ns: u64,
    /// Looks in a row with a flood, or without one.
    with: u32,
    without: u32,
    logged: bool,
    again_at_ns: u64,
}

impl Pressure {
    /// When the next look is due. While nobody is followed, no beat can be lost and no newcomer
    /// refused, and an idle daemon does not wake.
    pub(super) fn due_ns(&self, follows_agents: bool) -> Option<u64> {
        (follows_agents || self.flood.with > 0).then_some(self.next_ns)
    }

    /// Looks, if it is time to.
    pub(super) fn look(&mut self, observer: &mut Observer) -> io::Result<()> {
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
                    "there is no room for new agents of {}; agents that live are not given up \
                     for others (--tracker-capacity)",
                    listed(&refused)
                );
            }
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
                    "the queue of the socket is full: beats may be lost, so stalls are put off \
                     and marked. Most datagrams came from {}",
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
            info!("the queue of the socket is not full any more, after about {lasted} s");
        }
    }
}

fn listed(counts: &UidCounts) -> String {
    let each: Vec<_> =
        counts.iter().map(|(uid, count)| format!("uid {uid} ({count} datagrams)")).collect();
    each.join(", ")
}
