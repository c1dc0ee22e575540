//! Samples of a metric and their statistics, as CloudWatch aggregates them.

/// What is made of the samples of a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// `Average`: the sum by the number of samples.
    Average,
    /// `Minimum`.
    Minimum,
    /// `Maximum`.
    Maximum,
    /// `Sum`.
    Sum,
    /// `SampleCount`.
    SampleCount,
    /// A percentile such as `p99.9`, above 0 and up to 100.
    Percentile(f64),
}

impl Statistic {
    /// Samples below which a percentile says little: 10 / (1 - p), and 10 / p for one below the median (CloudWatch User Guide,
    /// "Percentile-based alarms and low data samples"; the lower half (memory)). 0 for other statistics.
    pub fn low_samples(&self) -> f64 {
        match self {
            // In percent, so that 99 needs 1000 and not a hair more.
            Statistic::Percentile(p) if *p >= 50.0 => 1_000.0 / (100.0 - p),
            Statistic::Percentile(p) => 1_000.0 / p,
            _ => 0.0,
        }
    }

    /// True for percentiles, which need every value.
    pub fn needs_values(&self) -> bool {
        matches!(self, Statistic::Percentile(_))
    }
}

impl std::fmt::Display for Statistic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Statistic::Average => f.write_str("average"),
            Statistic::Minimum => f.write_str("minimum"),
            Statistic::Maximum => f.write_str("maximum"),
            Statistic::Sum => f.write_str("sum"),
            Statistic::SampleCount => f.write_str("sample count"),
            Statistic::Percentile(p) => write!(f, "p{p}"),
        }
    }
}

/// Samples of a period: a statistic set, and their values where a percentile is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// How many.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// The sum over the instances that they are about: what a fleet of another size would share.
    pub total: f64,
    /// How many instances they are about.
    pub instances: f64,
    /// Distinct values, ascending, and how often each was seen; empty where nobody asks for a percentile.
    pub values: Vec<(f64, f64)>,
}

impl Samples {
    /// One sample of a metric that is divided among `instances` already, such as requests per target.
    pub fn shared(value: f64, instances: u32) -> Samples {
        let instances = f64::from(instances);
        Samples {
            count: 1.0,
            sum: value,
            minimum: value,
            maximum: value,
            total: value * instances,
            instances,
            values: Vec::new(),
        }
    }

    /// The same, about units of capacity instead of instances that count as so many each on average.
    pub fn in_units(mut self, weight: f64) -> Samples {
        self.total *= weight;
        self.instances *= weight;
        self
    }

    /// One more sample, of an instance. Its value is kept where somebody asks for a percentile.
    pub fn take(&mut self, value: f64, keep: bool) {
        if self.count <= 0.0 {
            (self.minimum, self.maximum) = (value, value);
        }
        self.count += 1.0;
        self.sum += value;
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
        self.total += value;
        self.instances += 1.0;
        if keep {
            self.values.push((value, 1.0));
        }
    }

    /// The same value of so many instances, as that many calls of [`take`](Samples::take) would leave it.
    pub fn take_of_each(&mut self, value: f64, instances: u32, keep: bool) {
        if instances == 0 {
            return;
        }
        let count = f64::from(instances);
        let sum = value * count;
        let values = if keep { vec![(value, count)] } else { Vec::new() };
        let all =
            Samples { count, sum, minimum: value, maximum: value, total: sum, instances: count, values };
        self.add(&all);
    }

    /// Samples of so many times as often become one of each instance: the mean over those times. The extremes stay.
    pub fn divide(&mut self, times: f64) {
        self.count /= times;
        self.sum /= times;
        self.total /= times;
        self.instances /= times;
        self.values.iter_mut().for_each(|(_, count)| *count /= times);
    }

    /// Adds the samples of another time to the statistic set. Values are appended; [`sorted`](Samples::sorted) orders them.
    pub fn add(&mut self, other: &Samples) {
        if other.count <= 0.0 {
            return;
        }
        if self.count <= 0.0 {
            self.clone_from(other);
            return;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.total += other.total;
        self.instances += other.instances;
        self.values.extend_from_slice(&other.values);
    }

    /// Puts the values into order, after others were added.
    pub fn sorted(mut self) -> Samples {
        self.values.sort_by(|a, b| a.0.total_cmp(&b.0));
        self
    }

    /// The average.
    pub fn average(&self) -> f64 {
        self.sum / self.count
    }

    /// A statistic of them; `None` without samples, and for a percentile of samples whose values were not kept.
    pub fn statistic(&self, statistic: Statistic) -> Option<f64> {
        if self.count <= 0.0 {
            return None;
        }
        Some(match statistic {
            Statistic::Average => self.average(),
            Statistic::Minimum => self.minimum,
            Statistic::Maximum => self.maximum,
            Statistic::Sum => self.sum,
            Statistic::SampleCount => self.count,
            Statistic::Percentile(p) => return self.percentile(p),
        })
    }

    /// The smallest value that `p` percent of the samples are not above (nearest rank).
    fn percentile(&self, p: f64) -> Option<f64> {
        let all: f64 = self.values.iter().map(|(_, count)| count).sum();
        let rank = all * p / 100.0 - 1e-9;
        let mut passed = 0.0;
        let found = self.values.iter().find(|(_, count)| {
            passed += count;
            passed >= rank
        });
        found.or(self.values.last()).map(|&(value, _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_over_all_samples_of_a_period() {
        let of = |values: &[f64]| {
            let mut samples = Samples::default();
            values.iter().for_each(|&value| samples.take(value, true));
            samples
        };
        let mut samples = of(&[60.0, 40.0]);
        samples.add(&of(&[10.0, 20.0, 95.0]));
        let samples = samples.sorted();
        let seen = |statistic| samples.statistic(statistic).unwrap();
        assert_eq!((seen(Statistic::Average), seen(Statistic::Sum)), (45.0, 225.0));
        assert_eq!((seen(Statistic::Minimum), seen(Statistic::Maximum)), (10.0, 95.0));
        assert_eq!((seen(Statistic::SampleCount), seen(Statistic::Percentile(50.0))), (5.0, 40.0));
        assert_eq!((seen(Statistic::Percentile(100.0)), seen(Statistic::Percentile(1.0))), (95.0, 10.0));
        assert_eq!(Samples::default().statistic(Statistic::SampleCount), None);
    }

    #[test]
    fn the_same_of_each_is_one_value_seen_so_often() {
        let mut one_by_one = Samples::default();
        (0..3).for_each(|_| one_by_one.take(0.25, true));
        let mut at_once = Samples::default();
        at_once.take_of_each(0.25, 3, true);
        assert_eq!(at_once.values, [(0.25, 3.0)]);
        let p = Statistic::Percentile(90.0);
        assert_eq!(at_once.statistic(p), one_by_one.statistic(p));
        one_by_one.values.clone_from(&at_once.values);
        assert_eq!(at_once, one_by_one);
        at_once.take_of_each(1.0, 0, true);
        assert_eq!(at_once, one_by_one, "nobody tells nothing");
    }

    /// 1000 for p99; of the lower half as many as of the upper.
    #[test]
    fn percentiles_need_samples() {
        let need = |p| Statistic::Percentile(p).low_samples();
        assert_eq!((need(99.0), need(50.0), need(1.0), need(90.0)), (1000.0, 20.0, 1000.0, 100.0));
        assert_eq!(Statistic::Maximum.low_samples(), 0.0);
    }
}
