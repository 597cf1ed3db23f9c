//! Messages of sd_notify, for the parser and for an observer with simulated time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use varta_observer::judge::{Datagram, Notification, Sender, parse_notification};
use varta_observer::{Builder, ServiceState, Uids};

fuzz_target!(|data: &[u8]| {
    if let Ok(Notification::State(state)) = parse_notification(data) {
        assert!(state.status.is_none_or(|status| status.len() <= data.len()));
    }
    // The messages are separated by zero bytes, which no message has inside. The first byte of
    // each chooses its sender, and how much time passes.
    let mut builder = Builder::new().uids(Uids::Any).notify("/nowhere", 0o666);
    builder = builder.causes(true);
    let Ok(mut observer) = builder.simulate() else { return };
    let mut now = 0_u64;
    for message in data.split(|byte| *byte == 0) {
        let Some((first, message)) = message.split_first() else { continue };
        let pid = u32::from(first & 3) + 50;
        now = now.saturating_add(u64::from(first >> 2) * 100_000_000);
        observer.advance(now);
        let sender = Sender::Kernel { pid, uid: 1000, process: Some(pid.into()) };
        observer.notify(now, &Datagram::new(1, sender, message));
        while let Some(event) = observer.poll() {
            assert!(event.about.is_none_or(|about| (50..54).contains(&about.pid)));
        }
        for agent in observer.snapshot() {
            let Some(service) = observer.service(agent.agent) else { continue };
            assert!(service.status.as_str().len() <= 256);
            assert!(!service.status.to_string().contains(char::is_control));
            // A service that stops is not judged.
            assert!(service.state != ServiceState::Stopping || service.watchdog_ns.is_none());
        }
    }
});
