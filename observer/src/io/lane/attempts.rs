//! Limits how often one process connects.

use super::connections::Peer;

/// How many connections of one process are served at once.
const AT_ONCE: u64 = 20;

/// Later ones are served this often: an agent that has a page needs no other one as long as its
/// process and the observer run.
const EACH_NS: u64 = 500_000_000;

/// Processes whose numbers differ by a multiple of this are in one set.
const SETS: usize = 128;

/// While no more processes of a set connect than this, each has an account of its own.
const SET: usize = 8;

/// How often processes have connected of late.
pub(super) struct Attempts {
    accounts: Box<[[Account; SET]; SETS]>,
}

#[derive(Clone, Copy)]
struct Account {
    peer: Peer,
    /// When all connections that were served are paid for.
    paid_at: u64,
}

impl Attempts {
    pub(super) fn new() -> Self {
        let unused = Account { peer: Peer::Number(0), paid_at: 0 };
        Self { accounts: Box::new([[unused; SET]; SETS]) }
    }

    /// Counts a connection. Returns whether it may be served.
    pub(super) fn count(&mut self, peer: Peer, now: u64) -> bool {
        let Some(set) = self.accounts.get_mut(peer.tag() as usize % SETS) else { return true };
        // A process that is not known takes over what another one owes that has connected least. So
        // many processes that take turns cannot connect more often than there are accounts for.
        let is_known = set.iter().any(|account| account.peer == peer);
        let account = set
            .iter_mut()
            .filter(|account| !is_known || account.peer == peer)
            .min_by_key(|account| account.paid_at);
        let Some(account) = account else { return true };
        account.peer = peer;
        account.paid_at = account.paid_at.max(now);
        let may_be_served = account.paid_at - now <= (AT_ONCE - 1) * EACH_NS;
        if may_be_served {
            account.paid_at = account.paid_at.saturating_add(EACH_NS);
        }
        may_be_served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const IN_A_MINUTE: u64 = AT_ONCE + 60 * SECOND / EACH_NS;

    fn in_one_set(count: usize) -> Vec<Peer> {
        (0..).step_by(SETS).map(Peer::Pid).take(count).collect()
    }

    /// How many connections are served of processes that all connect a hundred times a second.
    fn served_in_a_minute(attempts: &mut Attempts, peers: &[Peer]) -> Vec<u64> {
        let mut served = vec![0; peers.len()];
        for now in (SECOND..=61 * SECOND).step_by(10_000_000) {
            for (peer, served) in peers.iter().zip(&mut served) {
                *served += u64::from(attempts.count(*peer, now));
            }
        }
        served
    }

    #[test]
    fn a_process_may_connect_twenty_times_at_once_and_then_twice_a_second() {
        let mut attempts = Attempts::new();
        for peer in [Peer::Pid(7), Peer::Pid(8), Peer::Number(1 << 40)] {
            let of = |now, attempts: &mut Attempts| {
                (0..100).filter(|_| attempts.count(peer, now)).count() as u64
            };
            assert_eq!(of(SECOND, &mut attempts), AT_ONCE);
            assert_eq!(of(2 * SECOND - 1, &mut attempts), 1);
            assert_eq!(of(2 * SECOND, &mut attempts), 1);
            assert_eq!(of(3600 * SECOND, &mut attempts), AT_ONCE);
        }
    }

    #[test]
    fn processes_that_connect_without_end_do_not_keep_another_one_from_connecting() {
        let mut attempts = Attempts::new();
        let all = in_one_set(SET);
        let (other, hostile) = all.split_first().unwrap();
        let before = served_in_a_minute(&mut attempts, hostile);
        assert_eq!(before, vec![IN_A_MINUTE; hostile.len()]);
        for _ in 0..AT_ONCE {
            assert!(attempts.count(*other, 61 * SECOND));
        }
    }

    #[test]
    fn more_processes_than_there_are_accounts_cannot_connect_more_often() {
        let mut attempts = Attempts::new();
        let served: u64 = served_in_a_minute(&mut attempts, &in_one_set(5 * SET)).iter().sum();
        assert!(served <= SET as u64 * IN_A_MINUTE, "{served}");
    }
}
