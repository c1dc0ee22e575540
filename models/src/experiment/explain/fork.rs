//! A run that can be gone back in: its world is kept on the way, until something is violated.

use std::collections::VecDeque;

use sim_core::{Simulation, Span, Time};

use crate::experiment::play::{Replication, Watch, play_on, play_until};
use crate::measure::{MinuteFacts, Start};
use crate::plan::{GroupId, Plan};
use crate::results::{Outcome, Run};
use crate::system::{System, finish};

use super::counterfactual::Change;

/// How long before the first violation a counterfactual begins at least: what it changes has to be able to matter. The rise of the
/// load, the datapoints of an alarm (three to five minutes as a rule, a quarter of an hour at the most that people set), a start and
/// a warm-up fit into it several times.
pub(super) const LEAD: Span = Span::from_secs(3_600);
/// How often the world is kept.
const EVERY: Span = Span::from_secs(1_800);
/// The most worlds that are kept at a time. Windows of up to three hours need no more.
const MOST_KEPT: usize = 10;

/// A run, and what it leaves for those who ask why.
pub(super) struct Played {
    /// Its results.
    pub run: Run,
    /// Its minutes, by group.
    pub facts: Vec<Vec<MinuteFacts>>,
    /// Its instances that were launched and came to serve.
    pub starts: Vec<Start>,
    /// By objective, the groups that can be why it was broken.
    pub behind: Vec<Vec<GroupId>>,
    /// Its world before the run-up to the first violation; `None` where that is the start.
    pub fork: Option<Simulation<System>>,
}

/// Plays a replication. Its world is kept at round half hours until the first violation has been seen, the latest few of them: one
/// run is enough to fork it at an instant that only its end tells.
///
/// There is one fork, before the first stretch, and not one before each: what is changed then has the same day to prove itself
/// in, and what it does to one stretch may be why there is another.
pub(super) fn play(replication: &Replication, place: usize, watch: Watch<'_>) -> Played {
    let mut simulation = replication.start();
    let mut kept: VecDeque<Simulation<System>> = VecDeque::new();
    let most = worlds_to_keep(&replication.plan);
    let mut at = Time::ZERO + EVERY;
    let mut ended = None;
    while at < Time::ZERO + replication.plan.duration && first_violation(&simulation.model).is_none() {
        match play_until(&mut simulation, at, place, watch) {
            Outcome::Complete => {}
            other => {
                ended = Some(other);
                break;
            }
        }
        if first_violation(&simulation.model).is_none() {
            kept.push_back(simulation.clone());
            if kept.len() > most {
                kept.pop_front();
            }
        }
        at += EVERY;
    }
    // What has ended early is not played on; it only says that it is over.
    let outcome = ended.unwrap_or_else(|| play_on(&mut simulation, place, watch));
    let system = &simulation.model;
    let first = first_violation(system);
    let fork =
        first.and_then(|first| kept.into_iter().rev().find(|world| world.calendar.now() + LEAD <= first));
    let facts = system.fleets().iter().map(|fleet| fleet.facts.clone()).collect();
    let starts = system.measure().starts.all.clone();
    let behind =
        replication.plan.objectives.iter().map(|objective| system.groups_behind(objective)).collect();
    Played { facts, starts, behind, fork, run: finish(simulation, outcome) }
}

/// Plays what would have been: from `world` on, or all of it.
pub(super) fn play_changed(
    change: &Change,
    replication: &Replication,
    world: Option<&Simulation<System>>,
    place: usize,
    watch: Watch<'_>,
) -> Run {
    let mut simulation = match world {
        Some(world) => {
            let mut fork = world.clone();
            fork.model.change(change.plan.clone(), &mut fork.calendar);
            fork
        }
        None => Replication { plan: change.plan.clone(), ..replication.clone() }.start(),
    };
    let outcome = play_on(&mut simulation, place, watch);
    finish(simulation, outcome)
}

/// A violation is seen at the end of its window.
fn worlds_to_keep(plan: &Plan) -> usize {
    let longest = plan.objectives.iter().map(|objective| objective.window).max().unwrap_or(Span::ZERO);
    let back = (longest + LEAD).as_nanos().div_ceil(EVERY.as_nanos()) + 1;
    usize::try_from(back).unwrap_or(MOST_KEPT).min(MOST_KEPT)
}

/// When the first window began that has broken its objective, as far as it has been seen.
fn first_violation(system: &System) -> Option<Time> {
    let windows = system.measure().windows.iter();
    windows.filter_map(|window| window.violations.first().map(|record| record.from)).min()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Scenario;

    const SCENARIO: &str = r#"
        [scenario]
        duration = "40min"
        seed = 3
        [traffic.web]
        to = "front"
        profile = { points = { at = [["0s", "60/s"], ["10min", "60/s"], ["14min", "460/s"], ["40min", "90/s"]] } }
        timeout = "1s"
        retry = { max = 2 }
        [service.api]
        runtime = { thread-pool = { threads = 20, accept_queue = 20 } }
        [service.api.endpoint."GET /"]
        steps = [{ cpu = { exp = { mean = "12ms" } } }, { wait = "5ms" }]
        [group.web]
        service = "api"
        machine = "c7g.large"
        min = 1
        max = 4
        monitoring = "detailed"
        [[group.web.scaling]]
        target_tracking = { target = 50 }
        [balancer.front]
        targets = "web"
        health_check = { interval = "10s", timeout = "5s" }
        [[incident]]
        crash = { group = "web", at = "20min" }
        [[sla]]
        objective = "p95 <= 100ms"
        window = "1min"
    "#;

    fn ended(simulation: Simulation<System>) -> (Run, u64) {
        let mut simulation = simulation;
        let outcome = play_on(&mut simulation, 0, Watch::default());
        let hash = simulation.calendar.order_hash();
        (finish(simulation, outcome), hash)
    }

    fn plan() -> Arc<Plan> {
        Arc::new(Scenario::parse(SCENARIO).unwrap().plan().clone())
    }

    #[test]
    fn a_fork_that_changes_nothing_has_the_same_end_from_anywhere() {
        let replication = Replication { plan: plan(), seed: 3, number: 0 };
        let (whole, hash) = ended(replication.start());
        assert!(!whole.objectives[0].met, "it has something to explain");
        for at in [0, 61, 599, 840, 1_200, 1_201, 2_000, 2_399] {
            let mut world = replication.start();
            let at = Time::ZERO + Span::from_secs(at);
            assert_eq!(play_until(&mut world, at, 0, Watch::default()), Outcome::Complete);
            let mut fork = world.clone();
            fork.model.change(plan(), &mut fork.calendar);
            assert_eq!(ended(fork), (whole.clone(), hash), "forked at {at}");
        }
    }

    #[test]
    fn keeping_worlds_on_the_way_changes_nothing() {
        let replication = Replication { plan: plan(), seed: 3, number: 0 };
        assert_eq!(play(&replication, 0, Watch::default()).run, ended(replication.start()).0);
    }
}
