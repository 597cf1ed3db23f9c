//! Pages of shared memory, and the tasks in them.

use std::sync::atomic::{AtomicU64, Ordering};

use varta::internal::lane::layout::{Head, LAYOUT_VERSION, PAGE_WORDS, Page, lines};

use super::Simulated;
use crate::judge::{Attached, Attaching, Environment, PageIndex, Refusal, TaskInfo};

impl Simulated {
    /// Gives a process a page of shared memory, if it may have one. Pages are offered with
    /// [`Builder::lane`](crate::Builder::lane). Times in lines are the observer's, less those
    /// for which it was [`suspended`](Self::suspended).
    ///
    /// ```
    /// use varta::Status;
    /// use varta::internal::lane::layout::{Hot, Info, lines};
    /// use varta::internal::lane::line;
    /// use varta_observer::judge::Attaching;
    /// use varta_observer::{Builder, Uids, What};
    ///
    /// let mut observer = Builder::new().uids(Uids::Any).lane(true).simulate()?;
    /// let (pid, uid) = (4321, 0);
    /// let process =
    ///     Attaching { pid, uid, process: None, claimed_pid: pid, nonce: 0, clock_offset: 0 };
    /// let page = observer.attach(0, &process).unwrap().page;
    /// observer.mapped(0, page);
    ///
    /// // The process beats, which is a few stores.
    /// let words = observer.page(page).unwrap();
    /// let (_, hot) = lines(words, page.offset(), 0).unwrap();
    /// let info = Info { status: Status::Ok, which: None, idle: false, broken: 0, checkpoint: 0, payload: 7 };
    /// let _ = line::write(hot, 0, &Hot { at: 500, until: 0, info: info.to_word(), last: 1 });
    ///
    /// // The observer looks twice per threshold.
    /// observer.advance(1_000_000_000);
    /// let what = observer.poll().unwrap().what;
    /// assert_eq!(what, What::Beat { status: Status::Ok, payload: 7, nonce: 1, missed: 0, count: 1 });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The reason, if it may not have a page.
    pub fn attach(&mut self, at_ns: u64, process: &Attaching) -> Result<Attached, Refusal> {
        self.set_time(at_ns);
        let attached = self.judge.attach(self.now, process, &mut self.environment)?;
        let words: Box<Page> = Box::new([const { AtomicU64::new(0) }; PAGE_WORDS]);
        if let Some((cold, _)) = lines(&words, attached.page.offset(), 0) {
            let head = Head { layout: LAYOUT_VERSION, live: 0, thread: 0 };
            for (word, value) in cold.iter().zip(head.to_words()) {
                word.store(value, Ordering::Relaxed);
            }
        }
        let index = attached.page.index();
        if self.environment.pages.len() <= index {
            self.environment.pages.resize_with(index + 1, || None);
        }
        if let Some(place) = self.environment.pages.get_mut(index) {
            *place = Some(words);
        }
        Ok(attached)
    }

    /// The process has mapped its page, which is looked at for the first time.
    pub fn mapped(&mut self, at_ns: u64, page: PageIndex) {
        self.set_time(at_ns);
        self.judge.mapped(self.now, page);
        self.look_at(page);
    }

    /// The process asks the observer to look at its page.
    pub fn bell(&mut self, at_ns: u64, page: PageIndex) {
        self.set_time(at_ns);
        self.look_at(page);
    }

    /// The process gives up its page.
    pub fn detach(&mut self, at_ns: u64, page: PageIndex) {
        self.set_time(at_ns);
        self.judge.detached(self.now, page, &mut self.environment);
        self.environment.page_released(page);
        self.collect_events();
    }

    /// The words of a page, into which the process writes, until the page is given up.
    #[must_use]
    pub fn page(&self, page: PageIndex) -> Option<&Page> {
        self.environment.page(page)
    }

    /// A thread of the process with this pid has ended.
    pub fn thread_gone(&mut self, pid: u32, thread: u32) {
        self.environment.gone_threads.insert((pid, thread));
    }

    /// The tasks of an agent.
    #[must_use]
    pub fn tasks(&self, agent: u64) -> Vec<TaskInfo> {
        self.judge.tasks(agent, self.now, &self.environment).collect()
    }

    pub(super) fn look_at(&mut self, page: PageIndex) {
        self.judge.look(self.now, page, &mut self.environment);
        self.collect_events();
    }
}
