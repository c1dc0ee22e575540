//! The summary for a terminal. It opens with the verdict; what follows says why, how big, and what it costs.

mod certainty;
mod comparison;
mod connections;
mod cost;
mod estimate;
mod explain;
mod figures;
mod groups;
mod jobs;
mod overload;
mod page;
mod recommend;
mod sessions;
mod sweep;
mod tokens;
mod verdict;

use anstyle::AnsiColor;
use scalesim::results::{Activity, ActivityKind, Distribution, Outcome, Results, Run, stretches, worst_of};

use crate::Clock;

pub(crate) use comparison::by_weight;
pub use comparison::{changes_text, comparison_text};
pub use estimate::render_estimate;
pub use explain::render_explanation;
use page::Page;
pub use page::Style;
pub(crate) use recommend::name as recommendation_name;
pub use recommend::render_recommendation;
pub use sweep::render_sweep;

/// Stretches of violations that are shown for each objective.
const MOST_STRETCHES: usize = 8;
/// Activities that are shown; all of them are in `activities.csv`.
const MOST_ACTIVITIES: usize = 16;
/// Columns of text.
const WIDTH: usize = 110;

/// The summary.
pub fn render_text(results: &Results, style: Style) -> String {
    let mut text = Summary { results, run: &results.run, clock: Clock::new(results), page: Page::new(style) };
    text.heading();
    text.precision();
    text.verdict();
    text.figures();
    text.why();
    text.requests();
    text.tokens();
    text.sessions();
    text.jobs();
    text.queues();
    text.groups();
    text.nodes();
    text.activities();
    text.cost();
    text.oracle();
    text.notes();
    text.page.text
}

struct Summary<'a> {
    results: &'a Results,
    run: &'a Run,
    clock: Clock,
    page: Page,
}

impl Summary<'_> {
    fn heading(&mut self) {
        let runs = match self.results.replications.len() {
            1 => String::new(),
            n => format!(" · {n} runs"),
        };
        let line = format!(
            "{} · seed {}{runs} · {} from {} · {} requests · {} events",
            self.results.scenario,
            self.results.seed,
            duration(self.results.duration),
            self.results.start,
            count(self.run.requests.offered as f64),
            count(self.run.events as f64),
        );
        self.page.line(line);
        match &self.run.outcome {
            Outcome::Complete => {}
            Outcome::Interrupted { at } => {
                let at = format!(
                    "PARTIAL: interrupted at {}; what follows covers the time until then",
                    self.clock.time(*at)
                );
                let line = self.page.style.paint(AnsiColor::Yellow, &at);
                self.page.line(line);
            }
            Outcome::Limit { at, limit, value } => {
                let at = format!(
                    "PARTIAL: reached `limits.{limit} = {value}` at {}; what follows covers the time until then",
                    self.clock.time(*at)
                );
                let line = self.page.style.paint(AnsiColor::Yellow, &at);
                self.page.line(line);
            }
        }
    }

    fn why(&mut self) {
        let run = self.run;
        if run.objectives.iter().all(|objective| objective.violations.is_empty()) {
            return;
        }
        let first = self.results.replications.len() > 1;
        self.page.section(if first { "Why, in the first replication" } else { "Why" });
        for objective in &run.objectives {
            let stretches = stretches(&objective.violations);
            for stretch in stretches.iter().take(MOST_STRETCHES) {
                let (first, last) = (stretch[0], stretch[stretch.len() - 1]);
                let worst = worst_of(stretch, objective.upper).unwrap_or(first);
                let head = format!(
                    "{}–{}  {}: {}",
                    self.clock.time(first.window.from),
                    self.clock.time(last.window.to),
                    objective.name,
                    value(worst.window.value, &objective.unit)
                );
                let head = self.page.style.paint(AnsiColor::Red, &head);
                self.page.line(format!("  {head}"));
                for line in wrap(&worst.explanation, WIDTH - 6) {
                    self.page.line(format!("      {line}"));
                }
            }
            if let Some(more) = stretches.len().checked_sub(MOST_STRETCHES).filter(|&more| more > 0) {
                self.page.line(format!("  … and {more} more stretches, in violations.csv"));
            }
        }
    }

    fn requests(&mut self) {
        let run = self.run;
        let first = self.results.replications.len() > 1;
        self.page.section(if first {
            "Requests, in the first replication as all that follows"
        } else {
            "Requests"
        });
        let all = &run.requests;
        let ended = |n: u64| format!("{} ({})", count(n as f64), percent(n as f64, all.offered as f64));
        self.page.line(format!(
            "  offered {}   completed {}   refused {}   timed out {}   failed {}   in flight {}",
            count(all.offered as f64),
            ended(all.completed),
            ended(all.refused),
            ended(all.timed_out),
            ended(all.failed),
            count(all.in_flight as f64)
        ));
        self.attempts();
        self.limits();
        for part in run.traffic.iter().filter(|part| !part.statuses.is_empty()) {
            self.page.line(format!("  clients of {} saw", part.name));
            for seen in &part.statuses {
                let share = percent(seen.count as f64, part.requests.offered as f64);
                let (status, reason) = (&seen.status, &seen.reason);
                self.page
                    .line(format!("    {status:<13} {:>9} ({share})  {reason}", count(seen.count as f64)));
            }
        }
        self.connections();
        self.page.line("");
        let names = run.traffic.iter().chain(&run.endpoints).map(|part| part.name.chars().count());
        let width = names.max().unwrap_or(0).clamp(12, 36);
        self.page.line(format!(
            "  {:<width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "response time", "requests", "mean", "p50", "p95", "p99", "max"
        ));
        for part in &run.traffic {
            self.page.line(times(&format!("clients of {}", part.name), &part.response_time, width));
        }
        for part in &run.endpoints {
            self.page.line(times(&part.name, &part.response_time, width));
        }
        for part in &run.endpoints {
            if let Some(wait) = part.wait.filter(|wait| wait.waited > 0.001) {
                let line = format!(
                    "  {}: {} waited for a thread or the event loop; mean {}, p99 {}",
                    part.name,
                    percent(wait.waited, 1.0),
                    value(wait.time.mean, "s"),
                    value(wait.time.p99, "s")
                );
                self.page.line(line);
            }
        }
    }

    fn activities(&mut self) {
        let notable: Vec<&Activity> =
            self.run.activities.iter().filter(|activity| notable(activity)).collect();
        if notable.is_empty() {
            return;
        }
        self.page.section("Scaling activities");
        let skipped = notable.len().saturating_sub(MOST_ACTIVITIES);
        for activity in notable.iter().take(MOST_ACTIVITIES) {
            let words = wrap(&activity.description, WIDTH - 20);
            for (index, line) in words.iter().enumerate() {
                let time = if index == 0 { self.clock.time(activity.at) } else { String::new() };
                let group = if index == 0 { activity.group.as_str() } else { "" };
                self.page.line(format!("  {time:>8}  {group:<7} {line}"));
            }
        }
        let no_actions: u64 =
            self.run.activities.iter().filter(|a| a.kind == ActivityKind::NoAction).map(|a| a.times).sum();
        let more = if skipped > 0 { format!("{skipped} more, ") } else { String::new() };
        self.page.line(format!(
            "  … {more}launches, alarms and {no_actions} decisions not to act are in activities.csv"
        ));
    }

    fn notes(&mut self) {
        let results = self.results;
        if !results.notes.is_empty() {
            self.page.section("Notes");
            for note in &results.notes {
                for (index, line) in wrap(note, WIDTH - 6).iter().enumerate() {
                    self.page.line(format!("  {} {line}", if index == 0 { "·" } else { " " }));
                }
            }
        }
        let unanswered = 100.0 * (1.0 - self.run.requests.availability());
        let promised = self.run.objectives.iter().any(|objective| objective.unit == "%");
        if unanswered > 1.0 && !promised && !self.run.objectives.is_empty() {
            let line = format!(
                "Careful: {} % of requests were not answered, and no objective is about that; add `availability >= 99.9%`.",
                short(unanswered)
            );
            self.page.line("");
            let line = self.page.style.paint(AnsiColor::Yellow, &line);
            self.page.line(line);
        }
        self.certainty();
    }
}

fn notable(activity: &Activity) -> bool {
    use ActivityKind::{
        CircuitClosed, CircuitOpened, Crash, GaveUp, IncidentBegan, IncidentOver, Interruption, Manual,
        Network, ReleaseFailed, ReleaseStarted, ReleaseSucceeded, Replace, ScaleIn, ScaleOut, Scheduled,
    };
    matches!(
        activity.kind,
        ScaleOut
            | ScaleIn
            | Scheduled
            | Manual
            | Crash
            | Replace
            | GaveUp
            | IncidentBegan
            | IncidentOver
            | Interruption
            | CircuitOpened
            | CircuitClosed
            | Network
            | ReleaseStarted
            | ReleaseSucceeded
            | ReleaseFailed
    )
}

fn times(name: &str, times: &Distribution, width: usize) -> String {
    let cells = [times.mean, times.p50, times.p95, times.p99, times.max]
        .map(|time| format!("{:>9}", value(time, "s")));
    format!("  {name:<width$} {:>9} {}", count(times.count as f64), cells.join(" "))
}

/// Breaks a text into lines at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + word.chars().count() >= width {
            lines.push(word.to_string());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

/// The course of a quantity in `width` characters.
fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = values.iter().copied().fold(0.0, f64::max);
    if values.is_empty() || highest <= 0.0 {
        return "▁".repeat(width.min(values.len().max(1)));
    }
    let width = width.min(values.len());
    let bar = |i: usize| {
        let (from, to) =
            (i * values.len() / width, ((i + 1) * values.len() / width).max(i * values.len() / width + 1));
        let mean = values[from..to].iter().sum::<f64>() / (to - from) as f64;
        BARS[((mean / highest * 8.0).ceil() as usize).clamp(1, 8) - 1]
    };
    (0..width).map(bar).collect()
}

/// `41.2 M`
pub fn count(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

fn percent(part: f64, whole: f64) -> String {
    if whole == 0.0 { "0 %".to_string() } else { format!("{} %", short(100.0 * part / whole)) }
}

/// Three or so digits.
pub fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_string(),
        a if a >= 100.0 || a.fract() == 0.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 0.01 => format!("{x:.2}"),
        _ => format!("{x:.1e}"),
    }
}

/// A value with its unit, in the size people say it in.
pub fn value(x: f64, unit: &str) -> String {
    match unit {
        "s" => match x {
            0.0 => "0".to_string(),
            x if x < 1e-3 => format!("{:.0} µs", x * 1e6),
            x if x < 0.01 => format!("{:.2} ms", x * 1e3),
            x if x < 0.1 => format!("{:.1} ms", x * 1e3),
            x if x < 1.0 => format!("{:.0} ms", x * 1e3),
            x => format!("{x:.2} s"),
        },
        "%" if x > 99.0 && x < 100.0 => format!("{x:.3} %"),
        "%" => format!("{} %", short(x)),
        "USD" => format!("${x:.2}"),
        "" => count(x),
        "min" => format!("{} min", short(x)),
        currency => format!("{x:.2} {currency}"),
    }
}

/// `24 h`
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 2.0 * 86_400.0 => {
            format!("{} days", short(s / 86_400.0).trim_end_matches(".00").trim_end_matches(".0"))
        }
        s if s >= 7_200.0 => {
            format!("{} h", short(s / 3_600.0).trim_end_matches(".00").trim_end_matches(".0"))
        }
        s if s >= 120.0 => format!("{} min", short(s / 60.0).trim_end_matches(".00").trim_end_matches(".0")),
        s => format!("{} s", short(s).trim_end_matches(".00").trim_end_matches(".0")),
    }
}
