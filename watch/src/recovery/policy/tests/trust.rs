//! No command starts for an agent that cannot be trusted, unless a flag allows it.

use super::*;

#[test]
fn an_agent_that_cannot_be_trusted_is_refused_unless_a_flag_allows_it() {
    let of = |origin, pid, unconfirmed| Subject { origin, pid, unconfirmed, ..stalled(1) };
    let cases = [
        (of(Origin::Network, 0, false), Some("unauthenticated_transport")),
        (of(Origin::SecureNetwork, 0, false), Some("unauthenticated_transport")),
        (of(Origin::KernelAttested, 0, false), Some("cross_namespace_agent")),
        (of(Origin::KernelAttested, 7, true), Some("unconfirmed_agent")),
        (of(Origin::KernelAttested, 7, false), None),
        (Subject { deaf: true, ..stalled(1) }, Some("deaf_observer")),
    ];
    for (subject, refusal) in cases {
        let mut policy = Policy::new(RULES);
        policy.stalled(0, subject, None);
        let expected = match refusal {
            Some(reason) => format!("refused 1 {reason}"),
            None => "start 1 1".to_owned(),
        };
        assert_eq!(orders(&mut policy, 0), [expected]);

        let rules = Rules { for_unconfirmed: true, for_sealed: true, for_plain: true, ..RULES };
        let mut policy = Policy::new(rules);
        policy.stalled(0, subject, None);
        let always = ["cross_namespace_agent", "deaf_observer"];
        let expected = match refusal.filter(|reason| always.contains(reason)) {
            Some(reason) => format!("refused 1 {reason}"),
            None => "start 1 1".to_owned(),
        };
        assert_eq!(orders(&mut policy, 0), [expected]);
    }
    // A sealed agent whose frames may be a replay needs two flags.
    let mut policy = Policy::new(Rules { for_sealed: true, ..RULES });
    policy.stalled(0, of(Origin::SecureNetwork, 0, true), None);
    assert_eq!(orders(&mut policy, 0), ["refused 1 unconfirmed_agent"]);
}
