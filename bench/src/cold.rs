//! Cold beats: agent and receiver sleep between beats, as they do in a real program. The times
//! include waking the receiver and cache misses.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::agent::{BARE, CONNECT, OPEN, VARTA_0_2};
use crate::measure::{Contender, Group, Plan, side_by_side};
use crate::receiver::Receiver;
use crate::stage::Stage;
use crate::sys::{self, AT_ONCE};

pub(crate) fn after_1_ms(plan: Plan, stage: &Stage) -> io::Result<Group> {
    cold("uds, cold after 1 ms", Duration::from_millis(1), plan, stage)
}

pub(crate) fn after_10_ms(plan: Plan, stage: &Stage) -> io::Result<Group> {
    cold("uds, cold after 10 ms", Duration::from_millis(10), plan, stage)
}

fn cold(name: &'static str, gap: Duration, plan: Plan, stage: &Stage) -> io::Result<Group> {
    let plan = Plan { gap, block: 5, set_ups: 1, ..plan };
    side_by_side(name, plan, || {
        let path = stage.path("asleep.sock")?;
        let receiver = Receiver::asleep(stage, &path)?;
        let socket = UnixDatagram::unbound()?;
        socket.connect(&path)?;
        let mut connect = varta::Varta::connect(&path)?;
        let mut open = varta::Varta::open(&path)?;
        let mut older = varta_client::Varta::connect(&path)?;
        let contenders = vec![
            Contender::new(BARE, move || sys::send(socket.as_fd(), &[0x55; 32], AT_ONCE)),
            Contender::new(CONNECT, move || {
                connect.beat(varta::Status::Ok, 7) == varta::BeatOutcome::Sent
            }),
            Contender::new(OPEN, move || {
                open.beat(varta::Status::Ok, 7) == varta::BeatOutcome::Sent
            }),
            Contender::new(VARTA_0_2, move || {
                let outcome = older.beat(varta_client::Status::Ok, 7);
                matches!(outcome, varta_client::BeatOutcome::Sent)
            }),
        ];
        Ok((receiver, contenders))
    })
}
