//! The paper math, step by step, and the formula beside the simulation.

use std::fmt::Write;

use anstyle::AnsiColor;
use scalesim::estimate::{Broken, Comparison, Estimate, Form, GroupEstimate, Side, Sized, Step, Term};

use super::page::Page;
use super::{Style, WIDTH, count, duration, short, value, wrap};

/// The estimate, and what playing it gave where it was played.
pub fn render_estimate(estimate: &Estimate, comparison: Option<&Comparison>, style: Style) -> String {
    let mut text = Paper { page: Page::new(style) };
    text.page.line(format!(
        "{} · estimated, not played · busiest minute from {}",
        estimate.scenario, estimate.peak_at
    ));
    text.page.section("Traffic");
    estimate.traffic.iter().for_each(|step| text.step(step));
    for group in &estimate.groups {
        text.group(group);
    }
    text.money(estimate);
    if let Some(comparison) = comparison {
        text.comparison(comparison);
    }
    text.list("Assumed, because nobody said", &estimate.assumed);
    text.list("Left out", &estimate.left_out);
    text.page.text
}

/// Columns of a title and of a formula.
const TITLE: usize = 30;
const FORMULA: usize = 34;

struct Paper {
    page: Page,
}

impl Paper {
    /// Title, formula and result; below it what was put in, and who says so.
    fn step(&mut self, step: &Step) {
        let result = amount(step.result, &step.unit);
        self.page.line(format!("  {:<TITLE$} {:<FORMULA$} = {result}", step.title, step.formula));
        let terms: Vec<String> = step.terms.iter().map(term).collect();
        let mut parts = vec![terms.join(", "), step.source.clone()];
        parts.retain(|part| !part.is_empty());
        self.page.wrapped("      ", &parts.join("; "));
    }

    fn group(&mut self, group: &GroupEstimate) {
        self.page.section(&format!("Group {}: {}", group.name, group.target));
        group.steps.iter().for_each(|step| self.step(step));
        self.page.line("");
        self.page.line(format!(
            "  {:<28} {:>9} {:>8} {:>12} {:>12}",
            "machines by", "machines", "busy", "mean then", "tail then"
        ));
        for sized in &group.forms {
            self.form(sized, group.taken);
        }
        let answer = match group.instances {
            Some(instances) => format!("{instances} {}: {}", group.machine, group.why),
            None => format!("no number of {} keeps this: a request alone takes longer", group.machine),
        };
        let answer = self.page.style.paint(AnsiColor::Green, &answer);
        self.page.line(format!("  → {answer}"));
        let Some(headroom) = &group.headroom else { return };
        self.page.section(&format!("Headroom of {}", group.name));
        headroom.steps.iter().for_each(|step| self.step(step));
        let most = "the most of these, each by itself, not all on the same day";
        let answer = format!("{} instances: {most}", headroom.instances);
        let answer = self.page.style.paint(AnsiColor::Green, &answer);
        self.page.line(format!("  → {answer}"));
    }

    fn form(&mut self, sized: &Sized, taken: Form) {
        let mark = if sized.form == taken { "→" } else { " " };
        let none = || "never".to_string();
        let times = |time: Option<f64>| match (sized.machines, time) {
            (None, _) => String::new(),
            (_, Some(time)) => value(time, "s"),
            (_, None) => "no bound".to_string(),
        };
        self.page.line(format!(
            "{mark} {:<28} {:>9} {:>8} {:>12} {:>12}",
            sized.formula,
            sized.machines.map_or_else(none, |machines| machines.to_string()),
            sized.utilisation.map_or_else(String::new, |busy| format!("{:.0} %", 100.0 * busy)),
            times(sized.mean),
            times(sized.quantile),
        ));
        self.page.wrapped("      ", &sized.takes_for_granted);
    }

    fn money(&mut self, estimate: &Estimate) {
        let money = &estimate.money;
        self.page.section(&format!("Money a month ({})", money.prices));
        money.steps.iter().for_each(|step| self.step(step));
        let sum = |sum: Option<f64>| {
            sum.map_or("a price is not known".to_string(), |sum| amount(sum, &money.currency))
        };
        let mut line = format!("{} with fleets of a fixed size", sum(money.fixed));
        if let (Some(fixed), Some(following)) = (money.fixed, money.following) {
            let less = 100.0 * (1.0 - following / fixed.max(f64::MIN_POSITIVE));
            let _ = write!(
                line,
                ", {} with fleets that follow the day: {less:.0} % less",
                amount(following, &money.currency)
            );
        }
        let line = self.page.style.paint(AnsiColor::Green, &line);
        self.page.line(format!("  → {line}"));
    }

    fn comparison(&mut self, of: &Comparison) {
        let sizes: Vec<String> = of.instances.iter().map(|(name, size)| format!("{size} {name}")).collect();
        self.page.section(&format!(
            "Formula and simulation at {}: {} × {} of the peak at {}/s",
            sizes.join(", "),
            of.replications,
            duration(of.measured),
            short(of.rate)
        ));
        self.page.line(format!("  {:<28} {:>12} {:>24}", of.of, "formula", "simulation"));
        for (name, side) in [("mean".to_string(), of.mean), (quantile(of.share), of.quantile)] {
            let formula = side.formula.map_or("no bound".to_string(), |formula| value(formula, "s"));
            self.page.line(format!("  {name:<28} {formula:>12} {:>24}", simulated(&side)));
        }
        if of.failed > 0.0 {
            self.page.line(format!(
                "  {:<28} {:>12} {:>24}",
                "without a good answer",
                "",
                value(of.failed, "%")
            ));
        }
        if of.interrupted {
            self.page.line("  Interrupted: what follows is not complete.");
        }
        self.verdict(of);
    }

    fn verdict(&mut self, of: &Comparison) {
        if of.agree {
            self.page.line("  → They agree within the interval.");
            if !of.broken.is_empty() {
                self.page.line("  What the formula takes for granted and the plan does otherwise, without much of an effect here:");
            }
        } else {
            let culprits: Vec<&str> = of
                .broken
                .iter()
                .filter(|broken| broken.explains)
                .map(|broken| broken.assumed.as_str())
                .collect();
            let why = match culprits.as_slice() {
                [] if of.broken.is_empty() => {
                    "no assumption of the formula is known to be broken".to_string()
                }
                [] if of.explained => {
                    "no assumption by itself explains it; all of these together do".to_string()
                }
                [] => "none of these assumptions explains it".to_string(),
                [one] => format!("the assumption that broke: {one}"),
                several => format!("the assumptions that broke: {}", several.join("; ")),
            };
            let verdict = format!("{}; {why}.", difference(&of.mean));
            let verdict = self.page.style.paint(AnsiColor::Yellow, &verdict);
            self.page.line(format!("  → {verdict}"));
        }
        for broken in &of.broken {
            self.broken(broken, of.share);
        }
        if let Some([mean, tail]) = &of.all_granted {
            self.page.line(format!(
                "  {:<50} mean {}, {} {}",
                "all of these made true",
                simulated(mean),
                quantile(of.share),
                simulated(tail)
            ));
        }
    }

    fn broken(&mut self, broken: &Broken, share: f64) {
        let mark = if broken.explains { "→" } else { " " };
        let played = match (&broken.granted, broken.closes) {
            (Some([mean, tail]), Some(closes)) => format!(
                "mean {}, {} {}; {}",
                simulated(mean),
                quantile(share),
                simulated(tail),
                if closes >= 0.0 {
                    format!("closes {:.0} %", 100.0 * closes)
                } else {
                    "widens the gap".to_string()
                }
            ),
            _ => String::new(),
        };
        self.page.line(format!("{mark} {:<50} {played}", broken.assumed));
        self.page.wrapped("      ", &broken.otherwise);
    }

    fn list(&mut self, title: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.page.section(title);
        for item in items {
            let mut mark = "·";
            for line in wrap(item, WIDTH - 4) {
                self.page.line(format!("  {mark} {line}"));
                mark = " ";
            }
        }
    }
}

/// How far the mean is off.
fn difference(mean: &Side) -> String {
    let Some(formula) = mean.formula.filter(|formula| *formula > 0.0) else {
        return "They disagree: the formula has no bound".to_string();
    };
    let off = 100.0 * (mean.simulated / formula - 1.0);
    format!(
        "They disagree: the simulation's mean is {:.1} % {}",
        off.abs(),
        if off < 0.0 { "lower" } else { "higher" }
    )
}

/// `p95`
fn quantile(share: f64) -> String {
    format!("p{}", (1e8 * share).round() / 1e6)
}

fn simulated(side: &Side) -> String {
    format!("{} ± {}", value(side.simulated, "s"), value(side.half_width, "s"))
}

/// `U = 50.0 M (users)`
fn term(term: &Term) -> String {
    format!("{} = {} ({})", term.symbol, amount(term.value, &term.unit), term.name)
}

/// A number with its unit, in the size people say it in.
fn amount(x: f64, unit: &str) -> String {
    let number = |x: f64| if x.abs() >= 1e4 { count(x) } else { short(x) };
    match unit {
        "" => number(x),
        "s" if x >= 1.0 => duration(x),
        "s" => value(x, "s"),
        "ms" => value(x / 1e3, "s"),
        "%" | "min" => value(x, unit),
        "/s" => format!("{}/s", number(x)),
        "instances" => format!("{x:.0} instances"),
        "USD" if x < 1.0 => format!("${x:.4}"),
        "USD" => format!("${}", thousands(x)),
        currency if currency.len() == 3 && currency.chars().all(char::is_uppercase) => {
            format!("{} {currency}", thousands(x))
        }
        unit => format!("{} {unit}", number(x)),
    }
}

/// `12 345`, and below a thousand two decimals.
fn thousands(x: f64) -> String {
    if x < 1_000.0 {
        return format!("{x:.2}");
    }
    let digits = format!("{x:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_size_and_the_unit_that_people_say() {
        let said = [
            (5e7, ""),
            (0.0725, "USD"),
            (12_345.6, "USD"),
            (8.0, "ms"),
            (4_166.7, "requests/s"),
            (95.0, "%"),
        ];
        let texts = said.map(|(x, unit)| amount(x, unit));
        assert_eq!(texts, ["50.0 M", "$0.0725", "$12 346", "8.00 ms", "4167 requests/s", "95 %"]);
        assert_eq!([quantile(0.95), quantile(0.999)], ["p95", "p99.9"]);
    }
}
