//! Mixed instances: how many of a group are On-Demand, how weights count, and which pool of Spot capacity gives the next
//! instance. Pure functions; [`crate::system`] launches what they say.

/// The largest weight of a machine type (EC2 Auto Scaling, "Configure instance weighting": 1 to 999).
pub const MOST_WEIGHT: u32 = 999;

/// What the group's capacity is bought as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purchase {
    /// At the list price, for as long as one likes.
    #[default]
    OnDemand,
    /// Spare capacity at a lower price, which the provider takes back when it needs it.
    Spot,
}

/// How the pool of the next Spot instance is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpotAllocation {
    /// Of the pools with much spare capacity, the one with the lowest price of a unit.
    PriceCapacityOptimized,
    /// The pool with most spare capacity.
    CapacityOptimized,
    /// Evenly over so many pools with the lowest prices of a unit.
    LowestPrice {
        /// How many, 1 to 20.
        pools: u32,
    },
}

/// How the type of the next On-Demand instance is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDemandAllocation {
    /// The first of the list.
    Prioritized,
    /// The one with the lowest price of a unit.
    LowestPrice,
}

/// On-Demand units of a group of `total`: the base, and of what is above it a percentage, rounded up in favour of
/// On-Demand (EC2 Auto Scaling, "Auto Scaling groups with multiple instance types and purchase options").
pub fn on_demand_units(total: u32, base: u32, percentage: u32) -> u32 {
    let above = u64::from(total.saturating_sub(base));
    let share = (above * u64::from(percentage.min(100))).div_ceil(100);
    total.min(base) + share as u32
}

/// What one unit of capacity costs for an hour: the price of an instance over its weight.
pub fn price_per_unit(hourly: f64, weight: u32) -> f64 {
    hourly / f64::from(weight.max(1))
}

/// Whether a group launches one more instance: while units are missing, whatever the next one weighs. So it may come out
/// above what is desired by almost the largest weight.
pub fn is_short(units: u32, desired: u32) -> bool {
    units < desired
}

/// Whether an instance of this weight is too much: what is left without it is still what is desired.
pub fn is_too_much(units: u32, weight: u32, desired: u32) -> bool {
    units.saturating_sub(weight) >= desired
}

/// Units that a group never exceeds: those desired and the largest weight.
pub fn hard_limit(desired: u32, weights: impl IntoIterator<Item = u32>) -> u32 {
    desired.saturating_add(weights.into_iter().max().unwrap_or(1))
}

/// A pool of Spot capacity, one type in one zone, as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool {
    /// The type, by its place in the group's list.
    pub machine: u16,
    /// The zone, by its place in the group's list.
    pub zone: u16,
    /// The price of a unit for an hour.
    pub price: f64,
    /// Instances that it could still give; infinite where that is not stated.
    pub spare: f64,
    /// How often it takes instances back, per hour.
    pub interruptions: f64,
    /// Instances of the group that are in it.
    pub own: u32,
}

/// Pools with at least so much of the most spare capacity count as those with much of it. AWS publishes no number.
const MUCH: f64 = 0.5;

/// The pool of the next Spot instance, by its place in `pools`; `None` where none has capacity. Where two are equal the
/// one that takes fewer instances back goes first, then the first.
pub fn choose_pool(allocation: SpotAllocation, pools: &[Pool]) -> Option<usize> {
    let open = || (0..pools.len()).filter(|&index| pools[index].spare >= 1.0);
    let by_price = |&a: &usize, &b: &usize| {
        let (a, b) = (&pools[a], &pools[b]);
        a.price.total_cmp(&b.price).then(a.interruptions.total_cmp(&b.interruptions))
    };
    match allocation {
        SpotAllocation::PriceCapacityOptimized => {
            let most = open().map(|index| pools[index].spare).fold(0.0, f64::max);
            open().filter(|&index| pools[index].spare >= MUCH * most).min_by(by_price)
        }
        SpotAllocation::CapacityOptimized => open().min_by(|&a, &b| {
            let by_spare = pools[b].spare.total_cmp(&pools[a].spare);
            by_spare.then(pools[a].interruptions.total_cmp(&pools[b].interruptions))
        }),
        SpotAllocation::LowestPrice { pools: most } => {
            let mut cheapest: Vec<usize> = open().collect();
            cheapest.sort_by(by_price);
            cheapest.truncate(most.max(1) as usize);
            cheapest.into_iter().min_by_key(|&index| pools[index].own)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Pool = Pool { machine: 0, zone: 0, price: 0.03, spare: 10.0, interruptions: 0.1, own: 0 };

    #[test]
    fn strategies_weigh_price_and_capacity() {
        let deep = Pool { machine: 1, price: 0.04, spare: 100.0, ..A };
        let fair = Pool { machine: 2, price: 0.035, spare: 60.0, ..A };
        let pools = [A, deep, fair];
        let lowest = |pools| SpotAllocation::LowestPrice { pools };
        assert_eq!(choose_pool(lowest(1), &pools), Some(0));
        assert_eq!(choose_pool(SpotAllocation::CapacityOptimized, &pools), Some(1));
        assert_eq!(choose_pool(SpotAllocation::PriceCapacityOptimized, &pools), Some(2));
        let taken = [Pool { own: 1, ..A }, deep, fair];
        assert_eq!(choose_pool(lowest(2), &taken), Some(2), "evenly over the two cheapest");
        let dry = [Pool { spare: 0.0, ..A }];
        assert_eq!(choose_pool(SpotAllocation::CapacityOptimized, &dry), None);
    }

    #[test]
    fn without_stated_capacity_the_pool_that_takes_fewer_back_goes_first() {
        let endless = Pool { spare: f64::INFINITY, ..A };
        let calm = Pool { interruptions: 0.01, ..endless };
        assert_eq!(choose_pool(SpotAllocation::CapacityOptimized, &[endless, calm]), Some(1));
        assert_eq!(choose_pool(SpotAllocation::PriceCapacityOptimized, &[endless, calm]), Some(1));
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        assert_eq!(on_demand_units(u32::MAX, 0, 100), u32::MAX);
        assert_eq!(on_demand_units(7, 0, 1), 1);
        assert_eq!(hard_limit(u32::MAX, [MOST_WEIGHT]), u32::MAX);
    }
}
