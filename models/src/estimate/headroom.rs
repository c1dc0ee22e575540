//! Headroom: what a fleet needs beyond the peak, for a zone that is lost, for a spike, and for the time that new instances
//! take to come.

use serde::Serialize;
use sim_core::Span;

use super::Step;
use super::course::Course;
use crate::plan::{Group, GroupId};
use crate::theory::PeriodicAlarm;

/// Datapoints in a row that target tracking's high alarm waits for.
const DATAPOINTS: u32 = 3;
/// The alarm has come within the detection delay in this share of cases.
const DETECTED: f64 = 0.95;
/// Growth is looked for where the load is at least this share of the peak: a night that triples is still a night.
const MATTERS: f64 = 0.2;

/// What instances have to be there for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Headroom {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Instances that carry the peak.
    pub peak: u32,
    /// With which the peak is still carried when a zone is lost; `None` with a single zone, whose loss takes all.
    pub zone_loss: Option<u32>,
    /// With which a spike is carried that comes faster than instances do; `None` where nobody asks.
    pub spike: Option<u32>,
    /// The most of these: each is for its own bad day, not for all of them on the same.
    pub instances: u32,
    /// From the moment at which load rises to new instances that serve, in seconds.
    pub lead_time: f64,
    /// The most that the load grows within that time, as a factor: 1 or more.
    pub growth: f64,
    /// The CPU utilisation that a scaling policy may track at most, 0 to 1, so that the SLA holds until new instances serve.
    pub track_at_most: f64,
}

/// What the rules look at.
pub struct Question<'a> {
    /// The group.
    pub group: &'a Group,
    /// Its number.
    pub id: GroupId,
    /// How its load goes.
    pub course: &'a Course,
    /// Load at the peak, in the unit of `each`.
    pub peak: f64,
    /// Load that an instance carries within the SLA.
    pub each: f64,
    /// Instances that carry the peak.
    pub instances: u32,
    /// Utilisation of an instance that carries as much as it can.
    pub utilisation: f64,
    /// What the load is multiplied with in a minute.
    pub spike: Option<f64>,
    /// Growth in a minute as a share, where it is not read off the profile.
    pub growth: Option<f64>,
}

/// Instances that survive the loss of one of so many zones with `needed` left: ⌈n / (z − 1)⌉ in each. `None` with one zone.
pub fn with_a_zone_less(needed: u32, zones: usize) -> Option<u32> {
    let others = u32::try_from(zones).ok()?.checked_sub(1).filter(|&others| others > 0)?;
    Some(needed.div_ceil(others).saturating_mul(others + 1))
}

/// Applies all three rules.
pub fn headroom(of: &Question<'_>) -> Headroom {
    let mut steps = Vec::new();
    let zones = of.group.zones.len();
    let zone_loss = with_a_zone_less(of.instances, zones);
    if let Some(instances) = zone_loss {
        let source = "static stability: what is left carries the peak without launching anything (AWS)";
        steps.push(
            Step::new("a zone is lost", "N = z · ⌈n / (z − 1)⌉", f64::from(instances), "instances", source)
                .term("n", "instances for the peak", f64::from(of.instances), "")
                .term("z", "zones", zones as f64, ""),
        );
    }
    let spike = of.spike.map(|factor| ((of.peak * factor / of.each * (1.0 - 1e-9)).ceil() as u32).max(1));
    if let Some((instances, factor)) = spike.zip(of.spike) {
        let source =
            "a spike within a minute is over before a new instance serves: it meets the fleet that is there";
        steps.push(
            Step::new("a spike", "N = ⌈f · λ / λ₁⌉", f64::from(instances), "instances", source)
                .term("f", "times the peak", factor, "")
                .term("λ/λ₁", "peak over what one carries", of.peak / of.each, ""),
        );
    }
    let lead_time = lead_time(of.group, &mut steps);
    let growth = growth(of, lead_time, &mut steps);
    let track_at_most = of.utilisation / growth;
    let source = "between the moment it is needed and the first new instance the fleet that is there carries the growth";
    steps.push(
        Step::new("a policy tracks at most", "u = u₁ / g", 100.0 * track_at_most, "%", source)
            .term("u₁", "utilisation at which one still keeps the SLA", 100.0 * of.utilisation, "%")
            .term("g", "growth in the lead time", growth, ""),
    );
    let instances = of.instances.max(zone_loss.unwrap_or(0)).max(spike.unwrap_or(0));
    Headroom { steps, peak: of.instances, zone_loss, spike, instances, lead_time, growth, track_at_most }
}

/// From load that rises to instances that serve: the alarm, the metric's delay, the start.
fn lead_time(group: &Group, steps: &mut Vec<Step>) -> f64 {
    let period = group.monitoring.as_secs_f64().max(1.0);
    let alarm = PeriodicAlarm::new(period, DATAPOINTS);
    let detection = alarm.and_then(|alarm| alarm.detection_delay_quantile(DETECTED)).unwrap_or(0.0);
    let (delay, start) = (group.metric_delay.as_secs_f64(), group.startup.mean() * 1e-9);
    let sum = detection + delay + start;
    let source = "an alarm of three datapoints in a row (target tracking) has come by then in 95 % of cases";
    steps.push(
        Step::new("lead time", "D = (k − 1 + 0.95) p + e + s", sum, "s", source)
            .term("k", "datapoints", f64::from(DATAPOINTS), "")
            .term("p", "period of the metric", period, "s")
            .term("e", "how late it is published", delay, "s")
            .term("s", "launch, boot and start of the app", start, "s"),
    );
    sum
}

/// How much the load grows within the lead time, at most.
fn growth(of: &Question<'_>, lead_time: f64, steps: &mut Vec<Step>) -> f64 {
    if let Some(share) = of.growth {
        let growth = 1.0 + share * lead_time / 60.0;
        steps.push(
            Step::new("growth in the lead time", "g = 1 + r · D", growth, "", "linear growth, as stated")
                .term("r", "growth in a minute", 100.0 * share, "%")
                .term("D", "lead time", lead_time / 60.0, "min"),
        );
        return growth;
    }
    let ahead = cells_ahead(of.course, lead_time);
    let loads: Vec<f64> = (0..of.course.cells()).map(|cell| load(of.course, of.id, cell)).collect();
    let highest = loads.iter().copied().fold(0.0, f64::max);
    let mut growth = 1.0f64;
    for (cell, &now) in loads.iter().enumerate().filter(|(_, now)| **now >= MATTERS * highest && **now > 0.0)
    {
        let then = loads[cell..loads.len().min(cell + ahead + 1)].iter().copied().fold(now, f64::max);
        growth = growth.max(then / now);
    }
    let source = "the steepest stretch of the profile, where the load is at least a fifth of the peak";
    steps.push(Step::new("growth in the lead time", "g = max λ(t + D) / λ(t)", growth, "", source).term(
        "D",
        "lead time",
        lead_time / 60.0,
        "min",
    ));
    growth
}

/// What a group's load is counted in: CPU time, or visits where they need none.
pub fn load(course: &Course, id: GroupId, cell: usize) -> f64 {
    let [visits, cpu] = course.load(id, cell);
    if cpu > 0.0 { cpu } else { visits }
}

/// Cells that begin within the lead time.
fn cells_ahead(course: &Course, lead_time: f64) -> usize {
    (lead_time / course.cell.as_secs_f64().max(1e-9)).ceil() as usize
}

/// Instances of a fleet that follows the day and orders ahead, cell by cell: each has to be there for all that comes within
/// the lead time. `needed` says how many carry what is asked in a cell.
pub fn following(course: &Course, lead_time: f64, needed: impl Fn(usize) -> u32) -> Vec<u32> {
    let ahead = cells_ahead(course, lead_time);
    let each: Vec<u32> = (0..course.cells()).map(needed).collect();
    // The most of a sliding window, by a queue of candidates in falling order.
    let mut most = std::collections::VecDeque::new();
    let (mut next, mut all) = (0, Vec::with_capacity(each.len()));
    for cell in 0..each.len() {
        while next < each.len().min(cell + ahead + 1) {
            while most.back().is_some_and(|&last: &usize| each[last] <= each[next]) {
                most.pop_back();
            }
            most.push_back(next);
            next += 1;
        }
        while most.front().is_some_and(|&first| first < cell) {
            most.pop_front();
        }
        all.push(most.front().map_or(0, |&first| each[first]));
    }
    all
}

/// The mean of a fleet over the run.
pub fn mean_over(course: &Course, fleet: &[u32]) -> f64 {
    let seconds: f64 = (0..fleet.len()).map(|cell| course.seconds(cell)).sum();
    let sum: f64 = fleet.iter().enumerate().map(|(cell, &n)| f64::from(n) * course.seconds(cell)).sum();
    sum / seconds.max(Span::from_nanos(1).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_after_a_zone_carries_the_peak() {
        assert_eq!([2, 3, 4].map(|zones| with_a_zone_less(9, zones)), [Some(18), Some(15), Some(12)]);
        assert_eq!(with_a_zone_less(9, 1), None, "its loss takes all");
        for (needed, zones) in [(1, 2), (7, 3), (100, 3), (5, 6)] {
            let all = with_a_zone_less(needed, zones).unwrap();
            assert!(all - all / zones as u32 >= needed);
        }
    }
}
