//! Exports of the observer.

mod backlog;
mod fair;
mod options;
mod watch;

use std::sync::{Arc, Weak};
use std::time::Duration;

use napi::bindgen_prelude::{BigInt, BigUint64ArraySlice, External, Function};
use napi::{CleanupEnvHook, Env};

use self::watch::Watch;
use crate::failure::{closed, from_io, named};
use crate::snapshot::{Agent, Cause, Stats, Task};
use crate::sys::{Bell, words};
pub(crate) use options::{Settings, SlackEntry, slack};

/// An observer, open or closed.
pub struct Handle {
    /// None after it was closed.
    watch: Option<Arc<Watch>>,
    /// The hook that closes it when the JavaScript environment ends. None after it was closed.
    at_end: Option<CleanupEnvHook<Weak<Watch>>>,
}

impl Handle {
    fn watch(&self) -> crate::Result<&Watch> {
        self.watch.as_deref().ok_or_else(closed)
    }
}

exported! {
    /// Binds an observer. `wake` is called when there are events to take, and `half` is how many
    /// beats may wait.
    fn observer_bind(
        env: Env,
        settings: Settings,
        half: u32,
        wake: Function<'_, (), ()>,
    ) -> Result<External<Handle>> {
        let observer = settings.builder()?.bind().map_err(|error| from_io(&error))?;
        let bell = Bell::new(&env, &wake)?;
        let half = usize::try_from(half).unwrap_or(usize::MAX);
        let watch = Watch::start(observer, bell, half).map_err(|error| from_io(&error))?;
        let watch = Arc::new(watch);
        // A worker may be terminated at any time. Its hooks run before its objects are freed,
        // in reverse order of creation, so the bell still exists then.
        let weak = Arc::downgrade(&watch);
        let at_end = env
            .add_env_cleanup_hook(weak, |watch| {
                if let Some(watch) = watch.upgrade() {
                    watch.close();
                }
            })
            .map_err(|error| named("node", error))?;
        Ok(External::new(Handle { watch: Some(watch), at_end: Some(at_end) }))
    }
}

exported! {
    /// Fills an array with events and returns their number.
    fn observer_take(observer: &External<Handle>, mut room: BigUint64ArraySlice<'_>) -> Result<u32> {
        observer.watch()?.take(words(&mut room))
    }
}

exported! {
    /// The agents that are followed.
    fn observer_agents(observer: &External<Handle>) -> Result<Vec<Agent>> {
        let agents = observer.watch()?.with(|observer| observer.snapshot())?;
        Ok(agents.iter().map(Agent::from).collect())
    }
}

exported! {
    /// Returns the tasks of an agent.
    fn observer_tasks(observer: &External<Handle>, agent: BigInt) -> Result<Vec<Task>> {
        let tasks = observer.watch()?.with(|observer| observer.tasks(agent.get_u64().1))?;
        Ok(tasks.iter().map(Task::from).collect())
    }
}

exported! {
    /// Returns why an agent, or one of its tasks, is silent.
    fn observer_cause(
        observer: &External<Handle>,
        agent: BigInt,
        task: u32,
    ) -> Result<Option<Cause>> {
        let agent = agent.get_u64().1;
        let info = observer.watch()?.with(|observer| observer.cause(agent, task))?;
        Ok(info.as_ref().map(Cause::from))
    }
}

exported! {
    /// Sets how late tasks may be.
    fn observer_set_slack(observer: &External<Handle>, entries: Vec<SlackEntry>) -> Result<()> {
        observer.watch()?.with(|observer| observer.set_slack(&slack(entries)))
    }
}

exported! {
    /// Returns the counters.
    fn observer_stats(observer: &External<Handle>) -> Result<Stats> {
        Ok(Stats::from(&observer.watch()?.with(|observer| observer.stats())?))
    }
}

exported! {
    /// Returns how many events were skipped.
    fn observer_skipped(observer: &External<Handle>) -> Result<u64> {
        Ok(observer.watch()?.skipped())
    }
}

exported! {
    /// Sets the threshold of one agent.
    fn observer_set_threshold(
        observer: &External<Handle>,
        agent: BigInt,
        threshold_ns: BigInt,
    ) -> Result<bool> {
        let threshold = Duration::from_nanos(threshold_ns.get_u64().1);
        observer.watch()?.with(|observer| observer.set_threshold(agent.get_u64().1, threshold))
    }
}

exported! {
    /// Returns the UDP addresses on which it listens.
    fn observer_addresses(observer: &External<Handle>) -> Result<Vec<String>> {
        observer.watch()?.with(|observer| {
            Ok(observer.udp_addresses().map(|address| address.to_string()).collect())
        })
    }
}

exported! {
    /// Returns advice for the operator, if there is any.
    fn observer_advice(observer: &External<Handle>) -> Result<Option<String>> {
        observer.watch()?.with(|observer| Ok(observer.advice()))
    }
}

exported! {
    /// Sets whether it keeps the process running. A closed observer never does.
    fn observer_hold(env: Env, observer: &External<Handle>, hold: bool) -> Result<()> {
        match &observer.watch {
            Some(watch) => watch.bell().hold(&env, hold),
            None => Ok(()),
        }
    }
}

exported! {
    /// Stops listening and frees its resources.
    fn observer_close(env: Env, observer: &mut External<Handle>) -> Result<()> {
        if let Some(watch) = observer.watch.take() {
            watch.close();
        }
        match observer.at_end.take() {
            Some(hook) => {
                env.remove_env_cleanup_hook(hook).map_err(|error| named("node", error))
            }
            None => Ok(()),
        }
    }
}
