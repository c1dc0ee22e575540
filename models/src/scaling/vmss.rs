//! Autoscale rules of an Azure virtual machine scale set (Azure Monitor, "Understand autoscale settings" and "Best
//! practices for autoscale"). Azure publishes less than others do; what rests on memory is told in `docs/models.md`.

use sim_core::{Span, Time};

use super::{Comparison, Datapoint, Decision, Memory, Metric, Observation, Policy, Verdict};

/// An autoscale setting: profiles, of which one is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Vmss {
    /// Those with times of their own, in the order in which they go before others: fixed dates, then recurring ones.
    pub profiles: Vec<VmssProfile>,
    /// The one that is in force where no other is.
    pub default: VmssProfile,
}

/// A profile: limits, and rules within them.
#[derive(Clone, Debug, PartialEq)]
pub struct VmssProfile {
    /// Its name.
    pub name: String,
    /// When it is in force: from each first to each second instant; the default profile has none.
    pub active: Vec<(Time, Time)>,
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// How many it should have where the metrics of no rule can be read, if it has fewer.
    pub default: u32,
    /// Its rules.
    pub rules: Vec<VmssRule>,
}

/// A rule: a metric, a threshold, and what to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VmssRule {
    /// What is measured by instance.
    pub metric: Metric,
    /// How the values of the instances become one, for each time grain.
    pub statistic: VmssStatistic,
    /// The period of a value, in datapoints of the metric.
    pub time_grain: usize,
    /// How the values of the time window become one.
    pub time_aggregation: TimeAggregation,
    /// How far it looks back, in time grains.
    pub time_window: usize,
    /// How the result is compared.
    pub operator: Comparison,
    /// With what.
    pub threshold: f64,
    /// Which way it scales.
    pub direction: Direction,
    /// By how much.
    pub change: VmssChange,
    /// How long after any scale action it waits.
    pub cooldown: Span,
}

/// How the values of the instances become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmssStatistic {
    /// Their mean.
    Average,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// How the values of a time window become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeAggregation {
    /// Their mean.
    Average,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
    /// Their sum.
    Total,
    /// The newest.
    Last,
    /// How many there are.
    Count,
}

/// Which way a rule scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More instances.
    Out,
    /// Fewer instances.
    In,
}

/// By how much a rule scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VmssChange {
    /// `ChangeCount`: so many more or fewer.
    Count(u32),
    /// `PercentChangeCount`: so many percent of the present ones, rounded towards zero, and at least one.
    Percent(f64),
    /// `ExactCount`: so many.
    Exact(u32),
}

/// The values of one instance metric at one time grain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GrainValue {
    /// The mean over instances.
    pub average: f64,
    /// The sum over instances.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl GrainValue {
    /// The values of a time grain, from the datapoints in it.
    fn of(points: &[Option<Datapoint>]) -> Option<GrainValue> {
        let known = || points.iter().flatten();
        let count = known().count() as f64;
        (count > 0.0).then(|| GrainValue {
            average: known().map(|point| point.value).sum::<f64>() / count,
            sum: known().map(|point| point.total).sum::<f64>() / count,
            min: known().map(|point| point.minimum).fold(f64::INFINITY, f64::min),
            max: known().map(|point| point.maximum).fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

impl VmssRule {
    /// The values of its window, oldest first, from the newest datapoints of its metric.
    fn window(&self, points: &[Option<Datapoint>]) -> Vec<GrainValue> {
        let grain = self.time_grain.max(1);
        let newest = &points[points.len().saturating_sub(self.time_window.max(1).saturating_mul(grain))..];
        newest.rchunks(grain).rev().filter_map(GrainValue::of).collect()
    }

    /// The rule in words.
    fn show(&self, value: f64) -> String {
        let side = match self.operator {
            Comparison::Greater | Comparison::GreaterOrEqual => "above",
            Comparison::Less | Comparison::LessOrEqual => "below",
        };
        format!("{} over {} values is {side} {}", self.metric.show(value), self.time_window, self.threshold)
    }

    /// What the rule compares with its threshold: the values of its window, oldest first, put together. `None` where there is
    /// none.
    pub fn value(&self, window: &[GrainValue]) -> Option<f64> {
        let of = |value: &GrainValue| match self.statistic {
            VmssStatistic::Average => value.average,
            VmssStatistic::Sum => value.sum,
            VmssStatistic::Min => value.min,
            VmssStatistic::Max => value.max,
        };
        let values = window.iter().map(of);
        let last = values.clone().next_back()?;
        let count = window.len() as f64;
        Some(match self.time_aggregation {
            TimeAggregation::Average => values.sum::<f64>() / count,
            TimeAggregation::Minimum => values.fold(f64::INFINITY, f64::min),
            TimeAggregation::Maximum => values.fold(f64::NEG_INFINITY, f64::max),
            TimeAggregation::Total => values.sum(),
            TimeAggregation::Last => last,
            TimeAggregation::Count => count,
        })
    }

    /// True where a value meets the rule.
    pub fn met(&self, value: f64) -> bool {
        self.operator.holds(value, self.threshold)
    }

    /// The size after the rule has been carried out.
    pub fn applied(&self, size: u32) -> u32 {
        let by = match self.change {
            VmssChange::Exact(exact) => {
                return match self.direction {
                    Direction::Out => exact.max(size),
                    Direction::In => exact.min(size),
                };
            }
            VmssChange::Count(count) => count,
            VmssChange::Percent(percent) => ((f64::from(size) * percent / 100.0 + 1e-9) as u32).max(1),
        };
        match self.direction {
            Direction::Out => size.saturating_add(by),
            Direction::In => size.saturating_sub(by),
        }
    }

    /// What its value would be with another number of instances, where the load stays what it is. A sum and a count stay, too,
    /// as does what is of the group as a whole.
    fn projected(&self, value: f64, from: u32, to: u32) -> f64 {
        let shared = self.metric.falls_by_instance()
            && self.statistic != VmssStatistic::Sum
            && self.time_aggregation != TimeAggregation::Count;
        if shared { value * f64::from(from) / f64::from(to.max(1)) } else { value }
    }
}

/// What an autoscale setting remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmssMemory {
    /// When it scaled last.
    pub last: Option<Time>,
}

/// What an autoscale setting sees when it is evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VmssView<'a> {
    /// The clock.
    pub now: Time,
    /// The value of each rule of the profile that is in force, in their order.
    pub values: &'a [Option<f64>],
    /// Instances.
    pub size: u32,
}

/// Why an autoscale setting does what it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VmssReason {
    /// The size was outside the profile's limits.
    Limits,
    /// The metrics of no rule could be read, and there were fewer than the default.
    Default,
    /// A rule scaled out.
    Out {
        /// Its index.
        rule: usize,
    },
    /// All rules that scale in were met.
    In {
        /// The index of the one that keeps most.
        rule: usize,
    },
    /// A rule is met and waits for its cooldown.
    Cooldown {
        /// Its index.
        rule: usize,
        /// Until when.
        until: Time,
    },
    /// It would scale in, and a rule would scale out again.
    Flapping {
        /// The index of that rule.
        rule: usize,
        /// Its value after the scale-in.
        projected: f64,
    },
    /// A rule is met, and the size is at its limit.
    AtLimit {
        /// Its index.
        rule: usize,
    },
    /// Some of the rules that scale in are met, not all.
    NotAll,
    /// No rule is met.
    Calm,
    /// There are no metrics.
    NoData,
}

impl Vmss {
    /// The profile that is in force.
    pub fn profile(&self, now: Time) -> &VmssProfile {
        let active =
            |profile: &&VmssProfile| profile.active.iter().any(|&(from, to)| from <= now && now < to);
        self.profiles.iter().find(active).unwrap_or(&self.default)
    }

    /// All profiles, the default one last.
    pub fn all(&self) -> impl Iterator<Item = &VmssProfile> {
        self.profiles.iter().chain(std::iter::once(&self.default))
    }
}

impl VmssProfile {
    /// The size that the rules want, once a minute, and why.
    pub fn evaluate(&self, memory: VmssMemory, seen: &VmssView<'_>) -> (u32, VmssReason) {
        let limited = seen.size.clamp(self.min.min(self.max), self.max);
        if limited != seen.size {
            return (limited, VmssReason::Limits);
        }
        if seen.values.iter().all(Option::is_none) {
            let wanted = seen.size.max(self.default.min(self.max));
            return (wanted, if wanted > seen.size { VmssReason::Default } else { VmssReason::NoData });
        }
        self.scale_out(memory, seen).unwrap_or_else(|| self.scale_in(memory, seen))
    }

    /// What a judgement comes to.
    fn decision(&self, (wanted, reason): (u32, VmssReason), seen: &VmssView<'_>) -> Decision {
        let size = seen.size;
        let rule = |index: usize| {
            let value = seen.values.get(index).copied().flatten().unwrap_or(0.0);
            self.rules.get(index).map_or(String::new(), |rule| rule.show(value))
        };
        let name = &self.name;
        let (verdict, words) = match reason {
            VmssReason::Limits => {
                (None, format!("Profile `{name}` has {} to {} instances", self.min, self.max))
            }
            VmssReason::Default => (
                None,
                format!("No metrics can be read, and profile `{name}` has {} by default", self.default),
            ),
            VmssReason::Out { rule: index } => (None, rule(index)),
            VmssReason::In { rule: index } => {
                (None, format!("All rules that scale in are met, the last: {}", rule(index)))
            }
            VmssReason::Cooldown { rule: index, until } => {
                (Some(Verdict::Cooldown), format!("{}, and the rule cools down until {until}", rule(index)))
            }
            VmssReason::Flapping { rule: index, projected } => {
                let again = self.rules.get(index).map_or(String::new(), |rule| rule.show(projected));
                let words = format!(
                    "All rules that scale in are met, but afterwards {again}, which would scale out again"
                );
                (Some(Verdict::WouldOvershoot), words)
            }
            VmssReason::AtLimit { rule: index } => {
                let out = self.rules.get(index).is_some_and(|rule| rule.direction == Direction::Out);
                let (verdict, limit, count) = if out {
                    (Verdict::AtMaximum, "maximum", self.max)
                } else {
                    (Verdict::AtMinimum, "minimum", self.min)
                };
                (Some(verdict), format!("{}, and the size is at its {limit} of {count}", rule(index)))
            }
            VmssReason::NotAll => {
                (Some(Verdict::NotAllAgree), "Some of the rules that scale in are met, not all".to_string())
            }
            VmssReason::Calm => (Some(Verdict::WithinTarget), format!("No rule of profile `{name}` is met")),
            VmssReason::NoData => (Some(Verdict::InsufficientData), "No metrics can be read".to_string()),
        };
        match verdict {
            Some(verdict) => Decision::wait(verdict, format!("{words}; the size stays {size}.")),
            None if wanted > size => {
                Decision::scale_out(wanted, format!("{words}; size from {size} to {wanted}."))
            }
            None => Decision::scale_in(wanted, format!("{words}; size from {size} to {wanted}.")),
        }
    }

    fn rules(&self, seen: &VmssView<'_>, direction: Direction) -> Vec<(usize, &VmssRule, Option<f64>)> {
        let all = self.rules.iter().enumerate().zip(seen.values);
        let those = all.filter(|((_, rule), _)| rule.direction == direction);
        those.map(|((index, rule), value)| (index, rule, *value)).collect()
    }

    /// Any rule that is met and has cooled down; of several the one that asks for most.
    fn scale_out(&self, memory: VmssMemory, seen: &VmssView<'_>) -> Option<(u32, VmssReason)> {
        let rules = self.rules(seen, Direction::Out);
        let met = || rules.iter().filter(|(_, rule, value)| value.is_some_and(|value| rule.met(value)));
        let ready = met().filter(|(_, rule, _)| memory.cooled_down(rule, seen.now).is_none());
        let most = ready.map(|(index, rule, _)| (rule.applied(seen.size).min(self.max), *index));
        if let Some((wanted, rule)) = most.reduce(|most, other| if other.0 > most.0 { other } else { most }) {
            let reason =
                if wanted > seen.size { VmssReason::Out { rule } } else { VmssReason::AtLimit { rule } };
            return Some((wanted.max(seen.size), reason));
        }
        met().next().map(|(index, rule, _)| {
            let until = memory.cooled_down(rule, seen.now).unwrap_or(seen.now);
            (seen.size, VmssReason::Cooldown { rule: *index, until })
        })
    }

    /// All rules must be met and have cooled down; of several the one that keeps most counts.
    fn scale_in(&self, memory: VmssMemory, seen: &VmssView<'_>) -> (u32, VmssReason) {
        let rules = self.rules(seen, Direction::In);
        let met = rules.iter().filter(|(_, rule, value)| value.is_some_and(|value| rule.met(value))).count();
        if met == 0 {
            return (seen.size, VmssReason::Calm);
        }
        if met < rules.len() {
            return (seen.size, VmssReason::NotAll);
        }
        let waits =
            rules.iter().filter_map(|(index, rule, _)| Some((*index, memory.cooled_down(rule, seen.now)?)));
        if let Some((rule, until)) = waits.max_by_key(|&(_, until)| until) {
            return (seen.size, VmssReason::Cooldown { rule, until });
        }
        let keeps = rules.iter().map(|(index, rule, _)| (rule.applied(seen.size).max(self.min), *index));
        let (wanted, rule) = keeps.max_by_key(|&(wanted, _)| wanted).unwrap_or((seen.size, 0));
        if wanted >= seen.size {
            return (seen.size, VmssReason::AtLimit { rule });
        }
        let again = self.rules(seen, Direction::Out).into_iter().find_map(|(index, out, value)| {
            let projected = out.projected(value?, seen.size, wanted);
            out.met(projected).then_some(VmssReason::Flapping { rule: index, projected })
        });
        again.map_or((wanted, VmssReason::In { rule }), |flapping| (seen.size, flapping))
    }
}

impl Policy for Vmss {
    /// Those of all rules, each once.
    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for rule in self.all().flat_map(|profile| &profile.rules) {
            if !metrics.contains(&rule.metric) {
                metrics.push(rule.metric);
            }
        }
        metrics
    }

    fn lookback(&self) -> usize {
        let rules = self.all().flat_map(|profile| &profile.rules);
        rules.map(|rule| rule.time_grain.saturating_mul(rule.time_window)).max().unwrap_or(0)
    }

    /// Azure Monitor knows nothing of warm-ups.
    fn estimated_instance_warmup(&self) -> Option<Span> {
        Some(Span::ZERO)
    }

    fn caller(&self, _: &str, _: bool) -> String {
        "the autoscale setting".to_string()
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        let (profile, metrics) = (self.profile(seen.now), self.metrics());
        let value = |rule: &VmssRule| {
            let metric = metrics.iter().position(|&metric| metric == rule.metric)?;
            rule.value(&rule.window(seen.points(metric)))
        };
        let values: Vec<Option<f64>> = profile.rules.iter().map(value).collect();
        let view = VmssView { now: seen.now, values: &values, size: seen.desired };
        // What it wants may not come about, and then no cooldown begins.
        let judged = profile.evaluate(memory.vmss, &view);
        profile.decision(judged, &view)
    }
}

impl VmssMemory {
    /// Until when a rule waits after the last scale action; `None` where it need not.
    fn cooled_down(self, rule: &VmssRule, now: Time) -> Option<Time> {
        self.last.map(|last| last + rule.cooldown).filter(|&until| now < until)
    }
}

#[cfg(test)]
mod tests;
