//! The model's parameters, from the part of the measurements that is not judged.

use scalesim::machine::{Kernel, Processor, Scheduler};
use serde::Serialize;
use sim_core::Span;

use super::data::{Batch, Calibration, HopPlace, Measurements, Order, Place, Refill, Role, median};

/// Ticks that kernels are built with: 1000, 300, 250 and 100 a second.
const TICKS: [u64; 4] = [1_000_000, 3_333_333, 4_000_000, 10_000_000];
/// A measured slice that is this near to a whole number of ticks is taken to be that.
const NEAR: f64 = 0.15;
/// With all vCPUs busy each may be slower by this without anybody asking why.
const EVEN: f64 = 0.99;
/// More vCPUs than any machine has: what is read from a file must not fill the memory.
const MOST_VCPUS: u32 = 4096;

/// The parameters of the model, and how they came about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fitted {
    /// vCPUs.
    pub vcpus: u32,
    /// Nanoseconds of an iteration on an otherwise idle machine.
    pub ns_per_iteration: f64,
    /// What a vCPU does with all of them busy, of what it does alone.
    pub all_busy: f64,
    /// Hardware threads of a core.
    pub threads_per_core: u32,
    /// What two busy threads of a core do, of what one does alone.
    pub smt_gain: f64,
    /// The slice that a thread asks for, in nanoseconds.
    pub slice: u64,
    /// The timer tick, in nanoseconds.
    pub tick: u64,
    /// How long a job ran while another waited, in nanoseconds; where it was measured.
    pub measured_slice: Option<f64>,
    /// A switch to another thread on the same vCPU, in nanoseconds.
    pub switch: u64,
    /// Moving to another vCPU, in nanoseconds: not measured, the usual one.
    pub migration: u64,
    /// From waking a thread up to its beginning on another vCPU, which idled, in nanoseconds.
    pub wakeup: u64,
    /// Refilling caches after a switch: bytes of a working set, increasing, and nanoseconds, which do not fall.
    pub refill: Option<Vec<(u64, u64)>>,
    /// What was assumed.
    pub notes: Vec<String>,
}

/// Fits the model to the part of the measurements that is for it.
///
/// `None` where there is no lone job, or no time was measured.
pub fn fit(measured: &Measurements) -> Option<Fitted> {
    let vcpus = measured.machine.vcpus.clamp(1, MOST_VCPUS);
    let mut notes = Vec::new();
    let lone = measured.batches.iter().flat_map(|batch| &batch.calibrations);
    let ns_per_iteration = median(lone.map(Calibration::per_iteration)).filter(|&nanos| nanos > 0.0)?;
    let all_busy = all_busy(measured, vcpus).unwrap_or_else(|| {
        notes.push("what all vCPUs do together was not measured: taken to be the same each".to_string());
        1.0
    });
    let (threads_per_core, smt_gain) = cores(measured, vcpus, all_busy, &mut notes);
    let usual = Kernel::LINUX;
    let base = measured.machine.slice.filter(|slice| (100_000..=100_000_000).contains(slice));
    let base = base.unwrap_or(usual.base_slice(vcpus).as_nanos());
    let measured_slice = slice(measured);
    let (slice, tick) = match measured_slice {
        Some(seen) => tick(base, seen),
        None => {
            notes.push("no slice was seen: the usual tick is assumed".to_string());
            (base, usual.tick.as_nanos())
        }
    };
    let switch = hop(measured, HopPlace::SameVcpu).unwrap_or_else(|| {
        notes.push("no switch was timed on one vCPU: the usual cost is assumed".to_string());
        usual.switch.as_nanos()
    });
    let wakeup = hop(measured, HopPlace::OtherVcpu).unwrap_or_else(|| {
        notes.push(
            "no byte was passed between two vCPUs: the usual time to wake one up is assumed".to_string(),
        );
        usual.wakeup.as_nanos()
    });
    let migration = usual.migration.as_nanos();
    let refill = refill(&measured.refills);
    if refill.is_none() {
        notes.push(
            "no working sets were walked over on one vCPU: the usual cost of cold caches is assumed"
                .to_string(),
        );
    }
    Some(Fitted {
        vcpus,
        ns_per_iteration,
        all_busy,
        threads_per_core,
        smt_gain,
        slice,
        tick,
        measured_slice,
        switch,
        migration,
        wakeup,
        refill,
        notes,
    })
}

/// The speed of a vCPU with all of them busy: as many jobs as vCPUs, against the lone jobs around them.
fn all_busy(measured: &Measurements, vcpus: u32) -> Option<f64> {
    let full = |batch: &&Batch| {
        let setup = &batch.setup;
        setup.jobs == vcpus && setup.place == Place::Anywhere && setup.order == Order::Together
    };
    let speeds = fitted(measured).filter(full).flat_map(|batch| {
        let alone = batch.per_iteration() * batch.setup.iterations as f64;
        batch.jobs.iter().map(move |job| alone / job.ran().max(1) as f64)
    });
    if vcpus == 1 { Some(1.0) } else { median(speeds) }
}

fn fitted(measured: &Measurements) -> impl Iterator<Item = &Batch> {
    measured.batches.iter().filter(|batch| batch.setup.role == Role::Fit)
}

/// Hardware threads of a core and what two of them do. A virtual machine often does not say; then it shows.
fn cores(measured: &Measurements, vcpus: u32, all_busy: f64, notes: &mut Vec<String>) -> (u32, f64) {
    let told = measured.machine.threads_per_core.unwrap_or(1);
    let gain = (2.0 * all_busy).clamp(1.0, 2.0);
    let even = vcpus.is_multiple_of(2);
    if even && (told == 2 || all_busy < EVEN) {
        if told != 2 {
            notes.push(format!(
                "the kernel says that each vCPU is a core, yet with all busy each does {:.1} % of what it does alone: \
                 modelled as two threads a core",
                100.0 * all_busy
            ));
        }
        return (2, gain);
    }
    (1, 1.0)
}

/// How long a job ran while others waited.
fn slice(measured: &Measurements) -> Option<f64> {
    let vcpus = measured.machine.vcpus;
    let crowded = |batch: &&Batch| batch.setup.place == Place::OnOne || batch.setup.jobs > vcpus;
    let jobs = fitted(measured).filter(crowded).flat_map(|batch| &batch.jobs);
    median(jobs.filter_map(|job| job.run).map(|run| run as f64)).filter(|&run| run > 0.0)
}

/// The slice and the tick that make the measured slice: a kernel notices at a tick that a slice is over.
fn tick(base: u64, seen: f64) -> (u64, u64) {
    let whole = |tick: u64| (base.div_ceil(tick).max(1) * tick) as f64;
    let off = |tick: u64| (whole(tick) / seen - 1.0).abs();
    let nearest = TICKS.into_iter().min_by(|&a, &b| off(a).total_cmp(&off(b)));
    match nearest.filter(|&tick| off(tick) <= NEAR) {
        Some(tick) => (base, tick),
        None => {
            let own = (seen as u64).clamp(1_000, 1_000_000_000);
            (own, own)
        }
    }
}

/// What passing a byte to a thread takes beside writing and reading it: on one vCPU that is a switch; to another, whose
/// thread was the last to run there, it is the way out of idling.
fn hop(measured: &Measurements, place: HopPlace) -> Option<u64> {
    let of = |place: HopPlace| {
        let hops = measured.hops.iter().filter(|hop| hop.place == place);
        median(hops.flat_map(|hop| hop.nanos.iter().copied()))
    };
    Some(rounded((of(place)? - of(HopPlace::Alone)?).min(1e6)))
}

/// What comes on top of a switch where both threads have walked over a set of their own: the series less its entry for no
/// bytes. A set takes at least as long as a smaller one; where it was seen to be faster, that is noise. `None` where the
/// threads were not held on one vCPU, which would measure where they ran.
fn refill(series: &[Refill]) -> Option<Vec<(u64, u64)>> {
    let pinned = series.iter().filter(|entry| entry.pinned);
    let mut medians: Vec<(u64, f64)> =
        pinned.filter_map(|entry| Some((entry.bytes, median(entry.nanos.iter().copied())?))).collect();
    medians.sort_by_key(|&(bytes, _)| bytes);
    medians.dedup_by_key(|&mut (bytes, _)| bytes);
    let (&(zero, bare), sets) = medians.split_first()?;
    let mut most = 0;
    let points = sets.iter().take(scalesim::machine::Refill::MOST_POINTS).map(|&(bytes, nanos)| {
        most = most.max(rounded(nanos - bare));
        (bytes, most)
    });
    let points: Vec<(u64, u64)> = points.collect();
    (zero == 0 && !points.is_empty()).then_some(points)
}

/// To a hundredth of a microsecond, which is finer than it repeats; at most a second.
fn rounded(nanos: f64) -> u64 {
    (nanos.clamp(0.0, 1e9) / 10.0).round() as u64 * 10
}

impl Fitted {
    /// The scheduler's parameters.
    pub fn kernel(&self) -> Kernel {
        Kernel {
            slice: Some(Span::from_nanos(self.slice)),
            tick: Span::from_nanos(self.tick),
            switch: Span::from_nanos(self.switch),
            migration: Span::from_nanos(self.migration),
            wakeup: Span::from_nanos(self.wakeup),
            ..Kernel::LINUX
        }
    }

    /// The model of the machine.
    pub fn processor(&self) -> Processor {
        Processor {
            threads_per_core: self.threads_per_core,
            smt_gain: self.smt_gain,
            scheduler: Scheduler::Slices(self.kernel()),
            ..Processor::plain(self.vcpus)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_told_from_slices() {
        assert_eq!(tick(1_400_000, 4.02e6), (1_400_000, 4_000_000));
        assert_eq!(tick(1_400_000, 2.01e6), (1_400_000, 1_000_000));
        assert_eq!(tick(2_800_000, 3.05e6), (2_800_000, 1_000_000));
        assert_eq!(tick(1_400_000, 1.41e6), (1_410_000, 1_410_000), "a kernel with fine timers");
    }

    #[test]
    fn refilling_grows_with_the_set() {
        let entry = |bytes: u64, nanos: f64, pinned: bool| Refill { bytes, nanos: vec![nanos], pinned };
        let series = [
            entry(4_096, 5_000.0, true),
            entry(0, 2_500.0, true),
            entry(1_024, 2_400.0, true),
            entry(8_192, 4_000.0, true),
        ];
        assert_eq!(refill(&series), Some(vec![(1_024, 0), (4_096, 2_500), (8_192, 2_500)]));
        assert_eq!(refill(&series[2..]), None, "without the switch by itself");
        assert_eq!(refill(&series[1..2]), None, "with nothing else");
        assert_eq!(refill(&[entry(0, 1.0, false), entry(1_024, 2.0, false)]), None, "anywhere");
    }

    #[test]
    fn nothing_measured_fits_nothing() {
        assert_eq!(fit(&Measurements::default()), None);
    }
}
