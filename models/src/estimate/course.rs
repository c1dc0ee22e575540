//! How the expected load goes over a run, cell by cell, and its busiest one.

use std::sync::Arc;

use sim_core::{Span, Time};

use super::Step;
use crate::plan::{GroupId, Plan};
use crate::traffic::{Arrivals, RateArrivals, RateFunction};

/// Cells are minutes, up to so many; of a longer run they are as much longer.
const MOST_CELLS: u64 = 50_000;

/// How long the plan of an instant is: sessions neither come nor go in it to speak of.
const INSTANT: Span = Span::from_millis(1);

/// A source, cell by cell.
#[derive(Clone, Debug)]
struct Source {
    /// Arrivals a second: requests, or handshakes of sessions.
    arrivals: Vec<f64>,
    /// Sessions that are open on average; empty where it has none.
    open: Vec<f64>,
    /// Those that are open when each cell begins, and when the last ends.
    begin: Vec<f64>,
    /// Messages a second of an open session.
    messages: f64,
    /// What an arrival asks of each group: visits, and vCPU seconds.
    of_arrival: Vec<[f64; 2]>,
    /// What the messages of an open session ask of each in a second.
    of_session: Vec<[f64; 2]>,
}

/// The expected course of a plan's load.
#[derive(Clone, Debug)]
pub struct Course {
    /// The length of a cell.
    pub cell: Span,
    duration: Span,
    sources: Vec<Source>,
}

impl Course {
    /// Follows all sources of a plan.
    pub fn of(plan: &Plan) -> Course {
        let minute = Span::from_secs(60);
        let least = Span::from_nanos(plan.duration.as_nanos().div_ceil(MOST_CELLS).max(1));
        let cell = minute.max(least).min(plan.duration);
        let cells = plan.duration.as_nanos().div_ceil(cell.as_nanos().max(1)) as usize;
        let mut course = Course { cell, duration: plan.duration, sources: Vec::new() };
        course.sources = (0..plan.traffic.len()).map(|index| course.source(plan, index, cells)).collect();
        course
    }

    fn source(&self, plan: &Plan, index: usize, cells: usize) -> Source {
        let traffic = &plan.traffic[index];
        let arrivals: Vec<f64> = (0..cells)
            .map(|cell| traffic.expected.integral(self.from(cell), self.to(cell)) / self.seconds(cell))
            .collect();
        let asked = |of: &mut dyn Iterator<Item = (crate::plan::EndpointId, f64)>| {
            let mut sums = vec![[0.0; 2]; plan.groups.len()];
            for (endpoint, weight) in of {
                let demands = plan.demands_of(traffic.to, endpoint);
                for (sum, demand) in sums.iter_mut().zip(demands) {
                    sum[0] += weight * demand.visits;
                    sum[1] += weight * demand.cpu;
                }
            }
            sums
        };
        let of_arrival = asked(&mut traffic.mix.iter().copied());
        let Some(sessions) = &traffic.sessions else {
            let of_session = Vec::new();
            let (open, begin) = (Vec::new(), Vec::new());
            return Source { arrivals, open, begin, messages: 0.0, of_arrival, of_session };
        };
        let kinds = sessions.messages.iter().map(|message| (message.endpoint, message.rate));
        let of_session = asked(&mut { kinds });
        let mean = (sessions.length.mean() * 1e-9).max(1e-9);
        let mut now = f64::from(sessions.open);
        let mut begin = vec![now];
        // M/M/∞ with the arrivals of a cell spread evenly over it: open' = λ − open / mean, solved exactly.
        let open = arrivals.iter().enumerate().map(|(cell, rate)| {
            let (seconds, settled) = (self.seconds(cell), rate * mean);
            let gone = -(-seconds / mean).exp_m1();
            let over = settled + (now - settled) * gone * mean / seconds;
            now = settled + (now - settled) * (1.0 - gone);
            begin.push(now);
            over
        });
        let open = open.collect();
        Source { arrivals, open, begin, messages: sessions.message_rate(), of_arrival, of_session }
    }

    /// When a cell begins.
    pub fn from(&self, cell: usize) -> Time {
        Time::ZERO + self.cell.saturating_mul(cell as u64)
    }

    /// When a cell ends.
    pub fn to(&self, cell: usize) -> Time {
        (self.from(cell) + self.cell).min(Time::ZERO + self.duration)
    }

    /// Seconds of a cell.
    pub fn seconds(&self, cell: usize) -> f64 {
        self.to(cell).since(self.from(cell)).as_secs_f64().max(1e-9)
    }

    /// How many cells there are.
    pub fn cells(&self) -> usize {
        self.sources.first().map_or(0, |source| source.arrivals.len())
    }

    /// Requests a second of a source that go through its balancer, messages not among them.
    pub fn arrivals(&self, source: usize, cell: usize) -> f64 {
        self.sources[source].arrivals[cell]
    }

    /// Sessions of a source that are open on average.
    pub fn open(&self, source: usize, cell: usize) -> f64 {
        self.sources[source].open.get(cell).copied().unwrap_or(0.0)
    }

    /// Sessions of a source that are open at an instant.
    pub fn open_then(&self, source: usize, at: Time) -> f64 {
        let cell =
            ((at.as_nanos() / self.cell.as_nanos().max(1)) as usize).min(self.cells().saturating_sub(1));
        let begin = &self.sources[source].begin;
        let (Some(from), Some(to)) = (begin.get(cell), begin.get(cell + 1)) else { return 0.0 };
        let share = at.since(self.from(cell)).as_secs_f64() / self.seconds(cell);
        from + (to - from) * share.clamp(0.0, 1.0)
    }

    /// Sessions that are open at a group in a cell: of its sources, as the balancer shares their handshakes out.
    pub fn open_at(&self, plan: &Plan, group: GroupId, cell: usize) -> f64 {
        let of = |(index, source): (usize, &Source)| {
            let balancer = &plan.balancers[plan.traffic[index].to.index()];
            let visits = source.of_arrival.get(group.index()).map_or(0.0, |of| of[0]);
            if balancer.has(group) { visits * self.open(index, cell) } else { 0.0 }
        };
        self.sources.iter().enumerate().map(of).sum()
    }

    /// Requests of all clients in a second, messages among them.
    pub fn requests(&self, cell: usize) -> f64 {
        let of = |source: &Source| {
            source.arrivals[cell] + source.messages * source.open.get(cell).copied().unwrap_or(0.0)
        };
        self.sources.iter().map(of).sum()
    }

    /// What a group gets in a cell: visits a second, and busy vCPUs at the speed of an idle one.
    pub fn load(&self, group: GroupId, cell: usize) -> [f64; 2] {
        let mut sum = [0.0; 2];
        for source in &self.sources {
            let arrivals = (source.arrivals[cell], source.of_arrival.get(group.index()));
            let open = (source.open.get(cell).copied().unwrap_or(0.0), source.of_session.get(group.index()));
            for (rate, of) in [arrivals, open] {
                for (sum, of) in sum.iter_mut().zip(of.copied().unwrap_or_default()) {
                    *sum += rate * of;
                }
            }
        }
        sum
    }

    /// The busiest cell: with the most CPU time asked for, of all groups, or else the most requests. The first of equals.
    pub fn peak(&self, plan: &Plan) -> usize {
        let groups = (0..plan.groups.len()).map(|index| GroupId(index as u16));
        let cpu = |cell: usize| groups.clone().map(|group| self.load(group, cell)[1]).sum::<f64>();
        let mut best = (0, (0.0, 0.0));
        for cell in 0..self.cells() {
            let of = (cpu(cell), self.requests(cell));
            // A millionth more is rounding.
            let more = |new: f64, old: f64| new > old * (1.0 + 1e-6);
            if more(of.0, best.1.0) || (of.0 >= best.1.0 && more(of.1, best.1.1)) {
                best = (cell, of);
            }
        }
        best.0
    }

    /// The plan as it is in a cell, as if that lasted: its sources at constant rates, as bursty as they are.
    pub fn standing_still(&self, plan: &Plan, cell: usize) -> Plan {
        let mut still = plan.clone();
        still.duration = INSTANT;
        still.warm_up = Span::ZERO;
        let end = Time::ZERO + still.duration;
        for (index, traffic) in still.traffic.iter_mut().enumerate() {
            let rate = self.arrivals(index, cell);
            traffic.expected = RateFunction::from_knots(vec![(Time::ZERO, rate), (end, rate)]);
            traffic.arrivals = follow(&traffic.arrivals, &traffic.expected);
            if let Some(sessions) = &mut traffic.sessions {
                sessions.open = self.open(index, cell).round().min(f64::from(u32::MAX)) as u32;
            }
        }
        still
    }

    /// From the whole run to its busiest cell.
    pub fn steps(&self, plan: &Plan, peak: usize) -> Vec<Step> {
        let seconds = self.duration.as_secs_f64();
        let total: f64 = (0..self.cells()).map(|cell| self.requests(cell) * self.seconds(cell)).sum();
        let (mean, highest) = (total / seconds, self.requests(peak));
        let mut steps = vec![
            Step::new("mean load", "λ = N / T", mean, "requests/s", "requests that the profiles expect")
                .term("N", "requests, messages of sessions among them", total, "requests")
                .term("T", "the run", seconds, "s"),
            Step::new("peak", "Λ = max λ(t)", highest, "requests/s", "the busiest minute by CPU time")
                .term("t", "since the start", self.from(peak).as_secs_f64(), "s")
                .term("Λ/λ", "peak over mean", highest / mean.max(1e-12), ""),
        ];
        for (index, traffic) in plan.traffic.iter().enumerate() {
            let Some(sessions) = &traffic.sessions else { continue };
            let (open, rate) = (self.open(index, peak), self.sources[index].messages);
            let length = sessions.length.mean() * 1e-9;
            let little = "Little 1961; followed through the profile, from those that are open at the start";
            steps.push(
                Step::new(
                    format!("open sessions of {}", traffic.name),
                    "P = ∫ h e^(−u/L) du",
                    open,
                    "sessions",
                    little,
                )
                .term("h", "handshakes at the peak", self.arrivals(index, peak), "/s")
                .term("L", "length of a session", length, "s"),
            );
            let title = format!("messages of {}", traffic.name);
            let source = "each session sends as a Poisson process of its own";
            steps.push(
                Step::new(title, "M = P · r", open * rate, "messages/s", source)
                    .term("P", "open sessions", open, "sessions")
                    .term("r", "messages of a session", rate, "/s"),
            );
        }
        steps
    }
}

/// Arrivals of the same kind that follow another rate. A trace says when requests come, not by what law: what follows
/// another rate is Poisson.
pub fn follow(arrivals: &Arrivals, rate: &RateFunction) -> Arrivals {
    let rate = Arc::new(rate.clone());
    match arrivals {
        Arrivals::Rate(arrivals) => Arrivals::Rate(arrivals.following(rate)),
        Arrivals::Counts(_) | Arrivals::Log(_) => Arrivals::Rate(RateArrivals::poisson(rate)),
    }
}
