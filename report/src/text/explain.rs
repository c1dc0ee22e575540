//! An explanation as text: the verdict, what led to what in each stretch, and what would have saved it.

use anstyle::AnsiColor;
use scalesim::experiment::explain::{Counterfactual, Explanation, LinkKind, Stretch, Verdict};
use scalesim::results::Outcome;

use super::page::Page;
use super::{Style, WIDTH, duration, short, value, wrap};
use crate::Clock;

/// Changes and `--set` options that are shown of a counterfactual; all of them are in `explanation.json`.
const MOST_CHANGES: usize = 4;
/// Stretches that are shown in full.
const MOST_STRETCHES: usize = 8;

/// An explanation for a terminal, or to paste into a post-mortem.
pub fn render_explanation(explanation: &Explanation, style: Style) -> String {
    let clock = Clock::of(&explanation.start, explanation.duration);
    let mut report = Report { explanation, clock, page: Page::new(style) };
    report.heading();
    if report.verdict() {
        report.stretches();
        report.ranking();
        report.left_out();
    }
    report.page.text
}

struct Report<'a> {
    explanation: &'a Explanation,
    clock: Clock,
    page: Page,
}

impl Report<'_> {
    /// A text in lines that begin where its first does, which `head` is before.
    fn hang(&mut self, head: &str, text: &str) {
        let indent = head.chars().count();
        for (index, line) in wrap(text, WIDTH - indent).iter().enumerate() {
            self.page.line(if index == 0 {
                format!("{head}{line}")
            } else {
                format!("{:indent$}{line}", "")
            });
        }
    }

    fn heading(&mut self) {
        let Explanation { replications, told, violated, .. } = *self.explanation;
        let runs = match replications {
            1 => String::new(),
            n => format!(" · {n} runs, {violated} of them violated; run {told} is told"),
        };
        let Explanation { scenario, seed, start, duration: length, outcome, .. } = self.explanation;
        let (length, outcome) = (duration(*length), outcome.clone());
        self.page.line(format!("{scenario} · seed {seed}{runs} · {length} from {start}"));
        let partial = match outcome {
            Outcome::Complete => return,
            Outcome::Interrupted { at } => format!("interrupted at {}", self.clock.time(at)),
            Outcome::Limit { at, limit, value } => {
                format!("reached `limits.{limit} = {value}` at {}", self.clock.time(at))
            }
        };
        let line = format!("PARTIAL: {partial}; what was not played to its end is left out");
        let line = self.page.style.paint(AnsiColor::Yellow, &line);
        self.page.line(line);
    }

    /// True where there is something to explain.
    fn verdict(&mut self) -> bool {
        let explanation = self.explanation;
        self.page.line("");
        if explanation.objectives.is_empty() {
            self.page.line("No SLA: add an [[sla]] table, and there is something to explain.");
            return false;
        }
        if explanation.met() {
            let holds = self.page.style.paint(AnsiColor::Green, "SLA HOLDS");
            self.page.line(format!("{holds}: there is nothing to explain."));
            return false;
        }
        let broken = explanation.objectives.iter().filter(|objective| !objective.met).count();
        let total: f64 = explanation.objectives.iter().map(|objective| objective.violation_minutes).sum();
        let words = format!(
            "SLA VIOLATED: {broken} of {} objectives, {} min in all",
            explanation.objectives.len(),
            short(total)
        );
        let words = self.page.style.paint(AnsiColor::Red, &words);
        self.page.line(words);
        let width =
            explanation.objectives.iter().map(|own| own.name.chars().count()).max().unwrap_or(0).min(40);
        for objective in &explanation.objectives {
            let line = self.objective(objective, width);
            self.page.line(line);
        }
        true
    }

    fn objective(&self, objective: &Verdict, width: usize) -> String {
        let (colour, mark) = if objective.met { (AnsiColor::Green, "✓") } else { (AnsiColor::Red, "✗") };
        let mut line = format!(
            "  {} {:<width$}  {:<24} {:>8} min violated",
            self.page.style.paint(colour, mark),
            objective.name,
            objective.objective,
            short(objective.violation_minutes)
        );
        if objective.allowed_minutes > 0.0 {
            line.push_str(&format!(" of {} allowed", short(objective.allowed_minutes)));
        }
        if let Some(worst) = objective.worst {
            let worst = (value(worst.value, &objective.unit), self.clock.time(worst.from));
            line.push_str(&format!(", worst {} at {}", worst.0, worst.1));
        }
        line
    }

    fn stretches(&mut self) {
        let explanation = self.explanation;
        for stretch in explanation.stretches.iter().take(MOST_STRETCHES) {
            self.stretch(stretch);
        }
        let more = explanation.stretches.len().saturating_sub(MOST_STRETCHES) as u64;
        if more + explanation.stretches_dropped > 0 {
            self.page.line("");
            self.page.line(format!(
                "… and {more} more stretches in explanation.json, {} beyond its limit",
                explanation.stretches_dropped
            ));
        }
    }

    fn stretch(&mut self, stretch: &Stretch) {
        let (from, to) = (self.clock.time(stretch.from), self.clock.time(stretch.to));
        let group = stretch.group.as_deref().map_or(String::new(), |group| format!("  {group}"));
        self.page.line("");
        let head = self.page.style.paint(AnsiColor::Red, &format!("{from}–{to}{group}"));
        self.page.line(head);
        let mut said = "";
        for broken in &stretch.broken {
            self.page.line(format!(
                "  {}: {} min, worst {} at {}",
                broken.objective,
                short(broken.minutes),
                value(broken.worst.value, &broken.unit),
                self.clock.time(broken.worst.from)
            ));
            // Two objectives are often broken for one cause.
            if broken.explanation != said {
                self.hang("      ", &broken.explanation);
            }
            said = &broken.explanation;
        }
        if !stretch.chain.is_empty() {
            self.page.line("");
        }
        for link in &stretch.chain {
            let head = format!("  {:>8}  {:<9} ", self.clock.time(link.at.round()), label(link.kind));
            self.hang(&head, &link.text);
        }
    }

    fn ranking(&mut self) {
        let explanation = self.explanation;
        if explanation.counterfactuals.is_empty() {
            return;
        }
        self.page.section("What would have saved it");
        let from = match explanation.fork {
            0.0 => "from the start of the run".to_string(),
            at => format!("from {} on", self.clock.time(at)),
        };
        self.hang("  ", &format!(
            "The same run with one thing changed {from}, played to its end: the same requests come at the same instants. Minutes \
             of violation are those of all objectives, {} min as it was{}.",
            short(explanation.violation_minutes),
            if explanation.violated > 1 { format!(" (the mean over {} runs)", explanation.violated) } else { String::new() }
        ));
        self.page.line("");
        let (saved, left) = ("saved", "left");
        self.page.line(format!("  {saved:>16}  {left:>10}  {:<12} {:>10}", "SLA", "cost"));
        let (idle, others): (Vec<_>, Vec<_>) =
            explanation.counterfactuals.iter().partition(|one| is_idle(one));
        for counterfactual in others {
            self.counterfactual(counterfactual);
        }
        if !idle.is_empty() {
            let all: Vec<String> =
                idle.iter().map(|one| format!("{} ({})", one.name, listed(&one.changes))).collect();
            self.page.line("");
            self.page.line("  Saves nothing:");
            self.hang("      ", &all.join("; "));
        }
    }

    fn counterfactual(&mut self, one: &Counterfactual) {
        let half = one.half_width.map_or(String::new(), |half| format!(" ± {}", short(half)));
        let saved = format!("{}{half} min", minutes(one.saved_minutes));
        let left = format!("{} min", minutes(one.violation_minutes));
        let holds = match (one.holds, self.explanation.violated) {
            (0, _) => "violated".to_string(),
            (holds, all) if holds == all => "holds".to_string(),
            (holds, all) => format!("holds {holds}/{all}"),
        };
        let colour = if one.holds == self.explanation.violated { AnsiColor::Green } else { AnsiColor::Red };
        let holds = self.page.style.paint(colour, &format!("{holds:<12}"));
        let cost = match one.cost {
            None => String::new(),
            Some(cost) if cost.abs() < 0.005 => "0".to_string(),
            Some(cost) => format!("{cost:+.2}"),
        };
        let from = match one.from {
            from if from == self.explanation.fork => String::new(),
            0.0 => " (from the start of the run)".to_string(),
            from => format!(" (from {})", self.clock.time(from)),
        };
        self.page.line(format!("  {saved:>16}  {left:>10}  {holds} {cost:>10}  {}{from}", one.name));
        let indent = " ".repeat(22);
        self.hang(&indent, &listed(&one.changes));
        for set in one.set.iter().take(MOST_CHANGES) {
            self.page.line(format!("{indent}{}", shell(set)));
        }
        if let Some(more) = one.set.len().checked_sub(MOST_CHANGES).filter(|&more| more > 0) {
            self.page.line(format!("{indent}… and {more} more"));
        }
    }

    fn left_out(&mut self) {
        let explanation = self.explanation;
        if explanation.left_out.is_empty() {
            return;
        }
        self.page.line("");
        let all: Vec<String> =
            explanation.left_out.iter().map(|left| format!("{} ({})", left.name, left.why)).collect();
        self.page.line("  Not played, as it would change nothing:");
        self.hang("      ", &all.join("; "));
    }
}

/// One that saves nothing and costs nothing, as far as minutes go.
fn is_idle(one: &Counterfactual) -> bool {
    one.saved_minutes.abs() < 0.05 && one.half_width.is_none_or(|half| half < 0.05)
}

/// The first of them, and how many more there are.
fn listed(all: &[String]) -> String {
    let mut text = all.iter().take(MOST_CHANGES).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = all.len().checked_sub(MOST_CHANGES).filter(|&more| more > 0) {
        text.push_str(&format!("; … and {more} more"));
    }
    text
}

/// An option as a shell takes it.
fn shell(set: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=/%+".contains(c);
    if set.chars().all(plain) { format!("--set {set}") } else { format!("--set '{set}'") }
}

/// Minutes, of which a half is not shown as many digits.
fn minutes(minutes: f64) -> String {
    short((10.0 * minutes).round() / 10.0)
}

fn label(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Load => "load",
        LinkKind::Capacity => "capacity",
        LinkKind::Backlog => "backlog",
        LinkKind::Incident => "incident",
        LinkKind::Alarm => "alarm",
        LinkKind::Decision => "scaling",
        LinkKind::HeldBack => "held back",
        LinkKind::Launch => "launches",
        LinkKind::Refused => "refused",
        LinkKind::Retries => "retries",
        LinkKind::Recovery => "recovery",
    }
}
