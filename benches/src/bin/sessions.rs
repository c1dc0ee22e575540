//! A million open websockets: memory and speed. `sessions [SESSIONS] [MESSAGES A SECOND OF EACH] [SECONDS]`.

use std::time::Instant;

use scalesim_benches::sessions;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = |default: f64| args.next().and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (open, rate, seconds) = (next(1e6) as u32, next(0.2), next(120.0));
    let scenario = sessions::open(open, rate, seconds);
    let start = Instant::now();
    let run = sessions::play(&scenario);
    let took = start.elapsed().as_secs_f64();
    let seen = &run.sessions[0];
    println!(
        "{} sessions open on average, {} opened, {} ended, {} messages in {seconds} s",
        seen.open_mean.round(),
        seen.opened,
        seen.ended,
        seen.messages + seen.pushes
    );
    println!(
        "{took:.2} s: {:.2} times as fast as real time, {:.2} M messages/s, order {}",
        seconds / took,
        (seen.messages + seen.pushes) as f64 / took / 1e6,
        run.order_hash
    );
    if let Some(peak) = peak_resident() {
        println!("peak resident {:.1} MB, {:.0} bytes a session", peak / 1e6, peak / f64::from(open));
    }
}

/// Bytes; Linux tells.
fn peak_resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? * 1024.0)
}
