//! `scalesim recommend`: the answer first, then what speaks against the others, then what cannot be known.

use std::fmt::Write;

use anstyle::AnsiColor;
use scalesim::experiment::recommend::answer::{
    CandidateResult, Method, Recommendation, Standing, Theory, Verdict, words,
};
use scalesim::experiment::recommend::{Doubt, DoubtKind};
use scalesim::results::CauseKind;

use super::page::Page;
use super::{Style, count, duration, short, value};
use crate::Clock;

/// Rows of candidates that are shown; all of them are in `recommendation.json`.
const MOST_ROWS: usize = 24;
/// Stretches and refused settings that are shown.
const MOST_LINES: usize = 10;
/// The widest column of settings.
const MOST_SETTINGS: usize = 44;

/// The answer.
pub fn render_recommendation(answer: &Recommendation, style: Style) -> String {
    let clock = Clock::of(&answer.start, answer.duration);
    let mut text = Text { answer, clock, page: Page::new(style) };
    text.heading();
    text.verdict();
    text.candidates();
    text.broken();
    text.refused();
    text.doubts();
    text.theory();
    text.notes();
    text.page.text
}

struct Text<'a> {
    answer: &'a Recommendation,
    clock: Clock,
    page: Page,
}

impl Text<'_> {
    fn heading(&mut self) {
        let answer = self.answer;
        let asked = &answer.asked;
        self.page.line(format!(
            "{} · seed {} · {} days of {} played",
            answer.scenario,
            answer.seed,
            count(answer.days_played as f64),
            duration(answer.duration)
        ));
        let what = if asked.largest { "the largest value" } else { "the cheapest" };
        let method = match answer.method {
            Method::Bisection => "bracketed and bisected: more is assumed never to break what less keeps",
            Method::RankingAndSelection => "all compared by ranking and selection",
        };
        let how = format!(
            "{what} of {} that keeps every objective on at least {} % of days, with {} % confidence; {method}",
            asked.axes.join(" and "),
            short(100.0 * asked.days_kept),
            short(100.0 * asked.confidence),
        );
        self.page.wrapped("", &how);
        if !answer.finished {
            let line =
                self.page.style.paint(AnsiColor::Yellow, "PARTIAL: interrupted before there was an answer");
            self.page.line(line);
        }
    }

    fn verdict(&mut self) {
        let answer = self.answer;
        self.page.line("");
        let of = |index: usize| &answer.candidates[index];
        match (answer.verdict, answer.recommended, answer.nearest) {
            (Verdict::Keep, Some(best), _) => {
                self.headline(
                    AnsiColor::Green,
                    &format!("KEEP WHAT YOU HAVE: {}", words(&of(best).settings)),
                );
                self.found(of(best));
            }
            (_, Some(best), _) => {
                self.headline(AnsiColor::Green, &format!("RECOMMENDED: {}", words(&of(best).settings)));
                self.found(of(best));
            }
            (Verdict::NothingHolds, _, nearest) => {
                self.headline(AnsiColor::Red, "NOTHING IN THE RANGE HOLDS THE SLA");
                if let Some(nearest) = nearest.map(of) {
                    self.page.wrapped(
                        "  ",
                        &format!("the nearest is {}: {}", words(&nearest.settings), nearest.reason),
                    );
                }
            }
            (_, _, nearest) => {
                self.headline(
                    AnsiColor::Yellow,
                    "INCONCLUSIVE: no candidate was found to hold, and not all to break",
                );
                if let Some(nearest) = nearest.map(of) {
                    self.page.wrapped(
                        "  ",
                        &format!("the nearest is {}: {}", words(&nearest.settings), nearest.reason),
                    );
                }
            }
        }
    }

    fn headline(&mut self, colour: AnsiColor, text: &str) {
        let line = self.page.style.paint(colour, text);
        self.page.line(line);
    }

    /// What the recommended candidate is like, and beside it what there is.
    fn found(&mut self, best: &CandidateResult) {
        let (asked, present) = (&self.answer.asked, &self.answer.candidates[self.answer.present]);
        let mut line = format!(
            "{} of {} days kept: {} of all days, with {} % confidence",
            best.kept,
            best.days,
            range(best.kept_low, best.kept_high),
            short(100.0 * asked.confidence)
        );
        if let Some(cost) = best.cost {
            let half = best.cost_half_width.filter(|half| half / cost.max(1e-12) > 1e-4);
            let half = half.map_or(String::new(), |half| format!(" ± {}", self.money(half)));
            let _ = write!(line, "; {} {}{half} a day", asked.measure, self.money(cost));
        }
        self.page.wrapped("  ", &line);
        if !best.present {
            let line = format!("what you have is {}: {}", words(&present.settings), present.reason);
            self.page.wrapped("  ", &line);
        }
    }

    fn money(&self, amount: f64) -> String {
        match self.answer.asked.unit.as_str() {
            "h" => format!("{} h", short(amount)),
            unit => value(amount, unit),
        }
    }

    fn candidates(&mut self) {
        let answer = self.answer;
        self.page.section("Candidates");
        let mut shown: Vec<&CandidateResult> =
            answer.candidates.iter().filter(|one| one.standing != Standing::NotPlayed).collect();
        if answer.method == Method::RankingAndSelection {
            let cost = |one: &CandidateResult| one.cost.unwrap_or(f64::INFINITY);
            shown.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        } else {
            shown.sort_by(|a, b| leading(a).total_cmp(&leading(b)));
        }
        // Of many, those around the recommended one.
        let at = shown.iter().position(|one| one.standing == Standing::Recommended).unwrap_or(0);
        let from = at.saturating_sub(MOST_ROWS / 2).min(shown.len().saturating_sub(MOST_ROWS));
        let rows = &shown[from..shown.len().min(from + MOST_ROWS)];
        let width = rows.iter().map(|one| name(one).chars().count()).max().unwrap_or(0);
        let width = width.clamp(8, MOST_SETTINGS);
        for one in rows {
            let (mark, colour) = mark(one.standing);
            let mark = self.page.style.paint(colour, mark);
            let cost = one.cost.map_or("-".to_string(), |cost| self.money(cost));
            let row = format!(
                "  {mark} {:<width$} {:>9}  {:<16} {:>10}  {}",
                name(one),
                format!("{}/{}", one.kept, one.days),
                range(one.kept_low, one.kept_high),
                cost,
                reason(one)
            );
            self.page.line(row);
        }
        let left_out = shown.len() - rows.len();
        if left_out > 0 {
            self.page.line(format!("  … and {left_out} more, in recommendation.json"));
        }
        let unplayed = answer.candidates.iter().filter(|one| one.standing == Standing::NotPlayed).count();
        if unplayed > 0 {
            self.page.line(format!("  {unplayed} more were not played: their neighbours speak for them"));
        }
    }

    /// What broke those that were rejected: of many, the ones next to the answer.
    fn broken(&mut self) {
        let answer = self.answer;
        let mut broken: Vec<&CandidateResult> =
            answer.candidates.iter().filter(|one| one.standing == Standing::Breaks).collect();
        if broken.is_empty() {
            return;
        }
        broken.sort_by(|a, b| {
            let kept = |one: &CandidateResult| f64::from(one.kept) / f64::from(one.days.max(1));
            kept(b).total_cmp(&kept(a)).then(b.cost.unwrap_or(0.0).total_cmp(&a.cost.unwrap_or(0.0)))
        });
        self.page.section("What broke the rejected ones");
        for one in broken.iter().take(MOST_LINES) {
            self.page.line(format!("  {}", words(&one.settings)));
            for broken in &one.broken {
                let cause = broken.cause.map_or(String::new(), |cause| format!(": {}", cause_words(cause)));
                self.page.wrapped(
                    "    ",
                    &format!(
                        "{} ({}) on {} of {} days, {} min a day where {} are allowed{cause}",
                        broken.name,
                        broken.objective,
                        broken.days,
                        one.days,
                        short(broken.minutes),
                        short(broken.allowed)
                    ),
                );
                if let Some(worst) = &broken.worst {
                    let head = format!(
                        "worst {} at {} of day {}: {}",
                        value(worst.value, &worst.unit),
                        self.clock.time(worst.from),
                        worst.day,
                        worst.explanation
                    );
                    self.page.wrapped("      ", &head);
                }
            }
            if let Some(why) = &one.ended_early {
                self.page.wrapped("    ", why);
            }
        }
        if broken.len() > MOST_LINES {
            self.page.line(format!("  … and {} more, in recommendation.json", broken.len() - MOST_LINES));
        }
    }

    fn refused(&mut self) {
        let refused = &self.answer.refused;
        if refused.is_empty() {
            return;
        }
        self.page.section("What cannot be");
        for one in refused.iter().take(MOST_LINES) {
            self.page.wrapped("  ", &format!("{}: {}", words(&one.settings), one.why));
        }
        if refused.len() > MOST_LINES {
            self.page.line(format!("  … and {} more, in recommendation.json", refused.len() - MOST_LINES));
        }
    }

    fn doubts(&mut self) {
        let doubts = &self.answer.doubts;
        if doubts.stretches.is_empty() {
            return;
        }
        self.page.section("Minutes that support no conclusion");
        for (kind, what) in [
            (DoubtKind::Trace, "the trace does not say what came"),
            (DoubtKind::FewRequests, "too few requests"),
            (DoubtKind::DaysDisagree, "violated on some days only"),
        ] {
            let own: Vec<&Doubt> = doubts.stretches.iter().filter(|doubt| doubt.kind == kind).collect();
            if own.is_empty() {
                continue;
            }
            let minutes: f64 = own.iter().map(|doubt| (doubt.to - doubt.from) / 60.0).sum();
            self.page.line(format!("  {what}: {} min", short(minutes)));
            for doubt in own.iter().take(MOST_LINES) {
                let (from, to) = (self.clock.time(doubt.from), self.clock.time(doubt.to));
                self.page.wrapped("    ", &format!("{from}–{to}  {}", doubt.reason));
            }
            if own.len() > MOST_LINES {
                self.page.line(format!("    … and {} more, in recommendation.json", own.len() - MOST_LINES));
            }
        }
        if doubts.dropped > 0 {
            self.page.line(format!("  {} more stretches were beyond the most that are kept", doubts.dropped));
        }
    }

    fn theory(&mut self) {
        self.page.section("Theory");
        let answer = self.answer;
        match &answer.theory {
            Theory::None(unmet) => {
                self.page.wrapped("  ", &format!("no closed form applies: {}", unmet.join("; ")));
            }
            Theory::Applies { model, pick, agrees } => {
                let pick = pick.map(|pick| &answer.candidates[pick]);
                let says = match pick {
                    Some(pick) => format!("in the long run the answer is {}", words(&pick.settings)),
                    None => "in the long run nothing in the range holds".to_string(),
                };
                let found = if *agrees { "as was found" } else { "which is not what was found" };
                self.page.wrapped("  ", &format!("{model}: {says}, {found}"));
                if !agrees {
                    self.page.line("  closed forms are for ever; windows and days vary around them");
                }
            }
        }
    }

    fn notes(&mut self) {
        if self.answer.notes.is_empty() {
            return;
        }
        self.page.section("Notes");
        for note in &self.answer.notes {
            self.page.wrapped("  ", &format!("· {note}"));
        }
    }
}

/// The values of the settings, without what all have in common.
pub(crate) fn name(one: &CandidateResult) -> String {
    let mut parts: Vec<String> = Vec::new();
    for setting in &one.settings {
        let key = setting.path.rsplit('.').next().unwrap_or(&setting.path);
        parts.push(format!("{key} = {}", setting.value));
    }
    let name = if parts.is_empty() { "as it stands".to_string() } else { parts.join(", ") };
    if one.present { format!("{name} (now)") } else { name }
}

/// The number that the first setting begins with.
fn leading(one: &CandidateResult) -> f64 {
    let text = one.settings.first().map_or("", |setting| setting.value.as_str());
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.' || *c == '-').collect();
    digits.parse().unwrap_or(f64::INFINITY)
}

fn mark(standing: Standing) -> (&'static str, AnsiColor) {
    match standing {
        Standing::Recommended => ("→", AnsiColor::Green),
        Standing::Holds => ("✓", AnsiColor::Green),
        Standing::Breaks => ("✗", AnsiColor::Red),
        Standing::Inconclusive => ("?", AnsiColor::Yellow),
        Standing::Dearer | Standing::NotPlayed => ("·", AnsiColor::BrightBlack),
    }
}

/// Why, without what the row says already.
fn reason(one: &CandidateResult) -> String {
    match one.standing {
        Standing::Recommended => "recommended".to_string(),
        Standing::Holds => {
            one.reason.split_once("; ").map_or("holds".to_string(), |(_, more)| format!("holds, {more}"))
        }
        _ => one.reason.clone(),
    }
}

/// `91.0–100 %`
fn range(low: f64, high: f64) -> String {
    let percent = |share: f64| {
        let percent = 100.0 * share;
        if percent == 0.0 || percent == 100.0 { format!("{percent:.0}") } else { format!("{percent:.1}") }
    };
    format!("{}–{} %", percent(low), percent(high))
}

/// A cause in words, as its name in files says it: `at maximum size`.
fn cause_words(cause: CauseKind) -> String {
    let name = serde_json::to_value(cause).ok();
    name.and_then(|name| name.as_str().map(|name| name.replace('_', " "))).unwrap_or_default()
}
