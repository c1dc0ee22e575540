//! From rows with a time to bins without holes: the width of a bin, the clock that jumped, the slice, the gaps.

use std::collections::BTreeMap;
use std::ops::Range;

use super::slice::{Slice, nanos, span};
use super::time::{Clock, Instant};
use super::{Blame, Dates, Gaps, MOST_BINS, MOST_DOUBTFUL, Options, Trace, TraceError};

/// The `at` of a row that has the number of a bin is that number times this.
pub const INDEX: i64 = 1_000_000;

/// Fewer repeated times than these, after a hole of as many bins, may be chance.
const FEWEST_OF_A_JUMP: usize = 2;

/// Steps of which the most frequent has a smaller share than this are those of no grid.
const LEAST_REGULAR: f64 = 1.0 / 3.0;

/// One row: when it is, where it stands in the file, how many. Once it is placed, `at` is the number of its bin.
pub struct Row {
    at: i64,
    line: u32,
    count: f64,
}

impl Row {
    pub fn new(at: i64, line: usize, count: f64) -> Row {
        Row { at, line: u32::try_from(line).unwrap_or(u32::MAX), count } // a text of 1 GiB has fewer lines
    }

    pub fn line(&self) -> usize {
        self.line as usize
    }
}

/// The grid of bins: where it begins, and its width, in the unit of `Row::at`; the same in nanoseconds.
struct Grid {
    first: i64,
    width: i64,
    nanos: i64,
}

impl Grid {
    fn bin(&self, at: i64) -> i64 {
        (at - self.first) / self.width
    }
}

/// Counts per bin of rows, of which there is at least one.
pub fn binned(
    blame: &Blame<'_>,
    mut rows: Vec<Row>,
    clock: Clock,
    options: &Options,
    slice: &Slice,
) -> Result<Trace, TraceError> {
    let mut notes = Vec::new();
    if !rows.is_sorted_by_key(|row| row.at) {
        rows.sort_by_key(|row| row.at); // stable: several rows of one time stay in their order
    }
    let bin = width(blame, &rows, clock, options, &mut notes)?;
    let first = rows.first().map_or(0, |row| row.at);
    let grid = Grid { first, width: if clock == Clock::Index { INDEX } else { bin }, nanos: bin };
    let start = if clock == Clock::Index { 0 } else { first };
    let cut = cut(blame, &rows, &grid, (start, clock), slice, &mut notes)?;
    let mut doubtful = Doubtful { cut: cut.clone(), spans: Vec::new() };
    doubtful.add(cut.start..0, "before the first row of the file: silent");
    place(&mut rows, &grid, clock, &cut, &mut notes, &mut doubtful);
    let counts = fill(blame, &rows, &grid, &cut, options.gaps, &mut notes, &mut doubtful)?;
    let doubtful = doubtful.in_order();
    let total: f64 = counts.iter().sum();
    notes.push(format!("{total:.0} requests in {} bins of {}", counts.len(), span(bin)));
    let instant = |bin: i64| start.saturating_add(grid.nanos.saturating_mul(bin));
    let dates = (clock != Clock::Index).then(|| Dates::new(instant(cut.start), instant(cut.end), clock));
    Ok(Trace::Counts { bin: span(bin), counts, dates, doubtful, notes })
}

/// The width of a bin in nanoseconds: as stated, or the most frequent step of the times.
fn width(
    blame: &Blame<'_>,
    rows: &[Row],
    clock: Clock,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Instant, TraceError> {
    if let Some(per) = options.per {
        return Ok(nanos(per));
    }
    if clock == Clock::Index {
        let why = "its rows are numbered, not dated: state the width of a bin, `per = \"1min\"`";
        return Err(blame.line(rows.first().map_or(0, Row::line), why));
    }
    let mut steps: BTreeMap<Instant, usize> = BTreeMap::new();
    for step in rows.windows(2).map(|pair| pair[1].at - pair[0].at).filter(|&step| step > 0) {
        *steps.entry(step).or_default() += 1;
        if steps.len() > 100_000 {
            break; // of so many different ones none is frequent
        }
    }
    let all: usize = steps.values().sum();
    let most = steps.into_iter().max_by_key(|&(step, times)| (times, std::cmp::Reverse(step)));
    let (step, times) =
        most.ok_or_else(|| blame.file("the width of a bin cannot be told: state it, `per = \"1min\"`"))?;
    let share = times as f64 / all as f64;
    if share < LEAST_REGULAR {
        return Err(blame.file(format!(
            "its times follow no grid: their most frequent step, {}, is only {:.0} % of all. Where each row is a request, say `format = \"log\"`; where it is a count, state the width of a bin, `per = \"1min\"`",
            span(step),
            share * 100.0
        )));
    }
    notes.push(format!("bins of {}, the most frequent step of its times", span(step)));
    Ok(step)
}

/// The bins of the slice. What lies before the file is silent; after its last bin there is nothing.
fn cut(
    blame: &Blame<'_>,
    rows: &[Row],
    grid: &Grid,
    (start, clock): (Instant, Clock),
    slice: &Slice,
    notes: &mut Vec<String>,
) -> Result<Range<i64>, TraceError> {
    let end = rows.last().map_or(0, |row| grid.bin(row.at) + 1);
    let bounds = slice.of(blame, start, clock, notes)?;
    let instant = |bin: i64| start.saturating_add(grid.nanos.saturating_mul(bin));
    let mut index = |option: &str, at: Instant| {
        let since = i128::from(at) - i128::from(start);
        let width = i128::from(grid.nanos);
        let bin = i64::try_from((since + width / 2).div_euclid(width)).unwrap_or(i64::MAX);
        if since % width != 0 && bin < end {
            let shown = if clock == Clock::Index { format!("bin {bin}") } else { clock.show(instant(bin)) };
            notes.push(format!("`{option}` is not on the grid of bins: rounded to {shown}"));
        }
        bin
    };
    let from = index("from", bounds.start);
    let to = if slice.has_end() { index("to", bounds.end).min(end) } else { end };
    if from >= to || to <= 0 {
        let whole = match clock {
            Clock::Index => format!("the file has {end} bins of {}", span(grid.nanos)),
            _ => format!("the file goes from {} to {}", clock.show(start), clock.show(instant(end))),
        };
        return Err(blame.file(format!("there is nothing in the slice; {whole}")));
    }
    let bins = usize::try_from(to - from).unwrap_or(usize::MAX);
    if bins > MOST_BINS {
        return Err(blame.file(format!(
            "that would be {bins} bins of {}, and {MOST_BINS} are the most: take a slice with `from` and `to`, or wider bins with `per`; where each row is a request, say `format = \"log\"`",
            span(grid.nanos)
        )));
    }
    if from < 0 {
        let lead = span(grid.nanos.saturating_mul(-from));
        notes.push(format!("the slice begins {lead} before the file, in silence"));
    }
    Ok(from..to)
}

/// Something that rows have in common: how many, and the first.
#[derive(Default)]
struct Tally {
    count: usize,
    line: usize,
}

impl Tally {
    fn add(&mut self, row: &Row) {
        if self.count == 0 {
            self.line = row.line();
        }
        self.count += 1;
    }

    fn say(&self, notes: &mut Vec<String>, what: &str) {
        if self.count > 0 {
            notes.push(format!("{} {what} (first at line {})", self.count, self.line));
        }
    }
}

/// Bins of the slice of which the file says nothing.
struct Doubtful {
    cut: Range<i64>,
    spans: Vec<(Range<usize>, &'static str)>,
}

impl Doubtful {
    /// Bins by their number in the file; what is outside the slice is left out.
    fn add(&mut self, bins: Range<i64>, why: &'static str) {
        let (from, to) = (bins.start.max(self.cut.start), bins.end.min(self.cut.end));
        let index = |bin: i64| usize::try_from(bin - self.cut.start).unwrap_or(0);
        if from < to {
            self.spans.push((index(from)..index(to), why));
        }
    }

    /// In order, with what touches put together.
    fn in_order(mut self) -> Vec<(Range<usize>, &'static str)> {
        self.spans.sort_by_key(|(bins, _)| bins.start);
        let mut merged: Vec<(Range<usize>, &'static str)> = Vec::new();
        for (bins, why) in self.spans {
            let full = merged.len() == MOST_DOUBTFUL;
            match merged.last_mut() {
                Some((last, same)) if full || (*same == why && bins.start <= last.end) => {
                    last.end = last.end.max(bins.end);
                }
                _ => merged.push((bins, why)),
            }
        }
        merged
    }
}

/// Gives each row its bin. Notes are about those in the slice only.
fn place(
    rows: &mut [Row],
    grid: &Grid,
    clock: Clock,
    cut: &Range<i64>,
    notes: &mut Vec<String>,
    doubtful: &mut Doubtful,
) {
    let jumped = clock_jumped(rows, grid);
    let (mut put_back, mut repeated) = (Tally::default(), Tally::default());
    let (mut summed, mut off_grid) = (Tally::default(), Tally::default());
    let mut taken = None;
    for same in rows.chunk_by_mut(|a, b| a.at == b.at) {
        let (offset, length) = (same[0].at - grid.first, same.len());
        let bin = offset / grid.width;
        let in_slice = cut.contains(&bin);
        if in_slice && offset % grid.width != 0 && clock != Clock::Index {
            off_grid.add(&same[0]);
        }
        if in_slice && taken == Some(bin) {
            summed.add(&same[0]);
        }
        for (nth, row) in same.iter_mut().enumerate() {
            let back = if jumped { length - 1 - nth } else { 0 };
            row.at = bin - i64::try_from(back).unwrap_or(0);
            if cut.contains(&row.at) && nth > 0 {
                if jumped { put_back.add(row) } else { repeated.add(row) }
            }
            if jumped && length > 1 {
                doubtful.add(row.at..row.at + 1, "the clock jumped: rows of one time were put back");
            }
        }
        taken = Some(bin);
    }
    put_back.say(
        notes,
        "rows repeat a time after a hole of as many bins: the clock jumped, and they were put into the hole",
    );
    repeated.say(notes, "rows repeat a time, as those of several series do: their counts were added up");
    summed.say(notes, "rows fall into a bin that is taken: their counts were added to it");
    off_grid.say(notes, "rows are not on the grid of bins: they were counted in the bin they fall into");
}

/// A clock that jumped leaves a hole, and then as many rows with one time. Where any other time is repeated too, the file
/// has several series.
fn clock_jumped(rows: &[Row], grid: &Grid) -> bool {
    let (mut last, mut jumps) = (-1, 0);
    for same in rows.chunk_by(|a, b| a.at == b.at) {
        let bin = grid.bin(same[0].at);
        let repeats = same.len() - 1;
        if repeats > 0 {
            if repeats < FEWEST_OF_A_JUMP || usize::try_from(bin - last - 1) != Ok(repeats) {
                return false;
            }
            jumps += 1;
        }
        last = bin;
    }
    jumps > 0
}

/// The counts of the slice, with what the policy says in its holes.
fn fill(
    blame: &Blame<'_>,
    rows: &[Row],
    grid: &Grid,
    cut: &Range<i64>,
    gaps: Gaps,
    notes: &mut Vec<String>,
    doubtful: &mut Doubtful,
) -> Result<Vec<f64>, TraceError> {
    let mut counts = Vec::with_capacity(usize::try_from(cut.end - cut.start).unwrap_or(0));
    counts.extend((cut.start..0.min(cut.end)).map(|_| 0.0));
    let (mut absent, mut holes, mut first_hole) = (0usize, 0usize, 0);
    let mut before: Option<(i64, f64)> = None;
    for same in rows.chunk_by(|a, b| a.at == b.at) {
        let (bin, line) = (same[0].at, same[0].line());
        let count: f64 = same.iter().map(|row| row.count).sum();
        let (previous, value) = before.unwrap_or((bin - 1, count));
        let hole = (previous + 1).max(cut.start)..bin.min(cut.end);
        if !hole.is_empty() {
            let missing = usize::try_from(hole.end - hole.start).unwrap_or(0);
            if gaps == Gaps::Refuse {
                let why = format!("{missing} bins before this row are missing, and `gaps = \"refuse\"`");
                return Err(blame.line(line, why));
            }
            if holes == 0 {
                first_hole = line;
            }
            (absent, holes) = (absent + missing, holes + 1);
            doubtful.add(
                hole.clone(),
                if gaps == Gaps::Interpolate {
                    "not in the file: filled from its neighbours"
                } else {
                    "not in the file: filled with 0"
                },
            );
            counts.extend(hole.map(|nth| {
                let share = (nth - previous) as f64 / (bin - previous) as f64;
                if gaps == Gaps::Interpolate { value + (count - value) * share } else { 0.0 }
            }));
        }
        if cut.contains(&bin) {
            counts.push(count);
        }
        before = Some((bin, count));
    }
    if absent > 0 {
        let how = if gaps == Gaps::Interpolate { "from their neighbours" } else { "with 0" };
        notes.push(format!("{absent} bins of {} in {holes} holes are not in the file: filled {how} (first before line {first_hole})", span(grid.nanos)));
    }
    Ok(counts)
}
