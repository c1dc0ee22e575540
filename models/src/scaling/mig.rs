//! The autoscaler of a managed instance group (Google Cloud, "Autoscaling groups of instances" and "Understanding
//! autoscaler decisions"): one policy with several signals. It recommends the size that serves the peak of the
//! stabilization period, so it grows at once and shrinks late.

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::{Datapoint, Decision, Memory, Metric, Observation, Policy, Verdict, capacity_for};
use crate::words::capitalised;

/// The shortest stabilization period: "the last 10 minutes or the initialization period, whichever is longer".
pub const STABILIZATION: Span = Span::from_secs(600);

/// The longest initialization period, and the longest window of a scale-in control. It bounds what is remembered: an entry
/// a minute.
pub const LONGEST_WINDOW: Span = Span::from_secs(86_400);

/// The autoscaler of a managed instance group.
#[derive(Clone, Debug, PartialEq)]
pub struct Mig {
    /// What it scales on; the largest size wins.
    pub signals: Vec<MigSignal>,
    /// When it must have a size whatever the signals say.
    pub schedules: Vec<MigSchedule>,
    /// How long after it runs an instance's metrics are left out (60 s by default).
    pub initialization_period: Span,
    /// How fast it may shrink.
    pub scale_in_control: Option<ScaleInControl>,
    /// What it is allowed to do.
    pub mode: MigMode,
}

/// One signal: the load that an instance should have, and the load that one without metrics is taken to have.
#[derive(Clone, Debug, PartialEq)]
pub struct MigSignal {
    /// How the log calls it.
    pub name: &'static str,
    /// What is measured by instance.
    pub metric: Metric,
    /// The value by instance to hold, in the metric's unit.
    pub target: f64,
    /// The value of an instance that is fully used, which is assumed before shrinking where metrics are missing.
    pub full: f64,
}

/// A time in which a number of instances is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigSchedule {
    /// How the scenario states its times.
    pub schedule: String,
    /// When it is in force: from each first to each second instant.
    pub active: Vec<(Time, Time)>,
    /// How many instances it requires.
    pub min_required: u32,
}

impl MigSchedule {
    /// True while it is in force.
    pub fn active(&self, now: Time) -> bool {
        self.active.iter().any(|&(from, to)| from <= now && now < to)
    }
}

/// By how much the size may be below its peak of a trailing window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleInControl {
    /// How much.
    pub most: MostRemoved,
    /// The trailing window in which the peak is looked for.
    pub window: Span,
}

/// How many instances may be removed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MostRemoved {
    /// So many.
    Instances(u32),
    /// So many percent of the peak, rounded to nearest.
    Percent(f64),
}

impl ScaleInControl {
    /// The smallest size after a peak.
    pub fn floor(&self, peak: u32) -> u32 {
        peak.saturating_sub(match self.most {
            MostRemoved::Instances(most) => most,
            MostRemoved::Percent(percent) => (f64::from(peak) * percent / 100.0).round() as u32,
        })
    }
}

/// What an autoscaler is allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigMode {
    /// Everything.
    On,
    /// To grow.
    OnlyScaleOut,
    /// Nothing.
    Off,
}

/// What an autoscaler remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MigMemory {
    /// Sizes that were needed within the stabilization period.
    needed: Peaks,
    /// Sizes of the group within the window of its scale-in control.
    sizes: Peaks,
}

/// The largest of the values of a trailing window: those that a later one is larger than are dropped.
#[derive(Clone, Debug, Default, PartialEq)]
struct Peaks(VecDeque<(Time, u32)>);

impl Peaks {
    /// Adds the value of now, forgets those older than `window`, and gives the largest that is left.
    fn push(&mut self, now: Time, value: u32, window: Span) -> (Time, u32) {
        while self.0.back().is_some_and(|&(_, earlier)| earlier <= value) {
            self.0.pop_back();
        }
        self.0.push_back((now, value));
        while self.0.front().is_some_and(|&(at, _)| at + window <= now) {
            self.0.pop_front();
        }
        self.0.front().copied().unwrap_or((now, value))
    }
}

/// What an autoscaler sees when it is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MigView<'a> {
    /// The clock.
    pub now: Time,
    /// The newest datapoint of each signal, in their order; `None` where it has none.
    pub signals: &'a [Option<Datapoint>],
    /// The size of the group.
    pub size: u32,
    /// Its limits.
    pub min: u32,
    /// Its limits.
    pub max: u32,
}

/// What an autoscaler recommends, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// The size, within the limits.
    pub size: u32,
    /// What is needed now, within the limits.
    pub needed: u32,
    /// The same without them.
    pub unlimited: u32,
    /// What needs it, in words.
    pub because: String,
    /// The largest need of the stabilization period, and when it was last seen.
    pub peak: (Time, u32),
    /// What holds the size above the need.
    pub held: Option<Held>,
}

/// What holds a size above the need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The peak of the stabilization period.
    Stabilization,
    /// The scale-in control.
    ScaleInControl,
    /// The mode.
    Mode,
}

impl Mig {
    /// How long a peak holds the size: the initialization period, but at least [`STABILIZATION`].
    pub fn stabilization_period(&self) -> Span {
        self.initialization_period.max(STABILIZATION)
    }

    /// Recommends a size, once a minute.
    pub fn recommend(&self, memory: &mut MigMemory, seen: &MigView<'_>) -> Recommendation {
        let (unlimited, because) = self.need(seen);
        let needed = unlimited.clamp(seen.min.min(seen.max), seen.max);
        // A group has its first size for a reason, which holds as long as any other.
        if memory.needed.0.is_empty() {
            memory.needed.push(seen.now, seen.size, self.stabilization_period());
        }
        let peak = memory.needed.push(seen.now, needed, self.stabilization_period());
        let window = self.scale_in_control.map_or(Span::ZERO, |control| control.window);
        let peak_size = memory.sizes.push(seen.now, seen.size, window).1;
        let stabilized = peak.1.min(seen.size).max(needed);
        let floor = self.scale_in_control.map_or(0, |control| control.floor(peak_size).min(seen.size));
        let wanted = stabilized.max(floor).clamp(seen.min.min(seen.max), seen.max);
        let forbidden = match self.mode {
            MigMode::On => false,
            MigMode::OnlyScaleOut => wanted < seen.size,
            MigMode::Off => wanted != seen.size,
        };
        let held = if forbidden {
            Some(Held::Mode)
        } else if floor > stabilized {
            Some(Held::ScaleInControl)
        } else {
            (stabilized > needed).then_some(Held::Stabilization)
        };
        Recommendation {
            size: if forbidden { seen.size } else { wanted },
            needed,
            unlimited,
            because,
            peak,
            held,
        }
    }

    /// What a recommendation comes to.
    fn decision(&self, made: &Recommendation, desired: u32, max: u32) -> Decision {
        let words = capitalised(&made.because);
        let (at, peak) = made.peak;
        if made.size > desired {
            let limit = if made.unlimited > max { format!(", the maximum is {max}") } else { String::new() };
            let to = made.size;
            return Decision::scale_out(to, format!("{words}{limit}; size from {desired} to {to}."));
        }
        let held = match made.held {
            Some(Held::Mode) if self.mode == MigMode::Off => {
                return Decision::wait(Verdict::SwitchedOff, format!("{words}, and the autoscaler is off."));
            }
            Some(Held::Mode) => {
                let words = format!("{words}, and the autoscaler only scales out.");
                return Decision::wait(Verdict::ScaleInDisabled, words);
            }
            Some(Held::Stabilization) => {
                format!(
                    "; {peak} were needed until {at}, within the stabilization period of {}",
                    self.stabilization_period()
                )
            }
            Some(Held::ScaleInControl) => "; the scale-in control holds the rest".to_string(),
            None => String::new(),
        };
        if made.size < desired {
            let to = made.size;
            return Decision::scale_in(to, format!("{words}{held}; size from {desired} to {to}."));
        }
        let verdict = match made.held {
            Some(Held::Stabilization) => Verdict::Stabilizing,
            Some(_) => Verdict::ScaleInControlled,
            None if made.unlimited > max => Verdict::AtMaximum,
            None if made.unlimited < made.needed => Verdict::AtMinimum,
            None => Verdict::WithinTarget,
        };
        Decision::wait(verdict, format!("{words}{held}; the size stays {desired}."))
    }

    /// The size that is needed now: the largest of all signals and schedules.
    fn need(&self, seen: &MigView<'_>) -> (u32, String) {
        let by_signal =
            self.signals.iter().zip(seen.signals).map(|(signal, point)| signal.need(*point, seen.size));
        let active = self.schedules.iter().filter(|schedule| schedule.active(seen.now));
        let by_schedule = active.map(|schedule| {
            let words = format!("the schedule ({}) requires {}", schedule.schedule, schedule.min_required);
            (schedule.min_required, words)
        });
        // The first of equal ones: signals go before schedules.
        let largest =
            by_signal.chain(by_schedule).reduce(|most, other| if other.0 > most.0 { other } else { most });
        largest.unwrap_or((seen.min, "nothing asks for more than the minimum".to_string()))
    }
}

impl Policy for Mig {
    fn metrics(&self) -> Vec<Metric> {
        self.signals.iter().map(|signal| signal.metric).collect()
    }

    fn lookback(&self) -> usize {
        1
    }

    /// The initialization period: what boots says nothing.
    fn estimated_instance_warmup(&self) -> Option<Span> {
        Some(self.initialization_period)
    }

    fn caller(&self, _: &str, _: bool) -> String {
        "the autoscaler".to_string()
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        let signals: Vec<Option<Datapoint>> =
            (0..self.signals.len()).map(|signal| seen.newest(signal)).collect();
        let &Observation { now, desired, min, max, .. } = seen;
        let view = MigView { now, signals: &signals, size: desired, min, max };
        let made = self.recommend(&mut memory.mig, &view);
        self.decision(&made, desired, max)
    }
}

impl MigSignal {
    /// The size that a signal needs, given its newest datapoint and the size of the group. Instances without metrics are
    /// taken for idle when that makes the group grow, and for fully used when it would shrink.
    pub fn need(&self, point: Option<Datapoint>, size: u32) -> (u32, String) {
        let Some(point) = point else {
            return (size, format!("there are no metrics of {}, which keeps the size of {size}", self.name));
        };
        let instances = |load: f64| capacity_for(load, self.target);
        let seen = format!("{} of {:.0} instances sums up to {:.1}", self.name, point.instances, point.total);
        let idle = instances(point.total);
        if idle >= size {
            return (idle, format!("{seen}, which needs {idle} at {} each", self.target));
        }
        let missing = (f64::from(size) - point.instances).max(0.0);
        let full = instances(point.total + missing * self.full).min(size);
        let assumed = if missing > 0.0 {
            format!(" and {missing:.0} without metrics count as fully used")
        } else {
            String::new()
        };
        (full, format!("{seen}{assumed}, which needs {full} at {} each", self.target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: u64) -> Time {
        Time::ZERO + Span::from_secs(60 * n)
    }

    fn cpu(target: f64) -> Mig {
        let signal = MigSignal { name: "CPU", metric: Metric::Cpu, target, full: 100.0 };
        Mig {
            signals: vec![signal],
            schedules: vec![],
            initialization_period: Span::from_secs(60),
            scale_in_control: None,
            mode: MigMode::On,
        }
    }

    /// The sizes of a group that follows its autoscaler, minute by minute, where `load` is the CPU of all in percent.
    fn follow(mig: &Mig, size: u32, loads: &[f64]) -> Vec<u32> {
        let (mut memory, mut size) = (MigMemory::default(), size);
        let step = |(n, &load): (usize, &f64)| {
            let point = Datapoint::of(load / f64::from(size), size);
            let seen = MigView { now: minute(n as u64), signals: &[Some(point)], size, min: 1, max: 20 };
            size = mig.recommend(&mut memory, &seen).size;
            size
        };
        loads.iter().enumerate().map(step).collect()
    }

    #[test]
    fn it_grows_at_once_and_shrinks_when_the_peak_is_ten_minutes_old() {
        let mut loads = vec![120.0; 3];
        loads.extend([480.0; 2]);
        loads.extend([120.0; 20]);
        let sizes = follow(&cpu(60.0), 2, &loads);
        assert_eq!(sizes[..5], [2, 2, 2, 8, 8]);
        // The peak was last seen in minute 4.
        assert_eq!(sizes.iter().skip(4).position(|&size| size < 8), Some(10));
        assert_eq!(sizes[14], 2);
    }

    #[test]
    fn a_longer_initialization_period_is_a_longer_stabilization_period() {
        let slow = Mig { initialization_period: Span::from_secs(20 * 60), ..cpu(60.0) };
        let mut loads = vec![480.0];
        loads.extend([60.0; 30]);
        assert_eq!(follow(&slow, 8, &loads).iter().position(|&size| size < 8), Some(20));
    }

    #[test]
    fn the_first_size_holds_as_long_as_a_peak() {
        assert_eq!(follow(&cpu(60.0), 5, &[60.0; 15]).iter().position(|&size| size < 5), Some(10));
    }

    #[test]
    fn missing_metrics_count_as_idle_for_growing_and_as_full_for_shrinking() {
        let signal = cpu(50.0).signals[0].clone();
        let of = |total: f64, instances: u32| {
            Some(Datapoint { total, instances: f64::from(instances), ..Datapoint::default() })
        };
        assert_eq!(signal.need(of(450.0, 4), 6).0, 9, "the two that boot add nothing to what is needed");
        assert_eq!(signal.need(of(100.0, 4), 6).0, 6, "100 and twice 100 at 50 each");
        assert_eq!(signal.need(of(100.0, 4), 4).0, 2);
        assert_eq!(signal.need(of(20.0, 5), 6).0, 3);
        assert_eq!(signal.need(None, 6).0, 6);
    }

    #[test]
    fn the_largest_of_several_signals_and_schedules_wins() {
        let mut mig = cpu(60.0);
        mig.signals.push(MigSignal {
            name: "requests",
            metric: Metric::RequestCountPerTarget,
            target: 100.0,
            full: 100.0,
        });
        let schedule = MigSchedule {
            schedule: "0 8 * * *".into(),
            active: vec![(minute(30), minute(40))],
            min_required: 7,
        };
        mig.schedules.push(schedule);
        let needed = |n: u64, cpu: f64, requests: f64| {
            let points = [cpu, requests]
                .map(|total| Some(Datapoint { total, instances: 4.0, ..Datapoint::default() }));
            let seen = MigView { now: minute(n), signals: &points, size: 4, min: 1, max: 20 };
            mig.recommend(&mut MigMemory::default(), &seen).needed
        };
        assert_eq!((needed(0, 120.0, 300.0), needed(0, 200.0, 150.0)), (3, 4));
        assert_eq!(
            (
                needed(29, 60.0, 100.0),
                needed(30, 60.0, 100.0),
                needed(39, 60.0, 100.0),
                needed(40, 60.0, 100.0)
            ),
            (1, 7, 7, 1)
        );
        assert_eq!(needed(30, 600.0, 100.0), 10);
    }

    #[test]
    fn scale_in_is_controlled_from_the_peak_of_the_window() {
        let control = |most| ScaleInControl { most, window: Span::from_secs(30 * 60) };
        let mut mig = cpu(60.0);
        let mut loads = vec![600.0; 1];
        loads.extend([60.0; 60]);
        mig.scale_in_control = Some(control(MostRemoved::Instances(3)));
        let sizes = follow(&mig, 10, &loads);
        assert_eq!((sizes[9], sizes[10], sizes[38]), (10, 7, 7), "{sizes:?}");
        assert_eq!(sizes[40], 4, "30 minutes after it had 10: {sizes:?}");
        assert_eq!(control(MostRemoved::Percent(10.0)).floor(15), 13);
        assert_eq!(control(MostRemoved::Percent(10.0)).floor(14), 13);
        assert_eq!(control(MostRemoved::Percent(100.0)).floor(14), 0);
        assert_eq!(control(MostRemoved::Instances(20)).floor(14), 0);
    }

    #[test]
    fn modes_forbid() {
        let mut mig = cpu(60.0);
        let loads: Vec<f64> = std::iter::repeat_n(600.0, 2).chain(std::iter::repeat_n(60.0, 20)).collect();
        mig.mode = MigMode::OnlyScaleOut;
        assert_eq!(follow(&mig, 5, &loads).last(), Some(&10));
        mig.mode = MigMode::Off;
        assert_eq!(follow(&mig, 5, &loads), vec![5; 22]);
    }

    #[test]
    fn limits_hold() {
        let view = |size, min, max, total| {
            let point = [Some(Datapoint { total, instances: f64::from(size), ..Datapoint::default() })];
            let seen = MigView { now: minute(0), signals: &point, size, min, max };
            cpu(60.0).recommend(&mut MigMemory::default(), &seen).size
        };
        assert_eq!(view(5, 1, 8, 3000.0), 8);
        assert_eq!(view(5, 7, 8, 10.0), 7);
    }
}
