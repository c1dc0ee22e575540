//! The paper math of a design interview, step by step: users, requests a second, the peak, one machine's capacity, machines
//! for the SLA, headroom, money a month.
//!
//! An [`Estimate`] is data: every step has its formula, the numbers that were put in, a result with a unit, and where the
//! formula is from. It is made of a [`Plan`], so a scenario can be estimated as it is; what an [`Audience`] says in users and
//! actions becomes a scenario first, and goes the same way.
//!
//! # What is estimated
//! The busiest minute, as if it lasted: `course.rs` finds it, and the plan as it is in that minute is what all formulas look at.
//! `forms.rs` sizes the fleet by each of the usual formulas, side by side. The answer takes the one that fits the runtime: cores
//! that requests share, or loops that take them in turn, each machine by itself behind a balancer that splits at random. What
//! real balancers, clients and clocks do differently is what [`compare`] finds by playing it.

mod assumption;
mod audience;
mod compare;
mod course;
mod forms;
mod group;
mod headroom;
mod money;
mod people;

use serde::Serialize;

use crate::plan::{GroupId, Plan};

pub use assumption::Assumption;
pub use audience::{Audience, AudienceError, Players};
pub use compare::{Broken, Comparison, NotPlayable, Side, compare};
pub use forms::{Form, Sized, Target, Work, servers_of_central_queue, square_root_staffing};
pub use group::GroupEstimate;
pub use money::Money;
pub use people::{NotANumber, number, share};

/// The version of the estimate's JSON.
pub const SCHEMA: &str = "scalesim.estimate/1";

/// Utilisation that machines are sized for where nothing was promised: what people write on paper.
pub const USUAL_UTILISATION: f64 = 0.7;

/// Hours of a month, as AWS counts them.
pub const MONTH_HOURS: f64 = 730.0;

/// A number that was put into a formula.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Term {
    /// Its letter in the formula.
    pub symbol: String,
    /// What it is.
    pub name: String,
    /// Its value, in `unit`.
    pub value: f64,
    /// Such as `s`, `/s`, `%`; empty for a pure number.
    pub unit: String,
}

/// A step of the calculation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// What it finds.
    pub title: String,
    /// The formula in symbols.
    pub formula: String,
    /// What was put in.
    pub terms: Vec<Term>,
    /// What comes out, in `unit`.
    pub result: f64,
    /// Such as `requests/s`.
    pub unit: String,
    /// Who says so, and what it takes for granted.
    pub source: String,
}

impl Step {
    fn new(
        title: impl Into<String>,
        formula: &str,
        result: f64,
        unit: &str,
        source: impl Into<String>,
    ) -> Step {
        let (title, formula, unit) = (title.into(), formula.to_string(), unit.to_string());
        Step { title, formula, terms: Vec::new(), result, unit, source: source.into() }
    }

    fn term(mut self, symbol: &str, name: &str, value: f64, unit: &str) -> Step {
        let [symbol, name, unit] = [symbol, name, unit].map(str::to_string);
        self.terms.push(Term { symbol, name, value, unit });
        self
    }
}

/// What may be asked beside what the plan says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Within a minute the load becomes so many times the peak, before new instances serve; 1 or more.
    pub spike: Option<f64>,
    /// The load grows by this share of itself in a minute, 0 or more; what is left out is read off the profiles.
    pub growth: Option<f64>,
    /// What a wait may be, in place of the plan's objectives.
    pub wait: Option<Target>,
}

/// Users, requests, machines, money.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The version of this form: [`SCHEMA`].
    pub schema: String,
    /// The scenario's name.
    pub scenario: String,
    /// What nobody said and was assumed.
    pub assumed: Vec<String>,
    /// From users or profiles to the peak.
    pub traffic: Vec<Step>,
    /// When the busiest minute is, on the wall clock of the plan.
    pub peak_at: String,
    /// Each group that requests come to.
    pub groups: Vec<GroupEstimate>,
    /// All groups and balancers together, in a month.
    pub money: Money,
    /// Groups of which nothing is said, and why.
    pub left_out: Vec<String>,
}

/// Estimates a plan. Pure arithmetic: some milliseconds, whatever the load.
pub fn estimate(plan: &Plan, options: &Options) -> Estimate {
    let course = course::Course::of(plan);
    let peak = course.peak(plan);
    let still = course.standing_still(plan, peak);
    let (mut groups, mut left_out) = (Vec::new(), Vec::new());
    for index in 0..plan.groups.len() {
        match group::group(&still, GroupId(index as u16), &course, options) {
            Ok(group) => groups.push(group),
            Err(why) => left_out.push(why),
        }
    }
    let money = money::month(plan, &course, &groups);
    Estimate {
        schema: SCHEMA.to_string(),
        scenario: plan.name.clone(),
        assumed: group::assumed(plan, options),
        traffic: course.steps(plan, peak),
        peak_at: plan.wall_clock(course.from(peak)),
        groups,
        money,
        left_out,
    }
}
