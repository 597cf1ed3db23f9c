//! A beat on the lane beside a reading of the clock, calls of a task beside that beat, and cold
//! beats beside a bare send.

use std::hint::black_box;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use varta::{BeatOutcome, Status, Task, TaskOptions};

use super::{Apart, attached};
use crate::agent::BARE;
use crate::measure::{Contender, Group, Plan, side_by_side};
use crate::receiver::Receiver;
use crate::report::Target;
use crate::stage::Stage;
use crate::sys::{self, AT_ONCE};

const HOT: &str = "lane, hot";
const CLOCK: &str = "clock_gettime";
const BEAT: &str = "lane beat";
const TASK_BEAT: &str = "task.beat";
const IDLE: &str = "task.idle";
const REACH: &str = "task.reach";
const PROGRESS: &str = "task.progress";
const BLOCK: &str = "watched block";
const BLOCK_AMONG_8: &str = "watched block, 7 others open";
const BLOCK_AMONG_10_000: &str = "watched block, 9,999 others open";

const COLD_1: &str = "lane, cold after 1 ms";
const COLD_10: &str = "lane, cold after 10 ms";

/// Calls in each sample: enough that the clock's resolution does not matter.
pub(crate) const EACH: u32 = 100;

pub(crate) const HOT_TARGETS: &[Target] = &[
    Target::median(HOT, BEAT, CLOCK, 1.45),
    Target::median(HOT, TASK_BEAT, BEAT, 1.15),
    Target::median(HOT, IDLE, BEAT, 1.15),
    Target::median(HOT, REACH, BEAT, 1.15),
    Target::median(HOT, PROGRESS, BEAT, 1.15),
    Target::median(HOT, BLOCK, BEAT, 2.4),
    Target::median(HOT, BLOCK_AMONG_8, BEAT, 2.4),
];
pub(crate) const COLD_TARGETS: [&[Target]; 2] =
    [&[Target::median(COLD_1, BEAT, BARE, 0.05)], &[Target::median(COLD_10, BEAT, BARE, 0.10)]];

pub(crate) fn hot(plan: Plan, stage: &Stage) -> io::Result<Group> {
    let plan = Plan { each: EACH, set_ups: 1, ..plan };
    side_by_side(HOT, plan, || {
        let path = stage.path("lane.sock")?;
        let observer = Apart::start(&path, stage.receiver_cpu)?;
        let mut agent = attached(&path)?;
        let task = |name| agent.task(name, Duration::from_secs(60));
        let (mut beating, mut idling) = (task("beating")?, task("idling")?);
        let (mut reaching, mut progressing) = (task("reaching")?, task("progressing")?);
        let among = |name, others: u32| -> io::Result<Task> {
            let options = TaskOptions::new(Duration::from_secs(60)).spans(others + 1);
            let mut task = agent.task_with(name, options)?;
            for other in 0..others {
                task.open_span(Duration::from_secs(3600) + Duration::from_secs(other.into()));
            }
            Ok(task)
        };
        let blocks = [
            (BLOCK, among("alone", 0)?),
            (BLOCK_AMONG_8, among("among 8", 7)?),
            (BLOCK_AMONG_10_000, among("among 10,000", 9_999)?),
        ];
        let mut contenders = vec![
            repeated(CLOCK, || {
                black_box(Instant::now());
                true
            }),
            repeated(BEAT, move || agent.beat(Status::Ok, 7) == BeatOutcome::Sent),
            repeated(TASK_BEAT, move || beating.beat(Status::Ok, 7) == BeatOutcome::Sent),
            repeated(IDLE, move || {
                idling.idle();
                true
            }),
            repeated(REACH, move || {
                reaching.reach(3);
                true
            }),
            repeated(PROGRESS, move || {
                progressing.progress(3, 4);
                true
            }),
        ];
        contenders.extend(blocks.map(|(name, mut task)| {
            repeated(name, move || {
                drop(task.watch(Duration::from_secs(30)));
                true
            })
        }));
        Ok((observer, contenders))
    })
}

pub(crate) fn repeated(
    name: &'static str,
    mut call: impl FnMut() -> bool + 'static,
) -> Contender<'static> {
    Contender::new(name, move || {
        let mut good = true;
        for _ in 0..EACH {
            good &= call();
        }
        good
    })
}

pub(crate) fn cold_after_1_ms(plan: Plan, stage: &Stage) -> io::Result<Group> {
    cold(COLD_1, Duration::from_millis(1), plan, stage)
}

pub(crate) fn cold_after_10_ms(plan: Plan, stage: &Stage) -> io::Result<Group> {
    cold(COLD_10, Duration::from_millis(10), plan, stage)
}

/// The receiver of the bare send sleeps, as an observer does.
fn cold(name: &'static str, gap: Duration, plan: Plan, stage: &Stage) -> io::Result<Group> {
    let plan = Plan { gap, block: 5, set_ups: 1, ..plan };
    side_by_side(name, plan, || {
        let path = stage.path("asleep.sock")?;
        let receiver = Receiver::asleep(stage, &path)?;
        let socket = UnixDatagram::unbound()?;
        socket.connect(&path)?;
        let lane = stage.path("lane.sock")?;
        let observer = Apart::start(&lane, stage.receiver_cpu)?;
        let mut agent = attached(&lane)?;
        let contenders = vec![
            Contender::new(BARE, move || sys::send(socket.as_fd(), &[0x55; 32], AT_ONCE)),
            Contender::new(BEAT, move || agent.beat(Status::Ok, 7) == BeatOutcome::Sent),
        ];
        // Beats on the lane are not datagrams, so nothing waits for the receiver to count them.
        Ok(((receiver, observer), contenders))
    })
}
