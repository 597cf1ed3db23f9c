//! What programs say at the notify socket, beside their events.

use std::io;

use varta_observer::{Event, ExitCause, Label, What};

use super::EventLoop;
use crate::output::stamp::Stamp;
use crate::state::services::ServiceReport;
use crate::state::{Notification, Subject};

impl EventLoop {
    /// Adds what services have said to the statistics, the log and the lines. Call this before the events
    /// of the same poll are forwarded: a service that has sent no ping is known by its notes only.
    pub(super) fn take_notes(&mut self) -> io::Result<()> {
        let mut reports = Vec::new();
        while let Some(note) = self.context.observer.next_note()? {
            let service = self.context.observer.service(note.about.agent)?;
            let agent = note.about.agent;
            self.stats.add(&note.about);
            let Some(stats) = self.stats.get_mut(agent) else { continue };
            // Another program may run in the process, or another process may be the main one.
            (stats.pid, stats.claimed_pid) = (note.about.pid, note.about.claimed_pid);
            stats.comm = note.program;
            (stats.uid, stats.unconfirmed) = (Some(note.uid), false);
            let info = self.context.observer.agent(agent)?;
            match &info {
                Some(info) => self.update_names(info)?,
                None => self.stats.set_name(agent, Label::new(note.program.as_bytes())),
            }
            let Some(stats) = self.stats.get(agent) else { continue };
            let program = stats.name;
            if self.service_log.write(&note, service.as_ref(), stats) {
                let at_ns = note.observer_ns;
                let report = ServiceReport::new(note, service.as_ref(), program);
                let seq = self.recorder.service(&report);
                let stamp = self.recorder.stamp(at_ns, seq, None);
                reports.push((report, stamp));
            }
            self.note_threshold(agent, "service")?;
            let Some(stats) = self.stats.get(agent) else { continue };
            if info.is_none() {
                self.stats.exits.expect(stats.name.to_string());
                self.expectations.agents_changed();
                self.update_rule(agent)?;
            }
        }
        self.forward_reports(reports);
        Ok(())
    }

    fn forward_reports(&self, reports: Vec<(ServiceReport, Stamp)>) {
        if reports.is_empty() {
            return;
        }
        if self.context.shared.has_subscribers() {
            let batch = reports.iter().cloned();
            let batch = batch
                .map(|(report, stamp)| Notification { about: Subject::Service(report), stamp });
            self.context.shared.publish(batch.collect());
        }
        if let Some(batches) = &self.context.batches {
            batches.services(reports);
        }
    }

    /// An exit that its service had announced, as if it had exited with code 0: it is no crash,
    /// whatever the signal.
    pub(super) fn expected_exit(&self, event: &Event) -> Option<Event> {
        let (What::Exit { last_status, .. }, Some(about)) = (event.what, event.about) else {
            return None;
        };
        let expected = self.context.observer.exit_was_expected(about.agent).unwrap_or(false);
        let what = What::Exit { cause: ExitCause::Code(0), last_status };
        expected.then_some(Event { what, ..*event })
    }
}
