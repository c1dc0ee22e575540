//! One variable: bracket and bisect.
//!
//! The candidates stand in the order of one value, and the assumption is that what they can do grows with it, or falls: on the
//! same day, whoever has more keeps all that who has less keeps. Which way it goes, the two ends say.
//!
//! # Why the error need not be shared among all that are tested
//! Under the assumption, and on the same days, a candidate that is wrongly accepted takes with it the best of those that must
//! not be: that one keeps every day that the other keeps, so that its test accepts as well. So only two tests can put the
//! answer wrong, that of the best one that must be rejected and that of the weakest one that must be accepted, and each gets half of the
//! error. Where days contradict the assumption this falls, and the error is shared among all (Bonferroni); where
//! decisions contradict it, all candidates of the range are tested.

use super::field::{Field, Interrupted};
use super::sprt::{Decision, Sprt};

/// What bisection found.
#[derive(Clone, Debug, PartialEq)]
pub struct Bisected {
    /// Candidates that hold, by index; the last of those towards the failing side among them.
    pub holds: Vec<usize>,
    /// The test that decided.
    pub sprt: Sprt,
    /// What became of the assumption.
    pub monotone: Monotone,
}

/// What became of the assumption that more never breaks what less keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monotone {
    /// Nothing contradicts it.
    Consistent,
    /// On so many days somebody kept what another with more did not; the error was shared among all candidates.
    DaysCross(u32),
    /// Decisions contradict it; all candidates of the range were tested.
    Contradicted,
}

/// Finds out who holds, of candidates in the order of their value. `enough` is the share of days to be kept, `error` the chance
/// that the answer may be wrong with. `start` is tested first where it is in the order.
///
/// # Errors
/// Where the search was interrupted.
pub fn bisect(
    field: &mut Field<'_>,
    order: &[usize],
    start: Option<usize>,
    (enough, error): (f64, f64),
) -> Result<Bisected, Interrupted> {
    let sprt = Sprt::new(enough, error / 2.0);
    search(field, order, start, &sprt)?;
    let (crossed, contradicted) = contradictions(field, order, &sprt);
    if crossed == 0 && !contradicted {
        let holds = accepted(field, order, &sprt);
        return Ok(Bisected { holds, sprt, monotone: Monotone::Consistent });
    }
    let sprt = Sprt::new(enough, error / order.len() as f64);
    search(field, order, start, &sprt)?;
    let (crossed, contradicted) = contradictions(field, order, &sprt);
    let monotone = if contradicted { Monotone::Contradicted } else { Monotone::DaysCross(crossed) };
    if contradicted {
        for &index in order {
            field.settle(index, &sprt)?;
        }
    }
    Ok(Bisected { holds: accepted(field, order, &sprt), sprt, monotone })
}

/// Tests the start, both ends, and then the middle of where holding turns into breaking, until two neighbours are left.
fn search(
    field: &mut Field<'_>,
    order: &[usize],
    start: Option<usize>,
    sprt: &Sprt,
) -> Result<(), Interrupted> {
    let Some(last) = order.len().checked_sub(1) else { return Ok(()) };
    let mut holds = |at: usize| -> Result<bool, Interrupted> {
        Ok(field.settle(order[at], sprt)? == Some(Decision::Holds))
    };
    let start = start.and_then(|start| order.iter().position(|&index| index == start));
    let start = start.map(|at| holds(at).map(|held| (at, held))).transpose()?;
    let (low, high) = (holds(0)?, holds(last)?);
    if low == high {
        return Ok(()); // all hold, or none does
    }
    let (mut from, mut to) = (0, last);
    let mut narrow = |at: usize, held: bool| if held == low { from = from.max(at) } else { to = to.min(at) };
    if let Some((at, held)) = start {
        narrow(at, held);
    }
    while to.saturating_sub(from) > 1 {
        let middle = from + (to - from) / 2;
        if holds(middle)? == low { from = middle } else { to = middle }
    }
    Ok(())
}

fn accepted(field: &Field<'_>, order: &[usize], sprt: &Sprt) -> Vec<usize> {
    order.iter().copied().filter(|&index| field.decide(index, sprt) == Some(Decision::Holds)).collect()
}

/// Days on which somebody kept what another with more did not, and whether decisions are in no order.
fn contradictions(field: &Field<'_>, order: &[usize], sprt: &Sprt) -> (u32, bool) {
    let played: Vec<usize> =
        order.iter().copied().filter(|&index| field.candidates[index].days() > 0).collect();
    let decisions: Vec<Decision> = played.iter().filter_map(|&index| field.decide(index, sprt)).collect();
    let turns = decisions.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // Whether more is better: whoever keeps a larger share of the days stands at the better end.
    let share = |index: &usize| {
        let candidate = &field.candidates[*index];
        1.0 - f64::from(candidate.broken_days()) / f64::from(candidate.days().max(1))
    };
    let rising = played.first().map(share) <= played.last().map(share);
    let crossed = |(first, second): (usize, usize)| {
        let (less, more) = if rising { (first, second) } else { (second, first) };
        let days = field.candidates[less].kept.iter().zip(&field.candidates[more].kept);
        days.filter(|&(&less, &more)| less && !more).count() as u32
    };
    let pairs = (0..played.len()).flat_map(|to| (0..to).map(move |from| (from, to)));
    (pairs.map(|(from, to)| crossed((played[from], played[to]))).sum(), turns > 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use super::super::field::made_up::field;
    use super::*;

    /// Candidates of whose days each is kept where the letter is `H`, and broken where it is `B`; `x` is every other one.
    fn of(letters: &str) -> Bisected {
        let days = letters.chars().map(|letter| {
            let kept: Vec<bool> =
                (0..400).map(|day| letter == 'H' || (letter == 'x' && day % 2 == 0)).collect();
            (kept, vec![1.0; 400])
        });
        let mut field = field(days.collect());
        let order: Vec<usize> = (0..letters.len()).collect();
        bisect(&mut field, &order, None, (0.9, 0.05)).unwrap()
    }

    #[test]
    fn whoever_holds_is_found_whichever_way_it_goes() {
        for count in 1..10 {
            for turn in 0..=count {
                let (below, above) = ("B".repeat(turn), "H".repeat(count - turn));
                let rising = of(&format!("{below}{above}"));
                assert_eq!(rising.holds, (turn..count).collect::<Vec<_>>());
                assert_eq!(rising.monotone, Monotone::Consistent);
                let falling = of(&format!("{above}{below}"));
                assert_eq!(falling.holds, (0..count - turn).collect::<Vec<_>>());
                assert_eq!(falling.monotone, Monotone::Consistent);
            }
        }
    }

    #[test]
    fn decisions_in_no_order_are_told_and_all_are_tested() {
        let found = of("BHBHH");
        assert_eq!((found.monotone, found.holds), (Monotone::Contradicted, vec![1, 3, 4]));
    }

    /// Half of the days of the second are kept, none of the third's: on 200 days more broke what less kept.
    #[test]
    fn days_that_cross_share_the_error_among_all() {
        let found = of("BxBH");
        assert_eq!((found.monotone, found.holds), (Monotone::DaysCross(200), vec![3]));
        assert_eq!(found.sprt, Sprt::new(0.9, 0.05 / 4.0));
    }
}
