//! Putting the daemon together, and taking it apart again.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};
use varta::Endpoint;
use varta_observer::{Builder, Observer, Rate, Uids};

use crate::config::{Keys, Settings};
use crate::event_loop::priority;
use crate::event_loop::signals::Signals;
use crate::event_loop::watchdog::Watchdog;
use crate::event_loop::{Context, EventLoop};
use crate::flags::{self, Admission};
use crate::output::audit::{self, AuditFile};
use crate::output::export;
use crate::output::log;
use crate::platform::clock::Clock;
use crate::platform::systemd::{Notifier, Passed};
use crate::recovery::{self, Plan};
use crate::server;
use crate::state::{self, Shared, SnapshotRequests};

/// Watches until told to end. The sockets were taken before anything was opened; that this
/// failed is reported once there is a log.
pub(crate) fn run(
    settings: Settings,
    arguments: Vec<OsString>,
    passed: io::Result<Passed>,
) -> io::Result<()> {
    // Taken first, so that no signal ends it without order.
    let signals = Signals::take()?;
    let (shared, questions) = state::shared()?;
    let _log = log::start(&settings.flags.logging, shared.clone())?;
    passed
        .and_then(|passed| watch(settings, arguments, passed, signals, shared, questions))
        .inspect_err(|error| tracing::error!("{error}"))
}

fn watch(
    mut settings: Settings,
    arguments: Vec<OsString>,
    mut passed: Passed,
    signals: Signals,
    shared: Shared,
    questions: SnapshotRequests,
) -> io::Result<()> {
    for flag in settings.flags.idle.said() {
        info!(flag, "has no effect here; docs/watch.md says why");
    }
    let notifier = Notifier::from_env()?;
    let passed_http = std::mem::take(&mut passed.http);
    let observer = observe(&mut settings, passed)?;
    if let Some(advice) = observer.advice() {
        warn!("{advice}");
    }
    if let Some(exposure) =
        observer.queue_length().and_then(|queue| settings.exposure_at(queue))
    {
        warn!("{exposure}");
    }
    for address in observer.udp_addresses() {
        info!(%address, "listening for UDP");
        warn_of_exposure(&settings, address);
    }
    let audit = audit_options(&settings).map(AuditFile::open).transpose()?;
    let plan = Plan::new(&settings);
    let clock = Clock::of(observer.now_ns());
    let recovery = recovery::start(plan, audit, shared.clone(), clock)?;
    let format = settings.flags.export.export_format;
    let export = export_options(&settings)
        .map(|options| export::start(options, format, shared.clone()))
        .transpose()?;
    let showing = server::start(&settings, passed_http, shared.clone())?;
    let notifier = Arc::new(notifier);
    let keeper = Watchdog::start(&settings, Arc::clone(&notifier), shared.clone(), clock)?;
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "watching");
    notifier.ready("watching");
    let with = Context {
        observer,
        settings,
        arguments,
        shared,
        questions,
        signals,
        notifier,
        recovery,
        export,
        showing,
    };
    priority::take(with.settings.flags.listening.nice);
    let mut watching = EventLoop::new(with)?;
    let watched = watching.run();
    let with = watching.into_parts();
    with.notifier.stopping();
    info!("ending");
    // Whoever beats from here on learns at once that nobody is there.
    drop(with.observer);
    with.showing.end();
    with.recovery.end(Duration::from_millis(with.settings.flags.keeping.shutdown_grace_ms));
    if let Some(export) = with.export {
        export.end();
    }
    keeper.end(watched.is_ok());
    watched
}

/// Warns when UDP needs no key, or when other machines can reach it.
fn warn_of_exposure(settings: &Settings, address: SocketAddr) {
    match &settings.udp {
        Some(udp) if !udp.sealed => warn!(
            %address,
            "UDP without keys takes beats WITHOUT authentication: anyone who can send to this \
             address can pose as any UDP agent and hide its stalls; use --key-file or \
             --master-key-file"
        ),
        Some(_) if !address.ip().is_loopback() => warn!(
            %address,
            "sealed UDP listens on a non-loopback address: other machines can reach it, and \
             anyone who has a key can send beats; keep the keys secret, and restrict the port \
             with a firewall"
        ),
        _ => {}
    }
}

fn export_options(settings: &Settings) -> Option<export::Options> {
    let told = &settings.flags.export;
    Some(export::Options {
        path: told.export_file.clone()?,
        max_bytes: told.export_file_max_bytes,
        sync_every: told.export_file_sync_every,
    })
}

fn audit_options(settings: &Settings) -> Option<audit::Options> {
    let told = &settings.flags.audit;
    let ms = |ms: u32| Duration::from_millis(ms.into());
    Some(audit::Options {
        path: told.recovery_audit_file.clone()?,
        max_bytes: told.recovery_audit_max_bytes,
        sync_every: told.recovery_audit_sync_every,
        sync_interval: (told.audit_sync_interval_ms > 0)
            .then_some(ms(told.audit_sync_interval_ms)),
        fsync_budget: ms(told.audit_fsync_budget_ms),
        rotation_budget: ms(told.audit_rotation_budget_ms),
    })
}

fn observe(settings: &mut Settings, passed: Passed) -> io::Result<Observer> {
    let (listening, admission) = (&settings.flags.listening, &settings.flags.admission);
    let mut builder = Builder::new()
        .threshold(settings.threshold)
        .capacity(admission.tracker_capacity)
        .socket_mode(listening.socket_mode)
        .namespaces(admission.allow_cross_namespace_agents)
        .version1(listening.accept_version_1);
    builder = match &admission.uids {
        flags::Uids::Same => builder,
        flags::Uids::Any => builder.uids(Uids::Any),
        flags::Uids::List(list) => builder.uids(Uids::List(list.clone().into())),
    };
    if listening.uds_rcvbuf_bytes > 0 {
        let bytes = usize::try_from(listening.uds_rcvbuf_bytes).unwrap_or(usize::MAX);
        builder = builder.receive_buffer(bytes);
    }
    let (per_agent, all) = rates(admission);
    if let Some(rate) = per_agent {
        builder = builder.rate_per_agent(rate);
    }
    if let Some(rate) = all {
        builder = builder.rate(rate);
    }
    // The sockets that were passed are the ones to use; a path beside them names only where
    // they are.
    match &listening.socket {
        Some(path) if passed.beats.is_empty() => {
            builder = builder.listen(Endpoint::Path(path.clone()));
        }
        _ => {}
    }
    for socket in passed.beats {
        builder = builder.inherit(socket);
    }
    if let Some(udp) = settings.udp {
        builder = match udp.sealed {
            true => builder.secure_udp(udp.address),
            false => builder.udp(udp.address),
        };
    }
    let Keys { shared, master } = std::mem::take(&mut settings.keys);
    for key in shared {
        builder = builder.shared_key(key);
    }
    if let Some(key) = master {
        builder = builder.master_key(key);
    }
    if let Some(path) = &settings.flags.listening.secure_state_file {
        builder = builder.secure_state_file(path);
    }
    builder.bind()
}

/// How many beats become events: of one agent, and of all.
pub(crate) fn rates(admission: &Admission) -> (Option<Rate>, Option<Rate>) {
    let per_second = admission.max_beat_rate;
    // An agent that beats just so often is not always on time.
    let per_agent = Rate { per_second, burst: (per_second / 10).max(1) };
    let all =
        Rate { per_second: admission.global_beat_rate, burst: admission.global_beat_burst };
    (
        (per_second > 0).then_some(per_agent),
        (all.per_second > 0 && all.burst > 0).then_some(all),
    )
}
