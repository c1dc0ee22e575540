//! A comparison for a terminal: what is changed, who holds the SLA at what cost, the verdict on each variant, and the
//! figures that differ.

use std::fmt::Write;

use anstyle::AnsiColor;
use scalesim::experiment::compare::{
    Against, Compared, Difference, Finding, VIOLATION, VariantResult, Verdict,
};
use scalesim::results::{Figure, Outcome};
use scalesim::scenario::Change;

use super::page::Page;
use super::{Style, count, duration, short, value, wrap};

/// Changes of a variant that are listed.
const MOST_CHANGES: usize = 20;
/// Figures of a variant that are listed; all are in `comparison.csv`.
const MOST_FIGURES: usize = 16;
/// Differences below this share of the baseline's value are shown to be there, but not worth a row.
const TRIFLE: f64 = 1e-3;
/// Columns of a value in a list of changes.
const LONGEST_VALUE: usize = 48;
/// Columns of a name.
const LONGEST_NAME: usize = 40;
/// Columns of text.
const WIDTH: usize = 110;

/// What a variant changes of the baseline's scenario, as lines: `~ group.web.max  8 → 12`.
pub fn changes_text(baseline: &str, variant: &str, changes: &[Change]) -> String {
    let mut text = match changes.len() {
        0 => return format!("{variant} changes nothing of {baseline}\n"),
        1 => format!("{variant} changes a value of {baseline}\n"),
        n => format!("{variant} changes {n} values of {baseline}\n"),
    };
    for change in changes.iter().take(MOST_CHANGES) {
        let cut = |value: &String| cut(value, LONGEST_VALUE);
        let line = match (&change.before, &change.after) {
            (Some(before), Some(after)) => format!("~ {}  {} → {}", change.path, cut(before), cut(after)),
            (Some(before), None) => format!("- {} = {}", change.path, cut(before)),
            (None, after) => format!("+ {} = {}", change.path, after.as_ref().map_or(String::new(), cut)),
        };
        let _ = writeln!(text, "  {line}");
    }
    if let Some(more) = changes.len().checked_sub(MOST_CHANGES).filter(|&more| more > 0) {
        let _ = writeln!(text, "  … and {more} more");
    }
    text
}

/// What a comparison found.
pub fn comparison_text(compared: &Compared, style: Style) -> String {
    let mut report = Report { compared, page: Page::new(style) };
    report.heading();
    report.standings();
    for variant in &compared.variants {
        if let Some(against) = &variant.against {
            report.variant(variant, against);
        }
    }
    report.footer();
    report.page.text
}

/// The verdict on a variant as a sentence without its end: `violates the SLA for 18.2 ± 2.1 min less and costs …`.
fn verdict_text(compared: &Compared, variant: &VariantResult, against: &Against) -> String {
    let runs = runs(compared.replications.len());
    let baseline = &compared.variants[0].name;
    if against.verdict == Verdict::Identical {
        return format!("the same bytes as {baseline} in {runs}: every difference is exactly 0");
    }
    if compared.replications.is_empty() {
        return "no replication was played to its end under all variants".to_string();
    }
    let of = |name: &str| against.differences.iter().find(|of| of.name == name);
    let violation = of(VIOLATION).map(|of| match of.finding {
        Finding::Lower => format!("violates the SLA for {} less", size(of)),
        Finding::Higher => format!("violates the SLA for {} more", size(of)),
        Finding::Same if of.variant == 0.0 => "never violates the SLA, as before".to_string(),
        Finding::Same => "violates the SLA for exactly as long".to_string(),
        Finding::NotShown => format!("no difference that {runs} can show in violation ({})", signed(of)),
    });
    let cost = of("cost").map(|of| match of.finding {
        Finding::Lower => format!("costs {} less", size(of)),
        Finding::Higher => format!("costs {} more", size(of)),
        Finding::Same => "costs exactly as much".to_string(),
        Finding::NotShown => format!("no difference that {runs} can show in cost ({})", signed(of)),
    });
    match (violation, cost) {
        (Some(violation), Some(cost)) => format!("{violation}; {cost}"),
        (Some(violation), None) => {
            format!("{violation}; no prices in common, so that nothing is said of cost")
        }
        (None, Some(cost)) => format!("{cost}; no objective in common, so that nothing is said of the SLA"),
        (None, None) => format!("{} has neither an SLA nor prices in common with {baseline}", variant.name),
    }
}

/// A verdict in a word or two.
fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Identical => "identical",
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::BetterAndDearer => "better and dearer",
        Verdict::WorseAndCheaper => "worse and cheaper",
        Verdict::NotShown => "no difference that these runs can show",
        Verdict::Unjudged => "not judged",
    }
}

/// Figures in the order in which they matter: the SLA, what clients see, money, and then everything else.
pub fn by_weight(differences: &[Difference]) -> Vec<&Difference> {
    let weight = |name: &str| match name {
        VIOLATION => 0,
        name if name.starts_with("violation of ") => 1,
        "availability" => 2,
        name if name.starts_with("response time") => 3,
        "cost" => 4,
        name if name.ends_with(": overall") || name.ends_with(": worst window") => 5,
        _ => 6,
    };
    let mut sorted: Vec<&Difference> = differences.iter().collect();
    sorted.sort_by_key(|of| weight(&of.name));
    sorted
}

struct Report<'a> {
    compared: &'a Compared,
    page: Page,
}

impl Report<'_> {
    fn heading(&mut self) {
        let compared = self.compared;
        let played = compared.replications.len();
        self.page.line(format!(
            "{} variants · seed {} · {} with the same requests under each · {} from {}",
            compared.variants.len(),
            compared.seed,
            runs(played),
            duration(compared.duration),
            compared.start
        ));
        if (played as u32) < compared.asked {
            let why = compared.variants.iter().flat_map(|variant| &variant.outcomes).find_map(|outcome| {
                match outcome {
                    Outcome::Limit { limit, value, .. } => {
                        Some(format!("reached `limits.{limit} = {value}`"))
                    }
                    _ => None,
                }
            });
            let why = why.unwrap_or_else(|| "interrupted".to_string());
            let partial = format!("PARTIAL: {why}; only {played} of {} count", runs(compared.asked as usize));
            let partial = self.page.style.paint(AnsiColor::Yellow, &partial);
            self.page.line(partial);
        }
    }

    /// Every variant by itself.
    fn standings(&mut self) {
        let compared = self.compared;
        let width =
            compared.variants.iter().map(|of| of.name.chars().count()).max().unwrap_or(0).min(LONGEST_NAME);
        self.page.line("");
        for variant in &compared.variants {
            let figure = |name: &str| variant.figures.iter().find(|figure| figure.name == name);
            let mut line = format!("  {:<width$}", cut(&variant.name, LONGEST_NAME));
            if let Some(held) = variant.held {
                let _ = write!(line, "  SLA held in {held} of {}", compared.replications.len());
            }
            if let Some(violation) = figure(VIOLATION) {
                let _ = write!(line, "   violated {}", with_half(violation));
            }
            if let Some(cost) = figure("cost") {
                let _ = write!(line, "   cost {}", with_half(cost));
            }
            self.page.line(line);
        }
    }

    fn variant(&mut self, variant: &VariantResult, against: &Against) {
        let colour = match against.verdict {
            Verdict::Better => Some(AnsiColor::Green),
            Verdict::Worse => Some(AnsiColor::Red),
            Verdict::BetterAndDearer | Verdict::WorseAndCheaper => Some(AnsiColor::Yellow),
            Verdict::Identical | Verdict::NotShown | Verdict::Unjudged => None,
        };
        let word = self.page.style.paint(colour, verdict_word(against.verdict));
        self.page.line("");
        let name = self.page.style.title(&cut(&variant.name, 2 * LONGEST_NAME));
        self.page.line(format!("{name}: {word}"));
        for line in wrap(&verdict_text(self.compared, variant, against), WIDTH - 4) {
            self.page.line(format!("  {line}"));
        }
        if against.verdict == Verdict::Identical {
            return;
        }
        let lone = self.compared.objectives.len() == 1; // whose violation is that of the SLA
        let told = |of: &&Difference| !(lone && of.name.starts_with("violation of "));
        let all: Vec<&Difference> = by_weight(&against.differences).into_iter().filter(told).collect();
        let matters = |of: &Difference| of.name == VIOLATION || of.name == "cost";
        let differs = |of: &Difference| !matches!(of.finding, Finding::Same | Finding::NotShown);
        let shown = |of: &&&Difference| matters(of) || (differs(of) && !trifle(of));
        let rows: Vec<&Difference> = all.iter().filter(shown).take(MOST_FIGURES).copied().collect();
        self.table(&rows);
        self.skipped(&all, &rows);
        match against.not_shared.as_slice() {
            [] => {}
            [only] => self.page.line(format!("  {only} is of one of the two only")),
            [first, more @ ..] => {
                self.page.line(format!("  {first} and {} more are of one of the two only", more.len()));
            }
        }
    }

    fn table(&mut self, rows: &[&Difference]) {
        if rows.is_empty() {
            return;
        }
        let width = rows.iter().map(|of| of.name.chars().count()).max().unwrap_or(0).clamp(16, LONGEST_NAME);
        self.page.line("");
        self.page.line(format!(
            "  {:<width$} {:>11} {:>11}  {:>23} {:>12}",
            "", "baseline", "variant", "difference", "not paired"
        ));
        for of in rows {
            let own = |x: f64| amount(x, &of.unit);
            let unpaired =
                of.unpaired_half_width.map_or(String::new(), |half| format!("± {}", amount(half, &of.unit)));
            let finding = match (of.finding, of.improves()) {
                (Finding::NotShown, _) => needed(of),
                (Finding::Same, _) => "the same".to_string(),
                (_, Some(true)) => self.page.style.paint(AnsiColor::Green, "better"),
                (_, Some(false)) => self.page.style.paint(AnsiColor::Red, "worse"),
                (Finding::Lower, None) => "lower".to_string(),
                (Finding::Higher, None) => "higher".to_string(),
            };
            self.page.line(format!(
                "  {:<width$} {:>11} {:>11}  {:>23} {unpaired:>12}  {finding}",
                cut(&of.name, LONGEST_NAME),
                own(of.baseline),
                own(of.variant),
                signed(of),
            ));
        }
    }

    /// How many figures are not in the table, and why.
    fn skipped(&mut self, all: &[&Difference], rows: &[&Difference]) {
        let left: Vec<&&Difference> =
            all.iter().filter(|of| !rows.iter().any(|row| row.name == of.name)).collect();
        let same = left.iter().filter(|of| of.finding == Finding::Same).count();
        let not_shown = left.iter().filter(|of| of.finding == Finding::NotShown).count();
        let trifles = left.iter().filter(|of| trifle(of)).count();
        let more = left.len() - same - not_shown - trifles;
        let mut parts = Vec::new();
        if more > 0 {
            parts.push(format!("{more} more that differ"));
        }
        if trifles > 0 {
            parts.push(format!("{trifles} that differ by less than {} %", short(100.0 * TRIFLE)));
        }
        if same > 0 {
            parts.push(format!("{same} that are the same"));
        }
        if not_shown > 0 {
            parts.push(format!("{not_shown} without a difference that these runs can show"));
        }
        if !parts.is_empty() {
            self.page.line(format!("  … {}: in comparison.csv", parts.join(", ")));
        }
    }

    fn footer(&mut self) {
        let compared = self.compared;
        self.page.line("");
        let many = compared.variants.len() > 2;
        let together = if many { ", for all variants at once" } else { "" };
        let mut text = format!(
            "± is half an interval at {} %{together}; of twenty figures without a difference one seems to have one.",
            short(100.0 * compared.level)
        );
        if let Some(wider) = narrowing(compared) {
            let _ = write!(
                text,
                " If each variant had requests of its own, intervals would be {wider:.1} times as wide in the median \
                 (`not paired`)."
            );
        }
        for line in wrap(&text, WIDTH) {
            self.page.line(line);
        }
        for note in &compared.notes {
            for (index, line) in wrap(note, WIDTH - 4).iter().enumerate() {
                self.page.line(format!("{} {line}", if index == 0 { "·" } else { " " }));
            }
        }
    }
}

/// How many times as wide intervals would be without common random numbers: the median over all figures of all variants
/// in which pairs have some spread.
fn narrowing(compared: &Compared) -> Option<f64> {
    let all = compared.variants.iter().filter_map(|of| of.against.as_ref()).flat_map(|of| &of.differences);
    let wider = all.filter(|of| !trifle(of)).filter_map(|of| {
        let half = of.half_width.filter(|&half| half > 1e-9 * of.baseline.abs())?;
        Some(of.unpaired_half_width? / half)
    });
    let mut wider: Vec<f64> = wider.collect();
    wider.sort_by(f64::total_cmp);
    wider.get(wider.len() / 2).copied()
}

/// Whether a difference is there but hardly worth a word.
fn trifle(of: &Difference) -> bool {
    matches!(of.finding, Finding::Lower | Finding::Higher) && of.difference.abs() < TRIFLE * of.baseline.abs()
}

fn needed(of: &Difference) -> String {
    match of.needed {
        Some(needed) => format!("not shown; some {} replications would", count(needed as f64)),
        None => "not shown".to_string(),
    }
}

fn runs(count: usize) -> String {
    if count == 1 { "1 replication".to_string() } else { format!("{count} replications") }
}

/// `18.2 min ± 2.10 min`, without a sign.
fn size(of: &Difference) -> String {
    let half = of.half_width.map_or(String::new(), |half| format!(" ± {}", amount(half, &of.unit)));
    format!("{}{half}", amount(of.difference.abs(), &of.unit))
}

/// `-18.2 min ± 2.10 min`
fn signed(of: &Difference) -> String {
    let sign = if of.difference > 0.0 { "+" } else { "-" };
    if of.finding == Finding::Same {
        return "0".to_string();
    }
    if of.difference == 0.0 { size(of) } else { format!("{sign}{}", size(of)) }
}

fn with_half(figure: &Figure) -> String {
    let half = figure.half_width.map_or(String::new(), |half| format!(" ± {}", amount(half, &figure.unit)));
    format!("{}{half}", amount(figure.mean, &figure.unit))
}

/// A value that is not below zero, with as many digits as small differences need.
fn amount(x: f64, unit: &str) -> String {
    match unit {
        "" if x < 1e4 => short(x),
        "s" if x > 0.0 && x < 9.5e-6 => format!("{} µs", short(x * 1e6)),
        "" | "s" | "%" | "min" | "h" => value(x, unit),
        _ if x > 1e-9 && x < 0.1 => {
            let digits = (1.0 - x.log10().floor()).clamp(2.0, 9.0) as usize;
            if unit == "USD" { format!("${x:.digits$}") } else { format!("{x:.digits$} {unit}") }
        }
        _ => value(x, unit),
    }
}

fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_string();
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}
