//! Reports by the crate sd-notify until stdin ends.

use sd_notify::{NotifyState, notify, watchdog_enabled};

fn main() {
    notify(&[NotifyState::Ready, NotifyState::Status("at work")]).unwrap();
    let half = watchdog_enabled().expect("WATCHDOG_USEC is not for this process") / 2;
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(half);
            notify(&[NotifyState::Watchdog]).unwrap();
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    notify(&[NotifyState::Stopping]).unwrap();
    std::process::exit(3);
}
