//! Policies that act sooner: alarms that need half as many datapoints, and no waiting after what was done.

use sim_core::Span;

use super::edits::{Said, key, profiles};
use crate::plan::{Group, PodAutoscaler, Scaling};
use crate::scaling::{Direction, MetricAlarm, PredictiveMode};

/// Half of a number of datapoints, at least one.
fn half(count: u32) -> u32 {
    count.div_ceil(2)
}

/// What each policy needs before it acts is halved, rounded up: of target tracking the datapoints above its target, of step and
/// simple scaling those that their alarm needs and evaluates, of a scale set the window of rules that scale out. A forecast is
/// acted on twice as early; HPAs and KEDA are asked twice as often, and a window that holds an HPA back is half as long.
pub(super) fn half_the_time(group: &mut Group, said: &mut Said) {
    let name = group.name.clone();
    for (index, scaling) in group.scaling.iter_mut().enumerate() {
        let path = format!("group.{}.scaling.{index}", key(&name));
        match scaling {
            Scaling::TargetTracking(policy) if policy.high_datapoints > 1 => {
                let (old, new) = (policy.high_datapoints, half(policy.high_datapoints));
                let what = format!("{name}: datapoints above the target");
                said.changed(&format!("{path}.target_tracking.high_datapoints"), &what, old, new);
                policy.high_datapoints = new;
            }
            Scaling::Step(policy) => half_the_alarm(&mut policy.alarm, &format!("{path}.step"), &name, said),
            Scaling::Simple(policy) => {
                half_the_alarm(&mut policy.alarm, &format!("{path}.simple"), &name, said)
            }
            Scaling::Predictive(policy) if policy.mode == PredictiveMode::ForecastAndScale => {
                let (old, new) = (policy.scheduling_buffer, policy.scheduling_buffer.saturating_mul(2));
                let new = new.min(LONGEST_BUFFER);
                if new > old {
                    let what = format!("{name}: ahead of the forecast");
                    said.changed(&format!("{path}.predictive.scheduling_buffer_time"), &what, old, new);
                    policy.scheduling_buffer = new;
                }
            }
            Scaling::Vmss(vmss) => {
                for (profile, own) in profiles(vmss) {
                    let out =
                        own.rules.iter_mut().enumerate().filter(|(_, rule)| rule.direction == Direction::Out);
                    for (number, rule) in out {
                        let old = rule.time_window;
                        let new =
                            old.div_ceil(2).max(SHORTEST_WINDOW).next_multiple_of(rule.time_grain.max(1));
                        if new < old {
                            let minutes = |window: usize| Span::from_secs(60 * window as u64);
                            let path = format!("{path}.vmss{profile}.rules.{number}.time_window");
                            said.changed(
                                &path,
                                &format!("{name}: window of a rule"),
                                minutes(old),
                                minutes(new),
                            );
                            rule.time_window = new;
                        }
                    }
                }
            }
            Scaling::Hpa(autoscaler) => half_the_sync(autoscaler, &format!("{path}.hpa"), &name, said),
            Scaling::Keda(object) => {
                let (old, new) = (object.keda.polling_interval, object.keda.polling_interval.mul_f64(0.5));
                let what = format!("{name}: KEDA polls every");
                said.changed(&format!("{path}.keda.polling_interval"), &what, old, new);
                object.keda.polling_interval = new;
                half_the_sync(&mut object.autoscaler, &format!("{path}.keda"), &name, said);
            }
            _ => {}
        }
    }
}

/// The longest time ahead of a forecast that AWS takes.
const LONGEST_BUFFER: Span = Span::from_secs(3_600);
/// The shortest window of a rule that Azure takes, in minutes.
const SHORTEST_WINDOW: usize = 5;

fn half_the_alarm(alarm: &mut MetricAlarm, path: &str, group: &str, said: &mut Said) {
    let high = alarm.is_high();
    let own = &mut alarm.alarm;
    if !high || own.evaluation_periods == 1 {
        return;
    }
    let needed = own.datapoints_to_alarm.div_ceil(2);
    let evaluated = own.evaluation_periods.div_ceil(2).max(needed);
    let (old, new) = (
        format!("{} of {}", own.datapoints_to_alarm, own.evaluation_periods),
        format!("{needed} of {evaluated}"),
    );
    said.words.push(format!("{group}: datapoints to alarm {old} → {new}"));
    said.set.push(format!("{path}.alarm.evaluation_periods={evaluated}"));
    said.set.push(format!("{path}.alarm.datapoints_to_alarm={needed}"));
    (own.datapoints_to_alarm, own.evaluation_periods) = (needed, evaluated);
}

fn half_the_sync(autoscaler: &mut PodAutoscaler, path: &str, group: &str, said: &mut Said) {
    let (old, new) = (autoscaler.sync_period, autoscaler.sync_period.mul_f64(0.5));
    said.changed(&format!("{path}.sync_period"), &format!("{group}: HPA syncs every"), old, new);
    autoscaler.sync_period = new;
    if let Some(behavior) = &mut autoscaler.hpa.behavior {
        let window = &mut behavior.scale_up.stabilization_window;
        if !window.is_zero() {
            let new = Span::from_secs((window.as_secs_f64() / 2.0) as u64);
            let path = format!("{path}.behavior.scale_up.stabilization_window");
            said.changed(&path, &format!("{group}: scale-up window"), *window, new);
            *window = new;
        }
    }
}

/// Nobody waits after what was done: no warm-up of instances, no cooldown of simple scaling and of rules.
pub(super) fn no_cooldown(group: &mut Group, said: &mut Said) {
    if !group.scaling.iter().any(|scaling| scaling.policy().is_some()) {
        return;
    }
    let name = group.name.clone();
    let path = format!("group.{}", key(&name));
    let warm_up = group.scaling.iter().map(|scaling| group.warm_up(scaling)).max().unwrap_or(Span::ZERO);
    if !warm_up.is_zero() {
        said.changed(&format!("{path}.instance_warmup"), &format!("{name}: warm-up"), warm_up, Span::ZERO);
        group.instance_warmup = Some(Span::ZERO);
    }
    let default_cooldown = group.default_cooldown;
    let mut waits = false;
    for (index, scaling) in group.scaling.iter_mut().enumerate() {
        let path = format!("{path}.scaling.{index}");
        match scaling {
            Scaling::TargetTracking(policy) if policy.estimated_instance_warmup.is_some() => {
                policy.estimated_instance_warmup = Some(Span::ZERO);
                said.set.push(format!("{path}.target_tracking.estimated_instance_warmup=0s"));
            }
            Scaling::Step(policy) if policy.estimated_instance_warmup.is_some() => {
                policy.estimated_instance_warmup = Some(Span::ZERO);
                said.set.push(format!("{path}.step.estimated_instance_warmup=0s"));
            }
            Scaling::Simple(policy) => {
                let old = policy.cooldown.unwrap_or(default_cooldown);
                waits = true;
                if !old.is_zero() {
                    let what = format!("{name}: cooldown");
                    said.changed(&format!("{path}.simple.cooldown"), &what, old, Span::ZERO);
                    policy.cooldown = Some(Span::ZERO);
                }
            }
            Scaling::Mig(policy) if !policy.initialization_period.is_zero() => {
                let what = format!("{name}: initialization period");
                let old = policy.initialization_period;
                said.changed(&format!("{path}.mig.initialization_period"), &what, old, Span::ZERO);
                policy.initialization_period = Span::ZERO;
            }
            Scaling::Vmss(vmss) => {
                for (profile, own) in profiles(vmss) {
                    for (number, rule) in own.rules.iter_mut().enumerate() {
                        // A minute is the shortest that Azure takes.
                        let (old, new) = (rule.cooldown, Span::from_secs(60));
                        if old > new {
                            let path = format!("{path}.vmss{profile}.rules.{number}.cooldown");
                            said.changed(&path, &format!("{name}: cooldown of a rule"), old, new);
                            rule.cooldown = new;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if waits && !default_cooldown.is_zero() {
        said.set.push(format!("{path}.default_cooldown=0s"));
        group.default_cooldown = Span::ZERO;
    }
}
