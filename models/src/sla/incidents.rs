//! Incidents as causes: what went wrong goes before what it led to.

use super::{LIMITED, OVERLOADED, Suspect};
use crate::measure::{MinuteFacts, Trouble};
use crate::plan::Supervisor;
use crate::results::CauseKind;

/// How much worse off a group is for an incident than for being busy.
pub fn stress(minute: &MinuteFacts) -> f64 {
    minute.trouble.as_ref().map_or(0.0, |trouble| {
        let fewer = !trouble.zones_lost.is_empty() || trouble.release > 0 || trouble.without_app > 0;
        let short = fewer && (minute.serving < minute.desired || trouble.out > 0);
        let goes_on = trouble.errors > 0 || trouble.slow > 0 || trouble.waits > 0.0 || trouble.failing > 0.0;
        match short || trouble.deaths > 0 || trouble.dead > 0 {
            true => 10.0,
            false if goes_on => 5.0,
            false => 0.0,
        }
    })
}

/// What incidents did in some minutes, one with another.
fn sum<'a>(minutes: impl IntoIterator<Item = &'a MinuteFacts>) -> Trouble {
    let mut sum = Trouble::default();
    for trouble in minutes.into_iter().filter_map(|minute| minute.trouble.as_deref()) {
        sum.add(trouble);
    }
    sum
}

/// More came than the instances that were there can do: nothing has to go wrong for that.
fn too_much(minutes: &[MinuteFacts]) -> bool {
    minutes.iter().any(|minute| minute.load >= OVERLOADED * minute.capacity)
}

impl Suspect<'_> {
    /// What stopped, in the minutes of a window and in those before in which the group was not whole again: a zone, or
    /// processes.
    pub(super) fn stopped(
        &self,
        minutes: &[MinuteFacts],
        since_whole: &[MinuteFacts],
        state: &str,
    ) -> Option<(CauseKind, String)> {
        let (now, then) = (sum(minutes), sum(since_whole));
        let name = &self.group.name;
        let short = minutes.iter().any(|minute| minute.serving < minute.desired);
        let lost: u32 = since_whole.iter().chain(minutes).map(|minute| minute.lost).sum();
        let zones = if now.zones_lost.is_empty() { &then.zones_lost } else { &now.zones_lost };
        // A zone that stays lost is no cause once the others have replaced it.
        if !zones.is_empty() && (short || lost > 0) {
            let name_of = |&zone: &u16| self.group.zones.get(usize::from(zone)).map(String::as_str);
            let zones: Vec<&str> = zones.iter().filter_map(name_of).collect();
            let words =
                format!("zone {} lost, and {lost} instances of {name} with it; {state}", zones.join(" and "));
            return Some((CauseKind::ZoneLost, words));
        }
        if let Some(found) = self.released(minutes, &now, state) {
            return Some(found);
        }
        if (now.deaths == 0 && now.dead == 0) || (!short && too_much(minutes)) {
            return None;
        }
        let died = match now.deaths {
            0 if now.dead == 1 => format!("a process of {name} was dead"),
            0 => format!("{} processes of {name} were dead", now.dead),
            1 => format!("a process of {name} died"),
            deaths => format!("processes of {name} died {deaths} times"),
        };
        let left = match (now.given_up, &self.supervisor) {
            (0, _) => String::new(),
            (dead, Some(Supervisor { name, .. })) => format!(", and {name} has given up on {dead}"),
            (1, None) => ", and nobody starts it again".to_string(),
            (dead, None) => format!(", and nobody starts {dead} of them again"),
        };
        Some((CauseKind::ProcessDied, format!("{died}{left}; {state}")))
    }

    /// Instances that came up without their app, or were taken out for a release.
    fn released(&self, minutes: &[MinuteFacts], now: &Trouble, state: &str) -> Option<(CauseKind, String)> {
        let name = &self.group.name;
        let short = minutes.iter().any(|minute| minute.serving < minute.desired);
        if short && now.without_app > 0 {
            let whom = match now.without_app {
                1 => format!("an instance of {name}, which runs without its app"),
                many => format!("{many} instances of {name}, which run without their app"),
            };
            return Some((CauseKind::StartFailed, format!("user data failed on {whom}; {state}")));
        }
        if self.errors(minutes, now.errors, state).is_some() {
            return None; // which is worse, and told in its turn
        }
        let title = self.releases.get(usize::from(now.release.checked_sub(1)?))?;
        // More than all instances together can do is no release's fault.
        let whole = |minute: &MinuteFacts| {
            minute.capacity * f64::from(minute.desired) / f64::from(minute.serving.max(1))
        };
        let too_much = |minute: &MinuteFacts| minute.serving > 0 && minute.load >= OVERLOADED * whole(minute);
        let out = if now.out == 1 { "an instance".to_string() } else { format!("{} instances", now.out) };
        let words = format!("{title} left {name} without {out}; {state}");
        (now.out > 0 && !minutes.iter().any(too_much)).then_some((CauseKind::Release, words))
    }

    /// The service itself answered with errors.
    fn errors(&self, minutes: &[MinuteFacts], errors: u64, load: &str) -> Option<(CauseKind, String)> {
        let requests: f64 = minutes.iter().map(|minute| 60.0 * minute.load).sum();
        let words = format!(
            "{} answered {errors} requests with an error, {:.1} % of all; {load}",
            self.group.name,
            100.0 * errors as f64 / requests.max(1.0)
        );
        (errors as f64 > LIMITED * requests).then_some((CauseKind::ServerErrors, words))
    }

    /// What was slow or failed, though all went on.
    pub(super) fn hindered(&self, minutes: &[MinuteFacts], load: &str) -> Option<(CauseKind, String)> {
        let name = &self.group.name;
        let trouble = sum(minutes);
        if trouble.failing > 0.0 || trouble.waits > 0.0 {
            let failing = (trouble.failing > 0.0)
                .then(|| format!("{:.0} % of what {name} waits for failed", 100.0 * trouble.failing));
            let slow = (trouble.waits > 0.0)
                .then(|| format!("what {name} waits for took {} times as long", trouble.waits));
            let words: Vec<String> = failing.into_iter().chain(slow).collect();
            return Some((CauseKind::DependencyFailed, format!("{}; {load}", words.join(", and "))));
        }
        if trouble.paused > 0 {
            let many = if trouble.paused == 1 { "instance" } else { "instances" };
            let words = format!("{} {many} of {name} stood still; {load}", trouble.paused);
            return Some((CauseKind::SlowInstance, words));
        }
        if trouble.slow > 0 && !too_much(minutes) {
            let many = if trouble.slow == 1 { "instance" } else { "instances" };
            let hottest = minutes.iter().map(|minute| minute.hottest).fold(0.0, f64::max);
            let words = format!(
                "CPU work took {} times as long on {} {many} of {name}, the busiest {:.0} % busy; {load}",
                trouble.slowest,
                trouble.slow,
                100.0 * hottest
            );
            return Some((CauseKind::SlowInstance, words));
        }
        self.errors(minutes, trouble.errors, load)
    }
}
