//! Violating windows, joined to stretches of time.

use super::Violation;

/// Violations whose windows follow one another, for the same cause.
pub fn stretches(violations: &[Violation]) -> Vec<Vec<&Violation>> {
    joined(violations, |last, next| last.window.to == next.window.from && last.cause == next.cause)
}

/// Violations whose windows follow one another, for whatever causes.
pub fn stretches_of_time(violations: &[Violation]) -> Vec<Vec<&Violation>> {
    joined(violations, |last, next| last.window.to == next.window.from)
}

fn joined(
    violations: &[Violation],
    goes_on: impl Fn(&Violation, &Violation) -> bool,
) -> Vec<Vec<&Violation>> {
    let mut stretches: Vec<Vec<&Violation>> = Vec::new();
    for violation in violations {
        match stretches.last_mut() {
            Some(stretch) if stretch.last().is_some_and(|last| goes_on(last, violation)) => {
                stretch.push(violation);
            }
            _ => stretches.push(vec![violation]),
        }
    }
    stretches
}

/// The violation with the worst value, the first of several; `upper` where a higher one is worse.
pub fn worst_of<'a>(stretch: &[&'a Violation], upper: bool) -> Option<&'a Violation> {
    let worse = |a: f64, b: f64| if upper { a > b } else { a < b };
    stretch.iter().copied().reduce(|worst, violation| {
        if worse(violation.window.value, worst.window.value) { violation } else { worst }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{CauseKind, Window};

    fn violation(minute: f64, value: f64, cause: CauseKind) -> Violation {
        let window = Window { from: 60.0 * minute, to: 60.0 * minute + 60.0, value, requests: 1 };
        Violation { window, cause, explanation: String::new() }
    }

    #[test]
    fn windows_that_follow_one_another_for_one_cause_are_a_stretch() {
        use CauseKind::{AtMaximumSize, Backlog};
        let all = [
            violation(1.0, 2.0, AtMaximumSize),
            violation(2.0, 3.0, AtMaximumSize),
            violation(3.0, 1.0, Backlog),
            violation(5.0, 1.0, Backlog),
        ];
        let lengths = |stretches: Vec<Vec<&Violation>>| stretches.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(stretches(&all)), [2, 1, 1]);
        assert_eq!(lengths(stretches_of_time(&all)), [3, 1]);
        let first: Vec<&Violation> = all.iter().collect();
        assert_eq!(worst_of(&first, true).map(|worst| worst.window.from), Some(120.0));
        assert_eq!(
            worst_of(&first, false).map(|worst| worst.window.from),
            Some(180.0),
            "the first of several"
        );
        assert_eq!(worst_of(&[], true), None);
    }
}
