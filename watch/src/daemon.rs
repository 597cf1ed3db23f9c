//! Starts the parts of the daemon, and shuts them down again.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};
use varta::Endpoint;
use varta_history::{Limits, Run};
use varta_observer::{Access, Builder, Observer, Uids};

use crate::config::{Keys, Settings};
use crate::event_loop::signals::Signals;
use crate::event_loop::watchdog::Watchdog;
use crate::event_loop::{Context, EventLoop};
use crate::flags::{self, NotifyAccess};
use crate::lookup::Lookups;
use crate::output::audit::{self, AuditFile};
use crate::output::batches::{self, HistoryFiles};
use crate::output::export::{self, Export};
use crate::output::log;
use crate::output::stamp::Source;
use crate::platform::clock::{Clock, nanoseconds, wall_ns};
use crate::platform::descriptors;
use crate::platform::priority;
use crate::platform::systemd::{Notifier, Passed};
use crate::recovery::{self, Plan};
use crate::server;
use crate::state::{self, Shared, SnapshotRequests};

/// Runs until a signal or a timeout ends the daemon. `passed` was determined before any file
/// was opened; if that failed, the error is reported once there is a log.
pub(crate) fn run(
    settings: Settings,
    arguments: Vec<OsString>,
    passed: io::Result<Passed>,
) -> io::Result<()> {
    // First, so that no signal kills the daemon without an orderly shutdown.
    let signals = Signals::register()?;
    let (shared, requests) = state::shared()?;
    let _log = log::start(&settings.flags.logging, shared.clone())?;
    passed
        .and_then(|passed| watch(settings, arguments, passed, signals, shared, requests))
        .inspect_err(|error| tracing::error!("{error}"))
}

fn watch(
    mut settings: Settings,
    arguments: Vec<OsString>,
    mut passed: Passed,
    signals: Signals,
    shared: Shared,
    requests: SnapshotRequests,
) -> io::Result<()> {
    for flag in settings.flags.ignored.given() {
        info!(flag, "has no effect; see docs/watch.md");
    }
    let notifier = Notifier::from_env()?;
    let passed_http = std::mem::take(&mut passed.http);
    descriptors::raise_limit(settings.flags.admission.tracker_capacity);
    let notifies = passed.notify.is_some() || settings.flags.listening.notify_socket.is_some();
    let observer = observe(&mut settings, passed)?;
    if let Some(advice) = observer.advice() {
        warn!("{advice}");
    }
    if let Some(exposure) =
        observer.queue_length().and_then(|queue| settings.exposure_at(queue))
    {
        warn!("{exposure}");
    }
    if let Some(missing) = settings.missing_folder() {
        warn!("{missing}");
    }
    for address in observer.udp_addresses() {
        info!(%address, "listening for UDP");
        warn_of_exposure(&settings, address);
    }
    let audit = audit_options(&settings).map(AuditFile::open).transpose()?;
    let plan = Plan::new(&settings, Vec::new());
    let left_out = settings.flags.recovery.recovery_on.left_out();
    if plan.is_some() && !left_out.is_empty() {
        warn!(
            "--recovery-on leaves out {}: recovery does not start for it",
            left_out.join(", ")
        );
    }
    let clock = Clock::of(observer.now_ns());
    let source = Arc::new(source(&settings, clock));
    let history = history(&settings, &source, clock)?;
    let has_history = history.is_some();
    let history_folder = history.as_ref().map(|history| history.folder().to_owned());
    let is_unavailable = !has_history && settings.history_folder().is_some();
    shared.counters().history.unavailable.set(is_unavailable.into());
    let recovery = recovery::start(plan, audit, shared.clone(), clock, has_history)?;
    let lookups = Lookups::start(shared.clone())?;
    let format = settings.flags.export.export_format;
    let export =
        export_options(&settings).map(|options| Export::open(options, format)).transpose()?;
    let batches = batches::start(export, history, Arc::clone(&source), shared.clone())?;
    let server = server::start(&settings, passed_http, shared.clone(), source, history_folder)?;
    let notifier = Arc::new(notifier);
    let watchdog = Watchdog::start(&settings, Arc::clone(&notifier), shared.clone(), clock)?;
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "watching");
    notifier.ready("watching");
    let context = Context {
        observer,
        settings,
        arguments,
        shared,
        requests,
        signals,
        notifier,
        recovery,
        lookups,
        batches,
        has_history,
        server,
        notifies,
    };
    priority::raise(context.settings.flags.listening.nice);
    let mut event_loop = EventLoop::new(context)?;
    let result = event_loop.run();
    let (context, recorder) = event_loop.into_parts();
    context.notifier.stopping();
    info!("shutting down");
    // From here on, agents notice at once that there is no observer.
    drop(context.observer);
    context.server.end();
    let grace = Duration::from_millis(context.settings.flags.supervision.shutdown_grace_ms);
    let decisions = context.recovery.end(grace);
    if let Some(batches) = context.batches {
        recorder.end(clock.now(), &decisions, result.as_ref().err(), &batches);
        batches.end();
    }
    watchdog.end(result.is_ok());
    result
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

/// The name of this host and this run, for each line.
fn source(settings: &Settings, clock: Clock) -> Source {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    let host =
        settings.flags.history.host.clone().unwrap_or_else(|| {
            rustix::system::uname().nodename().to_string_lossy().into_owned()
        });
    let boot_id = std::fs::read_to_string(BOOT_ID);
    let run = boot_id.as_ref().ok().and_then(|id| Run::new(id, clock.start_ns()).ok());
    let run = run.unwrap_or_else(|| {
        warn!("{BOOT_ID} cannot be read; the runs of this daemon are told apart by time alone");
        Run { boot_id: [0; 16], start_us: wall_ns() / 1_000 }
    });
    Source { host, run }
}

fn history(
    settings: &Settings,
    source: &Source,
    clock: Clock,
) -> io::Result<Option<HistoryFiles>> {
    let Some(folder) = settings.history_folder() else { return Ok(None) };
    let flags = &settings.flags.history;
    let limits = Limits {
        max_bytes: flags.history_max_bytes,
        max_age_ns: nanoseconds(flags.history_max_age),
    };
    let Source { host, run } = source.clone();
    let origin = varta_history::Origin { host, run, boot_ns: clock.start_ns() };
    HistoryFiles::open(folder, limits, origin, clock)
}

fn export_options(settings: &Settings) -> Option<export::Options> {
    let flags = &settings.flags.export;
    Some(export::Options {
        path: flags.export_file.clone()?,
        max_bytes: flags.export_file_max_bytes,
        sync_every: flags.export_file_sync_every,
    })
}

fn audit_options(settings: &Settings) -> Option<audit::Options> {
    let flags = &settings.flags.audit;
    let ms = |ms: u32| Duration::from_millis(ms.into());
    Some(audit::Options {
        path: flags.recovery_audit_file.clone()?,
        max_bytes: flags.recovery_audit_max_bytes,
        sync_every: flags.recovery_audit_sync_every,
        sync_interval: (flags.audit_sync_interval_ms > 0)
            .then_some(ms(flags.audit_sync_interval_ms)),
        fsync_budget: ms(flags.audit_fsync_budget_ms),
        rotation_budget: ms(flags.audit_rotation_budget_ms),
    })
}

fn observe(settings: &mut Settings, passed: Passed) -> io::Result<Observer> {
    let (listening, admission) = (&settings.flags.listening, &settings.flags.admission);
    let lane = &settings.flags.lane;
    let mut builder = Builder::new()
        .threshold(settings.threshold)
        .capacity(admission.tracker_capacity)
        .socket_mode(listening.socket_mode)
        .namespaces(admission.allow_cross_namespace_agents)
        .version1(listening.accept_version_1)
        .lane(lane.lane.is_on())
        .causes(settings.flags.admission.causes.is_on())
        .tasks(lane.tasks.is_on())
        .slack(lane.slack());
    builder = match &admission.uids {
        flags::Uids::Same => builder,
        flags::Uids::Any => builder.uids(Uids::Any),
        flags::Uids::List(list) => builder.uids(Uids::List(list.clone().into())),
    };
    if listening.uds_rcvbuf_bytes > 0 {
        let bytes = usize::try_from(listening.uds_rcvbuf_bytes).unwrap_or(usize::MAX);
        builder = builder.receive_buffer(bytes);
    }
    let (per_agent, all) = admission.rates();
    if let Some(rate) = per_agent {
        builder = builder.rate_per_agent(rate);
    }
    if let Some(rate) = all {
        builder = builder.rate(rate);
    }
    // Passed sockets take precedence. A path given as well only describes where they are.
    match &listening.socket {
        Some(path) if passed.beats.is_empty() => {
            builder = builder.listen(Endpoint::Path(path.clone()));
        }
        _ => {}
    }
    for socket in passed.beats {
        builder = builder.inherit(socket);
    }
    for socket in passed.lanes {
        if lane.lane.is_on() {
            builder = builder.inherit(socket);
        } else {
            warn!(
                "the service manager passed a socket for the lane, but --lane is off: each agent \
                 waits there for 20 ms when it starts; remove ListenSequentialPacket from the \
                 socket unit"
            );
        }
    }
    let notified = passed.notify.is_some() || listening.notify_socket.is_some();
    builder = match (passed.notify, &listening.notify_socket) {
        (Some(socket), _) => builder.inherit_notify(socket),
        (None, Some(path)) => builder.notify(path, listening.notify_socket_mode),
        (None, None) => builder,
    };
    if notified && listening.notify_access == NotifyAccess::All {
        builder = builder.notify_access(Access::All);
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
