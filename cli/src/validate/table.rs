//! The report on the terminal: measured beside predicted.

use std::fmt::Write;

use super::data::{HopPlace, Measurements, median};
use super::judge::{Compared, Judgement, MAKESPAN, Row, SWITCHES, crowded, name};

/// The whole report.
pub fn render(measured: &Measurements, judged: &Judgement) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut text, measured, judged);
    let _ = rows(&mut text, judged);
    let _ = switching(&mut text, measured);
    let _ = parameters(&mut text, judged);
    text
}

fn head(out: &mut String, measured: &Measurements, judged: &Judgement) -> std::fmt::Result {
    let verdict = judged.verdict.word().to_uppercase();
    let machine = &measured.machine;
    let named = |name: &Option<String>| name.as_ref().map_or(String::new(), |name| format!(" · {name}"));
    writeln!(
        out,
        "The model of the machine against the machine · {} · {} vCPUs{}{} · {}",
        measured.date,
        machine.vcpus,
        named(&machine.processor),
        named(&machine.kernel),
        machine.system
    )?;
    let (first, rest) =
        judged.why.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    writeln!(out, "\n{verdict}: {first}")?;
    for why in rest {
        writeln!(out, "  · {why}")?;
    }
    for missing in &machine.missing {
        writeln!(out, "  · {missing}")?;
    }
    Ok(())
}

fn rows(out: &mut String, judged: &Judgement) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<24} {:^38}  {:^23}  {:^12}  {:^20}  {:^10}",
        "", "last job done, ms", "mean done, ms", "first, ms", "switches a job", "speed-up"
    )?;
    writeln!(
        out,
        "{:<24} {:>8} {:>8} {:>11} {:>8}  {:>7} {:>7} {:>7}  {:>5} {:>6}  {:>5} {:>6} {:>7}  {:>4} {:>5}  verdict",
        "jobs",
        "measured",
        "± spread",
        "predicted",
        "error",
        "meas.",
        "pred.",
        "error",
        "meas.",
        "pred.",
        "meas.",
        "pred.",
        "error",
        "meas.",
        "pred."
    )?;
    for row in &judged.rows {
        one(out, row, judged.fitted.vcpus)?;
    }
    writeln!(
        out,
        "Judged: the last completion (within {:.0} %) and, where jobs take turns, switches (within {:.0} %). Each repetition is \
         predicted\nwith the speed of the lone jobs directly before and after it; medians of repetitions. Spread: half the range.",
        100.0 * MAKESPAN,
        100.0 * SWITCHES
    )
}

fn one(out: &mut String, row: &Row, vcpus: u32) -> std::fmt::Result {
    let ms = |nanos: f64| nanos / 1e6;
    let verdict = row.verdict.word();
    let counts = match row.refused.len() {
        0 => String::new(),
        refused => format!(" ({} of {} count)", row.used, row.used + refused),
    };
    let switches = match &row.involuntary {
        Some(switches) if crowded(&row.setup, vcpus) => {
            format!("{:>5.1} {:>6.1} {:>7}", switches.measured, switches.predicted, error(switches))
        }
        Some(switches) => format!("{:>5.1} {:>6.1} {:>7}", switches.measured, switches.predicted, ""),
        None => format!("{:>20}", "not counted"),
    };
    let (last, mean, first, speed) = (&row.makespan, &row.mean, &row.first, &row.speed_up);
    writeln!(
        out,
        "{:<24} {:>8.1} {:>8} {:>11.1} {:>8}  {:>7.1} {:>7.1} {:>7}  {:>5.0} {:>6.0}  {switches}  {:>5.2} {:>5.2}  \
         {verdict}{counts}",
        name(&row.setup),
        ms(last.measured),
        format!("{:.1} %", 100.0 * last.spread()),
        ms(last.predicted),
        error(last),
        ms(mean.measured),
        ms(mean.predicted),
        error(mean),
        ms(first.measured),
        ms(first.predicted),
        speed.measured,
        speed.predicted
    )
}

/// How far off a prediction is.
pub fn error(compared: &Compared) -> String {
    format!("{:+.1} %", 100.0 * compared.error)
}

fn switching(out: &mut String, measured: &Measurements) -> std::fmt::Result {
    let micros = |nanos: &[f64]| median(nanos.iter().copied()).map(|nanos| nanos / 1e3);
    writeln!(out, "\nSwitching, µs")?;
    for hop in &measured.hops {
        let what = match hop.place {
            HopPlace::Alone => "a byte through a pipe, no switch",
            HopPlace::SameVcpu => "to a thread on the same vCPU",
            HopPlace::OtherVcpu => "to a thread on another vCPU",
            HopPlace::Anywhere => "to a thread anywhere",
        };
        if let Some(micros) = micros(&hop.nanos) {
            writeln!(out, "  {what:<34} {micros:>8.2}")?;
        }
    }
    let mut sizes = String::new();
    let mut costs = String::new();
    for refill in &measured.refills {
        if let Some(micros) = micros(&refill.nanos) {
            write!(sizes, " {:>7}", refill.bytes / 1024)?;
            write!(costs, " {micros:>7.1}")?;
        }
    }
    if !sizes.is_empty() {
        writeln!(out, "  working set of each thread, KiB   {sizes}")?;
        writeln!(out, "  switch and refill                 {costs}")?;
    }
    Ok(())
}

fn parameters(out: &mut String, judged: &Judgement) -> std::fmt::Result {
    let fitted = &judged.fitted;
    let seen = fitted.measured_slice.map_or("not seen".to_string(), |nanos| format!("{:.2} ms", nanos / 1e6));
    writeln!(
        out,
        "\nFitted: {:.3} ns an iteration; with all vCPUs busy each does {:.1} %; a thread runs for {seen} while another \
         waits\n(tick {:.4} ms, slice {:.3} ms); a switch takes {:.2} µs",
        fitted.ns_per_iteration,
        100.0 * fitted.all_busy,
        fitted.tick as f64 / 1e6,
        fitted.slice as f64 / 1e6,
        fitted.switch as f64 / 1e3
    )?;
    for note in &fitted.notes {
        writeln!(out, "  · {note}")?;
    }
    Ok(())
}
