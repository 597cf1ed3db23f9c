//! Runs the code of the lane in every order of its accesses to shared words, up to a number of
//! preemptions.
//!
//! Each access calls [`step`]. In a thread of a model, this lets the scheduler choose which
//! thread goes on. A schedule is a list of choices; after a run the last choice that has an
//! alternative is changed, until all have been tried.
//!
//! As on x86, a store may become visible to the other threads later than the accesses that
//! follow it: when the schedule leaves a thread, it chooses whether the others see its stores
//! since its last locked instruction. Apart from that the accesses of a schedule are sequentially
//! consistent, so the orderings of weaker CPUs are not tested here. What they rest on is in
//! [`line`](super::line): the words of a copy are written between a release fence and the release
//! store of its sequence, and read between an acquire load of it and an acquire fence.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::atomic::{AtomicU64, Delayed};

thread_local! {
    static PLAYER: RefCell<Option<(usize, Arc<Game>)>> = const { RefCell::new(None) };
    /// How many accesses this thread may still make.
    static LIFE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Before an access to a word: lets another thread of the model go on, if the schedule says so.
pub(crate) fn step<T>(word: &T) {
    if let Some((me, game)) = player() {
        if game.is_shared(std::ptr::from_ref(word) as usize) {
            game.yield_turn(me);
        }
    }
    if let Some(left) = LIFE.get() {
        match left.checked_sub(1) {
            Some(left) => LIFE.set(Some(left)),
            None => panic::resume_unwind(Box::new(Killed)),
        }
    }
}

/// Delays a store of this thread, if it is one of a model.
pub(crate) fn delay(store: Delayed) -> bool {
    let Some((me, game)) = player() else { return false };
    let is_shared = game.is_shared(store.word as usize);
    if is_shared {
        game.state().delayed[me].push(store);
    }
    is_shared
}

/// What this thread has stored in a word, if the others do not see it yet.
pub(crate) fn delayed(word: &AtomicU64) -> Option<u64> {
    let (me, game) = player()?;
    let state = game.state();
    let mut latest = state.delayed[me].iter().rev();
    latest.find(|store| std::ptr::eq(store.word, word)).map(|store| store.value)
}

/// Makes the delayed stores of this thread visible.
pub(crate) fn drain() {
    if let Some((me, game)) = player() {
        game.state().drain(me);
    }
}

/// Makes the delayed stores of all threads of the model visible.
pub(crate) fn drain_all() {
    if let Some((_, game)) = player() {
        let mut state = game.state();
        (0..state.delayed.len()).for_each(|thread| state.drain(thread));
    }
}

fn player() -> Option<(usize, Arc<Game>)> {
    PLAYER.with(|player| player.borrow().clone())
}

/// A thread of a model.
pub(crate) type Thread<'a> = Box<dyn FnOnce() + Send + 'a>;

struct Game {
    /// Where the words are that several threads use.
    shared: Vec<Range<usize>>,
    state: Mutex<State>,
    /// Where each thread waits for its turn.
    turns: Vec<Condvar>,
}

struct State {
    /// Whose turn it is.
    turn: usize,
    running: Vec<bool>,
    /// The stores of each thread that the others do not see yet.
    delayed: Vec<Vec<Delayed>>,
    /// The choices of this run: which thread, and which could have been chosen. A number that is
    /// larger by the number of threads is the same thread, with the stores of the one before it
    /// still delayed.
    made: Vec<(usize, Vec<usize>)>,
    /// The choices to repeat.
    script: Vec<usize>,
    preemptions_left: usize,
}

impl State {
    /// Chooses who goes on after `me`. Leaving a thread that could go on is a preemption.
    fn choose(&mut self, me: usize) {
        let can_go_on = self.running.get(me).copied().unwrap_or(false);
        let mut options: Vec<usize> = Vec::new();
        if can_go_on {
            options.push(me);
        }
        if !can_go_on || self.preemptions_left > 0 {
            let threads = self.running.len();
            let others = (0..threads).filter(|other| *other != me && self.running[*other]);
            options.extend(others.clone());
            if can_go_on && !self.delayed[me].is_empty() {
                options.extend(others.map(|other| threads + other));
            }
        }
        if options.is_empty() {
            return;
        }
        let chosen = self.script.get(self.made.len()).copied().unwrap_or(options[0]);
        if can_go_on && chosen != me {
            self.preemptions_left -= 1;
        }
        self.made.push((chosen, options));
        self.turn = chosen % self.running.len();
        if chosen == self.turn && self.turn != me {
            self.drain(me);
        }
    }

    fn drain(&mut self, thread: usize) {
        let stores = self.delayed.get_mut(thread).map(std::mem::take).unwrap_or_default();
        stores.iter().for_each(Delayed::make);
    }
}

impl Game {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_shared(&self, address: usize) -> bool {
        self.shared.iter().any(|range| range.contains(&address))
    }

    fn yield_turn(&self, me: usize) {
        let mut state = self.state();
        state.choose(me);
        if state.turn != me {
            self.turns[state.turn].notify_one();
            self.wait_for_turn(me, state);
        }
    }

    fn wait_for_turn(&self, me: usize, state: MutexGuard<'_, State>) {
        let until_mine = |state: &mut State| state.turn != me;
        let turn = &self.turns[me];
        drop(turn.wait_while(state, until_mine).unwrap_or_else(PoisonError::into_inner));
    }

    /// The first choice, before any thread has run.
    fn start(&self) {
        let mut state = self.state();
        state.choose(usize::MAX);
        self.turns[state.turn].notify_one();
    }

    fn finish(&self, me: usize) {
        let mut state = self.state();
        state.running[me] = false;
        state.drain(me);
        state.choose(me);
        self.turns[state.turn].notify_one();
    }
}

/// Runs the threads of a new world in every order with at most this many preemptions, and
/// `check` after each run. Returns the number of runs. Only at the addresses that `shared`
/// returns are words that several threads use.
pub(crate) fn explore<W>(
    preemptions: usize,
    world: impl Fn() -> W,
    shared: impl Fn(&W) -> Vec<Range<usize>>,
    threads: impl for<'w> Fn(&'w W) -> Vec<Thread<'w>>,
    check: impl Fn(&W),
) -> usize {
    let mut script = Vec::new();
    let mut runs = 0;
    loop {
        let world = world();
        let made = run(threads(&world), script, preemptions, shared(&world));
        check(&world);
        runs += 1;
        match next_script(made) {
            Some(next) => script = next,
            None => return runs,
        }
    }
}

/// Runs a closure until it has made this many accesses, as if its process were killed then.
/// Whether it was.
pub(crate) fn is_killed_after(steps: usize, run: impl FnOnce()) -> bool {
    LIFE.set(Some(steps));
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    LIFE.set(None);
    match result {
        Ok(()) => false,
        Err(panic) if panic.is::<Killed>() => true,
        Err(panic) => panic::resume_unwind(panic),
    }
}

struct Killed;

fn next_script(mut made: Vec<(usize, Vec<usize>)>) -> Option<Vec<usize>> {
    while let Some((chosen, options)) = made.pop() {
        let place = options.iter().position(|option| *option == chosen)?;
        if let Some(next) = options.get(place + 1) {
            let mut script: Vec<usize> = made.into_iter().map(|(chosen, _)| chosen).collect();
            script.push(*next);
            return Some(script);
        }
    }
    None
}

fn run(
    threads: Vec<Thread<'_>>,
    script: Vec<usize>,
    preemptions: usize,
    shared: Vec<Range<usize>>,
) -> Vec<(usize, Vec<usize>)> {
    let count = threads.len();
    let game = Arc::new(Game {
        shared,
        state: Mutex::new(State {
            turn: usize::MAX,
            running: vec![true; count],
            delayed: (0..count).map(|_| Vec::new()).collect(),
            made: Vec::new(),
            script,
            preemptions_left: preemptions,
        }),
        turns: (0..count).map(|_| Condvar::new()).collect(),
    });
    let schedule = || {
        let state = game.state();
        state.made.iter().map(|(chosen, _)| *chosen).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = threads
            .into_iter()
            .enumerate()
            .map(|(me, thread)| {
                let game = Arc::clone(&game);
                scope.spawn(move || {
                    let state = game.state();
                    game.wait_for_turn(me, state);
                    PLAYER.set(Some((me, Arc::clone(&game))));
                    let result = panic::catch_unwind(AssertUnwindSafe(thread));
                    PLAYER.set(None);
                    game.finish(me);
                    result
                })
            })
            .collect();
        game.start();
        for thread in running {
            if thread.join().unwrap_or_else(Err).is_err() {
                panic!("it failed in the schedule {:?}", schedule());
            }
        }
    });
    let mut state = game.state();
    std::mem::take(&mut state.made)
}
