//! Reading connections, and finding out what is to be done.

use std::io;
use std::os::fd::BorrowedFd;

use varta::internal::lane::layout::PAIRS;
use varta::internal::lane::message::{Hello, MESSAGE_BYTES, Message, MessageError};

use super::Lanes;
use super::connections::{Place, Stage};
use super::turn::BELLS;
use crate::io::identity::Descriptors;
use crate::judge::PageIndex;
use crate::sys::{self, Discarder, Epoll, Interest, Received};

/// What the observer has to do next.
#[derive(Debug)]
pub(in crate::io) enum Step {
    /// The process of this connection asks for a page.
    Hello(Place, Hello),
    /// The agent has mapped its page.
    Mapped(PageIndex),
    /// The process has exited.
    Look(PageIndex),
    /// The agent rang.
    Rang(Place, PageIndex),
    /// The agent rang too often in this turn; and whether its process has exited.
    Muted(PageIndex, bool),
    /// The agent sends no more.
    Ended(Place),
    /// A message is not one that is allowed now.
    Malformed(Place),
    /// The connection is to be ended.
    Close(Place),
    /// There is nothing more to do about what was ready.
    Done,
    /// A listening socket failed.
    Failed(io::Error),
}

impl Lanes {
    /// The next thing to do, if something is ready or due.
    pub(in crate::io) fn next_step(
        &mut self,
        now: u64,
        descriptors: Descriptors,
        epoll: &Epoll,
    ) -> Option<Step> {
        self.begin_turn(now, epoll);
        if let Some(place) = self.ready.pop_front() {
            self.connections.unqueue(place);
            return Some(self.serve(place, epoll));
        }
        if let Some(listener) = self.listening.next_ready() {
            return Some(match self.accept(listener, now, descriptors, epoll) {
                Ok(()) => Step::Done,
                Err(error) => Step::Failed(error),
            });
        }
        let due = |stage| {
            let is_due = self.connections.until(stage).is_some_and(|until| until <= now);
            is_due.then(|| self.connections.first(stage)).flatten()
        };
        if let Some(place) = due(Stage::Greeting).or_else(|| due(Stage::Offered)) {
            // What arrived in time counts, even if the host polls late.
            return Some(match self.serve(place, epoll) {
                Step::Done => Step::Close(place),
                step => step,
            });
        }
        due(Stage::Ended).map(Step::Close)
    }

    fn begin_turn(&mut self, now: u64, epoll: &Epoll) {
        if !self.turn.advance(now) {
            return;
        }
        self.listening.resume(now, epoll);
        while let Some(place) = self.connections.first(Stage::Muted) {
            self.connections.enter(place, Stage::Open);
            let token = self.token(place);
            if let Some(socket) = self.socket(place) {
                // If this fails, the sweep still sees what the agent writes.
                let _ = epoll.change(socket, token, Interest::Readable);
            }
        }
    }

    /// Reads what a connection has to say.
    fn serve(&mut self, place: Place, epoll: &Epoll) -> Step {
        // One byte more than any message, so that a longer one can be recognized.
        let mut buffer = [0; MESSAGE_BYTES + 1];
        let mut rang = false;
        let most_bells = self.most_bells(place);
        loop {
            let Some(found) = self.connections.get_mut(place) else { return Step::Done };
            if found.hung_up {
                return Step::Ended(place);
            }
            if found.turn != self.turn.number {
                (found.turn, found.bells) = (self.turn.number, 0);
            }
            let is_over = found.stage == Stage::Ended;
            let is_loud = found.bells >= most_bells;
            let (Some(socket), stage) = (found.socket(), found.stage) else {
                return Step::Done;
            };
            let received = match is_over || is_loud {
                true => Ok(Received::Nothing),
                false => receive(socket, &mut buffer, self.discarder.as_ref()),
            };
            let length = match received {
                Ok(Received::Message(length)) => length,
                Ok(Received::Nothing) if is_loud && !is_over => {
                    self.mute(place, epoll);
                    return match self.look_if(place, true) {
                        Step::Look(page) => Step::Muted(page, true),
                        Step::Rang(_, page) => Step::Muted(page, false),
                        step => step,
                    };
                }
                Ok(Received::Nothing) => return self.look_if(place, rang),
                Ok(Received::End) | Err(_) => return Step::Ended(place),
            };
            let message = buffer.get(..length).ok_or(MessageError::Malformed);
            match (stage, message.and_then(Message::decode)) {
                (Stage::Greeting, Ok(Message::Hello(hello))) => {
                    return Step::Hello(place, hello);
                }
                (Stage::Greeting, Err(MessageError::Version(_))) => {
                    self.refuse(place, libc::EPROTONOSUPPORT, "the observer knows version 1");
                    return Step::Close(place);
                }
                (Stage::Offered, Ok(Message::Mapped)) => {
                    self.connections.enter(place, Stage::Open);
                    return self.page_of(place).map_or(Step::Done, Step::Mapped);
                }
                (Stage::Open | Stage::Muted, Ok(Message::Bell { pair })) if pair < PAIRS => {
                    rang = true;
                    if let Some(found) = self.connections.get_mut(place) {
                        found.bells += 1;
                    }
                }
                _ => return Step::Malformed(place),
            }
        }
    }

    /// How often a connection may ring in a turn: those of one process share what it may.
    fn most_bells(&self, place: Place) -> u32 {
        let peers = self.peer(place).map_or(0, |peer| self.connections.of(peer).count());
        BELLS / u32::try_from(peers).unwrap_or(BELLS).max(1)
    }

    fn look_if(&mut self, place: Place, rang: bool) -> Step {
        let Some(found) = self.connections.get_mut(place) else { return Step::Done };
        match (found.page, std::mem::take(&mut found.to_look)) {
            (Some(page), true) => Step::Look(page),
            (Some(page), false) if rang => Step::Rang(place, page),
            _ => Step::Done,
        }
    }

    /// Reads no more from a connection in this turn. The kernel still reports its end.
    pub(in crate::io) fn mute(&mut self, place: Place, epoll: &Epoll) {
        let token = self.token(place);
        if let Some(socket) = self.socket(place) {
            // If this fails, it is read again at once, and muted again.
            let _ = epoll.change(socket, token, Interest::HangUp);
        }
        self.connections.enter(place, Stage::Muted);
    }
}

/// Receives a message. If it may carry descriptors, there is a discarder.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    discarder: Option<&Discarder>,
) -> io::Result<Received> {
    match discarder {
        None => sys::receive(socket, buffer),
        Some(discarder) => sys::receive_discarding(socket, buffer, discarder),
    }
}
