//! Which instances go when a group has too many: a zone first, then its termination policies in their order.
//!
//! (EC2 Auto Scaling, "Control which Auto Scaling instances terminate during scale in".) Nothing is known here of
//! machines or requests; [`crate::system`] says what each instance is like and does what is decided.

use std::collections::BTreeMap;

use rand::Rng;
use sim_core::chance::below;
use sim_core::{Span, Time};

/// A rule that prefers some instances of a zone to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminationPolicy {
    /// `Default`: what is out of line with the allocation strategy, then the oldest launch configuration or template version,
    /// then what is closest to its next billing hour.
    Default,
    /// `AllocationStrategy`: what a group of several machine types or purchase options has too much of.
    AllocationStrategy,
    /// `OldestLaunchTemplate`: those of launch configurations, then of the oldest version of the template.
    OldestLaunchTemplate,
    /// `OldestLaunchConfiguration`: those of the oldest launch configuration, where any are of one.
    OldestLaunchConfiguration,
    /// `ClosestToNextInstanceHour`.
    ClosestToNextInstanceHour,
    /// `NewestInstance`.
    NewestInstance,
    /// `OldestInstance`.
    OldestInstance,
}

/// What an instance was launched from. Configurations go before templates, and low numbers are old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaunchedFrom {
    /// A launch configuration, numbered by age from the oldest.
    Configuration(u32),
    /// A version of a launch template.
    Template(u32),
}

/// An instance that may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its zone, by index.
    pub zone: u16,
    /// What it was launched from.
    pub launched_from: LaunchedFrom,
    /// When it was launched.
    pub launched: Time,
    /// Its number in the group: of instances launched at the same instant, the lower one is older.
    pub number: u64,
    /// How long it is until its next billing hour begins.
    pub to_next_hour: Span,
    /// The group has more of its kind than its allocation strategy asks for; never in a group of one kind.
    pub out_of_line: bool,
    /// Protected from scale-in.
    pub protected: bool,
}

/// Where in its next hour of life an instance is that was billed from `from`: how long until the hour is full.
pub fn to_next_hour(from: Time, now: Time) -> Span {
    let hour = Span::from_secs(3600).as_nanos();
    Span::from_nanos(hour - now.since(from).as_nanos() % hour)
}

/// Chooses the instances that go until `desired` are left, or none is left that is not protected: their indices. Each choice
/// is made anew, as zones have fewer by then.
pub fn surplus(
    candidates: &[Candidate],
    desired: usize,
    policies: &[TerminationPolicy],
    draws: &mut impl Rng,
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut gone = Vec::new();
    while left.len() > desired {
        let of: Vec<Candidate> = left.iter().map(|&index| candidates[index]).collect();
        let Some(chosen) = choose(&of, policies, draws) else { break };
        gone.push(left.remove(chosen));
    }
    gone
}

/// Chooses the instance that goes first: its index. `None` where there is none that is not protected.
pub fn choose(
    candidates: &[Candidate],
    policies: &[TerminationPolicy],
    draws: &mut impl Rng,
) -> Option<usize> {
    let equals = equals(candidates, policies);
    match equals.as_slice() {
        [] | [_] => equals.first().copied(), // nothing to draw
        many => Some(many[below(draws, many.len() as u32) as usize]),
    }
}

/// The instances of which any may go first: those of the zones that have most, and hold one that is not protected, which
/// every policy in turn prefers. Where none is left that is not protected, none.
pub fn equals(candidates: &[Candidate], policies: &[TerminationPolicy]) -> Vec<usize> {
    let mut in_zone: BTreeMap<u16, usize> = BTreeMap::new();
    candidates.iter().for_each(|candidate| *in_zone.entry(candidate.zone).or_default() += 1);
    let open = candidates.iter().enumerate().filter(|(_, candidate)| !candidate.protected);
    let counted: Vec<(usize, usize)> =
        open.map(|(index, candidate)| (index, in_zone[&candidate.zone])).collect();
    let fullest = counted.iter().map(|&(_, count)| count).max().unwrap_or(0);
    let mut left: Vec<usize> =
        counted.into_iter().filter(|&(_, count)| count == fullest).map(|(index, _)| index).collect();
    for &policy in policies {
        prefer(policy, candidates, &mut left);
    }
    left
}

/// Keeps those that a policy prefers.
fn prefer(policy: TerminationPolicy, candidates: &[Candidate], left: &mut Vec<usize>) {
    use TerminationPolicy as Policy;
    match policy {
        Policy::Default => {
            prefer(Policy::AllocationStrategy, candidates, left);
            prefer(Policy::OldestLaunchTemplate, candidates, left);
            prefer(Policy::ClosestToNextInstanceHour, candidates, left);
        }
        Policy::AllocationStrategy => keep_least(left, |at| !candidates[at].out_of_line),
        Policy::OldestLaunchTemplate => keep_least(left, |at| candidates[at].launched_from),
        Policy::OldestLaunchConfiguration => keep_least(left, |at| match candidates[at].launched_from {
            LaunchedFrom::Configuration(age) => age,
            LaunchedFrom::Template(_) => u32::MAX,
        }),
        Policy::ClosestToNextInstanceHour => keep_least(left, |at| candidates[at].to_next_hour),
        Policy::NewestInstance => {
            keep_least(left, |at| std::cmp::Reverse((candidates[at].launched, candidates[at].number)));
        }
        Policy::OldestInstance => keep_least(left, |at| (candidates[at].launched, candidates[at].number)),
    }
}

fn keep_least<K: Ord>(left: &mut Vec<usize>, key: impl Fn(usize) -> K) {
    if let Some(least) = left.iter().map(|&at| key(at)).min() {
        left.retain(|&at| key(at) == least);
    }
}
