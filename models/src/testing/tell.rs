//! The words of failures.

use sim_core::Seed;

use crate::results::{Clock, ObjectiveResult, Outcome, Results, stretches, worst_of};

/// Stretches of violation that a failure tells one by one.
const MOST_STRETCHES: usize = 5;
/// Replications whose values a failure tells one by one.
const MOST_VALUES: usize = 10;

/// A value with its unit, in the size people say it in.
pub fn value(x: f64, unit: &str) -> String {
    match unit {
        "s" => match x.abs() {
            0.0 => "0".to_string(),
            size if size < 1e-3 => format!("{:.0} µs", x * 1e6),
            size if size < 1.0 => format!("{} ms", three_digits(x * 1e3)),
            _ => format!("{} s", three_digits(x)),
        },
        "%" if x > 99.0 && x < 100.0 => format!("{x:.3} %"),
        "USD" => format!("${x:.2}"),
        "" => three_digits(x),
        "%" | "min" | "h" => format!("{} {unit}", three_digits(x)),
        currency => format!("{x:.2} {currency}"),
    }
}

/// Three significant digits; all that stand before the point.
fn three_digits(x: f64) -> String {
    let decimals = match x.abs() {
        size if size >= 100.0 || x.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{x:.decimals$}")
}

/// `20:40–20:45`
pub fn between(results: &Results, from: f64, to: f64) -> String {
    let clock = Clock::new(results);
    format!("{}–{}", clock.time(from), clock.time(to))
}

/// Why a run proves nothing, where it was cut short.
pub fn cut_short(results: &Results) -> Option<String> {
    results.replications.iter().find_map(|one| {
        let (why, at) = match &one.outcome {
            Outcome::Complete => return None,
            Outcome::Interrupted { at } => ("it was interrupted".to_string(), *at),
            Outcome::Limit { at, limit, value } => (format!("it reached `limits.{limit}`, {value}"), *at),
        };
        let number = match results.replications.len() {
            1 => "the run".to_string(),
            _ => format!("replication {}", one.replication),
        };
        Some(format!("{number} was not played to its end: {why}, at {}", Clock::new(results).time(at)))
    })
}

/// The stretches of violation with their causes, in lines of their own; empty where there is none.
pub fn violations(results: &Results, objective: &ObjectiveResult) -> String {
    let stretches = stretches(&objective.violations);
    let mut text = String::new();
    for stretch in stretches.iter().take(MOST_STRETCHES) {
        let (Some(first), Some(last), Some(worst)) =
            (stretch.first(), stretch.last(), worst_of(stretch, objective.upper))
        else {
            continue;
        };
        text.push_str(&format!(
            "\n  {}  {}\n      {}",
            between(results, first.window.from, last.window.to),
            value(worst.window.value, &objective.unit),
            worst.explanation
        ));
    }
    let told: u64 = stretches.iter().take(MOST_STRETCHES).map(|stretch| stretch.len() as u64).sum();
    let more = (objective.violations.len() as u64 + objective.violations_dropped).saturating_sub(told);
    if more > 0 {
        text.push_str(&format!("\n  … and {more} more windows"));
    }
    text
}

/// `in 3 of 5 replications: 12 min, 0 min, …; mean 4 ± 2 min`, as a line of its own; empty where there is one.
pub fn replications(results: &Results, failed: usize, figure: &str, values: &[Option<f64>]) -> String {
    let count = results.replications.len();
    if count < 2 {
        return String::new();
    }
    let found = results.figures.iter().find(|one| one.name == figure);
    let unit = found.map_or("", |one| one.unit.as_str());
    let shown = values.iter().take(MOST_VALUES);
    let shown = shown.map(|value| value.map_or("nothing".to_string(), |x| self::value(x, unit)));
    let mut text =
        format!("\n  in {failed} of {count} replications: {}", shown.collect::<Vec<_>>().join(", "));
    if count > MOST_VALUES {
        text.push_str(", …");
    }
    if let Some(one) = found {
        text.push_str(&format!("; mean {}", self::value(one.mean, unit)));
        if let Some(half_width) = one.half_width {
            text.push_str(&format!(" ± {} (95 %)", self::value(half_width, unit)));
        }
    }
    text
}

/// How to see replication `number` by itself, as a line of its own.
pub fn to_see_it(results: &Results, number: u32) -> String {
    let seed = Seed::new(results.seed).replication(number).get();
    let which = match results.replications.len() {
        1 => "to see it".to_string(),
        _ => format!("to see replication {number}"),
    };
    match results.command.as_str() {
        "" => format!("\n{which}: seed {seed}"),
        command => format!("\n{which}: {command} --seed {seed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn values_are_told_in_the_size_people_say_them_in() {
        let told = [
            (0.0, "s"),
            (0.00025, "s"),
            (0.0253, "s"),
            (0.533, "s"),
            (12.0, "s"),
            (99.95, "%"),
            (20.0, "min"),
        ];
        let told = told.map(|(x, unit)| value(x, unit));
        assert_eq!(told, ["0", "250 µs", "25.3 ms", "533 ms", "12 s", "99.950 %", "20 min"]);
        assert_eq!(value(12.5, "USD"), "$12.50");
        assert_eq!(value(12.5, "EUR"), "12.50 EUR");
    }
}
