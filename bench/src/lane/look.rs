//! What a look costs per line, in pages of memory that no process has mapped.

use std::io;
use std::sync::atomic::AtomicU64;
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
    let mut sweep = |with_news: bool| -> io::Result<f64> {
        now += THRESHOLD / 2;
        if with_news {
            nonce += 1;
            write_all(&pages, now, nonce)?;
        }
        let (mut looks, mut beats) = (0_u32, 0_u32);
        let begun = Instant::now();
        while let Some(page) = judge.due_page(now) {
            judge.look(now, page, &mut pages);
            looks += 1;
            while judge.next_event().is_some() {
                beats += 1;
            }
        }
        judge.expire(now, &mut pages);
        let took = begun.elapsed().as_secs_f64() * 1e9;
        let expected = if with_news { PROCESSES } else { 0 };
        match (looks, beats) {
            (PROCESSES, found) if found == expected => Ok(took / f64::from(PROCESSES)),
            found => Err(io::Error::other(format!("{found:?} looks and beats in a sweep"))),
        }
    };
    let (mut news, mut quiet) = (Vec::new(), Vec::new());
    let end = Instant::now() + plan.budget / 2;
    while news.len() < 10 || Instant::now() < end {
        news.push(sweep(true)?);
        quiet.push(sweep(false)?);
    }
    let (news, quiet) = (Row::of_samples("", news), Row::of_samples("", quiet));
    let figure = |what: &str, row: &Row| {
        Figure::new(
            format!("lane, a look at 10,000 processes: {what}"),
            row.median(),
            "ns a line",
        )
    };
    let figures = vec![
        figure("every line has news", &news).at_most(40.0, news.samples() > 0),
        figure("no line has news", &quiet),
    ];
    Ok((Vec::new(), figures))
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
                place.store(word, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let _ = line::write(line, nonce - 1, &hot);
    }
    Ok(())
}
