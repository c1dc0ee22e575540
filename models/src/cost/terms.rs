//! What was promised to the provider, and what a bill is to have on it beside servers and balancers.

/// The terms of a bill.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// So much an hour, whether it is used or not, for a lower price.
    pub savings_plan: Option<SavingsPlan>,
    /// Instances that are paid for whether they run or not.
    pub reserved: Vec<Reserved>,
    /// Whether traffic out and across zones is on it.
    pub data_transfer: bool,
    /// Whether alarms and detailed monitoring are on it.
    pub cloudwatch: bool,
}

/// A Savings Plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SavingsPlan {
    /// What is paid each hour, in the price book's currency.
    pub commitment: f64,
    /// How much lower its prices are than On-Demand ones, 0 to below 1.
    pub discount: f64,
}

/// Reserved instances of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Reserved {
    /// The type.
    pub machine: String,
    /// How many.
    pub count: u32,
    /// What one costs for an hour, all payments together.
    pub hourly: f64,
}

/// What of an hour's On-Demand instances is covered, and what that leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Covered {
    /// Instance-hours left at the list price, in the order of what was asked.
    pub left: Vec<f64>,
    /// Instance-hours covered by each entry of [`Terms::reserved`].
    pub reserved: Vec<f64>,
    /// How much of the commitment was used, at the plan's prices.
    pub committed: f64,
}

impl Terms {
    /// Covers the On-Demand instances of an hour, of which a `part` was played: first by reserved instances of the same
    /// type, then by the Savings Plan (AWS applies them in this order). `used` has names, instance-hours and prices.
    pub fn cover(&self, used: &[(&str, f64, f64)], part: f64) -> Covered {
        let mut left: Vec<f64> = used.iter().map(|&(_, hours, _)| hours).collect();
        let mut reserved = Vec::with_capacity(self.reserved.len());
        for own in &self.reserved {
            let paid = f64::from(own.count) * part;
            let mut free = paid;
            for (hours, (machine, ..)) in left.iter_mut().zip(used) {
                if *machine == own.machine {
                    let covers = hours.min(free);
                    *hours -= covers;
                    free -= covers;
                }
            }
            reserved.push(paid - free);
        }
        let mut committed = 0.0;
        if let Some(SavingsPlan { commitment, discount }) = self.savings_plan {
            let mut free = commitment * part;
            for (hours, &(_, _, price)) in left.iter_mut().zip(used) {
                let lower = price * (1.0 - discount);
                if lower > 0.0 {
                    let covers = hours.min(free / lower);
                    *hours -= covers;
                    free -= covers * lower;
                }
            }
            committed = commitment * part - free;
        }
        Covered { left, reserved, committed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_go_first_and_the_plan_takes_the_rest() {
        let terms = Terms {
            savings_plan: Some(SavingsPlan { commitment: 0.35, discount: 0.3 }),
            reserved: vec![Reserved { machine: "a".into(), count: 2, hourly: 0.05 }],
            ..Terms::default()
        };
        let covered = terms.cover(&[("a", 5.0, 0.1), ("b", 4.0, 0.2)], 1.0);
        assert_eq!(covered.reserved, [2.0]);
        // 0.35 an hour buys 3 h of a at 0.07 and 1 h of b at 0.14.
        assert!(covered.left.iter().zip([0.0, 3.0]).all(|(left, want)| (left - want).abs() < 1e-9));
        assert!((covered.committed - 0.35).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_used_is_paid_all_the_same() {
        let terms = Terms {
            savings_plan: Some(SavingsPlan { commitment: 10.0, discount: 0.5 }),
            reserved: vec![Reserved { machine: "b".into(), count: 1, hourly: 0.05 }],
            ..Terms::default()
        };
        let covered = terms.cover(&[("a", 2.0, 0.1)], 0.5);
        assert_eq!((covered.left, covered.reserved), (vec![0.0], vec![0.0]));
        assert!((covered.committed - 0.1).abs() < 1e-12);
    }
}
