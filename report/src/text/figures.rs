//! Figures over several replications, with their intervals, grouped by what they are about.

use scalesim::results::Figure;

use super::{Summary, value};

/// What tables there are, by what heads their first column; figures that belong to none are in a list of their own.
const TABLES: [&str; 6] = ["response time", "objective", "group", "jobs", "queue", "sessions"];

/// How names of figures end that belong to a table, which table, and what heads their column.
const COLUMNS: [(&str, usize, &str); 19] = [
    (" mean", 0, "mean"),
    (" p50", 0, "p50"),
    (" p95", 0, "p95"),
    (" p99", 0, "p99"),
    (": overall", 1, "overall"),
    (": worst window", 1, "worst window"),
    (": instances", 2, "instances"),
    (": most instances", 2, "most"),
    (": instance hours", 2, "hours"),
    (": CPU", 2, "CPU"),
    (": launched", 2, "launched"),
    (": workers busy", 2, "workers busy"),
    (": done", 3, "done"),
    (": lost", 3, "lost"),
    (": dead letters", 3, "dead letters"),
    (": most waiting", 4, "most waiting"),
    (": oldest message", 4, "oldest message"),
    (": open sessions", 5, "open"),
    (": sessions dropped", 5, "dropped"),
];

/// Decimals of a figure at most.
const MOST_DECIMALS: usize = 4;
/// What the last of them can show.
const LEAST: f64 = 1e-4;

/// A table that is filled as figures come by.
#[derive(Default)]
struct Table {
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<(usize, String)>)>,
}

impl Summary<'_> {
    /// Every figure as `mean ± half of its interval`; nothing of a single run, which has no intervals.
    pub(super) fn figures(&mut self) {
        let results = self.results;
        let runs = results.replications.len();
        if runs < 2 {
            return;
        }
        self.page.section(&format!("Over {runs} replications: mean ± half of the 95 % interval"));
        let mut tables: [Table; TABLES.len()] = Default::default();
        let mut others = Vec::new();
        for figure in &results.figures {
            match place(&figure.name) {
                Some((row, table, column)) => tables[table].put(row, column, plus_minus(figure)),
                None => others.push((figure.name.as_str(), plus_minus(figure))),
            }
        }
        let width = others.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, cell) in others {
            self.page.line(format!("  {name:<width$}  {cell}"));
        }
        let tables = TABLES.iter().zip(&tables).filter(|(_, table)| !table.rows.is_empty());
        for line in tables.flat_map(|(title, table)| table.lines(title)) {
            self.page.line(line);
        }
    }
}

/// The row, the table and the column of a figure.
fn place(name: &str) -> Option<(&str, usize, &'static str)> {
    if let Some(objective) = name.strip_prefix("violation of ") {
        return Some((objective, 1, "violated"));
    }
    let of =
        |&(end, table, column): &(&str, usize, &'static str)| Some((name.strip_suffix(end)?, table, column));
    let (row, table, column) = COLUMNS.iter().find_map(of)?;
    // In its own table a response time is that of all requests, and jobs need not be called so.
    let row = match table {
        0 if row == "response time" => "all requests",
        0 => row.strip_suffix(": time").unwrap_or(row),
        3 => row.strip_prefix("jobs of ").unwrap_or(row),
        _ => row,
    };
    Some((row, table, column))
}

impl Table {
    fn put(&mut self, row: &str, column: &'static str, cell: String) {
        let index = self.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
            self.columns.push(column);
            self.columns.len() - 1
        });
        match self.rows.iter_mut().find(|(known, _)| known == row) {
            Some((_, cells)) => cells.push((index, cell)),
            None => self.rows.push((row.to_string(), vec![(index, cell)])),
        }
    }

    /// An empty line, the heads, and a line for each row.
    fn lines(&self, title: &str) -> Vec<String> {
        let length = |text: &str| text.chars().count();
        let first = self.rows.iter().map(|(name, _)| length(name)).chain([length(title)]).max().unwrap_or(0);
        let cells = || self.rows.iter().flat_map(|(_, cells)| cells);
        let widest = |column: usize| {
            let own = cells().filter(|(at, _)| *at == column).map(|(_, cell)| length(cell));
            own.chain([length(self.columns[column])]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        let line = |name: &str, cell: &dyn Fn(usize) -> String| {
            let cells = (0..widths.len()).map(|at| format!("  {:>1$}", cell(at), widths[at]));
            format!("  {name:<first$}{}", cells.collect::<String>())
        };
        let heads = line(title, &|at| self.columns[at].to_string());
        let rows = self.rows.iter().map(|(name, cells)| {
            let cell = |at: usize| cells.iter().find(|(own, _)| *own == at).map(|(_, cell)| cell.clone());
            line(name, &|at| cell(at).unwrap_or_else(|| "–".to_string()))
        });
        [String::new(), heads].into_iter().chain(rows).collect()
    }
}

/// `18.62 ± 0.31 ms`: both in one unit, with two digits of what is uncertain.
fn plus_minus(figure: &Figure) -> String {
    let Some(half) = figure.half_width else { return value(figure.mean, &figure.unit) };
    let (factor, unit) = match (figure.unit.as_str(), figure.mean.abs()) {
        ("s", x) if x > 0.0 && x < 1e-3 => (1e6, "µs"),
        ("s", x) if x > 0.0 && x < 1.0 => (1e3, "ms"),
        ("", x) if x >= 1e6 => (1e-6, "M"),
        ("", x) if x >= 1e4 => (1e-3, "k"),
        (unit, _) => (1.0, unit),
    };
    let (mean, half) = (factor * figure.mean, factor * half);
    let digits = decimals(mean, half);
    let half = match half {
        0.0 => "0".to_string(),
        half if half < LEAST / 2.0 => format!("<{LEAST}"),
        half => format!("{half:.digits$}"),
    };
    match unit {
        "USD" => format!("${mean:.digits$} ± {half}"),
        unit => format!("{mean:.digits$} ± {half} {unit}").trim_end().to_string(),
    }
}

/// Decimals that show two digits of `half`; of what is certain, as many as it takes.
fn decimals(mean: f64, half: f64) -> usize {
    if half > 0.0 {
        (1.0 - half.log10().floor()).clamp(0.0, MOST_DECIMALS as f64) as usize
    } else {
        let shown = |digits: &usize| format!("{mean:.digits$}").parse().is_ok_and(|seen: f64| seen == mean);
        (0..2).find(shown).unwrap_or(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mean: f64, half_width: f64, unit: &str) -> String {
        plus_minus(&Figure {
            name: String::new(),
            unit: unit.to_string(),
            mean,
            half_width: Some(half_width),
        })
    }

    #[test]
    fn an_interval_shows_two_digits_of_what_is_uncertain() {
        assert_eq!(shown(0.018_624, 0.000_312, "s"), "18.62 ± 0.31 ms");
        assert_eq!(shown(2.0, 0.0, "s"), "2 ± 0 s");
        assert_eq!(shown(0.002_5, 0.0, "s"), "2.5 ± 0 ms");
        assert_eq!(shown(295_600.0, 1_240.0, ""), "295.6 ± 1.2 k");
        assert_eq!(shown(0.171, 0.012, "USD"), "$0.171 ± 0.012");
        assert_eq!(shown(99.987, 0.003, "%"), "99.9870 ± 0.0030 %");
        assert_eq!(shown(30.0, 12.0, "min"), "30 ± 12 min");
        assert_eq!(shown(0.0, 0.0, "s"), "0 ± 0 s");
        assert_eq!(shown(9.0, 0.000_001, "EUR"), "9.0000 ± <0.0001 EUR");
    }

    #[test]
    fn figures_stand_where_their_subject_does() {
        assert_eq!(place("response time p99"), Some(("all requests", 0, "p99")));
        assert_eq!(place("api: GET / p50"), Some(("api: GET /", 0, "p50")));
        assert_eq!(place("jobs of web: time p95"), Some(("jobs of web", 0, "p95")));
        assert_eq!(place("jobs of web: done"), Some(("web", 3, "done")));
        assert_eq!(place("violation of fast"), Some(("fast", 1, "violated")));
        assert_eq!(place("web: instance hours"), Some(("web", 2, "hours")));
        assert_eq!(place("web: most instances"), Some(("web", 2, "most")));
        assert_eq!(place("cost"), None);
    }
}
