//! The connections that clients of a source keep open.
//!
//! A client takes the connection that it used last, opens another while it may, and lets further requests wait, first come,
//! first served. Idle connections of all clients stand in one list in the order in which they will be closed, as they all may
//! idle for the same time. There is nothing here that grows with requests: 16 bytes a client, 40 a connection.

use sim_core::{Span, Time, Timer};

use super::counts::Counts;
use crate::event::Ref;
use crate::plan::Connections;

/// The number of no connection.
pub const NO_CONNECTION: u32 = u32::MAX;
/// The worker behind a connection is not known yet.
pub const UNKNOWN_WORKER: u16 = u16::MAX;

/// The end of a list.
const NONE: u32 = u32::MAX;
/// No target: the connection ends at the balancer, or its target is not chosen yet.
const NO_TARGET: u32 = u32::MAX;
/// Its target went away under it.
const RESET: u32 = u32::MAX - 1;

/// The connections of a source's clients.
#[derive(Clone, Debug)]
pub struct Pool {
    rules: Connections,
    connections: Vec<Connection>,
    free: Vec<u32>,
    /// Empty where each request has a connection of its own.
    clients: Vec<Client>,
    waiting: Vec<Waiting>,
    free_waiting: Vec<u32>,
    /// The idle connection that will be closed first, and the last of them.
    idle: [u32; 2],
    /// Fires when the first of them is due.
    pub timer: Timer,
    /// What it has counted.
    pub counts: Counts,
}

/// What carries a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Whose connection it is.
    pub client: u32,
    /// Where it leads, if it leads to a target.
    pub target: Option<u32>,
    /// The worker that accepted it there.
    pub worker: u16,
    /// It has carried a request before.
    pub used: bool,
    /// Its target went away under it.
    pub reset: bool,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    /// When it will be closed, while it is idle.
    due: Time,
    client: u32,
    target: u32,
    /// Requests that it was taken for.
    served: u32,
    older: u32,
    newer: u32,
    /// The next of the same client that has room for a request.
    next: u32,
    worker: u16,
    /// Requests on it.
    streams: u16,
    /// It has come about.
    up: bool,
    /// It is in its client's list.
    listed: bool,
    /// It takes no further requests.
    closing: bool,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    /// The first connection that has room for a request.
    first: u32,
    open: u32,
    first_waiting: u32,
    last_waiting: u32,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: Ref,
    next: u32,
}

impl Pool {
    /// No connections yet. Without rules each request has one of its own.
    pub fn new(rules: Option<Connections>, clients: u32, timer: Timer) -> Self {
        let each = Connections { requests: Some(1), idle: Span::ZERO, most: u32::MAX, streams: 1 };
        let nobody = Client { first: NONE, open: 0, first_waiting: NONE, last_waiting: NONE };
        Pool {
            clients: vec![nobody; if rules.is_some() { clients as usize } else { 0 }],
            rules: rules.unwrap_or(each),
            connections: Vec::new(),
            free: Vec::new(),
            waiting: Vec::new(),
            free_waiting: Vec::new(),
            idle: [NONE; 2],
            timer,
            counts: Counts::default(),
        }
    }

    /// True where it matters whose a request is.
    pub fn asks_who(&self) -> bool {
        !self.clients.is_empty()
    }

    /// True where a connection carries several requests at once.
    pub fn multiplexes(&self) -> bool {
        self.rules.streams > 1
    }

    /// How many are open, or about to be.
    pub fn open(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// The rules that clients keep to.
    pub fn rules(&self) -> Connections {
        self.rules
    }

    /// The connection for a request, and whether it is a new one; `None` where the request has to wait.
    pub fn take(&mut self, client: u32, now: Time) -> Option<(u32, bool)> {
        let Some(owner) = self.clients.get(client as usize).copied() else {
            return Some((self.add(client, now), true));
        };
        if owner.first == NONE {
            return (owner.open < self.rules.most).then(|| (self.add(client, now), true));
        }
        let number = owner.first;
        if self.connections[number as usize].streams == 0 {
            self.leave_idle(number);
        }
        let connection = &mut self.connections[number as usize];
        connection.streams += 1;
        connection.served += 1;
        if !self.has_room(number) {
            self.unlist(number);
        }
        // A browser counts a connection until its last answer; a client of HTTP/2 opens the next at once.
        if self.multiplexes() && self.used_up(number) {
            self.no_more(number);
        }
        Some((number, false))
    }

    fn add(&mut self, client: u32, now: Time) -> u32 {
        let connection = Connection {
            due: Time::NEVER,
            client,
            target: NO_TARGET,
            served: 1,
            older: NONE,
            newer: NONE,
            next: NONE,
            worker: UNKNOWN_WORKER,
            streams: 1,
            up: false,
            listed: false,
            closing: false,
        };
        if let Some(owner) = self.clients.get_mut(client as usize) {
            owner.open += 1;
        }
        self.counts.opened(now);
        if let Some(number) = self.free.pop() {
            self.connections[number as usize] = connection;
            return number;
        }
        self.connections.push(connection);
        self.connections.len() as u32 - 1
    }

    /// A request arrives over a connection, which has come about by then.
    pub fn arrived(&mut self, number: u32) -> Carrier {
        self.counts.carried();
        let used = std::mem::replace(&mut self.connections[number as usize].up, true);
        self.list(number);
        let Connection { client, target, worker, .. } = self.connections[number as usize];
        let known = (target < RESET).then_some(target);
        Carrier { client, target: known, worker, used, reset: target == RESET }
    }

    /// Whose a connection is.
    pub fn client(&self, number: u32) -> u32 {
        self.connections[number as usize].client
    }

    /// A connection leads to a target from now on; true where it did not before.
    pub fn lead(&mut self, number: u32, target: u32) -> bool {
        let connection = &mut self.connections[number as usize];
        let new = connection.target == NO_TARGET;
        if new {
            connection.target = target;
        }
        new
    }

    /// A worker has accepted a connection.
    pub fn accepted(&mut self, number: u32, worker: u16) {
        self.connections[number as usize].worker = worker;
    }

    /// A connection that never came about.
    pub fn failed(&mut self, number: u32) {
        if !self.connections[number as usize].up {
            self.counts.failed();
        }
    }

    /// A request is through with a connection, which is kept for the next or closed. Returns the target that a closed one
    /// led to.
    pub fn give_back(&mut self, number: u32, keep: bool, now: Time) -> Option<u32> {
        let connection = &mut self.connections[number as usize];
        connection.streams -= 1;
        if !keep || self.used_up(number) {
            self.no_more(number);
        }
        let Connection { streams, closing, .. } = self.connections[number as usize];
        match (closing, streams) {
            (true, 0) => return self.close(number, now),
            (true, _) => {}
            (false, left) => {
                self.list(number);
                if left == 0 {
                    self.join_idle(number, now);
                }
            }
        }
        None
    }

    /// When the first idle connection is due.
    pub fn due(&self) -> Option<Time> {
        self.connections.get(self.idle[0] as usize).map(|connection| connection.due)
    }

    /// Closes the first idle connection if it is due. Returns whether it was, and the target that it led to.
    pub fn expire(&mut self, now: Time) -> (bool, Option<u32>) {
        let first = self.idle[0];
        if self.due().is_none_or(|due| due > now) {
            return (false, None);
        }
        self.no_more(first);
        (true, self.close(first, now))
    }

    /// The connections to a target are gone.
    pub fn reset(&mut self, target: u32, now: Time) {
        for number in 0..self.connections.len() as u32 {
            if self.connections[number as usize].target != target {
                continue;
            }
            self.no_more(number);
            if self.connections[number as usize].streams == 0 {
                self.close(number, now);
            } else {
                self.connections[number as usize].target = RESET;
            }
        }
    }

    /// A request waits at its client.
    pub fn wait(&mut self, client: u32, request: Ref) {
        self.counts.waited();
        let waiting = Waiting { request, next: NONE };
        let number = match self.free_waiting.pop() {
            Some(number) => {
                self.waiting[number as usize] = waiting;
                number
            }
            None => {
                self.waiting.push(waiting);
                self.waiting.len() as u32 - 1
            }
        };
        let owner = &mut self.clients[client as usize];
        match self.waiting.get_mut(owner.last_waiting as usize) {
            Some(last) => last.next = number,
            None => owner.first_waiting = number,
        }
        owner.last_waiting = number;
    }

    /// The next request that waits at a client, if it could be sent now.
    pub fn next_waiting(&mut self, client: u32) -> Option<Ref> {
        let owner = self.clients.get_mut(client as usize)?;
        let number = owner.first_waiting;
        if number == NONE || (owner.first == NONE && owner.open >= self.rules.most) {
            return None;
        }
        let Waiting { request, next } = self.waiting[number as usize];
        owner.first_waiting = next;
        if next == NONE {
            owner.last_waiting = NONE;
        }
        self.free_waiting.push(number);
        Some(request)
    }

    fn used_up(&self, number: u32) -> bool {
        self.rules.requests.is_some_and(|most| self.connections[number as usize].served >= most)
    }

    fn has_room(&self, number: u32) -> bool {
        let connection = &self.connections[number as usize];
        connection.up
            && !connection.closing
            && u32::from(connection.streams) < self.rules.streams
            && !self.used_up(number)
    }

    /// Puts a connection that has room first into its client's list.
    fn list(&mut self, number: u32) {
        if self.connections[number as usize].listed || !self.has_room(number) {
            return;
        }
        let connection = &mut self.connections[number as usize];
        if let Some(owner) = self.clients.get_mut(connection.client as usize) {
            connection.next = std::mem::replace(&mut owner.first, number);
            connection.listed = true;
        }
    }

    /// Takes a connection out of its client's list, which is as short as a client has connections.
    fn unlist(&mut self, number: u32) {
        let Connection { client, next, listed, .. } = self.connections[number as usize];
        if !listed {
            return;
        }
        self.connections[number as usize].listed = false;
        let owner = &mut self.clients[client as usize];
        if owner.first == number {
            owner.first = next;
            return;
        }
        let mut before = owner.first;
        while let Some(connection) = self.connections.get_mut(before as usize) {
            if connection.next == number {
                connection.next = next;
                return;
            }
            before = connection.next;
        }
    }

    /// A connection takes no further requests; its client may open another.
    fn no_more(&mut self, number: u32) {
        self.unlist(number);
        let connection = &mut self.connections[number as usize];
        if !std::mem::replace(&mut connection.closing, true)
            && let Some(owner) = self.clients.get_mut(connection.client as usize)
        {
            owner.open -= 1;
        }
    }

    fn close(&mut self, number: u32, now: Time) -> Option<u32> {
        self.leave_idle(number);
        self.counts.closed(now);
        self.free.push(number);
        let target = std::mem::replace(&mut self.connections[number as usize].target, NO_TARGET);
        (target < RESET).then_some(target)
    }

    fn join_idle(&mut self, number: u32, now: Time) {
        let [first, last] = &mut self.idle;
        let before = std::mem::replace(last, number);
        match self.connections.get_mut(before as usize) {
            Some(before) => before.newer = number,
            None => *first = number,
        }
        let connection = &mut self.connections[number as usize];
        (connection.older, connection.newer, connection.due) = (before, NONE, now + self.rules.idle);
    }

    fn leave_idle(&mut self, number: u32) {
        let connection = &mut self.connections[number as usize];
        if connection.due == Time::NEVER {
            return; // it does not idle
        }
        connection.due = Time::NEVER;
        let Connection { older, newer, .. } = *connection;
        match self.connections.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.idle[0] = newer,
        }
        match self.connections.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.idle[1] = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::Calendar;

    fn pool(requests: u32, most: u32, streams: u32, clients: u32) -> Pool {
        let timer = Calendar::<u32>::new().timer();
        let idle = Span::from_secs(60);
        Pool::new(Some(Connections { requests: Some(requests), idle, most, streams }), clients, timer)
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::from_secs(seconds)
    }

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection>() <= 40 && size_of::<Client>() <= 16);
    }

    #[test]
    fn the_one_used_last_is_taken_and_others_expire() {
        let mut pool = pool(100, 6, 1, 2);
        let [first, second] = [0, 1].map(|_| pool.take(0, at(0)).unwrap().0);
        for number in [first, second] {
            pool.arrived(number);
            pool.give_back(number, true, at(1));
        }
        assert_eq!(pool.take(0, at(30)), Some((second, false)));
        assert_eq!(pool.due(), Some(at(61)));
        assert_eq!(pool.expire(at(60)), (false, None));
        assert_eq!(pool.expire(at(61)), (true, None));
        assert_eq!(pool.due(), None, "the other is busy");
        pool.give_back(second, true, at(70));
        assert_eq!(pool.due(), Some(at(130)));
        assert_eq!(
            pool.take(1, at(70)).unwrap(),
            (first, true),
            "another client opens its own, in a free place"
        );
        assert_eq!(pool.counts.since_measured(at(70)).0.opened, 3);
    }

    #[test]
    fn a_connection_is_closed_after_its_last_request() {
        let mut pool = pool(3, 1, 1, 1);
        for round in 0..6u32 {
            let (number, new) = pool.take(0, at(0)).unwrap();
            assert_eq!(new, round % 3 == 0);
            pool.arrived(number);
            assert_eq!(pool.take(0, at(0)), None, "it is busy, and there may be no other");
            if new {
                assert!(pool.lead(number, 7));
            }
            let closed = pool.give_back(number, true, at(0));
            assert_eq!(closed, (round % 3 == 2).then_some(7));
        }
    }

    #[test]
    fn streams_share_a_connection_once_it_is_up() {
        let mut pool = pool(1_000, 1, 3, 1);
        let (number, _) = pool.take(0, at(0)).unwrap();
        assert_eq!(pool.take(0, at(0)), None, "it is being opened");
        pool.wait(0, Ref::NONE);
        assert_eq!(pool.next_waiting(0), None);
        pool.arrived(number);
        assert_eq!(pool.next_waiting(0), Some(Ref::NONE));
        for _ in 0..2 {
            assert_eq!(pool.take(0, at(0)), Some((number, false)));
        }
        assert_eq!(pool.take(0, at(0)), None, "no fourth stream");
        assert_eq!(pool.give_back(number, true, at(0)), None);
        assert_eq!(pool.take(0, at(0)), Some((number, false)));
    }

    #[test]
    fn a_client_of_http2_opens_the_next_connection_at_once() {
        let mut pool = pool(2, 1, 100, 1);
        let (first, _) = pool.take(0, at(0)).unwrap();
        pool.arrived(first);
        assert_eq!(pool.take(0, at(0)), Some((first, false)));
        let (second, new) = pool.take(0, at(0)).unwrap();
        assert!(new && second != first);
        pool.give_back(first, true, at(1));
        pool.give_back(first, true, at(1));
        assert_eq!(pool.open(), 1);
    }

    #[test]
    fn a_target_that_goes_resets_what_leads_to_it() {
        let mut pool = pool(100, 2, 1, 1);
        let [busy, idle] = [0, 1].map(|_| pool.take(0, at(0)).unwrap().0);
        for number in [busy, idle] {
            pool.arrived(number);
            pool.lead(number, 4);
        }
        pool.give_back(idle, true, at(1));
        pool.reset(4, at(2));
        assert_eq!(pool.due(), None);
        assert!(pool.arrived(busy).reset);
        assert_eq!(pool.give_back(busy, true, at(3)), None, "it is not counted at its target any more");
        assert_eq!(pool.open(), 0);
        assert!(pool.take(0, at(3)).unwrap().1);
    }
}
