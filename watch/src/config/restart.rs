//! The settings that a reload does not change.

use super::Settings;

/// Lists for each of these flags whether it differs.
macro_rules! changed {
    ($new:expr, $old:expr, $($section:ident: $($flag:ident)+),+ $(,)?) => {
        [$($((stringify!($flag), $new.$section.$flag != $old.$section.$flag)),+),+]
    };
}

impl Settings {
    /// The flags that differ from the current ones, but take effect only after a restart.
    pub(crate) fn needs_restart(&self, old: &Self) -> Vec<String> {
        let (new, old) = (&self.flags, &old.flags);
        let flags = changed!(new, old,
            listening: socket socket_mode uds_rcvbuf_bytes udp_port udp_bind_addr
                secure_state_file accept_version_1 notify_socket notify_socket_mode notify_access
                nice,
            admission: uids allow_cross_namespace_agents tracker_capacity causes,
            lane: lane tasks,
            audit: recovery_audit_file recovery_audit_max_bytes recovery_audit_sync_every
                audit_fsync_budget_ms audit_sync_interval_ms audit_rotation_budget_ms,
            export: export_file export_format export_file_max_bytes export_file_sync_every,
            history: history history_dir history_max_bytes history_max_age host,
            http: prom_addr prom_rate_limit_per_sec prom_rate_limit_burst http_host control_socket,
            supervision: heartbeat_file self_watchdog_secs hw_watchdog shutdown_after_secs,
            logging: log_level log_format,
        );
        let changed = flags.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(name, _)| name.replace('_', "-")).collect()
    }
}
