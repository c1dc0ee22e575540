//! How certain the figures are: how tight intervals came to be, and where a transient ends.

use anstyle::AnsiColor;
use scalesim::results::{Precision, Transient};

use super::{Summary, count, duration, short};

/// Lengths of a warm-up that people use, in seconds; longer ones are whole hours.
const WARM_UPS: [(u32, &str); 21] = [
    (1, "1s"),
    (2, "2s"),
    (5, "5s"),
    (10, "10s"),
    (15, "15s"),
    (20, "20s"),
    (30, "30s"),
    (45, "45s"),
    (60, "1min"),
    (90, "90s"),
    (120, "2min"),
    (180, "3min"),
    (240, "4min"),
    (300, "5min"),
    (450, "450s"),
    (600, "10min"),
    (900, "15min"),
    (1_200, "20min"),
    (1_800, "30min"),
    (2_700, "45min"),
    (3_600, "1h"),
];

impl Summary<'_> {
    /// `24 replications: response time p99 within 1.9 % (asked 2 %)`
    pub(super) fn precision(&mut self) {
        let Some(precision) = &self.results.precision else { return };
        let line = told(precision, self.results.replications.len());
        let colour = if precision.reached { AnsiColor::Green } else { AnsiColor::Yellow };
        let line = self.page.style.paint(colour, &line);
        self.page.line(line);
    }

    /// What is to be known of a run's start, and that a single run has no intervals.
    pub(super) fn certainty(&mut self) {
        if let Some(transient) = &self.results.transient {
            self.page.line("");
            self.page.line(start(transient));
        }
        if self.results.replications.len() == 1 {
            self.page.line("");
            self.page
                .line("One run has no confidence interval: add `--replications 10` for one on every figure.");
        }
    }
}

fn told(precision: &Precision, replications: usize) -> String {
    let asked = share(precision.asked);
    let Some(widest) = &precision.widest else {
        return format!("{replications} replications: nothing was timed that could be within {asked}");
    };
    let figure = &widest.figure;
    match (widest.relative.map(share), precision.reached) {
        (Some(within), true) => {
            format!("{replications} replications: {figure} within {within} (asked {asked})")
        }
        (Some(within), false) => {
            let would_do =
                precision.would_do.map_or(String::new(), |n| format!("; about {} would do", rough(n)));
            format!(
                "NOT TIGHT ENOUGH (asked {asked}): {figure} ± {within} after {replications} replications{would_do}"
            )
        }
        (None, _) => format!(
            "NOT TIGHT ENOUGH (asked {asked}): {figure} was measured in fewer than 2 of {replications} replications"
        ),
    }
}

fn start(transient: &Transient) -> String {
    let of = &transient.of;
    match transient.until {
        None => format!("The run is too short to tell where its start ends, as {of} go: play it for longer."),
        Some(until) if transient.covered => {
            format!("The first {} are a transient ({of}); the warm-up leaves them out.", duration(until))
        }
        Some(until) => format!(
            "The first {} are a transient ({of}) and are in the figures: `warm_up = \"{}\"` leaves them out.",
            duration(until),
            warm_up(until)
        ),
    }
}

/// A warm-up that covers so many seconds.
fn warm_up(seconds: f64) -> String {
    let known = WARM_UPS.iter().find(|(length, _)| f64::from(*length) >= seconds);
    known.map_or_else(|| format!("{:.0}h", (seconds / 3_600.0).ceil()), |(_, text)| (*text).to_string())
}

/// `1.9 %`
fn share(share: f64) -> String {
    format!("{} %", short(100.0 * share))
}

/// Two digits of an estimate.
fn rough(n: u64) -> String {
    let unit = 10f64.powf((n.max(1) as f64).log10().floor() - 1.0).max(1.0);
    count((n as f64 / unit).ceil() * unit)
}

#[cfg(test)]
mod tests {
    use scalesim::results::Widest;

    use super::*;

    fn precision(relative: Option<f64>, would_do: Option<u64>) -> Precision {
        let widest = Some(Widest { figure: "response time p99".to_string(), relative });
        Precision { asked: 0.02, most: 1_000, reached: relative <= Some(0.02), widest, would_do }
    }

    #[test]
    fn precision_says_what_was_reached_and_what_it_would_take() {
        let reached = Precision { reached: true, ..precision(Some(0.019), None) };
        assert_eq!(told(&reached, 24), "24 replications: response time p99 within 1.90 % (asked 2 %)");
        assert_eq!(
            told(&precision(Some(0.031), Some(2_403)), 1_000),
            "NOT TIGHT ENOUGH (asked 2 %): response time p99 ± 3.10 % after 1000 replications; about 2500 would do"
        );
        let rare = Precision { reached: false, ..precision(None, None) };
        assert!(told(&rare, 20).ends_with("fewer than 2 of 20 replications"));
    }

    #[test]
    fn a_warm_up_is_a_length_that_people_use_and_not_much_longer_than_it_takes() {
        assert_eq!([1.0, 225.0, 240.0, 3_601.0, 30_000.0].map(warm_up), ["1s", "4min", "4min", "2h", "9h"]);
        for two in WARM_UPS.windows(2) {
            assert!(two[0].0 < two[1].0 && f64::from(two[1].0) <= 2.5 * f64::from(two[0].0));
        }
    }
}
