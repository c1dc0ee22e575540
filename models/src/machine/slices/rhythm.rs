//! When slices end and queues are evened out.

use sim_core::{Span, Time};

/// How long it takes until queues are evened out again: anything between these.
///
/// Linux 6.18 moved one of three endless jobs on two vCPUs after 28 to 342 ms, the middle half after 125 to 166 ms, the
/// median 145 ms (55 moves, on a two-vCPU guest). It is never regular, and must not be here: with one interval the same
/// thread may have a vCPU for itself every time.
pub const BALANCE: (Span, Span) = (Span::from_millis(110), Span::from_millis(180));

/// When queues are evened out next. It looks like chance, and is always the same for the same instant.
pub fn next_balance(now: Time) -> Time {
    let (least, most) = (BALANCE.0.as_nanos(), BALANCE.1.as_nanos());
    // Multiplying by the golden ratio spreads instants that are near one another (Knuth, volume 3, 6.4).
    let spread = now.as_nanos().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    now + Span::from_nanos(least + (((most - least) * spread) >> 32))
}

/// The first tick that is not before `time` and after `now`: a slice that is over is noticed there.
pub fn at_tick(time: Time, tick: Span, now: Time) -> Time {
    let tick = tick.as_nanos();
    if tick == 0 || time == Time::NEVER {
        return time;
    }
    let at = Time::from_nanos(time.as_nanos().div_ceil(tick).saturating_mul(tick));
    if at > now { at } else { at + Span::from_nanos(tick) }
}
