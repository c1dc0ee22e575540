//! The clients' side of a request: sending it, giving up on it, trying again.

use rand::Rng;
use sim_core::chance::{below, unit};
use sim_core::{Calendar, Keyed, Seed, Span, Stream, Time, Timer};

use super::connections::Wire;
use super::deadlines::Deadlines;
use super::ending::Ending;
use super::guard::Verdict;
use super::hedge::Repeats;
use super::request::{NOWHERE, Request};
use super::sessions::NOBODY;
use super::{ReachedLimit, System};
use crate::balancer::Client;
use crate::connections::NO_CONNECTION;
use crate::event::{Event, Ref};
use crate::plan::{EndpointId, Plan, Retry, Traffic, TrafficId};
use crate::traffic::Arrivals;

/// All sources of a plan.
pub(super) fn sources(plan: &Plan, seed: Seed, calendar: &mut Calendar<Event>) -> Vec<Source> {
    let ids = (0u16..).map(TrafficId);
    ids.zip(&plan.traffic).map(|(id, traffic)| Source::new(plan, id, traffic, seed, calendar)).collect()
}

/// A source of requests.
#[derive(Clone, Debug)]
pub struct Source {
    arrivals: Arrivals,
    instants: Stream,
    timer: Timer,
    /// The number of the next request. Numbers of different sources lie far apart, wherever these stand in the
    /// scenario.
    next_number: u64,
    mix: Keyed,
    /// Endpoints with the cumulative shares up to and including them.
    shares: Vec<(f64, EndpointId)>,
    /// Whether they wait for longer than the balancer does.
    pub(super) outlives_the_balancer: bool,
    /// Until when clients wait; `None` where they wait for ever.
    deadlines: Option<Deadlines>,
    retry: Retry,
    backoff: Keyed,
    /// Its retry budget, and when it hedges; `None` where it does neither.
    pub(super) repeats: Option<Box<Repeats>>,
    clients: Option<u32>,
    who: Keyed,
    clients_per_address: u32,
    /// What is between its clients and their balancer, where that matters.
    pub(super) wire: Option<Box<Wire>>,
}

impl Source {
    /// The source of `traffic`, before its first request.
    fn new(
        plan: &Plan,
        id: TrafficId,
        traffic: &Traffic,
        seed: Seed,
        calendar: &mut Calendar<Event>,
    ) -> Self {
        let idle_timeout = plan.balancers[traffic.to.index()].idle_timeout;
        let name = &traffic.name;
        let mut total = 0.0;
        let shares = traffic.mix.iter().map(|&(endpoint, share)| {
            total += share;
            (total, endpoint)
        });
        Source {
            shares: shares.collect(),
            arrivals: traffic.arrivals.clone(),
            instants: seed.stream(&format!("traffic/{name}/arrivals")),
            timer: calendar.timer(),
            next_number: Seed::new(0).keyed(&format!("traffic/{name}/number")).at(0).next_u64(),
            mix: seed.keyed(&format!("traffic/{name}/mix")),
            outlives_the_balancer: idle_timeout
                .is_some_and(|idle| traffic.timeout.is_none_or(|own| own > idle)),
            deadlines: traffic.timeout.map(|timeout| Deadlines::new(timeout, Event::Timeout(id), calendar)),
            retry: traffic.retry,
            backoff: seed.keyed(&format!("traffic/{name}/backoff")),
            repeats: Repeats::of(traffic, calendar),
            clients: traffic.clients,
            who: seed.keyed(&format!("traffic/{name}/client")),
            clients_per_address: traffic.clients_per_address.max(1),
            wire: Wire::new(plan, traffic, seed, calendar),
        }
    }

    /// Who sends `request`: one of the clients, at all its attempts. A balancer that sees addresses takes all clients of an
    /// address for one.
    fn client(&self, request: &Request, by_address: bool) -> Client {
        let number = self.number_of_client(request.number_of_hedge(0));
        let number = if by_address { number / self.clients_per_address } else { number };
        Client { source: request.source.0, number }
    }

    /// The client that sends request `number`.
    pub(super) fn number_of_client(&self, number: u64) -> u32 {
        let mut draws = self.who.at(number);
        match self.clients {
            Some(clients) => below(&mut draws, clients),
            None => draws.next_u64() as u32,
        }
    }

    /// The endpoint that request `number` asks for.
    #[inline]
    pub(super) fn endpoint(&self, number: u64) -> EndpointId {
        let (_, last) = self.shares[self.shares.len() - 1];
        if self.shares.len() == 1 {
            return last;
        }
        let draw = unit(&mut self.mix.at(number));
        self.shares.iter().find(|&&(share, _)| draw < share).map_or(last, |&(_, endpoint)| endpoint)
    }

    /// What its clients do after failed attempts from now on.
    pub(super) fn set_retry(&mut self, retry: Retry) {
        self.retry = retry;
    }

    /// How long a client waits before the attempt after `request`.
    pub(super) fn wait_before_retry(&self, request: &Request) -> Span {
        self.retry.backoff.drawn(u32::from(request.attempt) + 1, self.backoff, request.key())
    }
}

impl System {
    /// Who sends `request`: a client, or the instance that calls.
    pub(super) fn who_sends(&self, request: &Request, by_address: bool) -> Client {
        match self.requests.live(request.parent) {
            Some(parent) => Client::instance(self.requests[parent].instance),
            None => self.sources[request.source.index()].client(request, by_address),
        }
    }

    pub(super) fn start_sources(&mut self, calendar: &mut Calendar<Event>) {
        for index in 0..self.sources.len() {
            self.next_arrival(TrafficId(index as u16), calendar);
        }
    }

    #[inline]
    fn next_arrival(&mut self, id: TrafficId, calendar: &mut Calendar<Event>) {
        let source = &mut self.sources[id.index()];
        let at = source.arrivals.next(&mut source.instants);
        if at < Time::NEVER {
            calendar.set_at(source.timer, at, Event::Arrival(id));
        }
    }

    /// A client sends a new request.
    #[inline]
    pub(super) fn arrival(&mut self, id: TrafficId, calendar: &mut Calendar<Event>) {
        self.next_arrival(id, calendar);
        let source = &mut self.sources[id.index()];
        let number = source.next_number;
        source.next_number = number.wrapping_add(1);
        let now = calendar.now();
        let request = Request::new(id, source.endpoint(number), number, now);
        self.measure.offered(id);
        let reference = self.admit(request);
        if self.sessions.is_some() {
            self.newcomer(reference.slot);
        }
        self.send(reference, calendar);
    }

    /// A request is in the system from now on.
    #[inline]
    pub(super) fn admit(&mut self, request: Request) -> Ref {
        let reference = self.requests.insert(request);
        let most = self.plan.limits.in_flight;
        if self.requests.len() > most as usize {
            self.reached = Some(ReachedLimit { limit: "in_flight", value: u64::from(most) });
        }
        reference
    }

    /// A client's backoff is over.
    pub(super) fn retry(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        if let Some(slot) = self.requests.live(reference) {
            if self.requests[slot].session != NOBODY && self.client_left(slot, calendar) {
                return;
            }
            self.requests[slot].sent = calendar.now();
            self.send(reference, calendar);
        }
    }

    #[inline]
    pub(super) fn send(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let source = self.requests[reference.slot].source;
        self.measure.attempt(source);
        let waiting = &mut self.sources[source.index()];
        let wired = waiting.wire.is_some();
        if let Some(deadlines) = &mut waiting.deadlines {
            deadlines.add(reference, &self.requests, calendar);
        }
        let outlives = waiting.outlives_the_balancer;
        if waiting.repeats.is_some() {
            self.prepare(reference, calendar);
        }
        if wired {
            return self.send_over(reference, calendar);
        }
        let to = self.plan.traffic[source.index()].to;
        if outlives {
            self.await_answer(to, reference, calendar);
        }
        if self.requests[reference.slot].session != NOBODY {
            return self.send_handshake(reference.slot, to, calendar);
        }
        self.dispatch(reference.slot, to, calendar);
    }

    /// The client of the first attempt that is still unanswered has waited long enough.
    pub(super) fn timeout(&mut self, id: TrafficId, calendar: &mut Calendar<Event>) {
        while let Some(slot) = self.sources[id.index()]
            .deadlines
            .as_mut()
            .and_then(|deadlines| deadlines.due(&self.requests, calendar))
        {
            self.give_up(slot, calendar);
        }
    }

    /// A client stops waiting. The server does not learn of it and finishes its work in vain.
    fn give_up(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let attempt = self.requests[slot];
        if attempt.instance == NOWHERE {
            return self.attempt_ends(slot, Ending::TimedOut, calendar); // it is on its way, and no server has it
        }
        self.errand_given_up(slot, calendar);
        self.abandon(slot);
        self.took(&attempt, calendar.now());
        self.guard_sees(&attempt, Verdict::Failed, calendar.now());
        if !self.races.is_empty() {
            self.race_given_up(slot, &attempt, calendar.now());
        }
        self.client_sees(attempt, Ending::TimedOut, calendar);
    }

    /// A client's attempt came to an end while it was waiting for it.
    #[inline]
    pub(super) fn client_sees(&mut self, attempt: Request, ending: Ending, calendar: &mut Calendar<Event>) {
        if attempt.connection != NO_CONNECTION {
            self.give_back_connection(&attempt, ending, calendar);
        }
        if ending == Ending::Completed {
            self.measure.ended(&self.plan, &attempt, ending, calendar.now());
        } else {
            self.attempt_failed(attempt, ending, calendar);
        }
    }

    /// Tries again, or leaves it at that.
    pub(super) fn attempt_failed(
        &mut self,
        attempt: Request,
        ending: Ending,
        calendar: &mut Calendar<Event>,
    ) {
        if attempt.session != NOBODY && self.handshake_failed(&attempt, ending, calendar) {
            return;
        }
        let most = self.sources[attempt.source.index()].retry.max;
        if attempt.attempt >= most || !self.may_retry(attempt.source, calendar.now()) {
            self.measure.ended(&self.plan, &attempt, ending, calendar.now());
            return;
        }
        let wait = self.sources[attempt.source.index()].wait_before_retry(&attempt);
        let Request { source, endpoint, born, session, .. } = attempt;
        let number = attempt.number_of_hedge(0);
        let next = Request {
            born,
            session,
            attempt: attempt.attempt + 1,
            sender: attempt.sender,
            ..Request::new(source, endpoint, number, calendar.now())
        };
        let reference = self.requests.insert(next);
        calendar.after(wait, Event::Retry(reference));
    }
}
