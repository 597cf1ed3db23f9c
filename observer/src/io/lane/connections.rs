//! The connections of agents, in one table that is made once.

use std::hash::RandomState;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::PER_PROCESS;
use crate::judge::deadline::{Linked, Links, List};
use crate::judge::tracker::Index;
use crate::judge::{PageIndex, Slot};
use crate::memory;
use crate::names::Label;

/// The place of a connection in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(pub(super) u32);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::io) enum Stage {
    Free,
    /// Accepted; HELLO has not arrived.
    Greeting,
    /// Has a page, but MAPPED has not arrived.
    Offered,
    Open,
    /// Open, but not read until the next turn.
    Muted,
    /// The agent sends no more. The process may have exited.
    Ended,
}

const STAGES: usize = 6;

/// The process that made a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Pid(u32),
    /// It has no pid here; 0 if its number is not known either.
    Number(u64),
}

impl Peer {
    /// 0 if it has none here.
    pub(crate) const fn pid(self) -> u32 {
        match self {
            Self::Pid(pid) => pid,
            Self::Number(_) => 0,
        }
    }

    /// What connections of the same process share.
    #[allow(clippy::cast_possible_truncation, reason = "the lower half differs often enough")]
    pub(super) const fn tag(self) -> u32 {
        match self {
            Self::Pid(pid) => pid,
            Self::Number(number) => number as u32,
        }
    }
}

pub(super) struct Connection {
    socket: Option<OwnedFd>,
    links: Links,
    pub(super) stage: Stage,
    /// Distinguishes it from earlier ones at this place.
    generation: u32,
    /// Whether it waits to be served. Belongs to the place: an entry may outlive a connection.
    pub(super) queued: bool,
    /// Whether its page is to be looked at even if it has not rung.
    pub(super) to_look: bool,
    /// Whether it ended while it was muted.
    pub(super) hung_up: bool,
    pub(super) peer: Peer,
    pub(super) uid: u32,
    /// The name that the process declared.
    pub(super) name: Label,
    /// A time at which it did not exist yet.
    pub(super) made_after: u64,
    /// When its stage is over.
    pub(super) until: u64,
    pub(super) page: Option<PageIndex>,
    /// The agent that the page belongs to, once there is one.
    pub(super) slot: Option<Slot>,
    /// How often it rang in this turn.
    pub(super) bells: u32,
    pub(super) turn: u64,
    /// Of the process, where the kernel cannot provide one later.
    pub(super) pidfd: Option<OwnedFd>,
}

impl Connection {
    const FREE: Self = Self {
        socket: None,
        links: Links::LOOSE,
        stage: Stage::Free,
        generation: 0,
        queued: false,
        to_look: false,
        hung_up: false,
        peer: Peer::Number(0),
        uid: 0,
        name: Label::EMPTY,
        made_after: 0,
        until: 0,
        page: None,
        slot: None,
        bells: 0,
        turn: 0,
        pidfd: None,
    };

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }
}

impl Linked for Connection {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// All connections, and those of each stage in the order in which they reached it.
pub(super) struct Connections {
    /// As many as there were at once; never more than `most`.
    all: Vec<Connection>,
    most: usize,
    lists: [List; STAGES],
    by_process: Index,
    /// The place of the connection of each page that was in use.
    by_page: Vec<u32>,
    greeting: usize,
}

impl Connections {
    /// For this many pages and this many connections without one.
    pub(super) fn new(pages: usize, greeting: usize) -> io::Result<Self> {
        let most = pages.saturating_add(greeting);
        let places = u32::try_from(most).unwrap_or(u32::MAX);
        Ok(Self {
            all: memory::vector(most)?,
            most,
            lists: [List::EMPTY; STAGES],
            by_process: Index::new(places, &RandomState::new())?,
            by_page: memory::vector(pages)?,
            greeting: 0,
        })
    }

    /// The most connections.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn get(&self, place: Place) -> Option<&Connection> {
        self.all.get(place.0 as usize).filter(|found| found.stage != Stage::Free)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Connection> {
        self.all.get_mut(place.0 as usize).filter(|found| found.stage != Stage::Free)
    }

    /// Whether the place was queued to be served; from now on it is not.
    pub(super) fn unqueue(&mut self, place: Place) {
        if let Some(found) = self.all.get_mut(place.0 as usize) {
            found.queued = false;
        }
    }

    /// Whether an entry of this place must be added to the queue of those that are served.
    pub(super) fn queue(&mut self, place: Place) -> bool {
        let found = self.all.get_mut(place.0 as usize);
        found.is_some_and(|found| !std::mem::replace(&mut found.queued, true))
    }

    /// Adds a connection in the stage [`Stage::Greeting`], whose room is limited.
    pub(super) fn add(&mut self, socket: OwnedFd, peer: Peer) -> Option<Place> {
        let place = self.take_free()?;
        let found = self.all.get_mut(place.0 as usize)?;
        let generation = found.generation.wrapping_add(1);
        let (queued, links) = (found.queued, found.links);
        *found = Connection {
            socket: Some(socket),
            peer,
            generation,
            queued,
            links,
            ..Connection::FREE
        };
        self.by_process.insert(peer.tag(), place.0);
        self.enter(place, Stage::Greeting);
        Some(place)
    }

    /// A free place.
    fn take_free(&mut self) -> Option<Place> {
        let free = self.lists.get_mut(Stage::Free as usize)?;
        if let Some(place) = free.last() {
            return Some(Place(place));
        }
        let place =
            u32::try_from(self.all.len()).ok().filter(|_| self.all.len() < self.most)?;
        self.all.push(Connection::FREE);
        free.append(&mut self.all, place);
        Some(Place(place))
    }

    pub(super) fn generation(&self, place: Place) -> u32 {
        self.get(place).map_or(0, |found| found.generation)
    }

    /// Moves a connection to the end of the list of a stage.
    pub(super) fn enter(&mut self, place: Place, stage: Stage) {
        let Some(found) = self.all.get_mut(place.0 as usize) else { return };
        let before = std::mem::replace(&mut found.stage, stage);
        if let Some(list) = self.lists.get_mut(before as usize) {
            list.remove(&mut self.all, place.0);
        }
        if let Some(list) = self.lists.get_mut(stage as usize) {
            list.append(&mut self.all, place.0);
        }
        self.greeting += usize::from(stage == Stage::Greeting);
        self.greeting -= usize::from(before == Stage::Greeting);
    }

    /// Gives a connection a page.
    pub(super) fn set_page(&mut self, place: Place, page: PageIndex) {
        if let Some(found) = self.get_mut(place) {
            found.page = Some(page);
        }
        if self.by_page.len() <= page.index() {
            // Within the room that was reserved.
            self.by_page.resize(page.index() + 1, u32::MAX);
        }
        if let Some(entry) = self.by_page.get_mut(page.index()) {
            *entry = place.0;
        }
    }

    pub(super) fn of_page(&self, page: PageIndex) -> Option<Place> {
        let place = Place(*self.by_page.get(page.index())?);
        self.get(place).filter(|found| found.page == Some(page)).map(|_| place)
    }

    /// Removes a connection, and returns its socket for the caller to end.
    pub(super) fn remove(&mut self, place: Place) -> Option<(OwnedFd, Option<PageIndex>)> {
        let found = self.get_mut(place)?;
        let (socket, page, tag) = (found.socket.take(), found.page.take(), found.peer.tag());
        found.pidfd = None;
        self.by_process.remove(tag, place.0);
        self.enter(place, Stage::Free);
        Some((socket?, page))
    }

    /// The connection that has been in this stage for longest.
    pub(super) fn first(&self, stage: Stage) -> Option<Place> {
        self.lists.get(stage as usize)?.first().map(Place)
    }

    /// When that stage is over for the first connection in it.
    pub(super) fn until(&self, stage: Stage) -> Option<u64> {
        Some(self.get(self.first(stage)?)?.until)
    }

    pub(super) fn has_pages(&self) -> bool {
        [Stage::Offered, Stage::Open, Stage::Muted, Stage::Ended]
            .into_iter()
            .any(|stage| self.first(stage).is_some())
    }

    /// How many connections have no page.
    pub(super) const fn greeting(&self) -> usize {
        self.greeting
    }

    /// The connections of a process. More of them can be left only for a moment, while they
    /// end.
    pub(super) fn of(&self, peer: Peer) -> impl Iterator<Item = Place> + use<> {
        let mut places = [None; 2 * PER_PROCESS];
        let mut free = places.iter_mut();
        let _ = self.by_process.find(peer.tag(), |place| {
            let place = Place(place);
            if self.get(place).is_some_and(|found| found.peer == peer) {
                match free.next() {
                    Some(free) => *free = Some(place),
                    None => return true,
                }
            }
            false
        });
        places.into_iter().flatten()
    }

    /// Takes the sockets of all connections, which are over.
    pub(super) fn take_sockets(&mut self) -> impl Iterator<Item = OwnedFd> + '_ {
        self.all.iter_mut().filter_map(|found| found.socket.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> OwnedFd {
        crate::sys::connection_socket().unwrap()
    }

    #[test]
    fn a_stage_lists_its_connections_in_the_order_in_which_they_reached_it() {
        let mut connections = Connections::new(1, 2).unwrap();
        let places: Vec<_> =
            (0..3).map(|pid| connections.add(socket(), Peer::Pid(pid)).unwrap()).collect();
        assert!(connections.add(socket(), Peer::Pid(4)).is_none(), "there are three places");
        assert_eq!(connections.greeting(), 3);
        connections.enter(places[1], Stage::Open);
        connections.enter(places[0], Stage::Open);
        assert_eq!(connections.first(Stage::Open), Some(places[1]));
        assert_eq!(connections.first(Stage::Greeting), Some(places[2]));
        assert!(
            connections.remove(places[1]).is_some() && connections.get(places[1]).is_none()
        );
        assert_eq!(connections.first(Stage::Open), Some(places[0]));
        let before = connections.generation(places[1]);
        assert_eq!(connections.add(socket(), Peer::Pid(5)), Some(places[1]));
        assert!(connections.generation(places[1]) > before);
    }

    #[test]
    fn the_connections_of_a_process_are_found_among_those_of_others() {
        let mut connections = Connections::new(4, 4).unwrap();
        let mut add = |peer| connections.add(socket(), peer).unwrap();
        let [pid, number] = [Peer::Pid(7), Peer::Number(7)];
        let mut of_pid = [pid, number, Peer::Pid(8), pid].map(&mut add).to_vec();
        let of_number = of_pid.remove(1);
        of_pid.remove(1);
        let sorted = |mut places: Vec<Place>| {
            places.sort_by_key(|place| place.0);
            places
        };
        assert_eq!(sorted(connections.of(pid).collect()), sorted(of_pid));
        assert_eq!(connections.of(number).collect::<Vec<_>>(), [of_number]);
    }
}
