//! Several variables: constrained ranking and selection.
//!
//! Of every candidate [`FIRST_DAYS`] days are played. From then on whoever is cheapest of those that may still be
//! recommended is played until [Wald's test](super::sprt) says whether it holds, and whoever was found to hold puts out
//! all that [Kim and Nelson's procedure](super::selection) finds to be dearer: of these it need not be known whether they
//! hold. Half of the error is for the tests of all candidates (Bonferroni), half for the selection, so that the whole answer
//! has the stated confidence.

use std::cmp::Ordering;

use super::field::{Field, Interrupted};
use super::selection::{FIRST_DAYS, Selection};
use super::sprt::{Decision, Sprt};

/// What the race found.
#[derive(Clone, Debug, PartialEq)]
pub struct Raced {
    /// The cheapest that holds, within the zone of indifference.
    pub best: Option<usize>,
    /// The test that decided.
    pub sprt: Sprt,
    /// Who was put out as dearer.
    pub dearer: Vec<bool>,
    /// Cheaper candidates of which the most days did not say whether they hold.
    pub open: Vec<usize>,
    /// Candidates whose costs could not be told apart from that of the best within the most days.
    pub tied: Vec<usize>,
    /// What does not matter, in the unit of the costs.
    pub delta: f64,
}

/// Races all candidates. `indifference` is the share of the least cost that does not matter.
///
/// # Errors
/// Where the search was interrupted.
pub fn race(
    field: &mut Field<'_>,
    (enough, error): (f64, f64),
    indifference: f64,
) -> Result<Raced, Interrupted> {
    let count = field.candidates.len();
    let sprt = Sprt::new(enough, error / 2.0 / count as f64);
    let all: Vec<(usize, u32)> = (0..count).map(|index| (index, FIRST_DAYS)).collect();
    field.play(&all)?;
    let least = field.candidates.iter().filter_map(|candidate| candidate.cost());
    let delta = indifference * least.filter(|&cost| cost > 0.0).fold(f64::INFINITY, f64::min);
    // Where nothing costs anything, all are as cheap.
    let delta = if delta.is_finite() { delta } else { 1.0 };
    let selection = Selection::new(count, error / 2.0, delta);
    let mut dearer = vec![false; count];
    loop {
        put_out(field, &sprt, &selection, &mut dearer);
        let decided = |index: usize| field.decide(index, &sprt);
        let live: Vec<usize> =
            (0..count).filter(|&i| !dearer[i] && decided(i) != Some(Decision::Breaks)).collect();
        let waiting = |i: &&usize| !field.exhausted(**i);
        let undecided = live.iter().filter(|&&i| decided(i).is_none()).filter(waiting);
        if let Some(&next) = undecided.min_by(|&&a, &&b| cheaper(field, a, b)) {
            let until = field.candidates[next].days() + field.batch(next, &sprt);
            field.play(&[(next, until)])?;
            continue;
        }
        // All that are left hold, or were played as often as may be: their costs are still to be told apart.
        let holding = live.iter().filter(|&&i| decided(i) == Some(Decision::Holds));
        let holding: Vec<usize> = holding.copied().collect();
        let days = holding.iter().map(|&i| field.candidates[i].days()).max().unwrap_or(0);
        let behind = holding.iter().any(|&i| field.candidates[i].days() < days);
        let until = if behind { days } else { days + FIRST_DAYS };
        if holding.len() < 2 || holding.iter().all(|&i| field.exhausted(i)) {
            let best = holding.iter().copied().min_by(|&a, &b| cheaper(field, a, b));
            let open = live.iter().copied().filter(|&i| decided(i).is_none());
            let open = open.filter(|&i| best.is_none_or(|best| cheaper(field, i, best).is_lt())).collect();
            let tied = holding.iter().copied().filter(|&i| Some(i) != best).collect();
            return Ok(Raced { best, sprt, dearer, open, tied, delta });
        }
        let wanted: Vec<(usize, u32)> = holding.iter().map(|&i| (i, until)).collect();
        field.play(&wanted)?;
    }
}

/// Whoever holds puts out the dearer ones; of equals the first one stays.
fn put_out(field: &Field<'_>, sprt: &Sprt, selection: &Selection, dearer: &mut [bool]) {
    let count = field.candidates.len();
    let holding: Vec<usize> =
        (0..count).filter(|&i| field.decide(i, sprt) == Some(Decision::Holds)).collect();
    for index in 0..count {
        // Who is out puts nobody out, so that one that holds is always left.
        let out = holding.iter().filter(|&&other| other != index && !dearer[other]).any(|&other| {
            let (own, others) = (&field.candidates[index].costs, &field.candidates[other].costs);
            match selection.compare(own, others) {
                Some(Ordering::Greater) => true,
                Some(Ordering::Equal) => other < index,
                _ => false,
            }
        });
        dearer[index] |= out;
    }
}

/// Who costs less on the days that both have; of equals the first one.
pub fn cheaper(field: &Field<'_>, a: usize, b: usize) -> Ordering {
    let days = field.candidates[a].costs.len().min(field.candidates[b].costs.len());
    let sum = |index: usize| field.candidates[index].costs[..days].iter().sum::<f64>();
    sum(a).total_cmp(&sum(b)).then(a.cmp(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use rand_distr::{Distribution, StandardNormal};
    use sim_core::Seed;
    use sim_core::chance::unit;

    use super::super::field::made_up::field;
    use super::*;

    /// Candidates by the mean cost and the share of days kept; days have a part of their cost in common.
    fn made_up(candidates: &[(f64, f64)], seed: u64) -> Field<'static> {
        let days = 3_000;
        let mut bits = Seed::new(seed).stream("days");
        let mut normal = || -> f64 { StandardNormal.sample(&mut bits) };
        let common: Vec<f64> = (0..days).map(|_| 3.0 * normal()).collect();
        let mut kept = Seed::new(seed).stream("kept");
        let all = candidates.iter().map(|&(mean, share)| {
            let costs: Vec<f64> = common.iter().map(|day| mean + day + 0.5 * normal()).collect();
            let kept: Vec<bool> = (0..days).map(|_| unit(&mut kept) < share).collect();
            (kept, costs)
        });
        field(all.collect())
    }

    /// The cheapest does not hold, the next is dearer by the zone, which is 1 % of the least cost; in 300 experiments the
    /// right one is selected at least as often as stated, with four standard errors of slack.
    #[test]
    fn the_cheapest_that_holds_is_selected_as_often_as_stated() {
        let candidates = [(100.0, 0.9), (101.0, 0.99), (102.1, 0.995), (102.1, 0.99), (104.0, 1.0)];
        let right = (0..300).filter(|&seed| {
            let mut field = made_up(&candidates, seed);
            race(&mut field, (0.9, 0.1), 0.01).unwrap().best == Some(1)
        });
        let share = right.count() as f64 / 300.0;
        assert!(share >= 0.9 - 4.0 * (0.9 * 0.1 / 300.0_f64).sqrt(), "{share}");
    }

    #[test]
    fn of_equals_the_first_one_stays() {
        let one = (vec![true; 400], vec![5.0; 400]);
        let mut field = field(vec![one.clone(), one.clone(), one]);
        let raced = race(&mut field, (0.9, 0.05), 0.01).unwrap();
        assert_eq!((raced.best, raced.dearer), (Some(0), vec![false, true, true]));
    }

    #[test]
    fn nobody_is_put_out_by_one_that_breaks() {
        let (cheap, dear) = ((vec![false; 400], vec![1.0; 400]), (vec![true; 400], vec![9.0; 400]));
        let raced = race(&mut field(vec![cheap, dear]), (0.9, 0.05), 0.01).unwrap();
        assert_eq!((raced.best, raced.dearer), (Some(1), vec![false, false]));
    }
}
