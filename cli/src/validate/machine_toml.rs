//! The measured machine as a table to paste into scenarios.

use std::fmt::Write;

use sim_core::Span;

use super::data::Measurements;
use super::fit::Fitted;

/// Bytes of a GiB.
const GIB: f64 = (1u64 << 30) as f64;

/// `[machine.this]`.
pub fn render(measured: &Measurements, fitted: &Fitted) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, measured, fitted);
    text
}

fn write(out: &mut String, measured: &Measurements, fitted: &Fitted) -> std::fmt::Result {
    writeln!(out, "# Measured by `scalesim validate` on {}: paste it into a scenario.", measured.date)?;
    writeln!(
        out,
        "# {:.3} ns per iteration of `count += i` on an idle vCPU, {:.1} % of that speed with all vCPUs busy.",
        fitted.ns_per_iteration,
        100.0 * fitted.all_busy
    )?;
    writeln!(out, "# The cost of a migration is the usual one; it was not measured.")?;
    writeln!(out, "[machine.this]")?;
    writeln!(out, "vcpus = {}", fitted.vcpus)?;
    writeln!(out, "threads_per_core = {}", fitted.threads_per_core)?;
    if fitted.threads_per_core > 1 {
        // Rounded to a thousandth, with a decimal point: TOML tells whole numbers from others.
        writeln!(out, "smt_gain = {:?}", (fitted.smt_gain * 1e3).round() / 1e3)?;
    }
    match measured.machine.memory {
        Some(bytes) => writeln!(out, "memory = \"{}\"", memory(bytes))?,
        None => writeln!(out, "# memory = \"8 GiB\"  # this system does not tell it")?,
    }
    write!(
        out,
        "scheduler = {{ slices = {{ policy = \"eevdf\", tick = \"{}\", slice = \"{}\", switch = \"{}\", migration = \
         \"{}\", wakeup = \"{}\"",
        Span::from_nanos(fitted.tick),
        Span::from_nanos(fitted.slice),
        Span::from_nanos(fitted.switch),
        Span::from_nanos(fitted.migration),
        Span::from_nanos(fitted.wakeup)
    )?;
    if let Some(points) = &fitted.refill {
        // A list may go on in the next line where the table around it may not.
        write!(out, ", refill = [")?;
        for &(bytes, nanos) in points {
            write!(out, "\n    [\"{}\", \"{}\"],", size(bytes), Span::from_nanos(nanos))?;
        }
        write!(out, "\n]")?;
    }
    writeln!(out, " }} }}")
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} B") }
}

/// Memory as machines are sold: the kernel keeps some for itself and tells the rest.
fn memory(bytes: u64) -> String {
    let gib = bytes as f64 / GIB;
    if gib >= 1.5 { format!("{} GiB", gib.round()) } else { format!("{} MiB", (gib * 1024.0).round()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_as_it_is_sold() {
        assert_eq!(memory(24_684_084 * 1024), "24 GiB");
        assert_eq!(memory(512 << 20), "512 MiB");
    }
}
