//! A process of a story: its own copy of its lines, and the page that it has from the observer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use varta::internal::lane::layout::{
    self, Cold, Head, Hot, LAYOUT_VERSION, Line, PAGE_WORDS, PAIRS, Page, State, Words,
};
use varta::internal::lane::line;
use varta_observer::Simulated;
use varta_observer::judge::PageIndex;

use super::call::Task;
use crate::check::lane::values;
use crate::failure::Failure;
use crate::fields::Fields;

pub(super) struct Process {
    own: Box<Page>,
    head: Head,
    pub(super) page: Option<PageIndex>,
    /// Its tasks, by pair.
    pub(super) tasks: HashMap<u32, Task>,
}

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        let own = Box::new([const { AtomicU64::new(0) }; PAGE_WORDS]);
        let head = Head { layout: LAYOUT_VERSION, live: 0, thread: pid };
        if let Some((cold, _)) = layout::lines(&own, 0, 0) {
            store(cold, head.to_words());
        }
        Self { own, head, page: None, tasks: HashMap::new() }
    }

    /// The page that it has.
    pub(super) fn attached(&self) -> Result<PageIndex, Failure> {
        self.page.ok_or_else(|| Failure::new("pid", "a process that has a page", "another one"))
    }

    /// It gets a page, and puts its lines there.
    pub(super) fn attach(
        &mut self,
        observer: &Simulated,
        page: PageIndex,
    ) -> Result<(), Failure> {
        self.page = Some(page);
        for pair in 0..PAIRS {
            let [(own_cold, own_hot), (cold, hot)] = self.lines(observer, pair)?[..] else {
                return Err(Failure::new("page", "two copies", "another number"));
            };
            store(cold, load(own_cold));
            store(hot, load(own_hot));
        }
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        observer: &Simulated,
        at_ns: u64,
        step: &Fields<'_>,
    ) -> Result<(), Failure> {
        step.only(&["at_ns", "op", "pid", "copy", "pair", "head", "hot", "times"])?;
        let pair = step.number("pair")?;
        if step.has("head") {
            self.head = values::head(&step.object("head")?)?;
            self.write_cold(observer, pair, self.head.to_words())?;
        }
        if step.has("hot") {
            let hot = values::hot(&step.object("hot")?, at_ns)?;
            let times = if step.has("times") { step.number("times")? } else { 1 };
            for _ in 0..times {
                self.write_hot(observer, pair, &hot)?;
            }
        }
        Ok(())
    }

    pub(super) fn close(
        &mut self,
        observer: &Simulated,
        step: &Fields<'_>,
    ) -> Result<(), Failure> {
        step.only(&["at_ns", "op", "pid", "copy", "pair", "state"])?;
        let pair = step.number("pair")?;
        let state = values::state(step.text("state")?)?;
        let Some(task) = self.tasks.remove(&pair) else {
            return Err(Failure::new("pair", "the pair of a task", pair));
        };
        self.write_cold(observer, pair, Cold { state, ..task.cold }.to_words())?;
        self.head.live &= !(1 << pair);
        self.write_cold(observer, 0, self.head.to_words())
    }

    pub(super) fn write_cold(
        &self,
        observer: &Simulated,
        pair: u32,
        words: Words,
    ) -> Result<(), Failure> {
        for (cold, _) in self.lines(observer, pair)? {
            store(cold, words);
        }
        Ok(())
    }

    pub(super) fn write_hot(
        &self,
        observer: &Simulated,
        pair: u32,
        written: &Hot,
    ) -> Result<(), Failure> {
        for (_, hot) in self.lines(observer, pair)? {
            let _ = line::write(hot, line::sequence(hot), written);
        }
        Ok(())
    }

    /// How the last task of a pair ended.
    pub(super) fn ended(&self, pair: u32) -> State {
        let words = layout::lines(&self.own, 0, pair).map(|(cold, _)| load(cold));
        let cold = words.and_then(Cold::from_words);
        cold.map_or(State::Free, |cold| cold.state)
    }

    /// A pair's cold and hot line, in each copy.
    fn lines<'a>(
        &'a self,
        observer: &'a Simulated,
        pair: u32,
    ) -> Result<Vec<(&'a Line, &'a Line)>, Failure> {
        let shared = self.page.and_then(|page| Some((observer.page(page)?, page.offset())));
        [Some((&*self.own, 0)), shared]
            .into_iter()
            .flatten()
            .map(|(page, offset)| layout::lines(page, offset, pair))
            .collect::<Option<_>>()
            .ok_or_else(|| Failure::new("pair", "a pair of a page", pair))
    }
}

fn load(line: &Line) -> Words {
    line.each_ref().map(|word| word.load(Ordering::Relaxed))
}

fn store(line: &Line, words: Words) {
    for (place, word) in line.iter().zip(words) {
        place.store(word, Ordering::Relaxed);
    }
}
