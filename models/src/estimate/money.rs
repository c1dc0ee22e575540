//! Money a month: a fleet of the size for the peak, against one that follows the day, and what balancers cost.

use serde::Serialize;

use super::course::Course;
use super::{GroupEstimate, MONTH_HOURS, Step};
use crate::cost::{BUILT_IN, PriceBook};
use crate::plan::{Algorithm, Balancer, BalancerId, Plan};

/// What a month costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Money {
    /// Such as `USD`.
    pub currency: String,
    /// The price book, and its date.
    pub prices: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// A month with fleets of a fixed size; `None` where the price of a machine is not known.
    pub fixed: Option<f64>,
    /// A month with fleets that follow the day, with the same headroom.
    pub following: Option<f64>,
}

/// Sums up a month.
pub fn month(plan: &Plan, course: &Course, groups: &[GroupEstimate]) -> Money {
    let built_in = PriceBook::built_in(BUILT_IN);
    let Some(book) = plan.prices.as_ref().or(built_in.as_ref()) else {
        let [currency, prices] = [String::new(), "no price book".to_string()];
        return Money { currency, prices, steps: Vec::new(), fixed: None, following: None };
    };
    let currency = &book.currency;
    let mut steps = Vec::new();
    let (mut fixed, mut following) = (Some(0.0), Some(0.0));
    for group in groups {
        let of = [group.headroom.as_ref().map(|headroom| f64::from(headroom.instances)), group.following];
        let names = ["fixed", "following the day"];
        let costs = of.map(|instances| Some(instances? * group.hourly? * MONTH_HOURS));
        for ((instances, cost), name) in of.into_iter().zip(costs).zip(names) {
            let (Some(instances), Some(cost), Some(hourly)) = (instances, cost, group.hourly) else {
                continue;
            };
            steps.push(
                Step::new(
                    format!("{}, {name}", group.name),
                    "C = N · p · 730",
                    cost,
                    currency,
                    "On-Demand, by the second; a month is 730 h",
                )
                .term("N", "instances", instances, "")
                .term("p", &format!("an hour of {}", group.machine), hourly, currency),
            );
        }
        fixed = fixed.zip(costs[0]).map(|(sum, cost)| sum + cost);
        following = following.zip(costs[1]).map(|(sum, cost)| sum + cost);
    }
    for (id, balancer) in (0u16..).map(BalancerId).zip(&plan.balancers) {
        if !plan.traffic.iter().any(|traffic| traffic.to == id) {
            continue;
        }
        let step = of_balancer(plan, course, id, balancer, book);
        fixed = fixed.map(|sum| sum + step.result);
        following = following.map(|sum| sum + step.result);
        steps.push(step);
    }
    let currency = currency.clone();
    Money { currency, prices: format!("{} of {}", book.name, book.date), steps, fixed, following }
}

/// A balancer that clients reach: its hours and its capacity units, the largest dimension of each cell.
fn of_balancer(plan: &Plan, course: &Course, id: BalancerId, balancer: &Balancer, book: &PriceBook) -> Step {
    let network = balancer.algorithm == Algorithm::FlowHash;
    let nlb = book.network_balancer();
    let [hour, unit, new, active, bytes] = if network {
        [nlb.hour, nlb.nlcu_hour, nlb.new_flows_per_second, nlb.active_flows, nlb.bytes_per_hour]
    } else {
        [
            book.balancer_hour,
            book.lcu_hour,
            book.lcu_new_connections_per_second,
            book.lcu_active_connections,
            book.lcu_bytes_per_hour,
        ]
    };
    let units_of = |cell: usize| {
        let (mut connections, mut open, mut carried) = (0.0, 0.0, 0.0);
        for (index, traffic) in plan.traffic.iter().enumerate().filter(|(_, traffic)| traffic.to == id) {
            let arrivals = course.arrivals(index, cell);
            let size = |endpoint: crate::plan::EndpointId| plan.endpoints[endpoint.index()].size as f64;
            connections += if traffic.connections.is_none() { arrivals } else { 0.0 };
            open += course.open(index, cell);
            carried +=
                arrivals * traffic.mix.iter().map(|&(endpoint, share)| share * size(endpoint)).sum::<f64>();
            let messages = traffic.sessions.iter().flat_map(|sessions| &sessions.messages);
            let each: f64 = messages.map(|message| message.rate * size(message.endpoint)).sum();
            carried += course.open(index, cell) * each;
        }
        f64::max(connections / new, open / active).max(carried * 3_600.0 / bytes)
    };
    let seconds: f64 = (0..course.cells()).map(|cell| course.seconds(cell)).sum();
    let units = (0..course.cells()).map(|cell| units_of(cell) * course.seconds(cell)).sum::<f64>()
        / seconds.max(1e-9);
    let cost = MONTH_HOURS * (hour + units * unit);
    let source = "the largest dimension of each minute: a new connection for each request unless its source keeps them open, open sessions, bytes; no rules";
    Step::new(format!("balancer {}", balancer.name), "C = (h + U · u) · 730", cost, &book.currency, source)
        .term("h", "an hour of it", hour, &book.currency)
        .term("U", "capacity units on average", units, "")
        .term("u", "an hour of a unit", unit, &book.currency)
}
