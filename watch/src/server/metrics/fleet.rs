//! What the scrape of a fleet contains: `/metrics?collect[]=daemon&collect[]=programs`. It has no
//! metrics of single agents, so its size does not depend on their number.

use super::exposition::{Exposition, label};

/// The families of the daemon that a fleet needs: those that an alert uses, and few others. They
/// have less than a hundred series.
pub(super) const DAEMON: [&str; 29] = [
    "varta_watch_build_info",
    "varta_watch_uptime_seconds",
    "varta_watch_last_poll_loop_timestamp_seconds",
    "varta_watch_pids_tracked",
    "varta_tracker_capacity",
    "varta_tracker_capacity_exceeded",
    "varta_sender_state_full",
    "varta_lane_without_room",
    "varta_tasks_without_room",
    "varta_received",
    "varta_dropped",
    "varta_io_errors",
    "varta_exits",
    "varta_silences",
    "varta_silences_deaf",
    "varta_recoveries",
    "varta_missed_beats",
    "varta_pauses",
    "varta_detection_latency_seconds",
    "varta_observer_iteration_budget_exceeded",
    "varta_stall_causes",
    "varta_recovery_outcomes",
    "varta_recovery_audit_dropped",
    "varta_export_lost",
    "varta_history_lost",
    "varta_history_unavailable",
    "varta_log_lost",
    "varta_heartbeat_failed",
    "varta_prom_auth_failures",
];

/// The parts of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Collect {
    /// Everything that is known about this host, with metrics of each agent.
    All,
    Some {
        daemon: bool,
        programs: bool,
    },
}

impl Collect {
    /// The parts that the query of a request asks for. An error is for the client.
    pub(crate) fn from_query(query: Option<&str>) -> Result<Self, String> {
        let mut collect = Self::All;
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decoded(name) != b"collect[]" {
                continue;
            }
            let (mut daemon, mut programs) = match collect {
                Self::All => (false, false),
                Self::Some { daemon, programs } => (daemon, programs),
            };
            match &decoded(value)[..] {
                b"daemon" => daemon = true,
                b"programs" => programs = true,
                unknown => {
                    let unknown = String::from_utf8_lossy(unknown);
                    return Err(format!(
                        "collect[] has the unknown value {unknown:?}; known values are daemon \
                         and programs\n"
                    ));
                }
            }
            collect = Self::Some { daemon, programs };
        }
        Ok(collect)
    }
}

/// Decodes a part of a query. A percent sign that two digits do not follow is left as it is.
fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(value.unwrap_or(*first));
        rest = value.and_then(|_| after.get(2..)).unwrap_or(after);
    }
    decoded
}

/// The version of the daemon.
pub(super) fn write_version(to: &mut Exposition) {
    let help = "1, with the version of the daemon.";
    let version = label("version", env!("CARGO_PKG_VERSION"));
    to.gauge("varta_watch_build_info", help).put(&version, 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_selects_the_parts() {
        let parts = |daemon, programs| Ok(Collect::Some { daemon, programs });
        for (query, expected) in [
            (None, Ok(Collect::All)),
            (Some(""), Ok(Collect::All)),
            (Some("name=value"), Ok(Collect::All)),
            (Some("collect[]=daemon"), parts(true, false)),
            (Some("collect%5B%5D=daemon&collect%5b%5d=%70rograms"), parts(true, true)),
            (Some("x&collect[]=programs&collect[]=programs"), parts(false, true)),
        ] {
            assert_eq!(Collect::from_query(query), expected, "{query:?}");
        }
    }

    #[test]
    fn an_unknown_part_is_refused_and_the_known_ones_are_named() {
        for query in
            ["collect[]=agents", "collect[]", "collect[]=daemon&collect[]=%", "collect[]=%2"]
        {
            let error = Collect::from_query(Some(query)).unwrap_err();
            assert!(error.contains("known values are daemon and programs"), "{error}");
        }
        let control = Collect::from_query(Some("collect[]=%0a%ff")).unwrap_err();
        assert!(control.contains(r"\n") && !control.trim_end().contains('\n'), "{control}");
    }
}
