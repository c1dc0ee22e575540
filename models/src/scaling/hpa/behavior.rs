//! What becomes of a proposal with `behavior`: windows of recommendations on both sides, and rates of change.

use sim_core::{Span, Time};

use super::{Limit, Recommendation, remember};

/// The longest stabilisation window that the API takes.
pub const LONGEST_WINDOW: Span = Span::from_secs(3600);
/// The longest period of a rate that the API takes.
pub const LONGEST_PERIOD: Span = Span::from_secs(1800);

/// How an HPA may scale. An HPA that says nothing of it has none, which is not the same as having the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// On the way up.
    pub scale_up: Rules,
    /// On the way down.
    pub scale_down: Rules,
}

/// One direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What was recommended in this time holds the size back.
    pub stabilization_window: Span,
    /// Which of several rates counts.
    pub select_policy: SelectPolicy,
    /// How fast it may change; at least one.
    pub policies: Vec<Rate>,
    /// A tolerance of this direction (`HPAConfigurableTolerance`), in place of the controller's.
    pub tolerance: Option<f64>,
}

/// Which of several rates counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows the biggest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: it does not scale this way.
    Disabled,
}

/// How much may change in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What `value` is.
    pub kind: PolicyKind,
    /// Pods, or percent; above 0.
    pub value: i32,
    /// In how long.
    pub period: Span,
}

/// What the value of a rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// A number of pods.
    Pods,
    /// Percent of what there was at the start of the period.
    Percent,
}

/// A change of size that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleEvent {
    /// By how many, without a sign.
    pub change: i32,
    /// When.
    pub at: Time,
    /// It is older than the longest period was when the list was last written to, and may be written over.
    pub outdated: bool,
}

impl Rules {
    /// The API's defaults for scaling up: at once, by four pods or to twice the size each 15 s, whichever is more.
    pub fn scale_up() -> Self {
        let period = Span::from_secs(15);
        Rules {
            stabilization_window: Span::ZERO,
            select_policy: SelectPolicy::Max,
            policies: vec![
                Rate { kind: PolicyKind::Pods, value: 4, period },
                Rate { kind: PolicyKind::Percent, value: 100, period },
            ],
            tolerance: None,
        }
    }

    /// The API's defaults for scaling down: all at once, after the controller's window.
    pub fn scale_down(window: Span) -> Self {
        let all = Rate { kind: PolicyKind::Percent, value: 100, period: Span::from_secs(15) };
        Rules {
            stabilization_window: window,
            select_policy: SelectPolicy::Max,
            policies: vec![all],
            tolerance: None,
        }
    }

    fn longest_period(&self) -> Span {
        self.policies.iter().map(|rate| rate.period).max().unwrap_or(Span::ZERO)
    }
}

/// Brings the size there is between the lowest recommendation of one window and the highest of the other, this one
/// included, which is written down as it came.
pub fn stabilize(
    log: &mut Vec<Recommendation>,
    current: i32,
    recommended: i32,
    (up, down): (Span, Span),
    now: Time,
) -> i32 {
    let within = |recommendation: &Recommendation, window: Span| now.since(recommendation.at) < window;
    let (mut low, mut high) = (recommended, recommended);
    for recommendation in log.iter() {
        if within(recommendation, up) {
            low = low.min(recommendation.replicas);
        }
        if within(recommendation, down) {
            high = high.max(recommendation.replicas);
        }
    }
    let is_old =
        |recommendation: &Recommendation| !within(recommendation, up) && !within(recommendation, down);
    remember(log, Recommendation { replicas: recommended, at: now }, is_old);
    // Not `clamp`: low may be above high, and then high has the last word.
    current.max(low).min(high)
}

/// What was changed within a period, and a moment less.
pub fn changed(events: &[ScaleEvent], period: Span, now: Time) -> i32 {
    let recent = events.iter().filter(|event| now.since(event.at) < period);
    recent.fold(0i32, |sum, event| sum.saturating_add(event.change))
}

/// How large a target may be made.
pub fn scale_up_limit(
    current: i32,
    ups: &[ScaleEvent],
    downs: &[ScaleEvent],
    rules: &Rules,
    now: Time,
) -> i32 {
    let allowed = |rate: &Rate| {
        let start = at_start(current, ups, downs, rate, now);
        match rate.kind {
            PolicyKind::Pods => start.saturating_add(rate.value),
            // In doubles, as the controller: 100 and 10 % are 111, because 1.1 is a little more than that.
            PolicyKind::Percent => (f64::from(start) * (1.0 + f64::from(rate.value) / 100.0)).ceil() as i32,
        }
    };
    let limits = rules.policies.iter().map(allowed);
    match rules.select_policy {
        SelectPolicy::Disabled => current,
        SelectPolicy::Min => limits.fold(i32::MAX, i32::min),
        SelectPolicy::Max => limits.fold(i32::MIN, i32::max),
    }
}

/// How small a target may be made.
pub fn scale_down_limit(
    current: i32,
    ups: &[ScaleEvent],
    downs: &[ScaleEvent],
    rules: &Rules,
    now: Time,
) -> i32 {
    let allowed = |rate: &Rate| {
        let start = at_start(current, ups, downs, rate, now);
        match rate.kind {
            PolicyKind::Pods => start.saturating_sub(rate.value),
            // Cut off: 100 less 90 % are 9, because 0.1 comes out a little less than that.
            PolicyKind::Percent => (f64::from(start) * (1.0 - f64::from(rate.value) / 100.0)) as i32,
        }
    };
    let limits = rules.policies.iter().map(allowed);
    match rules.select_policy {
        SelectPolicy::Disabled => current,
        SelectPolicy::Min => limits.fold(i32::MIN, i32::max),
        SelectPolicy::Max => limits.fold(i32::MAX, i32::min),
    }
}

/// How many there were when the period began, as far as the HPA changed them.
fn at_start(current: i32, ups: &[ScaleEvent], downs: &[ScaleEvent], rate: &Rate, now: Time) -> i32 {
    let (added, removed) = (changed(ups, rate.period, now), changed(downs, rate.period, now));
    current.saturating_sub(added).saturating_add(removed)
}

/// Brings a wanted size within what the rates and the HPA's limits allow in one pass.
pub fn limit(
    (current, wanted): (i32, i32),
    (min, max): (i32, i32),
    behavior: &Behavior,
    (ups, downs): (&[ScaleEvent], &[ScaleEvent]),
    now: Time,
) -> (i32, Limit) {
    if wanted > current {
        // Changes of the past may have used up more than the rate allows: that is no reason to shrink.
        let limit = scale_up_limit(current, ups, downs, &behavior.scale_up, now).max(current);
        let (most, reason) =
            if max > limit { (limit, Limit::ScaleUpLimit) } else { (max, Limit::TooManyReplicas) };
        if wanted > most {
            return (most, reason);
        }
    } else if wanted < current {
        let limit = scale_down_limit(current, ups, downs, &behavior.scale_down, now).min(current);
        let (least, reason) =
            if min < limit { (limit, Limit::ScaleDownLimit) } else { (min, Limit::TooFewReplicas) };
        if wanted < least {
            return (least, reason);
        }
    }
    (wanted, Limit::DesiredWithinRange)
}

/// Writes down that a size was changed by so many. The last entry that no rate looks at any more is written over.
pub fn store(events: &mut Vec<ScaleEvent>, change: i32, rules: &Rules, now: Time) {
    let longest = rules.longest_period();
    for event in events.iter_mut().filter(|event| now.since(event.at) >= longest) {
        event.outdated = true;
    }
    remember(events, ScaleEvent { change, at: now, outdated: false }, |event| event.outdated);
}
