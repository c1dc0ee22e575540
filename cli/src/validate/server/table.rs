//! The report on the terminal.

use std::fmt::Write;

use super::data::{Connections, Measurements, Server, Sizes};
use super::judge::{Judgement, Ranking, Row};
use crate::validate::judge::{Compared, Verdict};
use crate::validate::table::error;

/// The whole report.
pub fn render(measured: &Measurements, judged: &Judgement) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut text, measured, judged);
    let _ = rows(&mut text, measured, judged);
    let _ = rankings(&mut text, measured, judged);
    text
}

/// What a server is called where there is little room.
pub fn name(server: &Server) -> &str {
    /// Letters that fit.
    const ROOM: usize = 40;
    let from = server.name.char_indices().rev().nth(ROOM - 1).map_or(0, |(at, _)| at);
    &server.name[from..]
}

fn head(out: &mut String, measured: &Measurements, judged: &Judgement) -> std::fmt::Result {
    let machine = &measured.machine;
    let processor = machine.processor.as_deref().unwrap_or("an unknown processor");
    writeln!(
        out,
        "The simulator against servers · {} · {} vCPUs · {processor}",
        measured.date, machine.vcpus
    )?;
    let (first, rest) =
        judged.why.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    writeln!(out, "\n{}: {first}", judged.verdict.word().to_uppercase())?;
    for line in rest.iter().chain(&measured.missing) {
        writeln!(out, "  · {line}")?;
    }
    for server in &measured.servers {
        writeln!(out, "\n{}\n  runtime = {}", server.name, server.runtime)?;
        let work = match (server.iterations, measured.sizes) {
            (Some(iterations), Sizes::Exponential) => {
                format!("{iterations} iterations on average, exponentially distributed")
            }
            (Some(iterations), _) => format!("{iterations} iterations each"),
            (None, _) => "service times as the server has them".to_string(),
        };
        let connections = match server.connections {
            Connections::PerRequest => "a connection for each request".to_string(),
            Connections::Kept if server.accepted.len() > 1 => {
                let counts: Vec<String> = server.accepted.iter().map(u32::to_string).collect();
                format!(
                    "connections kept; its processes accepted {}, and as many of each are used",
                    counts.join(" and ")
                )
            }
            Connections::Kept => "connections kept".to_string(),
        };
        let vcpus = match (server.vcpus, server.apart) {
            (1, true) => "on a vCPU without the load".to_string(),
            (vcpus, true) => format!("on {vcpus} vCPUs without the load"),
            (vcpus, false) => format!("on {vcpus} vCPUs, which the load uses too"),
        };
        writeln!(out, "  {work}; {connections}; {vcpus}")?;
    }
    Ok(())
}

fn rows(out: &mut String, measured: &Measurements, judged: &Judgement) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<40} {:>4} {:>7} {:>7} {:>6}  {:^38}  {:^38}",
        "", "", "", "CPU a", "beside", "mean response time, ms", "95th percentile, ms"
    )?;
    let figures = format!("{:>8} {:>9} {:>9} {:>9}", "measured", "± spread", "predicted", "error");
    writeln!(
        out,
        "{:<40} {:>4} {:>7} {:>7} {:>6}  {figures}  {figures}  verdict",
        "server", "util", "req/s", "req, ms", "it, ms"
    )?;
    for row in &judged.rows {
        one(out, measured, row)?;
    }
    writeln!(
        out,
        "Response times count from the instant at which a request was due. Each repetition is predicted from the service times \
         measured\ndirectly before and after it; medians of repetitions. Bounds: mean 10 %, 95th percentile 12 %; beyond 70 % \
         utilisation 15 %, or the run's own interval."
    )
}

fn one(out: &mut String, measured: &Measurements, row: &Row) -> std::fmt::Result {
    let figures = |what: &Compared| {
        format!(
            "{:>8.2} {:>9} {:>9.2} {:>9}",
            what.measured / 1e6,
            format!("{:.1} %", 100.0 * what.spread()),
            what.predicted / 1e6,
            error(what)
        )
    };
    let counts = match row.refused.len() {
        0 => String::new(),
        refused => format!(" ({} of {} count)", row.used, row.used + refused),
    };
    let named = measured.servers.get(row.server).map_or("", name);
    writeln!(
        out,
        "{named:<40} {:>4} {:>7.0} {:>7.2} {:>6.2}  {}  {}  {}{counts}",
        format!("{:.0}%", 100.0 * row.utilisation),
        row.rate,
        row.service[0] / 1e6,
        row.service[1] / 1e6,
        figures(&row.mean),
        figures(&row.p95),
        row.verdict.word()
    )
}

fn rankings(out: &mut String, measured: &Measurements, judged: &Judgement) -> std::fmt::Result {
    if judged.rankings.is_empty() {
        return Ok(());
    }
    let (close, told): (Vec<&Ranking>, Vec<&Ranking>) =
        judged.rankings.iter().partition(|ranking| ranking.verdict == Verdict::Inconclusive);
    writeln!(out, "\nWhich answers sooner on average")?;
    for ranking in told {
        let named = |index: usize| measured.servers.get(index).map_or("", name);
        writeln!(
            out,
            "  at {:>2.0} %  {} before {}: {:+.0} %, predicted {:+.0} %  {}",
            100.0 * ranking.utilisation,
            named(ranking.faster),
            named(ranking.slower),
            100.0 * ranking.measured,
            100.0 * ranking.predicted,
            ranking.verdict.word()
        )?;
    }
    let all = judged.rankings.len();
    writeln!(out, "{} of {all} pairs are too close to tell: what was measured of them overlaps.", close.len())
}
