//! What led to what in a violating stretch, in numbers of the run: the load, what the fleet could, what went wrong, when somebody
//! noticed, what held him back, how long it took, what clients made of it, and why it was over.

mod control;
mod jobs;
mod load;

use serde::{Deserialize, Serialize};
use sim_core::{Span, Time};

use super::fork::Played;
use super::stretches::minutes_of;
use crate::measure::{MinuteFacts, Start};
use crate::plan::{Group, GroupId, Plan};
use crate::results::Run;

/// Minutes before a stretch in which its run-up is looked for: half an hour.
const RUN_UP: f64 = 30.0 * 60.0;

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Its instant, in seconds since the start of the run.
    pub at: f64,
    /// What it is about.
    pub kind: LinkKind,
    /// In words and numbers.
    pub text: String,
}

/// What a link is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// How much more there was to do.
    Load,
    /// What the fleet could do, and from when on that was not enough.
    Capacity,
    /// Jobs that waited.
    Backlog,
    /// Something went wrong.
    Incident,
    /// An alarm, and how many datapoints it needed.
    Alarm,
    /// A policy changed the size, or none did.
    Decision,
    /// What held a policy back.
    HeldBack,
    /// Instances that were launched, and how long they took.
    Launch,
    /// Requests were turned away.
    Refused,
    /// Clients tried again.
    Retries,
    /// Why it was over.
    Recovery,
}

/// A stretch and the group that is looked at.
pub(super) struct Scene<'a> {
    plan: &'a Plan,
    run: &'a Run,
    group: &'a Group,
    facts: &'a [MinuteFacts],
    starts: Vec<Start>,
    /// When the stretch begins, and its run-up before it.
    from: f64,
    run_up: f64,
    to: f64,
}

impl<'a> Scene<'a> {
    /// Of a group from when to when.
    pub fn new(plan: &'a Plan, played: &'a Played, group: GroupId, (from, to): (f64, f64)) -> Scene<'a> {
        let run_up = (from - RUN_UP).max(0.0);
        let during = |start: &&Start| {
            start.group == group && start.serving.as_secs_f64() >= run_up && start.launched.as_secs_f64() < to
        };
        Scene {
            plan,
            run: &played.run,
            group: &plan.groups[group.index()],
            facts: &played.facts[group.index()],
            starts: played.starts.iter().filter(during).copied().collect(),
            from,
            run_up,
            to,
        }
    }

    /// Its links, in order of time; of those at the same time in the order of cause and effect.
    pub fn chain(&self) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        match self.group.worker {
            Some(_) => links.extend(self.backlog()),
            None => {
                links.extend(self.load());
                links.extend(self.capacity());
            }
        }
        links.extend(self.incidents());
        links.extend(self.alarm());
        links.extend(self.decision());
        links.extend(self.held_back());
        links.extend(self.launches());
        links.extend(self.refused());
        links.extend(self.retries());
        links.sort_by(|a, b| a.at.total_cmp(&b.at));
        links.push(self.recovery());
        links
    }

    /// The minutes of the stretch.
    fn minutes(&self) -> &'a [MinuteFacts] {
        minutes_of(self.facts, self.from, self.to)
    }

    /// The minutes of its run-up and of itself, each with when it begins.
    fn all(&self) -> impl DoubleEndedIterator<Item = (f64, &'a MinuteFacts)> + Clone {
        let first = (self.run_up / 60.0).floor();
        let minutes = minutes_of(self.facts, self.run_up, self.to).iter().enumerate();
        minutes.map(move |(index, minute)| (60.0 * (first + index as f64), minute))
    }

    /// The minute of the stretch in which most was asked for, with when it begins.
    fn peak(&self) -> Option<(f64, &'a MinuteFacts)> {
        let from = 60.0 * (self.from / 60.0).floor();
        let during = self.all().filter(|(at, _)| *at >= from);
        during.reduce(|most, next| if next.1.load > most.1.load { next } else { most })
    }

    /// An instant on the wall clock of the scenario's zone: `20:31`, with the day where the run is longer than one.
    fn clock(&self, at: f64) -> String {
        let long = self.plan.duration > Span::from_secs(86_400);
        self.plan.clock(Time::ZERO + Span::from_nanos((at.max(0.0) * 1e9) as u64), long)
    }

    fn link(&self, at: f64, kind: LinkKind, text: String) -> Link {
        Link { at, kind, text }
    }
}

/// `902/s`, `1.5/s`
fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}/s") } else { format!("{per_second:.0}/s") }
}

/// `3 instances`, `1 instance`
fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// `85 s`, `13 min`
fn span(seconds: f64) -> String {
    if seconds < 180.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
