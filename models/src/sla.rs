//! Why a window broke its objective: the facts of its minutes, judged in the order in which an engineer would.

mod incidents;
mod jobs;

use sim_core::Time;

use crate::machine::Quota;
use crate::measure::{MinuteFacts, ViolationRecord};
use crate::plan::{Group, Runtime, Scaling, Supervisor};
use crate::results::CauseKind;
use crate::scaling::Verdict;

pub use jobs::{Workers, explain_jobs};

/// Above this utilisation of its bottleneck an instance counts as overloaded.
const OVERLOADED: f64 = 0.9;
/// Above this utilisation, waiting is a large part of a response time.
const BUSY: f64 = 0.6;
/// One that has this many times as much to do as the others on average is a cause.
const UNEVEN: f64 = 1.5;
/// A quota that runs out in a larger share of its periods is a cause.
const OFTEN: f64 = 0.02;
/// Clients who come back are a cause where they are more than this share of all attempts…
const RETURNING: f64 = 0.5;
/// …and at least so many in a minute.
const LEAST_RETURNS: u64 = 60;
/// Attempts for each request above which they are a cause.
const STORM: f64 = 1.5;
/// A larger share of requests that limits turn away is a cause.
const LIMITED: f64 = 0.001;
/// How many minutes before a window are looked at for what it inherits.
const MINUTES_BEFORE: usize = 5;

/// What is known of a group on the way of the objective's requests.
#[derive(Clone, Debug)]
pub struct Suspect<'a> {
    /// The group.
    pub group: &'a Group,
    /// What it runs.
    pub runtime: Runtime,
    /// Who starts its processes again.
    pub supervisor: Option<Supervisor>,
    /// What the plan's releases are called.
    pub releases: &'a [String],
    /// Its minutes.
    pub facts: &'a [MinuteFacts],
    /// Why its balancers do not reach it, where they do not.
    pub unreachable: Option<String>,
}

/// The main cause of a violating window, with its numbers.
pub fn explain(window: &ViolationRecord, suspects: &[Suspect<'_>]) -> (CauseKind, String) {
    let Some(worst) =
        suspects.iter().max_by(|a, b| stress(a.minutes(window)).total_cmp(&stress(b.minutes(window))))
    else {
        return (CauseKind::ServiceTime, "no group serves these requests".to_string());
    };
    worst.explain(window)
}

/// How badly off a group was: lost instances first, then the fullest bottleneck, then queues.
fn stress(minutes: &[MinuteFacts]) -> f64 {
    minutes
        .iter()
        .map(|m| {
            f64::from(m.lost) * 10.0
                + incidents::stress(m)
                + if m.serving == 0 { 10.0 } else { 0.0 }
                + m.hottest
                + if m.refused > 0 { 1.0 } else { 0.0 }
                + f64::from(m.queued.min(1_000)) / 1_000.0
        })
        .fold(0.0, f64::max)
}

impl<'a> Suspect<'a> {
    fn minutes(&self, window: &ViolationRecord) -> &'a [MinuteFacts] {
        let (from, to) = minute_range(window, self.facts.len());
        &self.facts[from..to]
    }

    fn before(&self, window: &ViolationRecord) -> &'a [MinuteFacts] {
        let (from, _) = minute_range(window, self.facts.len());
        &self.facts[from.saturating_sub(MINUTES_BEFORE)..from]
    }

    fn explain(&self, window: &ViolationRecord) -> (CauseKind, String) {
        let (minutes, before) = (self.minutes(window), self.before(window));
        let Some(peak) = minutes.iter().max_by(|a, b| pressure(a).total_cmp(&pressure(b))) else {
            return (CauseKind::ServiceTime, "the window is shorter than what was recorded".to_string());
        };
        let name = &self.group.name;
        let load = load(peak);
        let fleet = format!("{} of {} instances serving in {name}", peak.serving, peak.desired);

        let state = format!("{fleet}; {load}, bottleneck {:.0} % busy", 100.0 * peak.hottest);
        if let Some(found) = self.stopped(minutes, self.not_whole_before(window), &state) {
            return found;
        }
        if minutes.iter().any(|m| m.serving == 0) {
            return (
                CauseKind::NoHealthyInstance,
                match &self.unreachable {
                    Some(why) => why.clone(),
                    None => {
                        format!("no instance of {name} took requests; desired capacity was {}", peak.desired)
                    }
                },
            );
        }
        let lost = self.lost_and_not_replaced(window);
        if lost > 0 {
            let refill = minutes.iter().map(|m| m.starting).max().unwrap_or(0);
            return (
                CauseKind::InstanceLost,
                format!(
                    "{lost} {} lost; {fleet}, {refill} being replaced; {load}, bottleneck {:.0} % busy",
                    if lost == 1 { "instance" } else { "instances" },
                    100.0 * peak.hottest
                ),
            );
        }
        if let Some(found) = self.hindered(minutes, &load) {
            return found;
        }
        if let Some(found) = self.storm(minutes, before, &load) {
            return found;
        }
        let overloaded = peak.hottest >= OVERLOADED || minutes.iter().any(|m| m.refused > 0);
        if let Some(found) = self.held_back(minutes, &load) {
            return found;
        }
        if let Some(found) = self.retry_storm(minutes, &fleet) {
            return found;
        }
        if let Some(found) = self.uneven(minutes, before, &load) {
            return found;
        }
        if let Some(m) = minutes.iter().max_by_key(|m| m.unhealthy).filter(|m| m.unhealthy > 0) {
            let words = format!(
                "health checks took {} instances of {name} out that were up and answered too late; {} were left; {load}",
                m.unhealthy, m.serving
            );
            return (CauseKind::TargetsUnhealthy, words);
        }
        let keeps_up = minutes.iter().all(|m| m.load < OVERLOADED * m.capacity && m.refused == 0);
        if let Some(earlier) = backlog(before).filter(|_| keeps_up) {
            return (
                CauseKind::Backlog,
                format!("backlog of the minutes before: {} then, {load} now", self::load(earlier)),
            );
        }
        if overloaded {
            return self.overload(peak, minutes, before, &load, &fleet);
        }
        if let Some(found) = self.turned_away(minutes, &fleet) {
            return found;
        }
        if let Some(m) = minutes.iter().find(|m| m.queued > 0).filter(|_| self.thread_limit().is_some()) {
            return (
                CauseKind::ThreadsExhausted,
                format!(
                    "{} requests waited for a thread while the cores of {name} were {:.0} % busy; {fleet}",
                    m.queued,
                    100.0 * m.cpu
                ),
            );
        }
        if peak.hottest >= BUSY {
            return (
                CauseKind::HighUtilisation,
                format!(
                    "{load}; the busiest instance of {name} was {:.0} % busy, so requests queued; {fleet}",
                    100.0 * peak.hottest
                ),
            );
        }
        (
            CauseKind::ServiceTime,
            format!(
                "{name} was only {:.0} % busy ({load}): the service itself takes that long",
                100.0 * peak.hottest
            ),
        )
    }

    /// Connections were lost, and their clients came back together.
    fn storm(
        &self,
        minutes: &[MinuteFacts],
        before: &[MinuteFacts],
        load: &str,
    ) -> Option<(CauseKind, String)> {
        let stormy = |m: &&MinuteFacts| m.returning > RETURNING && m.returns >= LEAST_RETURNS;
        let worst = minutes.iter().filter(stormy).max_by_key(|m| m.returns)?;
        let dropped: u64 = minutes.iter().chain(before).map(|m| m.dropped).sum();
        let words = format!(
            "{dropped} open sessions of {} had been lost, and their clients came back with {} handshakes in a minute, {:.0} % of \
             all; {} requests were refused in it; {load}",
            self.group.name,
            worst.returns,
            100.0 * worst.returning,
            worst.refused
        );
        Some((CauseKind::ReconnectStorm, words))
    }

    /// The group had more to do than it could: what kept it from growing?
    fn overload(
        &self,
        peak: &MinuteFacts,
        minutes: &[MinuteFacts],
        before: &[MinuteFacts],
        load: &str,
        fleet: &str,
    ) -> (CauseKind, String) {
        let name = &self.group.name;
        let busy = match peak.engine {
            full if full >= OVERLOADED => format!("the fullest engine {:.0} % full", 100.0 * full),
            _ => format!("bottleneck {:.0} % busy", 100.0 * peak.hottest),
        };
        if let Some(was) = before.iter().map(|m| m.desired).max().filter(|&was| was > peak.desired) {
            return (
                CauseKind::ScaledIn,
                format!("{name} was scaled in from {was} to {} before this; {load}, {busy}", peak.desired),
            );
        }
        let vcpus = self.group.machine().processor.vcpus;
        let threads = self.runtime.computing_threads(vcpus);
        let loop_bound = threads < vcpus;
        if loop_bound
            && peak.cpu < OVERLOADED
            && peak.engine < OVERLOADED
            && !matches!(peak.policy, Some((Verdict::ScaleOut, _)))
            && peak.starting == 0
        {
            return (
                CauseKind::LoopSaturated,
                format!(
                    "{} an instance was {:.0} % busy while {vcpus} cores showed only {:.0} % CPU; {load}; {fleet}",
                    if threads == 1 { "the one thread of" } else { "the computing threads of" },
                    100.0 * peak.hottest,
                    100.0 * peak.cpu
                ),
            );
        }
        if let Some(m) = minutes.iter().find(|m| m.starting > 0) {
            return (
                CauseKind::StillWarmingUp,
                format!(
                    "{} instances of {name} were still starting, the oldest for {:.0} s; {load}, {busy}; {fleet}",
                    m.starting, m.starting_for
                ),
            );
        }
        if peak.desired >= peak.max {
            return (
                CauseKind::AtMaximumSize,
                format!("{name} was at its maximum of {} instances; {load}, {busy}", peak.max),
            );
        }
        match &peak.policy {
            None => (
                CauseKind::NoScalingPolicy,
                format!(
                    "no policy grows {name}, which may have up to {} instances; {load}, {busy}; {fleet}",
                    peak.max
                ),
            ),
            Some((verdict, words)) => {
                let kind = match verdict {
                    Verdict::WarmingUp if self.warm_up_is_set() => CauseKind::StillWarmingUp,
                    Verdict::WarmingUp => CauseKind::InCooldown, // the default cooldown stands in for a warm-up
                    Verdict::HighAlarmPending { .. }
                    | Verdict::ScaleOut
                    | Verdict::InsufficientData
                    | Verdict::TooLittleHistory => CauseKind::AlarmNotYetInAlarm,
                    Verdict::Cooldown | Verdict::HeldBack => CauseKind::InCooldown,
                    Verdict::ActivityInProgress => CauseKind::StillWarmingUp,
                    Verdict::ActionRepeats => CauseKind::AlarmNotYetInAlarm,
                    Verdict::AtMaximum => CauseKind::AtMaximumSize,
                    Verdict::LowAlarmPending { .. }
                    | Verdict::WithinTarget
                    | Verdict::NoAdjustment
                    | Verdict::ScaleIn
                    | Verdict::AtMinimum
                    | Verdict::WouldOvershoot
                    | Verdict::AsForecast
                    | Verdict::ForecastOnly
                    | Verdict::Stabilizing
                    | Verdict::ScaleInControlled
                    | Verdict::SwitchedOff
                    | Verdict::NotAllAgree
                    | Verdict::ScaleInDisabled => CauseKind::WithinTarget,
                };
                (kind, format!("{}; {load}, {busy}; {fleet}", words.trim_end_matches('.')))
            }
        }
    }

    /// The machine was not allowed to do what it could.
    fn held_back(&self, minutes: &[MinuteFacts], load: &str) -> Option<(CauseKind, String)> {
        let (name, processor) = (&self.group.name, &self.group.machine().processor);
        let throttled: u64 = minutes.iter().map(|m| m.throttled).sum();
        let often = |quota: &Quota| {
            let periods = minutes.len() as f64 * 60.0 / quota.period.as_secs_f64();
            let instances = minutes.iter().map(|m| m.serving).max().unwrap_or(1);
            throttled as f64 > OFTEN * periods * f64::from(instances)
        };
        if let Some(quota) = processor.quota.filter(often) {
            let words = format!(
                "the quota of {} vCPUs ran out in {throttled} periods of {}, and {name} stood still until the next; {load}",
                quota.cpus, quota.period
            );
            return Some((CauseKind::Throttled, words));
        }
        let background = &self.group.machine().background;
        let crowded = minutes.iter().all(|m| m.load < OVERLOADED * m.capacity && m.hottest >= OVERLOADED);
        if crowded && !background.is_empty() {
            let programs: Vec<String> = background
                .iter()
                .map(|program| format!("{} threads of {}", program.threads, program.name))
                .collect();
            let words = format!(
                "{} share the {} vCPUs of each instance with {name}; {load}",
                programs.join(" and "),
                processor.vcpus
            );
            return Some((CauseKind::NoisyNeighbour, words));
        }
        let empty = minutes.iter().max_by_key(|m| m.without_credits).filter(|m| m.without_credits > 0)?;
        let credits = processor.credits?;
        let words = format!(
            "{} of {} instances of {name} had no CPU credits left and ran at {:.1} of {} vCPUs; {load}",
            empty.without_credits, empty.serving, credits.baseline, processor.vcpus
        );
        Some((CauseKind::OutOfCredits, words))
    }

    /// What was asked for would have been served; what was asked for again is too much. Nothing but fewer attempts ends that,
    /// whatever began it (Bronson et al., "Metastable Failures in Distributed Systems", 2021).
    fn retry_storm(&self, minutes: &[MinuteFacts], fleet: &str) -> Option<(CauseKind, String)> {
        let name = &self.group.name;
        let overloaded = |m: &&MinuteFacts| m.hottest >= OVERLOADED || m.refused > 0 || m.load > m.capacity;
        let within = minutes.iter().all(|m| m.asked < OVERLOADED * m.capacity);
        let again = |m: &MinuteFacts| m.load / m.asked.max(1e-9);
        let worst = minutes.iter().filter(overloaded).max_by(|a, b| again(a).total_cmp(&again(b)))?;
        (within && again(worst) >= STORM).then(|| {
            let words = format!(
                "clients sent {:.1} attempts for each request: {}, where {:.0}/s were asked for, which {name} could serve; \
                 retries keep it overloaded: a retry budget, a longer backoff or load shedding lets it recover; \
                 bottleneck {:.0} % busy; {fleet}",
                again(worst),
                load(worst),
                worst.asked,
                100.0 * worst.hottest
            );
            (CauseKind::RetryStorm, words)
        })
    }

    /// Limits turned requests away though nobody was overloaded.
    fn turned_away(&self, minutes: &[MinuteFacts], fleet: &str) -> Option<(CauseKind, String)> {
        let all = |m: &MinuteFacts| m.turned_away.iter().sum::<u64>();
        let worst = minutes.iter().max_by_key(|m| all(m)).filter(|m| all(m) > 0)?;
        // Those that servers turned away did come to them, and are in the load.
        let came = worst.load * 60.0 + worst.turned_away[..3].iter().sum::<u64>() as f64;
        let share = all(worst) as f64 / came;
        let kinds = [
            "by a rate limiter",
            "by a circuit breaker: too many in progress",
            "by an open circuit breaker",
            "by servers that shed load",
        ];
        let parts = worst.turned_away.iter().zip(kinds).filter(|(count, _)| **count > 0);
        let parts: Vec<String> = parts.map(|(count, kind)| format!("{count} {kind}")).collect();
        (share > LIMITED).then(|| {
            let words = format!(
                "{:.1} % of requests were turned away, {}, while the busiest instance of {} was {:.0} % busy; {}; {fleet}",
                100.0 * share,
                parts.join(", "),
                self.group.name,
                100.0 * worst.hottest,
                load(worst)
            );
            (CauseKind::TurnedAway, words)
        })
    }

    /// Somebody had far more to do than the others, though the group as a whole could have kept up: an instance all the time, or
    /// a worker half of it, as connections come and go. Right after a group has grown that is as it should be.
    fn uneven(
        &self,
        minutes: &[MinuteFacts],
        before: &[MinuteFacts],
        load: &str,
    ) -> Option<(CauseKind, String)> {
        let name = &self.group.name;
        let keeps_up = minutes.iter().all(|m| m.load < OVERLOADED * m.capacity);
        let was = before.last().map_or(u32::MAX, |m| m.serving);
        let grown = minutes.iter().any(|m| m.serving > was);
        if !keeps_up || grown {
            return None;
        }
        let least = |share: f64, of: fn(&MinuteFacts) -> (f64, f64)| {
            let uneven = minutes.iter().filter(|m| of(m).0 >= BUSY && of(m).0 > UNEVEN * of(m).1).count();
            (uneven as f64 >= share * minutes.len() as f64).then(|| {
                minutes
                    .iter()
                    .map(of)
                    .fold((0.0, 0.0), |worst, own| if own.0 > worst.0 { own } else { worst })
            })
        };
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        if let Some((worker, instance)) = least(0.5, |m| (m.busiest_worker, m.hottest)) {
            let words = format!(
                "one worker of an instance of {name} was {} busy and all of it only {}: connections stay with the worker that \
                 accepted them; {load}",
                percent(worker),
                percent(instance)
            );
            return Some((CauseKind::UnevenlySpread, words));
        }
        let (hottest, evenly) = least(1.0, |m| (m.hottest, m.evenly))?;
        let words = format!(
            "one instance of {name} was {} busy and all of them {} on average: requests do not go where there is room; {load}",
            percent(hottest),
            percent(evenly)
        );
        Some((CauseKind::UnevenlySpread, words))
    }

    fn warm_up_is_set(&self) -> bool {
        let own = |scaling: &Scaling| {
            scaling.policy().is_some_and(|policy| policy.estimated_instance_warmup().is_some())
        };
        self.group.instance_warmup.is_some() || self.group.scaling.iter().any(own)
    }

    /// The minutes right before a window in which the group had fewer instances than it should have had.
    fn not_whole_before(&self, window: &ViolationRecord) -> &'a [MinuteFacts] {
        let (from, _) = minute_range(window, self.facts.len());
        let whole = self.facts[..from].iter().rposition(|m| m.serving >= m.desired).map_or(0, |at| at + 1);
        &self.facts[whole..from]
    }

    /// Instances lost since the group last had as many as it should have had.
    fn lost_and_not_replaced(&self, window: &ViolationRecord) -> u32 {
        let (from, to) = minute_range(window, self.facts.len());
        let whole = from - self.not_whole_before(window).len();
        let since = &self.facts[whole..to];
        let short = self.facts[from..to].iter().any(|m| m.serving < m.desired) || whole < from;
        if short { since.iter().map(|m| m.lost).sum() } else { 0 }
    }

    fn thread_limit(&self) -> Option<u32> {
        self.runtime.held_threads(self.group.machine().processor.vcpus)
    }
}

fn load(minute: &MinuteFacts) -> String {
    if minute.capacity.is_finite() {
        format!("load {:.0}/s against a capacity of {:.0}/s", minute.load, minute.capacity)
    } else {
        format!("load {:.0}/s", minute.load)
    }
}

/// Where the last minute before a window was overloaded, the first of the overloaded minutes that led up to it.
fn backlog(before: &[MinuteFacts]) -> Option<&MinuteFacts> {
    before.iter().rev().take_while(|m| m.hottest >= OVERLOADED || m.queued > 0).last()
}

fn pressure(minute: &MinuteFacts) -> f64 {
    minute.hottest + minute.load / minute.capacity.max(1e-9) + minute.refused.min(1) as f64
}

/// The indices of the minutes that a window touches, at least one.
fn minute_range(window: &ViolationRecord, count: usize) -> (usize, usize) {
    let minute = |time: Time| (time.as_nanos() / 60_000_000_000) as usize;
    let from = minute(window.from).min(count.saturating_sub(1));
    let to = minute(window.to - sim_core::Span::from_nanos(1)) + 1;
    (from, to.clamp(from, count).max((from + 1).min(count)))
}
