//! What a look costs per line, in pages of memory that no process has mapped, beside a bare pass
//! over the same pages in the same order.

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use varta::Status;
use varta::internal::lane::layout::{self, Head, Hot, Info, PAGE_WORDS, Page};
use varta::internal::lane::line;
use varta_observer::Policy;
use varta_observer::judge::{Attaching, Environment, Judge, PageIndex, Settings};

use crate::measure::{Plan, Row};
use crate::report::{Figure, Findings};
use crate::stage::Stage;

const PROCESSES: u32 = 10_000;
const SECOND: u64 = 1_000_000_000;
const THRESHOLD: u64 = 2 * SECOND;

/// How far ahead the bare pass loads a page, as the judge does.
const AHEAD: usize = 4;

/// One page of each process, at a page's address as in an observer.
#[repr(align(4096))]
struct Aligned(Page);

#[derive(Default)]
struct Pages(Vec<Box<Aligned>>);

impl Environment for Pages {
    fn page(&self, page: PageIndex) -> Option<&Page> {
        self.0.get(page.index()).map(|page| &page.0)
    }
}

pub(crate) fn all(plan: Plan, _: &Stage) -> io::Result<Findings> {
    let mut settings = Settings::new(Policy::same_uid(0));
    settings.capacity = PROCESSES as usize;
    settings.pages = PROCESSES as usize;
    settings.threshold_ns = THRESHOLD;
    settings.tasks = true;
    let mut judge = Judge::new(settings);
    let mut pages = Pages::default();
    let mut now = SECOND;
    for number in 0..PROCESSES {
        let pid = 300 + number;
        let attaching = Attaching {
            pid,
            uid: 0,
            process: Some(pid.into()),
            claimed_pid: pid,
            nonce: 0,
            clock_offset: 0,
        };
        let attached = judge
            .attach(now, &attaching, &mut pages)
            .map_err(|refusal| io::Error::other(refusal.reason))?;
        let page = Box::new(Aligned([const { AtomicU64::new(0) }; PAGE_WORDS]));
        pages.0.push(page);
        judge.mapped(now, attached.page);
        judge.look(now, attached.page, &mut pages);
    }
    let mut nonce = 0;
    let mut beat_all = |pages: &Pages, at: u64| {
        nonce += 1;
        write_all(pages, at, nonce)
    };
    let end = Instant::now() + plan.budget / 2;
    let (mut news, mut quiet, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    while news.len() < 10 || Instant::now() < end {
        beat_all(&pages, now)?;
        bare.push(pass(&pages));
        now += THRESHOLD / 2;
        beat_all(&pages, now)?;
        news.push(sweep(&mut judge, &mut pages, now, PROCESSES)?);
        now += THRESHOLD / 2;
        quiet.push(sweep(&mut judge, &mut pages, now, 0)?);
    }
    let ratios = news.iter().zip(&bare).map(|(news, bare)| news / bare);
    let of_bare = Row::of_samples("", ratios.collect());
    let [news, quiet, bare] = [news, quiet, bare].map(|samples| Row::of_samples("", samples));
    let name = |what: &str| format!("lane, a look at 10,000 processes: {what}");
    let figure = |what: &str, row: &Row| Figure::new(name(what), row.median(), "ns a line");
    let figures = vec![
        figure("every line has news", &news).at_most(40.0, news.samples() > 0),
        figure("no line has news", &quiet),
        figure("bare: only load each line", &bare),
        Figure::new(name("news beside bare"), of_bare.median(), "times")
            .at_most(2.5, of_bare.samples() > 0),
    ];
    Ok((Vec::new(), figures))
}

/// The time that a sweep takes for each page.
fn sweep(judge: &mut Judge, pages: &mut Pages, now: u64, expected: u32) -> io::Result<f64> {
    let (mut looks, mut beats) = (0_u32, 0_u32);
    let begun = Instant::now();
    while let Some(page) = judge.due_page(now) {
        judge.look(now, page, pages);
        looks += 1;
        while judge.next_event().is_some() {
            beats += 1;
        }
    }
    judge.expire(now, pages);
    let took = begun.elapsed().as_secs_f64() * 1e9;
    match (looks, beats) {
        (PROCESSES, found) if found == expected => Ok(took / f64::from(PROCESSES)),
        found => Err(io::Error::other(format!("{found:?} looks and beats in a sweep"))),
    }
}

/// The time that it takes for each page to load what a look reads, with the same prefetch.
fn pass(pages: &Pages) -> f64 {
    let lines = |index: usize| {
        let offset = layout::offset(u32::try_from(index).ok()?);
        layout::lines(&pages.0.get(index)?.0, offset, 0)
    };
    let begun = Instant::now();
    let mut sum = 0_u64;
    for index in 0..pages.0.len() {
        if let Some((_, hot)) = lines(index + AHEAD) {
            line::prefetch(hot);
        }
        let Some((cold, hot)) = lines(index) else { continue };
        for word in cold.iter().take(2).chain(hot) {
            sum = sum.wrapping_add(word.load(Ordering::Relaxed));
        }
    }
    black_box(sum);
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(PROCESSES)
}

/// Every process beats.
fn write_all(pages: &Pages, at: u64, nonce: u64) -> io::Result<()> {
    let info = Info {
        status: Status::Ok,
        which: None,
        idle: false,
        broken: 0,
        checkpoint: 0,
        payload: 7,
    };
    let hot = Hot { at, until: 0, info: info.to_word(), last: nonce };
    let head = Head { layout: layout::LAYOUT_VERSION, live: 0, thread: 1 }.to_words();
    for (index, page) in (0..).zip(&pages.0) {
        let Some((cold, line)) = layout::lines(&page.0, layout::offset(index), 0) else {
            return Err(io::Error::other("a page without lines"));
        };
        if nonce == 1 {
            for (place, word) in cold.iter().zip(head) {
                place.store(word, Ordering::Relaxed);
            }
        }
        let _ = line::write(line, nonce - 1, &hot);
    }
    Ok(())
}
