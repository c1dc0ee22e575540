//! What it costs a thread to come back to caches that others have filled meanwhile.

use sim_core::Span;

/// The time that refilling caches takes after a switch, as a function of what a thread works on.
#[derive(Clone, Debug, PartialEq)]
pub enum Refill {
    /// The same after every switch, whatever is worked on.
    Same(Span),
    /// Working sets in bytes, above zero and increasing, and the time for each, which does not fall. Between two it is
    /// linear, as it is from nothing at no bytes to the first; beyond the last it goes on as between the last two.
    Curve(Vec<(u64, Span)>),
}

/// Bytes of a KiB.
const KIB: u64 = 1024;

impl Refill {
    /// The most points of a curve.
    pub const MOST_POINTS: usize = 32;

    /// Linux on a cloud machine: two processes on one vCPU that walk over their sets in turn, medians, less the 3.1 µs that
    /// the same takes with nothing to walk over. Up to 2 MiB another cache of the core has it, at 0.2 ns a line; at 8 MiB
    /// memory has, at 2.4 ns. Li, Ding and Shen (ExpCS 2007) found up to 1.5 ms on a machine of their time.
    pub fn linux() -> Refill {
        let point = |kib: u64, nanos: u64| (kib * KIB, Span::from_nanos(nanos));
        Refill::Curve(vec![
            point(64, 0),
            point(256, 1_100),
            point(512, 1_600),
            point(1_024, 2_800),
            point(2_048, 5_900),
            point(4_096, 39_000),
            point(8_192, 311_000),
        ])
    }

    /// The time for a working set of so many bytes.
    pub fn of(&self, bytes: u64) -> Span {
        let points = match self {
            Refill::Same(time) => return *time,
            Refill::Curve(points) => points,
        };
        let Some(last) = points.len().checked_sub(1) else { return Span::ZERO };
        let to = points.partition_point(|point| point.0 < bytes).min(last);
        let from = to.checked_sub(1).map_or((0, Span::ZERO), |from| points[from]);
        let ((from_bytes, from_time), (to_bytes, to_time)) = (from, points[to]);
        let way = bytes.saturating_sub(from_bytes) as f64 / to_bytes.saturating_sub(from_bytes).max(1) as f64;
        from_time + to_time.saturating_sub(from_time).mul_f64(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(refill: &Refill, kib: u64) -> f64 {
        refill.of(kib * KIB).as_nanos() as f64 / 1e3
    }

    #[test]
    fn a_curve_is_linear_between_its_points_and_goes_on() {
        let linux = Refill::linux();
        assert_eq!([0, 64, 160, 512, 768].map(|kib| micros(&linux, kib)), [0.0, 0.0, 0.55, 1.6, 2.2]);
        assert_eq!([4_096, 8_192, 12_288].map(|kib| micros(&linux, kib)), [39.0, 311.0, 583.0]);
        let one = Refill::Curve(vec![(KIB, Span::from_micros(2))]);
        assert_eq!((micros(&one, 0), one.of(KIB / 2).as_nanos(), micros(&one, 3)), (0.0, 1_000, 6.0));
        assert_eq!(one.of(u64::MAX), Span::MAX, "no overflow");
    }

    #[test]
    fn a_single_time_holds_for_every_switch() {
        let same = Refill::Same(Span::from_micros(20));
        assert_eq!([0, 1 << 40].map(|bytes| same.of(bytes)), [Span::from_micros(20); 2]);
        assert_eq!(Refill::Curve(Vec::new()).of(1 << 20), Span::ZERO, "no points say nothing");
    }
}
