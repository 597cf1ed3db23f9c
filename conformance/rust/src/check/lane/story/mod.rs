//! Stories of processes that beat through pages. What the processes write goes into pages of a
//! simulated observer, and the calls of their tasks go through the agent's own code as well,
//! which must want to write the same.

mod call;
mod process;

use std::collections::HashMap;

use varta_observer::judge::Attaching;
use varta_observer::{Label, Simulated};

use crate::check::story;
use crate::failure::{Failure, same};
use crate::fields::Fields;
use process::Process;

/// The fields of a step about a page as a whole.
const PAGE: [&str; 4] = ["at_ns", "op", "pid", "copy"];

pub(crate) fn lane_story(fields: &Fields<'_>) -> Result<(), Failure> {
    let mut processes = Processes::default();
    story::run(fields, |observer, step| processes.apply(observer, step))
}

/// The processes of a story, by pid and copy of the library.
#[derive(Default)]
struct Processes {
    all: HashMap<(u32, u32), Process>,
    /// For how long the system was suspended: their clock stood still.
    asleep_ns: u64,
}

impl Processes {
    fn apply(&mut self, observer: &mut Simulated, step: &Fields<'_>) -> Result<(), Failure> {
        let at_ns = step.number("at_ns")?;
        match step.text("op")? {
            "attach" => self.attach(observer, at_ns, step),
            "mapped" => {
                step.only(&PAGE)?;
                observer.mapped(at_ns, self.process(step)?.attached()?);
                Ok(())
            }
            "bell" => {
                step.only(&PAGE)?;
                observer.bell(at_ns, self.process(step)?.attached()?);
                Ok(())
            }
            "detach" => {
                step.only(&PAGE)?;
                let process = self.process(step)?;
                observer.detach(at_ns, process.attached()?);
                process.page = None;
                Ok(())
            }
            "write" => self.process(step)?.write(observer, at_ns, step),
            "call" => {
                let clock_ns = at_ns.saturating_sub(self.asleep_ns);
                self.process(step)?.call(observer, at_ns, clock_ns, step)
            }
            "thread_gone" => {
                step.only(&["at_ns", "op", "pid", "thread"])?;
                observer.thread_gone(step.number("pid")?, step.number("thread")?);
                Ok(())
            }
            "close" => self.process(step)?.close(observer, step),
            "program" => {
                step.only(&["at_ns", "op", "pid", "name"])?;
                observer.set_program(step.number("pid")?, step.text("name")?);
                Ok(())
            }
            "name" => {
                step.only(&["at_ns", "op", "pid", "name"])?;
                let name = Label::new(step.text("name")?.as_bytes());
                observer.set_name(step.number("pid")?, name);
                Ok(())
            }
            "suspend" => {
                self.asleep_ns = self.asleep_ns.saturating_add(step.number("ns")?);
                story::apply(observer, step)
            }
            "exit" => {
                story::apply(observer, step)?;
                let pid: u32 = step.number("pid")?;
                self.all.retain(|(of, _), _| *of != pid);
                Ok(())
            }
            _ => story::apply(observer, step),
        }
    }

    /// The process with the pid and copy of this step, which a story need not introduce.
    fn process(&mut self, step: &Fields<'_>) -> Result<&mut Process, Failure> {
        let pid = step.number("pid")?;
        let copy = if step.has("copy") { step.number("copy")? } else { 0 };
        Ok(self.all.entry((pid, copy)).or_insert_with(|| Process::new(pid)))
    }

    fn attach(
        &mut self,
        observer: &mut Simulated,
        at_ns: u64,
        step: &Fields<'_>,
    ) -> Result<(), Failure> {
        step.only(&[&PAGE[..], &["uid", "process", "nonce", "page", "errno"]].concat())?;
        let pid = step.number("pid")?;
        let attaching = Attaching {
            pid,
            uid: step.number("uid")?,
            process: step.has("process").then(|| step.number("process")).transpose()?,
            claimed_pid: pid,
            nonce: step.number("nonce")?,
            clock_offset: 0,
        };
        let answer = observer.attach(at_ns, &attaching);
        let process = self.process(step)?;
        match &answer {
            Ok(attached) => process.attach(observer, attached.page)?,
            Err(_) => process.page = None,
        }
        let text =
            |page: Option<(u64, bool)>, errno: Option<i32>| format!("{page:?}, {errno:?}");
        let expected = if step.has("page") {
            let page = step.object("page")?;
            page.only(&["threshold_ns", "tasks"])?;
            text(Some((page.number("threshold_ns")?, page.boolean("tasks")?)), None)
        } else {
            text(None, Some(step.signed("errno")?))
        };
        let page = answer.as_ref().ok().map(|page| (page.threshold_ns, page.tasks));
        let errno = answer.as_ref().err().map(|refusal| refusal.errno);
        same("the answer", &expected, &text(page, errno))
    }
}
