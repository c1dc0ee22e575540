//! The charges of a bill in numbers, by hour; in words only where somebody reads them.

use super::hourly::{begun, part_of};
use super::{BalancerUsage, HourOfUse, InstanceUsage, Layer, PriceBook, Reserved, SavingsPlan, Terms, Usage};
use crate::results::BillKind;
use crate::scaling::Purchase;

/// Bytes of a gigabyte, as it is billed.
pub const GB: f64 = 1e9;
/// Hours of a month: what prices by the month are divided by (a year's 8,760 over 12).
pub const MONTH: f64 = 730.0;

/// One line of a bill in numbers.
pub struct Charge<'a> {
    /// What it is for.
    pub what: What<'a>,
    /// How much of it.
    pub quantity: f64,
    /// The price of one.
    pub price: f64,
    /// What each hour of the run cost.
    pub amounts: Vec<f64>,
}

/// What a line is for, with what its text says.
pub enum What<'a> {
    /// Instances of a group, type and price; instance-hours of them that were covered.
    Instances(&'a InstanceUsage<'a>, f64),
    /// Surplus credits of a group.
    Surplus(&'a str),
    /// Reserved instances, and instance-hours of them that ran.
    Reserved(&'a Reserved, f64),
    /// A Savings Plan, and how much of it was used.
    SavingsPlan(SavingsPlan, f64),
    /// A balancer's hours.
    Balancer(&'a BalancerUsage<'a>),
    /// Its capacity units, and the dimension that was mostly the largest.
    Units(&'a BalancerUsage<'a>, &'static str),
    /// Traffic to the internet.
    Egress,
    /// Traffic across zones.
    AcrossZones,
    /// Volumes of a group, so many GiB each.
    Volumes(&'a str, f64),
    /// The same of instances that are stopped in its warm pool.
    PoolVolumes(&'a str, f64),
    /// Alarms.
    Alarms(u32),
    /// Detailed monitoring.
    Detailed,
    /// Requests to a queue.
    Queue(&'a str),
}

impl<'a> Charge<'a> {
    /// A price for a quantity in each hour.
    fn of(what: What<'a>, price: f64, quantities: impl Iterator<Item = f64>) -> Charge<'a> {
        let mut quantity = 0.0;
        let amounts = quantities.map(|part| {
            quantity += part;
            part * price
        });
        let amounts = amounts.collect();
        Charge { what, quantity, price, amounts }
    }
}

/// All charges, in the order of a bill.
pub fn charges<'a>(prices: &PriceBook, terms: &'a Terms, usage: &'a Usage<'a>) -> Vec<Charge<'a>> {
    let mut all = Vec::with_capacity(usage.instances.len() + 2 * usage.balancers.len());
    servers(terms, usage, &mut all);
    let hours = begun(usage.seconds);
    for volume in &usage.volumes {
        let gib_hours = (0..hours).map(|hour| volume.gib * volume.time.billed_hours(hour));
        let what = match volume.stopped {
            true => What::PoolVolumes(volume.group, volume.gib),
            false => What::Volumes(volume.group, volume.gib),
        };
        all.push(Charge::of(what, volume.price / MONTH, gib_hours));
    }
    for own in &usage.balancers {
        let (price, unit_price) = match own.layer {
            Layer::Application => (prices.balancer_hour, prices.lcu_hour),
            Layer::Network => (prices.network_balancer().hour, prices.network_balancer().nlcu_hour),
        };
        all.push(Charge::of(What::Balancer(own), price, own.hours.iter().map(|_| 1.0)));
        let (units, dimension) = units(prices, own);
        all.push(Charge::of(What::Units(own, dimension), unit_price, units.into_iter()));
    }
    if terms.data_transfer {
        traffic(prices, usage, &mut all);
    }
    if terms.cloudwatch {
        let count = f64::from(usage.alarms);
        let parts = (0..hours).map(|hour| count * part_of(hour, usage.seconds));
        all.push(Charge::of(What::Alarms(usage.alarms), prices.alarm_month / MONTH, parts));
        let monitored = (0..hours).map(|hour| usage.monitored.billed_hours(hour));
        all.push(Charge::of(What::Detailed, prices.detailed_monitoring_month / MONTH, monitored));
    }
    for queue in &usage.queues {
        let millions = queue.requests.iter().map(|requests| requests / 1e6);
        all.push(Charge::of(What::Queue(queue.queue), prices.queue_million, millions));
    }
    all
}

/// Instances, and what was committed to for them.
fn servers<'a>(terms: &'a Terms, usage: &'a Usage<'a>, all: &mut Vec<Charge<'a>>) {
    let hours = begun(usage.seconds);
    // Without any commitment nothing is covered, and a bill is asked for once a row.
    let committed = terms.savings_plan.is_some() || !terms.reserved.is_empty();
    let on_demand = |own: &&InstanceUsage<'_>| own.purchase == Purchase::OnDemand && own.hourly.is_some();
    let mut left: Vec<Vec<f64>> = Vec::new();
    let mut ran_reserved = vec![0.0; terms.reserved.len()];
    let mut used_commitment = 0.0;
    for hour in (0..hours).take_while(|_| committed) {
        let used: Vec<(&str, f64, f64)> = usage
            .instances
            .iter()
            .filter(on_demand)
            .map(|own| (own.machine, own.time.billed_hours(hour), own.hourly.unwrap_or(0.0)))
            .collect();
        let covered = terms.cover(&used, part_of(hour, usage.seconds));
        ran_reserved.iter_mut().zip(covered.reserved).for_each(|(sum, ran)| *sum += ran);
        used_commitment += covered.committed;
        left.push(covered.left);
    }
    let mut nth = 0;
    for own in &usage.instances {
        let price = own.hourly.unwrap_or(0.0);
        if committed && on_demand(&own) {
            let at = nth;
            nth += 1;
            let rest = left.iter().map(|hour| hour[at]);
            let covered = own.time.billed() / 3_600.0 - rest.clone().sum::<f64>();
            all.push(Charge::of(What::Instances(own, covered), price, rest));
        } else {
            let ran = (0..hours).map(|hour| own.time.billed_hours(hour));
            all.push(Charge::of(What::Instances(own, 0.0), price, ran));
        }
    }
    for own in &usage.surplus {
        let mut before = 0.0;
        let parts = own.vcpu_hours.iter().map(|&until| until - std::mem::replace(&mut before, until));
        all.push(Charge::of(What::Surplus(own.group), own.price, parts));
    }
    let played = || (0..hours).map(|hour| part_of(hour, usage.seconds));
    for (own, ran) in terms.reserved.iter().zip(ran_reserved) {
        let paid = played().map(|part| part * f64::from(own.count));
        all.push(Charge::of(What::Reserved(own, ran), own.hourly, paid));
    }
    if let Some(plan) = terms.savings_plan {
        let what = What::SavingsPlan(plan, used_commitment);
        all.push(Charge::of(what, plan.commitment, played()));
    }
}

/// Traffic that is charged by itself.
fn traffic<'a>(prices: &PriceBook, usage: &Usage<'_>, all: &mut Vec<Charge<'a>>) {
    let hours = begun(usage.seconds);
    let carried = |hour: usize, of: &dyn Fn(&BalancerUsage<'_>) -> f64| -> f64 {
        let own = usage.balancers.iter();
        own.map(|balancer| balancer.hours.get(hour).map_or(0.0, |hour| hour.bytes / GB) * of(balancer)).sum()
    };
    let out = (0..hours).map(|hour| {
        let free = prices.egress_free_gb_month / MONTH * part_of(hour, usage.seconds);
        (carried(hour, &|balancer| f64::from(u8::from(balancer.internet))) - free).max(0.0)
    });
    all.push(Charge::of(What::Egress, prices.egress_gb, out));
    if usage.balancers.iter().any(|balancer| balancer.across > 0.0) {
        let across = (0..hours).map(|hour| carried(hour, &|balancer| balancer.across));
        // Whoever sends pays, and whoever receives does.
        all.push(Charge::of(What::AcrossZones, 2.0 * prices.across_zones_gb, across));
    }
}

/// Capacity units: in each hour the largest of their dimensions counts. Returns them, and the name of the dimension that
/// was the largest most often.
fn units(prices: &PriceBook, own: &BalancerUsage<'_>) -> (Vec<f64>, &'static str) {
    const APPLICATION: [&str; 4] = ["new connections", "active connections", "bytes", "rule evaluations"];
    const NETWORK: [&str; 4] = ["new flows", "active flows", "bytes", "none"];
    let names = if own.layer == Layer::Application { APPLICATION } else { NETWORK };
    let mut often = [0u32; 4];
    let mut all = Vec::with_capacity(own.hours.len());
    for hour in &own.hours {
        if hour.seconds <= 0.0 {
            all.push(0.0);
            continue;
        }
        let units = dimensions(prices, own, hour);
        let largest = (0..4).max_by(|&a, &b| units[a].total_cmp(&units[b])).unwrap_or(0);
        often[largest] += 1;
        all.push(units[largest]);
    }
    let most = (0..4).max_by_key(|&index| often[index]).unwrap_or(0);
    (all, names[most])
}

fn dimensions(prices: &PriceBook, own: &BalancerUsage<'_>, hour: &HourOfUse) -> [f64; 4] {
    let part = hour.seconds / 3_600.0;
    let evaluated = f64::from(own.rules) - prices.lcu_free_rules;
    match own.layer {
        Layer::Application => [
            hour.connections / hour.seconds / prices.lcu_new_connections_per_second * part,
            hour.in_progress / prices.lcu_active_connections * part,
            hour.bytes / prices.lcu_bytes_per_hour,
            if evaluated > 0.0 {
                hour.requests / hour.seconds * evaluated / prices.lcu_rule_evaluations_per_second * part
            } else {
                -1.0 // no dimension
            },
        ],
        Layer::Network => {
            let network = prices.network_balancer();
            [
                hour.connections / hour.seconds / network.new_flows_per_second * part,
                hour.in_progress / network.active_flows * part,
                hour.bytes / network.bytes_per_hour,
                -1.0,
            ]
        }
    }
}

impl What<'_> {
    /// What kind of line it is.
    pub fn kind(&self) -> BillKind {
        match self {
            What::Instances(own, _) if own.purchase == Purchase::Spot => BillKind::Spot,
            What::Instances(..) | What::Surplus(_) => BillKind::OnDemand,
            What::Reserved(..) | What::SavingsPlan(..) => BillKind::Committed,
            What::Balancer(_) | What::Units(..) => BillKind::Balancer,
            What::Egress | What::AcrossZones => BillKind::Traffic,
            What::Volumes(..) | What::PoolVolumes(..) => BillKind::Storage,
            What::Alarms(_) | What::Detailed => BillKind::Monitoring,
            What::Queue(_) => BillKind::Queue,
        }
    }

    /// Its name on the bill.
    pub fn item(&self) -> String {
        match self {
            What::Instances(own, _) => match (own.purchase, own.zone) {
                (Purchase::OnDemand, _) => format!("{}: {}", own.group, own.machine),
                (Purchase::Spot, Some(zone)) => format!("{}: {} Spot, zone {zone}", own.group, own.machine),
                (Purchase::Spot, None) => format!("{}: {} Spot", own.group, own.machine),
            },
            What::Surplus(group) => format!("{group}: surplus CPU credits"),
            What::Reserved(own, _) => format!("{} reserved", own.machine),
            What::SavingsPlan(..) => "Savings Plan".to_string(),
            What::Balancer(own) => match own.layer {
                Layer::Application => format!("{}: Application Load Balancer", own.balancer),
                Layer::Network => format!("{}: Network Load Balancer", own.balancer),
            },
            What::Units(own, _) => match own.layer {
                Layer::Application => format!("{}: capacity units", own.balancer),
                Layer::Network => format!("{}: NLB capacity units", own.balancer),
            },
            What::Egress => "traffic to the internet".to_string(),
            What::AcrossZones => "traffic across zones".to_string(),
            What::Volumes(group, gib) => format!("{group}: volumes of {gib} GiB"),
            What::PoolVolumes(group, gib) => format!("{group}: volumes of {gib} GiB in the warm pool"),
            What::Alarms(_) => "alarms".to_string(),
            What::Detailed => "detailed monitoring".to_string(),
            What::Queue(queue) => format!("{queue}: requests to the queue"),
        }
    }

    /// What its quantity counts.
    pub fn unit(&self) -> &'static str {
        match self {
            What::Instances(..) | What::Reserved(..) | What::Detailed => "instance-hours",
            What::Surplus(_) => "vCPU-hours",
            What::SavingsPlan(..) | What::Balancer(_) => "hours",
            What::Units(own, _) if own.layer == Layer::Network => "NLCU-hours",
            What::Units(..) => "LCU-hours",
            What::Egress | What::AcrossZones => "GB",
            What::Volumes(..) | What::PoolVolumes(..) => "GiB-hours",
            What::Alarms(_) => "alarm-hours",
            What::Queue(_) => "million requests",
        }
    }

    /// What was assumed.
    pub fn assumption(&self, prices: &PriceBook) -> String {
        match self {
            What::Instances(own, covered) => instances(prices, own, *covered),
            What::Surplus(_) => "what each instance borrowed and had not earned back when it ended".to_string(),
            What::Reserved(own, ran) => {
                format!("{} paid for whether they run or not; {ran:.1} h of them ran", own.count)
            }
            What::SavingsPlan(plan, used) => format!(
                "{:.0} % below On-Demand; {used:.2} of it was used, and what is not used in its hour is lost",
                100.0 * plan.discount
            ),
            What::Balancer(_) => "a part of an hour is a full hour".to_string(),
            What::Units(own, dimension) => {
                let kept = if own.kept { " that does not come over one that is open" } else { "" };
                let rules = match own.layer {
                    Layer::Network => String::new(),
                    Layer::Application if f64::from(own.rules) > prices.lcu_free_rules => {
                        format!(", {} rules of which {} are free", own.rules, prices.lcu_free_rules)
                    }
                    Layer::Application => ", no rules beyond the free ones".to_string(),
                };
                format!("each hour's largest dimension, mostly {dimension}; a new connection for each request{kept}{rules}")
            }
            What::Egress => format!(
                "all that balancers with clients outside carry; an hour's part of the {} GB a month that are free, and no lower prices for more than 10 TB",
                prices.egress_free_gb_month
            ),
            What::AcrossZones => {
                "an even share of what network balancers carry, paid by who sends and by who receives; an Application Load Balancer does not charge for it".to_string()
            }
            What::Volumes(..) => "by the second while their instances run; a month has 730 h".to_string(),
            What::PoolVolumes(..) => "by the second while their instances are stopped; a month has 730 h".to_string(),
            What::Alarms(count) => format!("{count} alarms of scaling policies; a month has 730 h"),
            What::Detailed => "seven metrics of each instance a minute; a month has 730 h".to_string(),
            What::Queue(_) => "each send, receive and delete is a request".to_string(),
        }
    }
}

fn instances(prices: &PriceBook, own: &InstanceUsage<'_>, covered: f64) -> String {
    if own.hourly.is_none() {
        return "no price known for this machine: add `hourly` to its table".to_string();
    }
    let minimum = (own.time.billed() - own.time.seconds()) / 3_600.0;
    let how = match own.purchase {
        Purchase::OnDemand => "on demand",
        Purchase::Spot => "at its pool's price",
    };
    let rest = if covered > 0.0 { format!("; {covered:.1} h more were covered") } else { String::new() };
    format!(
        "{how}, by the second from running until gone; the minimum of {} s a start added {minimum:.2} h{rest}",
        prices.minimum_seconds
    )
}
