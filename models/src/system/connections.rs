//! Requests of clients on their way: over a connection that is there, over a new one, or waiting at the client for one.
//!
//! Only sources that say something of their connections or of their network, or whose balancer an incident of the network
//! is about, have a [`Wire`]; requests of the others are at their balancer at once.
//!
//! Behind a balancer of HTTP each request is balanced, whatever connection it came over. A balancer that passes connections on
//! (flow hash) picks for the first request of each; the connection then leads to that target, and in a pre-forked server to one
//! worker, until it is closed.

use sim_core::{Calendar, Seed, Span, Time};

use super::System;
use super::ending::Ending;
use super::instance::{Instance, Phase};
use super::request::{NOWHERE, Request};
use super::versions::program_of;
use crate::connections::{Carrier, NO_CONNECTION, Pool, UNKNOWN_WORKER, Way};
use crate::event::{Event, Ref};
use crate::plan::{BalancerId, Plan, Traffic, TrafficId};
use crate::results::ConnectionsResult;
use crate::runtime::Front;

/// What is between the clients of a source and its balancer.
#[derive(Clone, Debug)]
pub struct Wire {
    pub(super) pool: Pool,
    way: Option<Way>,
    /// Connections lead to a target and stay there.
    passed_on: bool,
    /// CPU time of a target for a new connection.
    pub(super) handshake: Span,
}

impl Wire {
    /// The wire of a source; `None` where its requests are at their balancer at once, each over a connection of its own.
    pub fn new(
        plan: &Plan,
        traffic: &Traffic,
        seed: Seed,
        calendar: &mut Calendar<Event>,
    ) -> Option<Box<Wire>> {
        let way = Way::of_traffic(plan, traffic, seed);
        if way.is_none() && traffic.connections.is_none() {
            return None;
        }
        Some(Box::new(Wire {
            pool: Pool::new(traffic.connections, traffic.clients.unwrap_or(0), calendar.timer()),
            way,
            passed_on: plan.passes_connections(traffic),
            handshake: plan.handshake(traffic),
        }))
    }

    /// What became of its connections.
    pub fn result(&self, now: Time) -> ConnectionsResult {
        let (totals, open) = self.pool.counts.since_measured(now);
        let came_about = totals.opened - totals.failed;
        ConnectionsResult {
            opened: totals.opened,
            failed: totals.failed,
            requests_each: if came_about == 0 { 0.0 } else { totals.carried as f64 / came_about as f64 },
            open_mean: open,
            waited: totals.waited,
        }
    }
}

/// The ways of calls to each balancer; empty where no incident is about any.
pub(super) fn ways(plan: &Plan, seed: Seed) -> Vec<Option<Way>> {
    let ids = (0..plan.balancers.len()).map(|index| BalancerId(index as u16));
    let ways: Vec<_> = ids.map(|id| Way::of_calls(plan, id, seed)).collect();
    if ways.iter().all(Option::is_none) { Vec::new() } else { ways }
}

impl System {
    /// Connections of clients that are open, or about to be, where they are played.
    pub fn open_connections(&self) -> usize {
        let wires = self.sources.iter().filter_map(|source| source.wire.as_ref());
        wires.map(|wire| wire.pool.open()).sum()
    }

    /// A client sends an attempt over one of its connections, opens another for it, or lets it wait.
    #[inline(never)]
    pub(super) fn send_over(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let request = &self.requests[reference.slot];
        let source = &mut self.sources[request.source.index()];
        let Some(wire) = &source.wire else { return };
        let client = if wire.pool.asks_who() { source.number_of_client(request.number) } else { u32::MAX };
        let Some(wire) = &mut source.wire else { return };
        let now = calendar.now();
        match wire.pool.take(client, now) {
            None => wire.pool.wait(client, reference),
            Some((connection, new)) => {
                self.set_out(reference, connection, new, now, true, calendar);
            }
        }
    }

    /// An attempt is on its way since `from`. `at_once`: where that takes no time it may arrive before this returns.
    fn set_out(
        &mut self,
        reference: Ref,
        connection: u32,
        new: bool,
        from: Time,
        at_once: bool,
        calendar: &mut Calendar<Event>,
    ) {
        let request = &mut self.requests[reference.slot];
        let key = request.key();
        let Some(wire) = &self.sources[request.source.index()].wire else { return };
        request.connection = connection;
        request.greets = new && !wire.handshake.is_zero();
        match wire.way.as_ref().map_or(Ok(from), |way| way.arrival(from, new, key)) {
            Ok(at) if at_once && at <= calendar.now() => self.reaches(reference, calendar),
            Ok(at) => calendar.at(at, Event::Reaches(reference)),
            Err(at) => calendar.at(at, Event::Unreached(reference)),
        }
    }

    /// A call to a balancer with a troubled network.
    #[cold]
    pub(super) fn call_over(&mut self, reference: Ref, to: BalancerId, calendar: &mut Calendar<Event>) {
        let (now, key) = (calendar.now(), self.requests[reference.slot].key());
        match self.ways[to.index()].as_ref().map_or(Ok(now), |way| way.arrival(now, false, key)) {
            Ok(at) if at <= now => self.dispatch(reference.slot, to, calendar),
            Ok(at) => calendar.at(at, Event::Reaches(reference)),
            Err(at) => calendar.at(at, Event::Unreached(reference)),
        }
    }

    /// A request is at its balancer.
    pub(super) fn reaches(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.requests.live(reference) else { return };
        let request = &mut self.requests[slot];
        request.sent = calendar.now();
        let (source, connection) = (request.source, request.connection);
        if request.parent != Ref::NONE {
            match self.called_by(slot) {
                Some(to) => self.dispatch(slot, to, calendar),
                None => self.requests.free(slot), // its caller is gone, and the connection with it
            }
            return;
        }
        let to = self.plan.traffic[source.index()].to;
        let Some(wire) = &mut self.sources[source.index()].wire else { return };
        let carrier = wire.pool.arrived(connection);
        let (passed_on, multiplexes) = (wire.passed_on, wire.pool.multiplexes());
        self.measure.balancers[to.index()].shared += u64::from(carrier.used);
        if self.sources[source.index()].outlives_the_balancer {
            self.await_answer(to, reference, calendar);
        }
        if carrier.reset || carrier.target.is_some() {
            self.follow(slot, to, carrier, calendar);
        } else {
            self.dispatch(slot, to, calendar);
            if passed_on && let Some(slot) = self.requests.live(reference) {
                self.leads(slot);
            }
        }
        if multiplexes {
            self.send_waiting(source, carrier.client, true, calendar);
        }
    }

    /// The balancer that a call is on its way to.
    fn called_by(&self, slot: u32) -> Option<BalancerId> {
        let parent = &self.requests[self.requests.live(self.requests[slot].parent)?];
        self.programs[program_of(&self.variants, parent)].callee(parent.step)
    }

    /// No packet of a request came through, and its sender has given up.
    pub(super) fn unreached(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.requests.live(reference) else { return };
        let Request { source, connection, .. } = self.requests[slot];
        if connection != NO_CONNECTION
            && let Some(wire) = &mut self.sources[source.index()].wire
        {
            wire.pool.failed(connection);
        }
        self.attempt_ends(slot, Ending::NoConnection, calendar);
    }

    /// A request on a connection that leads to a target. A target that is taken out goes on with the connections it has.
    fn follow(&mut self, slot: u32, to: BalancerId, carrier: Carrier, calendar: &mut Calendar<Event>) {
        let endpoint = self.requests[slot].endpoint;
        self.measure.balanced(to, endpoint, self.programs[endpoint.index()].size);
        let alive = |target: &u32| {
            let Instance { phase, server, .. } = &self.instances[*target];
            let worker = server.processes.get(usize::from(carrier.worker));
            matches!(phase, Phase::Up | Phase::Draining) && worker.is_none_or(|worker| worker.lives())
        };
        let target = carrier.target.filter(alive);
        let Some(target) = target else { return self.turned_away(slot, Ending::Lost, calendar) };
        let Instance { server, most_inside, group, .. } = &self.instances[target];
        self.fleets[group.index()].received += 1;
        if server.inside >= *most_inside && self.crowded(slot, target, calendar) {
            return;
        }
        match (&self.instances[target].server.front, carrier.worker) {
            (Front::Single, _) => self.send_to(0, slot, target, calendar),
            (_, UNKNOWN_WORKER) => self.connect(slot, to, target, calendar),
            (_, worker) => self.send_to(worker, slot, target, calendar),
        }
    }

    /// The connection of a request leads to where that is from now on, and to the worker that has accepted it, if one has.
    fn leads(&mut self, slot: u32) {
        let Request { source, connection, instance: target, process, .. } = self.requests[slot];
        if target == NOWHERE {
            return;
        }
        let Some(wire) = &mut self.sources[source.index()].wire else { return };
        let instance = self.instances.at_work(target);
        instance.flows += u32::from(wire.pool.lead(connection, target));
        let accepted = match &instance.server.front {
            Front::Single | Front::ReusePort => true,
            Front::Shared(listener) => listener.backlog.back() != Some(&slot),
            Front::Primary(_) => false,
        };
        if accepted {
            wire.pool.accepted(connection, process);
        }
    }

    /// An attempt is through with its connection, which its client keeps, if it can, or closes.
    #[inline(never)]
    pub(super) fn give_back_connection(
        &mut self,
        attempt: &Request,
        ending: Ending,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let Some(wire) = &mut self.sources[attempt.source.index()].wire else { return };
        let connection = attempt.connection;
        let keep = reusable(ending, wire.passed_on, wire.pool.multiplexes());
        if wire.passed_on && keep && attempt.instance != NOWHERE {
            if wire.pool.lead(connection, attempt.instance) {
                self.instances.at_work(attempt.instance).flows += 1;
            }
            if ending != Ending::TimedOut {
                wire.pool.accepted(connection, attempt.process);
            }
        }
        let client = wire.pool.client(connection);
        let closed = wire.pool.give_back(connection, keep, now);
        self.watch_idle(attempt.source, calendar);
        if let Some(target) = closed {
            self.flow_ends(target, calendar);
        }
        self.send_waiting(attempt.source, client, false, calendar);
    }

    /// Sends what waits at a client, as far as its connections go. What waited for a connection to be `up` was sent when that
    /// was, which is why it is there at the same time as the first.
    fn send_waiting(&mut self, source: TrafficId, client: u32, up: bool, calendar: &mut Calendar<Event>) {
        loop {
            let Some(wire) = &mut self.sources[source.index()].wire else { return };
            let Some(reference) = wire.pool.next_waiting(client) else { return };
            let Some(slot) = self.requests.live(reference) else { continue };
            let now = calendar.now();
            let Some((connection, new)) = wire.pool.take(client, now) else { return };
            let from = if up { self.requests[slot].sent } else { now };
            self.set_out(reference, connection, new, from, false, calendar);
        }
    }

    /// Connections of a source that have idled long enough are closed.
    pub(super) fn idle_over(&mut self, source: TrafficId, calendar: &mut Calendar<Event>) {
        loop {
            let Some(wire) = &mut self.sources[source.index()].wire else { return };
            match wire.pool.expire(calendar.now()) {
                (false, _) => break,
                (true, None) => {}
                (true, Some(target)) => self.flow_ends(target, calendar),
            }
        }
        self.watch_idle(source, calendar);
    }

    /// One timer for the connection that is closed first; when that is taken before, the timer looks for the next.
    fn watch_idle(&mut self, source: TrafficId, calendar: &mut Calendar<Event>) {
        let Some(wire) = &self.sources[source.index()].wire else { return };
        if let Some(due) = wire.pool.due()
            && !calendar.is_set(wire.pool.timer)
        {
            calendar.set_at(wire.pool.timer, due, Event::ConnectionIdle(source));
        }
    }

    /// A connection to a target is closed: one that is taken out, and has no other and nothing to do, is gone.
    fn flow_ends(&mut self, target: u32, calendar: &mut Calendar<Event>) {
        let instance = self.instances.at_work(target);
        instance.flows -= 1;
        let idle = instance.flows == 0 && instance.server.inside == 0;
        if idle && instance.phase == Phase::Draining {
            self.gone_if_empty(self.instances.reference(target), calendar);
        }
    }

    /// All connections to a target are reset: it is unhealthy, or gone. What it still works on is in vain.
    pub(super) fn reset_flows(&mut self, target: u32, calendar: &mut Calendar<Event>) {
        if std::mem::take(&mut self.instances.at_work(target).flows) == 0 {
            return;
        }
        for source in &mut self.sources {
            if let Some(wire) = source.wire.as_mut().filter(|wire| wire.passed_on) {
                wire.pool.reset(target, calendar.now());
            }
        }
        let passed_on = |request: &Request| {
            let source = &self.sources[request.source.index()];
            request.connection != NO_CONNECTION && source.wire.as_ref().is_some_and(|wire| wire.passed_on)
        };
        let inside: Vec<Ref> = self
            .requests
            .iter()
            .filter(|(_, request)| request.instance == target && !request.abandoned() && passed_on(request))
            .map(|(slot, _)| self.requests.reference(slot))
            .collect();
        for reference in inside {
            if let Some(slot) = self.requests.live(reference) {
                self.answer_instead(slot, Ending::Lost, calendar);
            }
        }
    }
}

/// Whether a connection can carry another request after an attempt that ended so.
fn reusable(ending: Ending, passed_on: bool, multiplexes: bool) -> bool {
    match ending {
        // A stream can be given up; without streams the late answer would be taken for the next one.
        Ending::TimedOut => multiplexes,
        Ending::NoConnection => false,
        Ending::Completed
        | Ending::Shed
        | Ending::RateLimited
        | Ending::CircuitOpen
        | Ending::CallFailed
        | Ending::Error => true,
        // A balancer of HTTP answers for its targets.
        Ending::NoTarget
        | Ending::QueueFull
        | Ending::NotListening
        | Ending::Lost
        | Ending::CutOff
        | Ending::NoAnswer => !passed_on,
    }
}
