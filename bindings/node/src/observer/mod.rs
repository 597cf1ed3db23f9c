//! Observers.

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
use crate::snapshot::{Agent, Stats};
use crate::sys::{Bell, words};
pub(crate) use options::Settings;

/// An observer that is listening, or was.
pub struct Handle {
    /// None once it is closed: then nothing of it is left to be collected.
    watch: Option<Arc<Watch>>,
    /// Closes it when JavaScript's environment ends, until it is closed.
    at_end: Option<CleanupEnvHook<Weak<Watch>>>,
}

impl Handle {
    fn watch(&self) -> crate::Result<&Watch> {
        self.watch.as_deref().ok_or_else(closed)
    }
}

exported! {
    /// Binds. `wake` is called when there are events to take; `half` is how many beats may
    /// wait for that.
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
        // A worker may be ended at any time. Its hooks run before what it holds is freed, in
        // the reverse order of their making, so that the bell is still there.
        let theirs = Arc::downgrade(&watch);
        let at_end = env
            .add_env_cleanup_hook(theirs, |watch| {
                if let Some(watch) = watch.upgrade() {
                    watch.close();
                }
            })
            .map_err(|error| named("node", error))?;
        Ok(External::new(Handle { watch: Some(watch), at_end: Some(at_end) }))
    }
}

exported! {
    /// Fills an array with events, and says how many they are.
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
    /// What has been counted.
    fn observer_stats(observer: &External<Handle>) -> Result<Stats> {
        Ok(Stats::from(&observer.watch()?.with(|observer| observer.stats())?))
    }
}

exported! {
    /// Events for which there was no room.
    fn observer_skipped(observer: &External<Handle>) -> Result<u64> {
        Ok(observer.watch()?.skipped())
    }
}

exported! {
    /// Gives an agent a threshold of its own.
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
    /// The UDP addresses it listens at.
    fn observer_addresses(observer: &External<Handle>) -> Result<Vec<String>> {
        observer.watch()?.with(|observer| {
            Ok(observer.udp_addresses().map(|address| address.to_string()).collect())
        })
    }
}

exported! {
    /// What the operator should know.
    fn observer_advice(observer: &External<Handle>) -> Result<Option<String>> {
        observer.watch()?.with(|observer| Ok(observer.advice()))
    }
}

exported! {
    /// Whether it holds the process, which one that is closed never does.
    fn observer_hold(env: Env, observer: &External<Handle>, hold: bool) -> Result<()> {
        match &observer.watch {
            Some(watch) => watch.bell().hold(&env, hold),
            None => Ok(()),
        }
    }
}

exported! {
    /// Stops listening and frees what it holds.
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
