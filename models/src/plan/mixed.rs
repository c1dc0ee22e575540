//! Mixed instances: several machine types, On-Demand and Spot.

use sim_core::Span;
use sim_core::dist::Dist;

use crate::scaling::{OnDemandAllocation, Purchase, SpotAllocation, on_demand_units};

/// What a group with a mixed instances policy is made of. Its types are the group's `machines`.
#[derive(Clone, Debug)]
pub struct MixedInstances {
    /// Units of capacity that an instance of each type counts as, in the order of the group's `machines`.
    pub weights: Vec<u32>,
    /// Units that are On-Demand before any are Spot.
    pub on_demand_base: u32,
    /// The percentage of those above the base that are On-Demand.
    pub on_demand_percentage: u32,
    /// Which type the next On-Demand instance has.
    pub on_demand_allocation: OnDemandAllocation,
    /// Which pool the next Spot instance comes from.
    pub spot_allocation: SpotAllocation,
    /// The terms of Spot capacity; `None` where all is On-Demand.
    pub spot: Option<Spot>,
}

/// The terms of Spot capacity.
#[derive(Clone, Debug)]
pub struct Spot {
    /// By pool: types in the order of the group's `machines`, and in each the zones in their order.
    pub pools: Vec<SpotPool>,
    /// When the provider takes single instances back.
    pub interruptions: Option<Interruptions>,
    /// When it takes back what is in a pool.
    pub pool_interruptions: Option<PoolInterruptions>,
    /// Between the interruption notice and the end of the instance: 2 minutes at AWS.
    pub notice: Span,
    /// Nanoseconds that a rebalance recommendation comes before the notice; `None` where none comes.
    pub rebalance_recommendation: Option<Dist>,
    /// Whether somebody listens to the notice and takes the instance out of its target groups, so that it can finish what
    /// it has.
    pub drain_on_notice: bool,
    /// Whether the group launches a replacement when it learns of an interruption, before the instance is gone.
    pub capacity_rebalancing: bool,
}

/// A pool of Spot capacity: one type in one zone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpotPool {
    /// Its price as a share of the On-Demand price.
    pub price: f64,
    /// Instances that it can give at once; `None` where there are always more.
    pub capacity: Option<u32>,
}

/// When single instances are taken back: each by itself, after an exponential time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interruptions {
    /// The mean time of an instance, in nanoseconds.
    pub mean_time_between: f64,
}

/// When a pool takes instances back together: after exponential times, each pool by itself.
#[derive(Clone, Debug)]
pub struct PoolInterruptions {
    /// The mean time between two of the same pool, in nanoseconds.
    pub mean_time_between: f64,
    /// The share of the pool's instances that it takes back, above 0 to 1.
    pub share: f64,
    /// How long it gives none after that, in nanoseconds.
    pub returns_after: Dist,
}

impl MixedInstances {
    /// On-Demand units of so many.
    pub fn on_demand_units(&self, total: u32) -> u32 {
        on_demand_units(total, self.on_demand_base, self.on_demand_percentage)
    }

    /// Units that an instance of a type counts as.
    pub fn weight(&self, machine: u16) -> u32 {
        self.weights.get(usize::from(machine)).copied().unwrap_or(1)
    }
}

impl Spot {
    /// The pool of a type and a zone, in a group with so many zones.
    pub fn pool(&self, machine: u16, zone: u16, zones: usize) -> &SpotPool {
        &self.pools[usize::from(machine) * zones + usize::from(zone)]
    }

    /// How often a pool takes an instance back, per hour.
    pub fn interruptions_an_hour(&self) -> f64 {
        const HOUR: f64 = 3600e9;
        let single = self.interruptions.map_or(0.0, |own| HOUR / own.mean_time_between);
        let pool = self.pool_interruptions.as_ref();
        single + pool.map_or(0.0, |own| own.share * HOUR / own.mean_time_between)
    }

    /// What a unit of time costs, of the On-Demand price.
    pub fn share_of_price(&self, purchase: Purchase, machine: u16, zone: u16, zones: usize) -> f64 {
        match purchase {
            Purchase::OnDemand => 1.0,
            Purchase::Spot => self.pool(machine, zone, zones).price,
        }
    }
}
