//! The calls of agents and tasks allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::support::{Agent, Folder, Observer, Task, attached, init, patient, text};
use crate::agent::{varta_agent_counters, varta_agent_stats, varta_last_words};
use crate::notify::{varta_ready, varta_status};
use crate::observer::options::{VARTA_OBSERVER_LANE, VARTA_OBSERVER_TASKS};
use crate::task::counters::{varta_task_counters, varta_task_counts};
use crate::task::info::{varta_agent_tasks, varta_task_info};
use crate::task::*;

thread_local! {
    /// Per thread, because other tests run at the same time.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting every call.
struct Counting;

fn count() {
    // A thread that ends may have no counter any more.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn allocates_nothing(agent: &Agent, task: &Task) {
    let before = CALLS.get();
    for number in 0..1_000 {
        let watch = unsafe { varta_task_watch_labelled(task.0, 0, 1 << 40, 3) }.number();
        let (mut info, mut counted): (varta_task_info, varta_task_counters) = (init(), init());
        let mut counters: varta_agent_counters = init();
        let codes = unsafe {
            [
                varta_task_beat(task.0, 1, number),
                varta_task_reach(task.0, 1),
                varta_task_progress(task.0, number, 1),
                varta_task_idle(task.0, VARTA_NEVER),
                varta_task_counts(task.0, &raw mut counted),
                varta_agent_stats(agent.0, &raw mut counters),
            ]
        };
        assert_eq!(codes.map(|code| code.number()), [0; 6]);
        assert_eq!(unsafe { varta_task_unwatch(task.0, watch) }.number(), 1);
        assert_eq!(unsafe { varta_agent_tasks(agent.0, &raw mut info, 1) }.number(), 1);
        assert!(agent.beat(0, number) >= 0);
        assert!(unsafe { varta_last_words(agent.0, 0) }.number() >= 0);
        assert!(unsafe { varta_ready(agent.0) }.number() > 0);
        assert!(unsafe { varta_status(agent.0, c"text".as_ptr()) }.number() > 0);
    }
    assert_eq!(CALLS.get(), before);
}

#[test]
fn calls_of_agents_and_tasks_allocate_nothing() {
    let nobody = Agent::connect(&text("@varta-allocation"));
    allocates_nothing(&nobody, &Task::open(&nobody, "task", VARTA_NEVER));

    let folder = Folder::new();
    let mut options = patient();
    options.flags = VARTA_OBSERVER_LANE | VARTA_OBSERVER_TASKS;
    let observer = Observer::bind_with(&folder.socket(), &options);
    let agent = Agent::connect(&folder.socket());
    attached(&agent, &observer);
    let task = Task::open(&agent, "task", VARTA_NEVER);
    allocates_nothing(&agent, &task);
    assert!(CALLS.get() > 0, "nothing was counted");
}
