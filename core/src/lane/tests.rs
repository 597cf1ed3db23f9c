//! The code of the lane in every order of its accesses: two handles, a task, a reader and an
//! attach, each at every step of the others. And a writer that is killed at every step.

use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::atomic::AtomicU64;
use super::attach::Lane;
use super::beat::Way;
use super::handle::Handle;
use super::held::to_word;
use super::layout::{Cold, Head, Hot, Info, NEVER, State, lines, offset};
use super::line;
use super::message::{NAME_BYTES, PageOffer};
use super::model::{Thread, explore, is_killed_after};
use super::pairs::{Pair, Pairs};
use crate::endpoint::UnixSocket;
use crate::nonce::Nonces;
use crate::status::Status;
use crate::sys;
use crate::sys::lane::{Address, Offered, Owner, Place};
use crate::task::TaskName;

/// Pairs, the pages that they had and may get, and what the threads found.
struct World {
    pairs: &'static Pairs,
    /// The one that is attached at first, if any, and the other one.
    pages: [Offered; 2],
    looks: Offered,
    _observer: UnixDatagram,
    /// The newest beat that an agent reported as written to the page.
    newest: Mutex<u64>,
    attached: Mutex<Option<usize>>,
}

impl World {
    fn new(pairs: &'static Pairs) -> Self {
        pairs.private().forget();
        let (ours, observer) = UnixDatagram::pair().unwrap();
        let world = Self {
            pairs,
            pages: [(); 2].map(|()| Offered::new(Owner::Agent)),
            looks: Offered::new(Owner::Observer),
            _observer: observer,
            newest: Mutex::new(0),
            attached: Mutex::new(None),
        };
        world.looks.page()[super::layout::INTERVAL].store(NEVER / 2, Ordering::Relaxed);
        let private = pairs.private();
        private.next_step.store(u64::MAX, Ordering::Relaxed);
        private.due.store(u64::MAX, Ordering::Relaxed);
        let number = OwnedFd::from(ours);
        private.asking.store(to_word(number.as_raw_fd()), Ordering::Relaxed);
        std::mem::forget(number);
        world
    }

    /// Where the words are that several threads use: the first two pairs, and the pages.
    fn shared(&self) -> Vec<Range<usize>> {
        let private = self.pairs.private();
        let [own, task, ..] = &private.lines;
        let [own_place, task_place, ..] = &private.places;
        let mut shared = vec![addresses(own), addresses(task), addresses(&self.pairs.handles)];
        shared.extend([own_place, task_place].map(addresses));
        shared.extend(private.page.get().map(addresses));
        shared.extend(self.pages.iter().map(|page| addresses(page.page())));
        shared
    }

    fn offer(&self, page: usize) -> PageOffer {
        PageOffer {
            offset: offset(if page == 0 { 3 } else { 30 }),
            pairs: 32,
            threshold_ns: NEVER,
            clock_offset: 0,
            flags: 0,
        }
    }

    fn attach(&self, page: usize) {
        let tender = self.pairs.tender().unwrap();
        let file = self.pages[page].file();
        let is_attached = tender.attach(&self.offer(page), file, self.looks.file()).unwrap();
        // An agent that cannot attach because a thread was interrupted has no page.
        *self.attached.lock().unwrap() = is_attached.then_some(page);
    }

    /// As an agent does.
    fn beat(&self, handle: &mut Handle, at: u64) {
        let payload = u32::try_from(at).unwrap();
        if handle.beat_alone(at, Status::Ok, payload)
            || handle.beat(at, Status::Ok, payload) == Way::Line
        {
            let mut newest = self.newest.lock().unwrap();
            *newest = at.max(*newest);
        }
    }

    fn lines(&self, page: usize, pair: u32) -> (&super::layout::Line, &super::layout::Line) {
        lines(self.pages[page].page(), self.offer(page).offset, pair).unwrap()
    }

    fn read(&self, page: usize, pair: u32) -> Option<(u64, Hot)> {
        line::read(self.lines(page, pair).1)
    }

    /// Reads a line several times while it is written: each value is one that was written, and
    /// none is older than the one before.
    fn watch(&self, page: usize, pair: u32) {
        let mut last = 0;
        for _ in 0..2 {
            if let Some((_, hot)) = self.read(page, pair) {
                // A beat that began earlier than the one before it gets the same time.
                let began = u64::from(Info::from_word(hot.info).unwrap().payload);
                assert!(hot.at == began || pair == 0 && hot.at > began, "{hot:?}");
                assert!(hot.at >= last, "{} after {last}", hot.at);
                last = hot.at;
            }
        }
    }
}

fn pairs() -> &'static Pairs {
    let lane = || {
        let socket = UnixSocket::Path(PathBuf::from("/nonexistent"));
        let address = Address::beside(&socket).unwrap();
        Ok(Lane::new(address, [0; NAME_BYTES], Nonces::of(None)?))
    };
    sys::barrier::register();
    let pairs = Box::leak(Box::new(Pairs::new(None, Some(lane)).unwrap()));
    assert!(pairs.settle());
    // From now on the address of the page is known.
    World::new(pairs).attach(0);
    pairs
}

fn addresses<T>(of: &T) -> Range<usize> {
    let start = std::ptr::from_ref(of) as usize;
    start..start + size_of::<T>()
}

fn hot(at: u64) -> Hot {
    let payload = u32::try_from(at).unwrap();
    let info = Info {
        status: Status::Ok,
        which: None,
        idle: false,
        broken: 0,
        checkpoint: 0,
        payload,
    };
    Hot { at, until: at + 1, info: info.to_word(), last: at }
}

fn cold(name: &str) -> Cold {
    Cold {
        number: 0,
        state: State::Free,
        vital: true,
        roams: false,
        ended: State::Free,
        threshold_ns: 5,
        finest_ns: 5,
        thread: 1,
        violations: 0,
        last_violation: None,
        name: TaskName::new(name).unwrap(),
    }
}

/// A world, and handles that beat in it.
struct Beating<const N: usize> {
    world: World,
    handles: [Mutex<Option<Handle>>; N],
}

impl<const N: usize> Beating<N> {
    /// The first handle has beaten; as long as it is the only one, it writes alone.
    fn new(pairs: &'static Pairs, is_attached: bool) -> Self {
        let world = World::new(pairs);
        if is_attached {
            world.attach(0);
        }
        let handles = [(); N].map(|()| Mutex::new(Handle::new(pairs)));
        let this = Self { world, handles };
        [0, 1].into_iter().for_each(|at| this.beat(0, at));
        this
    }

    /// As [`explore`], for threads that beat and attach.
    fn explore(
        preemptions: usize,
        pairs: &'static Pairs,
        is_attached: bool,
        threads: impl for<'w> Fn(&'w Self) -> Vec<Thread<'w>>,
    ) -> usize {
        let world = || Self::new(pairs, is_attached);
        explore(preemptions, world, |it| it.world.shared(), threads, Self::check)
    }

    fn beat(&self, handle: usize, at: u64) {
        let mut handle = self.handles[handle].lock().unwrap();
        self.world.beat(handle.as_mut().unwrap(), at);
    }

    /// The newest beat that was reported as written is in the page that is attached.
    fn check(&self) {
        let newest = *self.world.newest.lock().unwrap();
        let Some(page) = *self.world.attached.lock().unwrap() else { return };
        let (sequence, hot) = self.world.read(page, 0).expect("a page has the last beat");
        assert!(hot.at >= newest, "{} is there, but {newest} was sent", hot.at);
        let pairs = self.world.pairs;
        assert_eq!(line::read(&pairs.own().hot), Some((sequence, hot)));
        assert!(pairs.private().places.iter().all(|place: &Place| place.mark.is_free()));
    }
}

#[test]
fn a_beat_that_is_said_to_be_in_the_page_is_there_whoever_attaches_meanwhile() {
    let pairs = pairs();
    for is_attached in [true, false] {
        let runs = Beating::<2>::explore(1, pairs, is_attached, |it| {
            vec![
                Box::new(|| it.beat(0, 2)),
                Box::new(|| it.beat(1, 3)),
                Box::new(|| it.world.attach(1)),
            ]
        });
        assert!(runs > 200, "{runs} runs");
        // One handle, which writes alone until the attach.
        let runs = Beating::<1>::explore(2, pairs, is_attached, |it| {
            vec![
                Box::new(|| [2, 3].into_iter().for_each(|at| it.beat(0, at))),
                Box::new(|| it.world.attach(1)),
            ]
        });
        assert!(runs > 200, "{runs} runs");
        let runs = Beating::<1>::explore(1, pairs, is_attached, |it| {
            vec![
                Box::new(|| it.beat(0, 2)),
                Box::new(|| it.world.attach(1)),
                Box::new(|| it.world.watch(1, 0)),
            ]
        });
        assert!(runs > 100, "{runs} runs");
    }
}

#[test]
fn a_beat_that_is_said_to_be_in_the_page_is_there_whoever_opens_another_handle_meanwhile() {
    let pairs = pairs();
    let open_and_beat = |it: &Beating<1>, at| {
        let mut new = Handle::new(pairs).unwrap();
        it.world.beat(&mut new, at);
    };
    let runs = Beating::<1>::explore(2, pairs, true, |it| {
        vec![Box::new(|| it.beat(0, 2)), Box::new(move || open_and_beat(it, 3))]
    });
    assert!(runs > 500, "{runs} runs");
    // Both come and go, and a beat of the one that stays may be the first alone.
    let runs = Beating::<1>::explore(1, pairs, true, |it| {
        vec![
            Box::new(|| [2, 5].into_iter().for_each(|at| it.beat(0, at))),
            Box::new(move || open_and_beat(it, 3)),
            Box::new(move || open_and_beat(it, 4)),
        ]
    });
    assert!(runs > 500, "{runs} runs");
}

#[test]
fn the_only_handle_of_a_page_takes_no_mark() {
    let pairs = pairs();
    let beating = Beating::<1>::new(pairs, true);
    let handle = || beating.handles[0].lock().unwrap();
    let is_alone = |at| handle().as_ref().unwrap().beat_alone(at, Status::Ok, 7);
    assert!(is_alone(10));
    let second = Handle::new(pairs).unwrap();
    assert!(!is_alone(11), "there is another handle");
    beating.beat(0, 12);
    assert!(!is_alone(13));
    drop(second);
    beating.beat(0, 14);
    assert!(is_alone(15));
    beating.world.attach(1);
    assert!(!is_alone(16), "the page has moved");
    beating.beat(0, 17);
    assert!(is_alone(18));
}

#[test]
fn a_task_is_complete_in_the_page_whoever_attaches_meanwhile() {
    let pairs = pairs();
    let world = || {
        let world = World::new(pairs);
        world.attach(0);
        let mut pair = pairs.claim().unwrap();
        pair.declare(&cold("old"), &hot(1));
        (world, Mutex::new(Some(pair)))
    };
    fn take(pair: &Mutex<Option<Pair>>) -> Pair {
        pair.lock().unwrap().take().unwrap()
    }
    fn store(pair: &Mutex<Option<Pair>>) {
        let mut pair = take(pair);
        [2, 3].into_iter().for_each(|at| pair.store(&hot(at)));
    }
    let check = |world: &World, wanted: State, at: u64| {
        let Some(page) = *world.attached.lock().unwrap() else { return };
        let (words, _) = world.lines(page, 1);
        let found = Cold::from_words(words.each_ref().map(|word| word.load(Ordering::Relaxed)));
        let found = found.unwrap();
        assert_eq!((found.state, found.threshold_ns), (wanted, 5));
        let head = world.lines(page, 0).0[Head::LIVE].load(Ordering::Relaxed);
        assert_eq!(head == 0b10, wanted == State::Live);
        assert_eq!(world.read(page, 1).unwrap().1, hot(at));
    };
    let runs = explore(
        2,
        world,
        |(world, _)| world.shared(),
        |(world, pair)| vec![Box::new(move || store(pair)), Box::new(|| world.attach(1))],
        |(world, _)| check(world, State::Live, 3),
    );
    assert!(runs > 1_000, "{runs} runs");
    let runs = explore(
        1,
        world,
        |(world, _)| world.shared(),
        |(world, pair)| {
            vec![
                Box::new(move || store(pair)),
                Box::new(|| world.attach(1)),
                Box::new(|| world.watch(1, 1)),
            ]
        },
        |(world, _)| check(world, State::Live, 3),
    );
    assert!(runs > 200, "{runs} runs");

    let runs = explore(
        1,
        world,
        |(world, _)| world.shared(),
        |(world, pair)| {
            vec![
                Box::new(move || {
                    take(pair).end(State::Closed);
                    let mut pair = pairs.claim().unwrap();
                    pair.declare(&cold("new"), &hot(5));
                    pair.store(&hot(6));
                }),
                Box::new(|| world.attach(1)),
            ]
        },
        |(world, _)| {
            check(world, State::Live, 6);
            let (cold, _) = pairs.read(1).unwrap();
            assert_eq!((cold.name.as_str(), cold.ended), ("new", State::Closed));
        },
    );
    assert!(runs > 50, "{runs} runs");

    let runs = explore(
        2,
        world,
        |(world, _)| world.shared(),
        |(world, pair)| {
            vec![Box::new(move || take(pair).end(State::Failed)), Box::new(|| world.attach(1))]
        },
        |(world, _)| check(world, State::Failed, 1),
    );
    assert!(runs > 50, "{runs} runs");
}

#[test]
fn a_writer_that_is_killed_at_any_step_leaves_a_complete_line() {
    let pairs = pairs();
    for steps in 0.. {
        let world = World::new(pairs);
        world.attach(0);
        let mut pair = pairs.claim().unwrap();
        pair.declare(&cold("task"), &hot(1));
        let mut handle = Handle::new(pairs).unwrap();
        [0, 1].into_iter().for_each(|at| world.beat(&mut handle, at));
        let is_killed = is_killed_after(steps, || {
            world.beat(&mut handle, 2);
            pair.store(&hot(2));
        });
        for line in [0, 1] {
            let (_, hot) = world.read(0, line).unwrap();
            assert!(hot.at == 1 || hot.at == 2, "pair {line} after {steps} steps: {hot:?}");
            assert_eq!(u64::from(Info::from_word(hot.info).unwrap().payload), hot.at);
        }
        if !is_killed {
            assert!(steps > 30, "{steps} steps");
            break;
        }
    }
}

#[test]
fn a_reader_gets_one_complete_copy_in_every_order() {
    let line = || -> super::layout::Line {
        let line = [const { AtomicU64::new(0) }; 8];
        let _ = line::write(&line, 7, &hot(1));
        line
    };
    // More than there are accesses: no order is left out.
    let runs = explore(
        64,
        line,
        |line| vec![addresses(line)],
        |line| {
            vec![
                Box::new(|| {
                    let _ = line::write(line, 8, &hot(2));
                }),
                Box::new(|| {
                    let (sequence, read) = line::read(line).unwrap();
                    assert_eq!((read.until, read.at), (hot(read.at).until, sequence - 7));
                    assert_eq!(read.info, hot(read.at).info);
                }),
            ]
        },
        |_| {},
    );
    assert!(runs > 1_000, "{runs} runs");
}

#[test]
fn beats_of_a_busy_line_are_merged_only_if_they_say_the_same() {
    let pairs = pairs();
    let world = World::new(pairs);
    world.attach(0);
    let second = 1_000_000_000;
    let writing = super::mark::beating(5 * second, Status::Ok, 7);
    let (mut handle, _other) = (Handle::new(pairs).unwrap(), Handle::new(pairs).unwrap());
    assert_eq!(pairs.own_place().mark.take(writing), Ok(()));
    let mut beat = |now, status, payload| handle.beat(now, status, payload);
    assert_eq!(beat(5 * second, Status::Ok, 7), Way::Line);
    assert_eq!(beat(5 * second + 900_000, Status::Ok, 7), Way::Line);
    assert_eq!(beat(5 * second + 1_020_000, Status::Ok, 7), Way::Datagram);
    assert_eq!(beat(5 * second, Status::Ok, 8), Way::Datagram);
    assert_eq!(beat(5 * second, Status::Degraded, 7), Way::Datagram);
    assert_eq!(world.read(0, 0), None, "the other handle has not written yet");
}
