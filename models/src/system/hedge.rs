//! What clients do beside sending a request once: hedged requests and retry budgets.
//!
//! A request that is hedged is a race of attempts. They stand in a ring: each knows the slot of the next. The first answer
//! ends the race; of those that fail, the last one is what the client sees. Who loses is abandoned: its server does not learn of
//! it and goes on.

use sim_core::stats::{Histogram, Precision};
use sim_core::{Calendar, FixedDelay, Span, Time};

use super::System;
use super::ending::Ending;
use super::guard::Verdict;
use super::request::{NOWHERE, Request};
use crate::event::{Event, Ref};
use crate::overload::Budget;
use crate::plan::{Hedge, HedgeAfter, Plan, RetryBudget, Traffic, TrafficId};

/// Response times are gathered over as many stretches of so long: those of Finagle's backup requests.
const STRETCHES: usize = 3;
const STRETCH: Span = Span::from_secs(10);
/// Response times that a percentile is taken of at least.
const LEAST_TIMES: u64 = 100;
/// Hedges per second beside the share that a percentile means; and how long requests are remembered. Finagle's.
const RESERVE: u32 = 10;
const REMEMBERED: Span = Span::from_secs(10);

/// What the clients of a source do beside sending each request once.
#[derive(Clone, Debug)]
pub(super) struct Repeats {
    budget: Option<Budget>,
    hedging: Option<Hedging>,
}

/// When to hedge.
#[derive(Clone, Debug)]
struct Hedging {
    most: u8,
    delay: Delay,
}

#[derive(Clone, Debug)]
enum Delay {
    Fixed(FixedDelay),
    Learned(Box<Learned>),
}

/// A percentile of the source's own latest response times.
///
/// Where response times grow all of a sudden, many requests are above the percentile of those before; a budget of the share that
/// it means keeps hedges from adding to what made them grow, as in Finagle's `BackupRequestFilter`.
#[derive(Clone, Debug)]
struct Learned {
    share: f64,
    /// The open stretch first.
    times: [Histogram; STRETCHES],
    opened: Time,
    delay: Option<Span>,
    budget: Budget,
}

impl Learned {
    fn new(share: f64) -> Box<Learned> {
        let budget = RetryBudget { ratio: 1.0 - share, per_second: RESERVE, ttl: REMEMBERED };
        Box::new(Learned {
            share,
            times: std::array::from_fn(|_| Histogram::new(Precision::Coarse)),
            opened: Time::ZERO,
            delay: None,
            budget: Budget::new(budget),
        })
    }

    /// How long the share of requests took at most, lately; `None` while that is not known.
    fn delay(&mut self, now: Time) -> Option<Span> {
        if now.since(self.opened) >= STRETCH {
            self.opened = now;
            let mut all = self.times[0].clone();
            self.times[1..].iter().for_each(|times| all.merge(times));
            if all.count() >= LEAST_TIMES {
                self.delay = all.quantile(self.share);
            }
            self.times.rotate_right(1);
            self.times[0].clear();
        }
        self.delay
    }
}

impl Repeats {
    /// What the clients of `traffic` do; `None` where that is nothing of it.
    pub(super) fn of(traffic: &Traffic, calendar: &mut Calendar<Event>) -> Option<Box<Repeats>> {
        let budget = traffic.retry_budget.map(Budget::new);
        let hedging = traffic.hedge.map(|Hedge { after, most }| Hedging {
            most,
            delay: match after {
                HedgeAfter::Delay(delay) => Delay::Fixed(calendar.fixed_delay(delay)),
                HedgeAfter::Percentile(share) => Delay::Learned(Learned::new(share)),
            },
        });
        (budget.is_some() || hedging.is_some()).then(|| Box::new(Repeats { budget, hedging }))
    }
}

impl Repeats {
    /// What has to pay for a hedge: what limits a percentile's, and what limits retries, for these are attempts like them.
    fn budgets(&mut self) -> impl Iterator<Item = &mut Budget> {
        let own = match &mut self.hedging {
            Some(Hedging { delay: Delay::Learned(learned), .. }) => Some(&mut learned.budget),
            _ => None,
        };
        own.into_iter().chain(&mut self.budget)
    }

    fn pay_for_hedge(&mut self, now: Time) -> bool {
        let all = self.budgets().all(|budget| budget.affords(now));
        if all {
            self.budgets().for_each(|budget| {
                budget.withdraw(now);
            });
        }
        all
    }
}

/// The rings of races, before the first; empty where nobody hedges.
pub(super) fn races(plan: &Plan) -> Vec<u32> {
    if plan.traffic.iter().any(|traffic| traffic.hedge.is_some()) { vec![NOWHERE] } else { Vec::new() }
}

impl System {
    /// A client that has a retry budget, or hedges, sends an attempt.
    #[inline(never)]
    pub(super) fn prepare(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let request = &self.requests[reference.slot];
        let (attempt, hedge) = (request.attempt, request.hedge);
        let Some(repeats) = &mut self.sources[request.source.index()].repeats else { return };
        if attempt == 0 && hedge == 0 {
            repeats.budgets().for_each(|budget| budget.deposit(calendar.now()));
        }
        match &mut repeats.hedging {
            Some(Hedging { most, delay }) if hedge < *most => match delay {
                Delay::Fixed(lane) => calendar.after_fixed(*lane, Event::Hedge(reference)),
                Delay::Learned(learned) => {
                    if let Some(delay) = learned.delay(calendar.now()) {
                        calendar.after(delay, Event::Hedge(reference));
                    }
                }
            },
            _ => {}
        }
    }

    /// Whether a source's budget pays for another retry.
    pub(super) fn may_retry(&mut self, source: TrafficId, now: Time) -> bool {
        let repeats = self.sources[source.index()].repeats.as_mut();
        let Some(budget) = repeats.and_then(|repeats| repeats.budget.as_mut()) else { return true };
        let paid = budget.withdraw(now);
        self.measure.repeats[source.index()].refused_by_budget += u64::from(!paid);
        paid
    }

    /// A client has waited long enough for an answer to send another attempt beside it.
    pub(super) fn hedge(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.requests.live(reference) else { return };
        let before = self.requests[slot];
        if before.abandoned() {
            return;
        }
        let source = before.source.index();
        let repeats = self.sources[source].repeats.as_mut();
        if !repeats.is_some_and(|repeats| repeats.pay_for_hedge(calendar.now())) {
            self.measure.repeats[source].refused_by_budget += 1;
            return;
        }
        let Request { source: id, endpoint, born, attempt, .. } = before;
        let number = before.number_of_hedge(before.hedge + 1);
        let next = Request {
            born,
            attempt,
            hedge: before.hedge + 1,
            sender: before.sender,
            ..Request::new(id, endpoint, number, calendar.now())
        };
        let next = self.requests.insert(next);
        let most = slot.max(next.slot) as usize + 1;
        if self.races.len() < most {
            self.races.resize(most, NOWHERE);
        }
        let [slot, place] = [slot, next.slot].map(|slot| slot as usize);
        self.races[place] = if self.races[slot] == NOWHERE { slot as u32 } else { self.races[slot] };
        self.races[slot] = next.slot;
        self.measure.repeats[source].hedges += 1;
        self.send(next, calendar);
    }

    /// A client's attempt has ended. True where others of its race go on, so that its client sees nothing of that.
    #[inline(never)]
    pub(super) fn race(&mut self, slot: u32, attempt: &Request, ending: Ending, now: Time) -> bool {
        if ending != Ending::Completed {
            return self.leave_race(slot);
        }
        let others = self.end_race(slot, now);
        if others.is_some() && attempt.hedge > 0 {
            self.measure.repeats[attempt.source.index()].hedges_won += 1;
        }
        let first = others.map_or(attempt.sent, |sent| sent.min(attempt.sent));
        self.learn(attempt.source, now.since(first));
        false
    }

    /// A client gives up on an attempt, and on all that were sent beside it.
    #[inline(never)]
    pub(super) fn race_given_up(&mut self, slot: u32, attempt: &Request, now: Time) {
        let first = self.end_race(slot, now).map_or(attempt.sent, |sent| sent.min(attempt.sent));
        self.learn(attempt.source, now.since(first));
    }

    /// Takes a slot out of its ring; true where others are left.
    fn leave_race(&mut self, slot: u32) -> bool {
        let next = self.next_in_race(slot);
        if next == NOWHERE {
            return false;
        }
        self.races[slot as usize] = NOWHERE;
        let mut before = next;
        while self.races[before as usize] != slot {
            before = self.races[before as usize];
        }
        self.races[before as usize] = if before == next { NOWHERE } else { next };
        true
    }

    /// Abandons all others of a race. When the first of them was sent; `None` where there were none.
    fn end_race(&mut self, slot: u32, now: Time) -> Option<Time> {
        let mut other = self.next_in_race(slot);
        if other == NOWHERE {
            return None;
        }
        self.races[slot as usize] = NOWHERE;
        let mut first = now;
        while other != slot {
            let next = std::mem::replace(&mut self.races[other as usize], NOWHERE);
            first = first.min(self.requests[other].sent);
            self.abandon(other);
            let loser = self.requests[other];
            self.guard_sees(&loser, Verdict::TakenBack, now);
            other = next;
        }
        Some(first)
    }

    fn next_in_race(&self, slot: u32) -> u32 {
        self.races.get(slot as usize).copied().unwrap_or(NOWHERE)
    }

    /// A request took so long, or its client waited so long in vain.
    fn learn(&mut self, source: TrafficId, took: Span) {
        if let Some(Repeats { hedging: Some(Hedging { delay: Delay::Learned(learned), .. }), .. }) =
            self.sources[source.index()].repeats.as_deref_mut()
        {
            learned.times[0].record(took);
        }
    }
}
