//! The table of a sweep for a terminal, the best cells first.

use std::cmp::Ordering;
use std::fmt::Write;

use anstyle::{AnsiColor, Style as Ansi};
use scalesim::experiment::sweep::{Design, SweepCell, SweepResults, VIOLATION};
use scalesim::results::{Figure, Outcome};

use super::{Style, value};

/// Cells that are shown; all of them are in `sweep.csv`.
const MOST_CELLS: usize = 20;
/// Objectives that have a column.
const MOST_OBJECTIVES: usize = 3;
/// What the figure of an objective over the whole run is called after the objective's name.
const OVERALL: &str = ": overall";
/// Characters of an axis's value that are shown.
const WIDEST: usize = 28;

/// The table: what keeps its SLA first, the cheapest of it first; then what is violated least.
pub fn render_sweep(results: &SweepResults, style: Style) -> String {
    let mut text = heading(results);
    let mut cells: Vec<&SweepCell> = results.cells.iter().collect();
    cells.sort_by(|a, b| better(a, b, results.header.replications));
    let shown = &cells[..cells.len().min(MOST_CELLS)];
    let mut table = vec![columns(results)];
    table.extend(shown.iter().map(|cell| row(results, cell)));
    text.push('\n');
    print(&mut text, &table, shown, style);
    if cells.len() > shown.len() {
        let _ = writeln!(text, "  {} more cells are in sweep.csv", cells.len() - shown.len());
    }
    let objectives = results.figures().iter().filter(|(name, _)| name.ends_with(OVERALL)).count();
    if objectives > MOST_OBJECTIVES {
        let _ = writeln!(text, "  {} more objectives are in sweep.csv", objectives - MOST_OBJECTIVES);
    }
    if shown.iter().any(|cell| cell.pareto == Some(true)) {
        text.push_str("\n◆ on the frontier: nothing is both cheaper and violated for shorter\n");
    }
    text
}

fn heading(results: &SweepResults) -> String {
    let header = &results.header;
    let design = match header.design {
        Design::Grid => "a grid over",
        Design::LatinHypercube { .. } => "a Latin hypercube over",
    };
    let runs = match header.replications {
        1 => String::new(),
        n => format!(" of {n} runs each"),
    };
    let mut text = format!("{} · {} cells{runs} · seed {}\n", header.scenario, header.cells, header.seed);
    let _ = writeln!(text, "{design}");
    for axis in &header.axes {
        let _ = writeln!(text, "  {axis}");
    }
    let judged = results.cells.iter().filter_map(|cell| cell.result.holds(header.replications));
    let (holds, all) = judged.fold((0, 0), |(holds, all), own| (holds + usize::from(own), all + 1));
    if all > 0 {
        let each = if header.replications > 1 { " in every run" } else { "" };
        let _ = writeln!(text, "\nThe SLA holds in {holds} of {all} cells{each}");
    } else {
        text.push_str("\nNo SLA: add an [[sla]] table to get verdicts.\n");
    }
    let limited = results.cells.iter().filter(|cell| cell.result.outcome != Outcome::Complete).count();
    if limited > 0 {
        let _ = writeln!(
            text,
            "PARTIAL: {limited} cells reached a limit before their end, as column `outcome` says"
        );
    }
    text
}

/// More runs in which the SLA was kept, then less money where all keep it; else less violation.
fn better(a: &SweepCell, b: &SweepCell, replications: u32) -> Ordering {
    let figure =
        |cell: &SweepCell, name: &str| cell.result.figure(name).map_or(f64::INFINITY, |own| own.mean);
    let by = |name: &'static str| figure(a, name).total_cmp(&figure(b, name));
    let kept = b.result.kept.cmp(&a.result.kept);
    let rest = if a.result.holds(replications) == Some(true) {
        by("cost").then(by(VIOLATION))
    } else {
        by(VIOLATION).then(by("cost"))
    };
    kept.then(rest).then(by("response time p99")).then(a.result.cell.cmp(&b.result.cell))
}

/// Objectives by name, or the response time where there are none.
fn measured(results: &SweepResults) -> Vec<String> {
    let overall = results.figures().into_iter().filter(|(name, _)| name.ends_with(OVERALL));
    let names: Vec<String> = overall.map(|(name, _)| name.to_string()).take(MOST_OBJECTIVES).collect();
    if names.is_empty() { vec!["response time p99".to_string()] } else { names }
}

fn columns(results: &SweepResults) -> Vec<String> {
    let mut names = vec![String::new(), "cell".to_string()];
    names.extend(results.axes().iter().map(|axis| last_keys(&axis.name())));
    names.extend(["SLA", "violated", "cost"].map(String::from));
    names.extend(measured(results).iter().map(|name| name.trim_end_matches(OVERALL).to_string()));
    names
}

/// The last two keys of a path: what tells axes apart, without what fills the screen.
fn last_keys(path: &str) -> String {
    let from = path.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    path[from..].to_string()
}

fn row(results: &SweepResults, cell: &SweepCell) -> Vec<String> {
    let replications = results.header.replications;
    let result = &cell.result;
    let sla = match (result.kept, replications) {
        (None, _) => "–".to_string(),
        (Some(0), _) => "violated".to_string(),
        (Some(kept), all) if kept == all => "holds".to_string(),
        (Some(kept), all) => format!("{kept} of {all}"),
    };
    let mark = if cell.pareto == Some(true) { "◆" } else { "" };
    let mut fields = vec![mark.to_string(), result.cell.to_string()];
    fields.extend(result.values.iter().map(|value| cut(value)));
    fields.push(sla);
    fields.extend([VIOLATION, "cost"].map(|name| figure(result.figure(name))));
    fields.extend(measured(results).iter().map(|name| figure(result.figure(name))));
    fields
}

fn figure(figure: Option<&Figure>) -> String {
    let Some(figure) = figure else { return "–".to_string() };
    let mean = value(figure.mean, &figure.unit);
    match figure.half_width {
        Some(half) if half > 0.0 => format!("{mean} ± {}", value(half, &figure.unit)),
        _ => mean,
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        text.to_string()
    } else {
        text.chars().take(WIDEST - 1).chain(['…']).collect()
    }
}

/// Columns as wide as their widest field; a mark stands at the left, the rest at the right of its column.
fn print(text: &mut String, table: &[Vec<String>], cells: &[&SweepCell], style: Style) {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| {
        table.iter().filter_map(|row| row.get(column)).map(|field| field.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (index, row) in table.iter().enumerate() {
        let padded = row.iter().zip(&widths).map(|(field, &width)| format!("{field:>width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        let cell = index.checked_sub(1).and_then(|index| cells.get(index));
        let paint = match (style, cell) {
            (Style::Colour, None) => Some(Ansi::new().bold()),
            (Style::Colour, Some(cell)) if cell.pareto == Some(true) => {
                Some(Ansi::new().fg_color(Some(AnsiColor::Cyan.into())))
            }
            _ => None,
        };
        let _ = match paint {
            Some(paint) => writeln!(text, "{paint}{}{paint:#}", line.trim_end()),
            None => writeln!(text, "{}", line.trim_end()),
        };
    }
}
