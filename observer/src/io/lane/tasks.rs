//! Queries about the tasks of agents.

use std::io;

use crate::io::Observer;
use crate::judge::TaskInfo;

impl Observer {
    /// The tasks of an agent, as of now: their last calls are read from shared memory. Empty if
    /// there is no such agent, or if tasks are not [followed](crate::Builder::tasks).
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("varta-doc-tasks-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let endpoint = folder.join("varta.sock").to_str().unwrap().parse().unwrap();
    /// let observer =
    ///     varta_observer::Builder::new().listen(endpoint).lane(true).tasks(true).bind()?;
    /// for agent in observer.snapshot()? {
    ///     for task in observer.tasks(agent.agent)? {
    ///         println!("{} of {}: {}", task.name, agent.name, task.status);
    ///     }
    /// }
    /// # drop(observer);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn tasks(&self, agent: u64) -> io::Result<Vec<TaskInfo>> {
        self.owner.check()?;
        Ok(self.judge.tasks(agent, self.clock.now(), &self.processes).collect())
    }

    /// One task of an agent, by its number, if there is one. Allocates nothing.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn task(&self, agent: u64, number: u32) -> io::Result<Option<TaskInfo>> {
        self.owner.check()?;
        Ok(self.judge.task(agent, number, self.clock.now(), &self.processes))
    }
}
