//! Blue-green deployments: a second group is launched, and once it is healthy the balancer sends more and more to it. The old
//! one stays for a while, so that the way back is short.

use sim_core::{Calendar, Time};

use super::System;
use super::release::{LOOKS_EVERY, Running};
use crate::event::Event;
use crate::plan::{BalancerId, BlueGreen, GroupId, How, Release, TargetGroup};
use crate::results::ActivityKind;
use crate::scaling::Size;

const NOTHING: Size = Size { min: 0, desired: 0, max: 0 };

/// A blue-green deployment in progress.
#[derive(Clone, Copy, Debug)]
pub enum Shift {
    /// The new group starts, since this instant.
    Launching(Time),
    /// So many steps are done.
    Shifting(usize),
    /// The old group gets nothing and waits to be terminated.
    Retiring,
}

impl System {
    pub(super) fn begin_blue_green(&mut self, index: u16, way: &BlueGreen, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let release = &self.plan.releases[usize::from(index)];
        let (from, version, title) = (release.group, release.version, self.title(release));
        let size = self.size(from);
        let to = &self.plan.groups[way.to.index()].name;
        let words = format!("{title} begins: group {to} is launched with {} instances.", size.desired);
        self.log(from, ActivityKind::ReleaseStarted, now, words);
        if let Some(version) = version {
            self.fleets[way.to.index()].version = version;
        }
        self.releases[usize::from(index)].running = Some(Running::BlueGreen(Shift::Launching(now)));
        self.set_size(way.to, size, calendar);
        self.look_again_at(index, now + LOOKS_EVERY, calendar);
    }

    pub(super) fn blue_green_goes_on(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let Some(Running::BlueGreen(shift)) = self.releases[usize::from(index)].running else { return };
        let plan = self.plan.clone();
        let release = &plan.releases[usize::from(index)];
        let How::BlueGreen(way) = &release.how else { return };
        if let Some(alarm) = self.alarm_of(index) {
            return self.blue_green_failed(index, way, &alarm, calendar);
        }
        let now = calendar.now();
        let (next, at) = match shift {
            Shift::Launching(since) => {
                let (healthy, desired) = (self.healthy_targets(way.to), self.fleets[way.to.index()].desired);
                if healthy >= desired {
                    self.shift(release, way, 0, now)
                } else if now >= since + way.timeout {
                    let why =
                        format!("{healthy} of {desired} new instances are healthy after {}", way.timeout);
                    return self.blue_green_failed(index, way, &why, calendar);
                } else {
                    (shift, (now + LOOKS_EVERY).min(since + way.timeout))
                }
            }
            Shift::Shifting(done) => self.shift(release, way, done, now),
            Shift::Retiring => {
                let words = format!(
                    "{} succeeded: group {} has all requests, and the old one goes.",
                    self.title(release),
                    plan.groups[way.to.index()].name
                );
                self.release_over(index, ActivityKind::ReleaseSucceeded, now, words);
                return self.set_size(release.group, NOTHING, calendar);
            }
        };
        self.releases[usize::from(index)].running = Some(Running::BlueGreen(next));
        self.look_again_at(index, at, calendar);
    }

    /// The balancers send the next share to the new group.
    fn shift(&mut self, release: &Release, way: &BlueGreen, done: usize, now: Time) -> (Shift, Time) {
        let percent = way.steps.get(done).copied().unwrap_or(100);
        self.send_to_both(release.group, way, percent, now);
        let name = &self.plan.groups[way.to.index()].name;
        let words = format!("{} sends {percent} % of the requests to group {name}.", self.title(release));
        self.log(release.group, ActivityKind::ReleaseProgress, now, words);
        match done + 1 < way.steps.len() {
            true => (Shift::Shifting(done + 1), now + way.interval),
            false => (Shift::Retiring, now + way.terminate_after),
        }
    }

    /// Sets the weights of both groups' instances so that the new group gets so many percent.
    fn send_to_both(&mut self, from: GroupId, way: &BlueGreen, percent: u32, now: Time) {
        let count = |group: GroupId| (self.counted(group).count() as u64).max(1);
        // A share is shared by the instances of its group.
        let weights = [u64::from(100 - percent) * count(way.to), u64::from(percent) * count(from)];
        let [old, new] = small(weights);
        for &balancer in &way.balancers {
            self.set_weight(balancer, from, old, now);
            self.set_weight(balancer, way.to, new, now);
        }
    }

    /// Each instance of a group weighs so much from now on.
    fn set_weight(&mut self, balancer: BalancerId, group: GroupId, weight: u32, now: Time) {
        self.weights.retain(|&(other, of, _)| (other, of) != (balancer, group));
        self.weights.push((balancer, group, weight));
        let targets: Vec<u32> = self.fleets[group.index()].members.clone();
        for slot in targets {
            let member = self.member(balancer, slot);
            self.rotations[balancer.index()].reweigh(member, now);
        }
    }

    /// What an instance of a group weighs: as the scenario says, or as a release has it by now.
    pub(super) fn weight_now(&self, balancer: BalancerId, group: GroupId) -> u32 {
        let shifted = self.weights.iter().find(|&&(other, of, _)| (other, of) == (balancer, group));
        shifted.map_or_else(|| self.plan.balancers[balancer.index()].weight_of(group), |shifted| shifted.2)
    }

    /// The release stops, and with a rollback the old group gets all requests again.
    fn blue_green_failed(&mut self, index: u16, way: &BlueGreen, why: &str, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let release = &plan.releases[usize::from(index)];
        let launching = matches!(
            self.releases[usize::from(index)].running,
            Some(Running::BlueGreen(Shift::Launching(_)))
        );
        let name = &plan.groups[way.to.index()].name;
        let next = match release.auto_rollback || launching {
            true => format!("The old group has all requests, and {name} goes."),
            false => "Requests go where they went.".to_string(),
        };
        let words = format!("{} failed: {why}. {next}", self.title(release));
        self.release_over(index, ActivityKind::ReleaseFailed, calendar.now(), words);
        if release.auto_rollback || launching {
            self.send_to_both(release.group, way, 0, calendar.now());
            self.set_size(way.to, NOTHING, calendar);
        }
    }
}

/// Two weights in the same proportion, as whole numbers that a balancer takes.
fn small([old, new]: [u64; 2]) -> [u32; 2] {
    let most = u64::from(TargetGroup::MOST_WEIGHT);
    let divisor = gcd(old, new).max(1);
    let [old, new] = [old / divisor, new / divisor];
    let largest = old.max(new);
    if largest <= most {
        return [old as u32, new as u32];
    }
    [old, new].map(|weight| ((weight * most + largest / 2) / largest).max(u64::from(weight > 0)) as u32)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::small;

    #[test]
    fn weights_keep_their_proportion() {
        assert_eq!(small([90 * 4, 10 * 4]), [9, 1]);
        assert_eq!(small([0, 100 * 7]), [0, 1]);
        assert_eq!(small([50 * 3, 50 * 2]), [3, 2]);
        let [old, new] = small([99 * 1_000, 1_999]);
        assert!((f64::from(new) / f64::from(old) - 1_999.0 / 99_000.0).abs() < 1e-3 && old <= 999);
        assert_eq!(small([99 * 10_000, 1]), [999, 1], "a share is never none");
    }
}
