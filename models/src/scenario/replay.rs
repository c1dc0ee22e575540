//! `trace = { file = … }` of a source: how it is read, how fast and how often it is played, and how it fits the run.

use std::ops::Range;
use std::sync::Arc;

use sim_core::{Span, Time};

use super::Context;
use super::diagnostic::Place;
use super::node::Node;
use super::reader::{Reader, choice};
use super::units::{Period, Positive};
use crate::plan::Doubtful;
use crate::traffic::trace::{self, Dates, Gaps, MOST_REQUESTS, Options, Trace};
use crate::traffic::{Arrivals, Counts, Log, RateFunction};

/// The expected rate has about so many bins, whatever the trace has: it is for capacity checks, by the hour.
const EXPECTED_BINS: u64 = 2_000;

/// A run that goes on after the end of a log for a smaller share of itself than this is as long as the log.
const SAME_LENGTH: f64 = 0.01;

/// What a trace becomes.
pub struct Replayed {
    pub arrivals: Arrivals,
    pub expected: RateFunction,
    pub doubtful: Vec<Doubtful>,
}

/// A trace, replayed.
pub fn replay(context: &Context<'_>, table: &mut Reader<'_>, path: &str, node: &Node) -> Option<Replayed> {
    let opened = open(context, table, path, node)?;
    let replay = Replay { context, file: &opened.file, amplitude: opened.amplitude, speed: opened.speed };
    replay.play(opened.trace, &opened.places)
}

/// The mean rates of the whole hours of a trace whose end is the start of the run, oldest first.
pub fn past(context: &Context<'_>, table: &mut Reader<'_>, path: &str, node: &Node) -> Option<Vec<f64>> {
    let Opened { trace, file, amplitude, speed, .. } = open(context, table, path, node)?;
    let note = |note: &str| context.findings.note(format!("{file}: {note}"));
    trace.notes().iter().for_each(|found| note(found));
    if let Some(dates) = trace.dates().filter(|dates| !dates.ends_at(&context.start)) {
        note(&format!("its end, {}, is taken for the start of the run, {}", dates.end(), context.start));
    }
    let hours = match trace {
        Trace::Counts { bin, counts, .. } => {
            let bin = bin.as_secs_f64() / speed;
            let bins = counts.len();
            let ends = (0..bins).map(|index| bin * (bins - index) as f64);
            hourly(bin * bins as f64, ends.zip(counts).map(|(ago, count)| (ago, ago - bin, count)))
        }
        Trace::Log { instants, dates, .. } => {
            let length = dates.length().as_secs_f64() / speed;
            let ago = instants.into_iter().map(|at| length - at.as_secs_f64() / speed);
            hourly(length, ago.map(|ago| (ago, ago, 1.0)))
        }
    };
    Some(hours.into_iter().map(|rate| rate * amplitude).collect())
}

/// The mean rates of the whole hours before an instant, oldest first. Requests come in stretches that began and ended so many
/// seconds before it, in which they are spread evenly.
fn hourly(length: f64, stretches: impl Iterator<Item = (f64, f64, f64)>) -> Vec<f64> {
    const HOUR: f64 = 3_600.0;
    let mut sums = vec![0.0; ((length + 1e-6) / HOUR) as usize];
    for (began, ended, count) in stretches {
        let (first, last) = ((ended / HOUR) as usize, ((began - 1e-9).max(ended) / HOUR) as usize);
        for hour in first..=last {
            let within = began.min(HOUR * (hour + 1) as f64) - ended.max(HOUR * hour as f64);
            let share = if began > ended { within / (began - ended) } else { 1.0 };
            if let Some(sum) = sums.get_mut(hour) {
                *sum += count * share;
            }
        }
    }
    sums.into_iter().rev().map(|sum| sum / HOUR).collect()
}

/// A trace that was read, and what is to be done with it.
struct Opened {
    trace: Trace,
    file: String,
    amplitude: f64,
    speed: f64,
    places: (Place, Place),
}

fn open(context: &Context<'_>, table: &mut Reader<'_>, path: &str, node: &Node) -> Option<Opened> {
    let mut options = Reader::new(context.findings, path, node);
    let file = options.required::<String>("file");
    let format = match options.node("format") {
        Some(node) => choice(context.findings, &options.path_of("format"), node, trace::FORMATS)
            .map(|(name, _)| name.to_string()),
        None => Some("counts".to_string()),
    };
    options.resolve("format", format.clone().unwrap_or_default());
    let per = options.optional::<Period>("per").map(|period| period.0);
    let (time, value) = (options.optional::<String>("time"), options.optional::<String>("value"));
    let (from, to) = (options.optional::<String>("from"), options.optional::<String>("to"));
    let amplitude = options.or("amplitude", Positive(1.0)).0;
    let speed = options.or("speed", Positive(1.0)).0;
    let gaps = match options.node("gaps") {
        Some(node) => {
            choice(context.findings, &options.path_of("gaps"), node, &["zero", "interpolate", "refuse"])
                .map(|(name, _)| name)
        }
        None => Some("zero"),
    };
    options.resolve("gaps", gaps.unwrap_or("zero"));
    let gaps = match gaps {
        Some("interpolate") => Some(Gaps::Interpolate),
        Some("refuse") => Some(Gaps::Refuse),
        Some(_) => Some(Gaps::Zero),
        None => None,
    };
    let trace = (|| {
        let (file, format, gaps) = (file?, format?, gaps?);
        let reading = Options { format, per, time, value, from, to, gaps };
        Some((read(context, &options, &file, &reading)?, file))
    })();
    let places = (options.place_of("amplitude"), options.place_of("speed"));
    table.resolve("trace", options.finish());
    let (trace, file) = trace?;
    Some(Opened { trace, file, amplitude, speed, places })
}

/// Reads the file. What is wrong is shown at the key it comes from.
fn read(context: &Context<'_>, keys: &Reader<'_>, file: &str, reading: &Options) -> Option<Trace> {
    let reader = context.files.open(file).map_err(|error| format!("cannot open `{file}`: {error}"));
    let reader = context.findings_if_err(reader, &keys.place_of("file"), |why| why.clone())?;
    let trace = trace::read(file, reader, reading);
    let key = trace.as_ref().err().and_then(|error| error.option()).unwrap_or("file");
    context.findings_if_err(trace, &keys.place_of(key), ToString::to_string)
}

/// How a trace is played.
struct Replay<'a> {
    context: &'a Context<'a>,
    file: &'a str,
    amplitude: f64,
    speed: f64,
}

impl Replay<'_> {
    fn note(&self, note: &str) {
        self.context.findings.note(format!("{}: {note}", self.file));
    }

    fn play(&self, trace: Trace, (amplitude, speed): &(Place, Place)) -> Option<Replayed> {
        trace.notes().iter().for_each(|note| self.note(note));
        if let Some(dates) = trace.dates() {
            self.compare_clocks(dates);
        }
        let rows = match &trace {
            Trace::Counts { counts, .. } => counts.iter().sum(),
            Trace::Log { instants, .. } => instants.len() as f64,
        };
        if !(0.0..=MOST_REQUESTS).contains(&(rows * self.amplitude)) {
            let most = MOST_REQUESTS / rows;
            let message = format!("`amplitude` makes more than {MOST_REQUESTS:e} requests of this trace");
            self.context.findings.error(amplitude, message, format!("at most {most:.3e}"), None);
            return None;
        }
        match trace {
            Trace::Counts { bin, counts, doubtful, .. } => self.counts(counts, bin, &doubtful, speed),
            Trace::Log { instants, dates, .. } => Some(self.log(instants, dates.length())),
        }
    }

    fn counts(
        &self,
        mut counts: Vec<f64>,
        bin: Span,
        doubtful: &[(Range<usize>, &'static str)],
        speed: &Place,
    ) -> Option<Replayed> {
        let bin = bin.mul_f64(1.0 / self.speed);
        if bin.is_zero() {
            let message = "`speed` makes the bins of this trace shorter than a nanosecond";
            self.context.findings.error(speed, message, "expected less", None);
            return None;
        }
        counts.iter_mut().for_each(|count| *count *= self.amplitude);
        let expected = expected_of_counts(&counts, bin, self.context.duration);
        let all = counts.iter().sum();
        let length = bin.saturating_mul(counts.len() as u64);
        let after = (self.context.duration.as_nanos() / bin.as_nanos()) as usize;
        let whole: f64 = counts.iter().take(after).sum();
        let share = (self.context.duration.as_nanos() % bin.as_nanos()) as f64 / bin.as_nanos() as f64;
        let played = whole + counts.get(after).map_or(0.0, |count| count * share);
        self.compare_lengths(length, Span::ZERO, all, played);
        let at = |bins: usize| Time::ZERO + bin.saturating_mul(bins as u64);
        let spans = doubtful.iter().map(|(bins, why)| (at(bins.start), at(bins.end), (*why).to_string()));
        let doubtful = self.doubtful(spans.collect(), length, Span::ZERO);
        let arrivals = Arrivals::Counts(Counts::new(counts.into(), bin));
        Some(Replayed { arrivals, expected, doubtful })
    }

    fn log(&self, instants: Vec<Span>, length: Span) -> Replayed {
        let duration = self.context.duration;
        let played_length = length.mul_f64(1.0 / self.speed);
        let instants: Arc<[Time]> =
            instants.into_iter().map(|at| Time::ZERO + at.mul_f64(1.0 / self.speed)).collect();
        let played = instants.partition_point(|&at| at < Time::ZERO + duration);
        self.compare_lengths(
            played_length,
            duration.mul_f64(SAME_LENGTH),
            instants.len() as f64 * self.amplitude,
            played as f64 * self.amplitude,
        );
        let expected = expected_of_log(&instants, self.amplitude, duration);
        let doubtful = self.doubtful(Vec::new(), played_length, duration.mul_f64(SAME_LENGTH));
        Replayed { arrivals: Arrivals::Log(Log::new(instants, self.amplitude)), expected, doubtful }
    }

    /// What of these stretches is within the run, and what of the run comes after the end of the trace.
    fn doubtful(&self, mut spans: Vec<(Time, Time, String)>, length: Span, tolerance: Span) -> Vec<Doubtful> {
        let end = Time::ZERO + self.context.duration;
        if Time::ZERO + length + tolerance < end {
            spans.push((Time::ZERO + length, end, "after the end of the trace: silent".to_string()));
        }
        let within = spans.into_iter().filter(|&(from, ..)| from < end);
        within
            .map(|(from, to, why)| Doubtful { from, to: to.min(end), why: format!("{}: {why}", self.file) })
            .collect()
    }

    /// The run's clock is its own: schedules do not follow the dates of a trace.
    fn compare_clocks(&self, dates: &Dates) {
        let start = &self.context.start;
        if !dates.begins_at(start) {
            self.note(&format!(
                "its first instant, {}, is played at `scenario.start`, {start}; the clock and all schedules of the run follow the latter",
                dates.start()
            ));
        }
        let zone = start.time_zone();
        if let Some(hour) = dates.repeated_hour(zone) {
            let name = zone.iana_name().unwrap_or("the zone of `scenario.start`");
            self.note(&format!("its times have no zone, and in {name} the hour from {hour} on came twice: if they are local times, that hour may hold the requests of two, or the one after it none of its own"));
        }
    }

    /// What is played: `all` is what the slice holds, `played` what of it comes before the end of the run.
    fn compare_lengths(&self, length: Span, tolerance: Span, all: f64, played: f64) {
        let duration = self.context.duration;
        if self.amplitude != 1.0 || self.speed != 1.0 {
            let (amplitude, speed) = (self.amplitude, self.speed);
            self.note(&format!(
                "at `amplitude` {amplitude} and `speed` {speed} that is {all:.0} requests over {length}"
            ));
        }
        if length > duration {
            let (beyond, lost) = (length.saturating_sub(duration), all - played);
            self.note(&format!("the run ends {beyond} before the trace: about {lost:.0} of its {all:.0} requests are not played"));
        } else if length + tolerance < duration {
            let silent = duration.saturating_sub(length);
            self.note(&format!(
                "the trace ends after {length}: for the last {silent} of the run nothing comes from it"
            ));
        }
    }
}

/// The rate of counts, in bins of several where there are many.
fn expected_of_counts(counts: &[f64], bin: Span, duration: Span) -> RateFunction {
    let in_run = duration.as_nanos().div_ceil(bin.as_nanos()).clamp(1, counts.len() as u64);
    let together = in_run.div_ceil(EXPECTED_BINS);
    let bins = counts.chunks(together as usize).take(in_run.div_ceil(together) as usize);
    let sums: Vec<f64> = bins.map(|bins| bins.iter().sum()).collect();
    Counts::new(sums.into(), bin.saturating_mul(together)).rate()
}

/// A log's rate in a few hundred bins.
fn expected_of_log(instants: &[Time], amplitude: f64, duration: Span) -> RateFunction {
    let bin = Span::from_nanos((duration.as_nanos() / 300).max(1_000_000_000));
    let mut counts = vec![0.0; (duration.as_nanos() / bin.as_nanos() + 1) as usize];
    for at in instants {
        if let Some(count) = counts.get_mut((at.as_nanos() / bin.as_nanos()) as usize) {
            *count += amplitude;
        }
    }
    Counts::new(counts.into(), bin).rate()
}
