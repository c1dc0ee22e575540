//! How step and simple scaling change a capacity: three types of adjustment, and how percentages are rounded.
//! (EC2 Auto Scaling User Guide, "Step and simple scaling policies", "Scaling adjustment types".)

use std::cmp::Ordering;

/// What the number of an adjustment means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjustmentType {
    /// `ChangeInCapacity`: so many instances more, or fewer where it is negative.
    ChangeInCapacity,
    /// `ExactCapacity`: so many instances.
    ExactCapacity,
    /// `PercentChangeInCapacity`: so many percent of the capacity more, or fewer.
    PercentChangeInCapacity,
}

/// An adjustment as a policy states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// What the number means.
    pub kind: AdjustmentType,
    /// The number: instances or percent.
    pub by: i32,
    /// `MinAdjustmentMagnitude`: a percentage changes at least so many instances. Without effect on the other types.
    pub min_magnitude: Option<u32>,
}

impl Adjustment {
    /// What it makes of a capacity, before anybody looks at the group's limits.
    pub fn of(&self, capacity: u32) -> i64 {
        let (capacity, by) = (i64::from(capacity), i64::from(self.by));
        match self.kind {
            AdjustmentType::ChangeInCapacity => capacity + by,
            AdjustmentType::ExactCapacity => by,
            AdjustmentType::PercentChangeInCapacity => {
                // The product is exact, so that a tenth of ten is one.
                let change = rounded(capacity as f64 * by as f64 / 100.0);
                let least = i64::from(self.min_magnitude.unwrap_or(0));
                capacity + by.signum() * change.abs().max(least)
            }
        }
    }

    /// Whether it means more instances than so many, fewer, or neither.
    pub fn direction(&self, capacity: u32) -> Ordering {
        match self.kind {
            AdjustmentType::ExactCapacity => i64::from(self.by).cmp(&i64::from(capacity)),
            AdjustmentType::ChangeInCapacity | AdjustmentType::PercentChangeInCapacity => self.by.cmp(&0),
        }
    }

    /// The capacity that it leads to within the limits: a result outside them is moved to the nearer one.
    pub fn within(&self, capacity: u32, min: u32, max: u32) -> u32 {
        clamped(self.of(capacity), min, max)
    }
}

/// A capacity within a group's limits.
pub fn clamped(capacity: i64, min: u32, max: u32) -> u32 {
    // Both casts hold: the value is between two `u32`.
    capacity.clamp(i64::from(min), i64::from(max.max(min))) as u32
}

/// Instances that hold a load at the target; what both are in, cancels.
pub fn capacity_for(load: f64, target: f64) -> u32 {
    // A hair less than the quotient, so that 10 × 5 / 5 is not 11. The cast saturates.
    (load / target - 1e-9).ceil().max(0.0) as u32
}

/// A percentage of a capacity in whole instances: above 1 it is rounded toward zero (12.7 to 12, -6.67 to -6), between 0 and 1
/// to 1, between -1 and 0 to -1.
pub fn rounded(change: f64) -> i64 {
    if change == 0.0 || change.is_nan() {
        0
    } else if change.abs() < 1.0 {
        change.signum() as i64
    } else {
        change.trunc() as i64 // saturates
    }
}

impl std::fmt::Display for Adjustment {
    /// Such as `+10 %`, `-2 instances` or `exactly 8 instances`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let instances = if self.by.abs() == 1 { "instance" } else { "instances" };
        match self.kind {
            AdjustmentType::ChangeInCapacity => write!(f, "{:+} {instances}", self.by),
            AdjustmentType::ExactCapacity => write!(f, "exactly {} {instances}", self.by),
            AdjustmentType::PercentChangeInCapacity => write!(f, "{:+} %", self.by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn percent(by: i32, min_magnitude: Option<u32>) -> Adjustment {
        Adjustment { kind: AdjustmentType::PercentChangeInCapacity, by, min_magnitude }
    }

    #[test]
    fn less_than_an_instance_is_one_and_more_is_cut() {
        let seen: Vec<i64> = [12.7, 0.67, -0.58, -6.67, 1.0, -1.0, 0.0].map(rounded).to_vec();
        assert_eq!(seen, [12, 1, -1, -6, 1, -1, 0]);
    }

    #[test]
    fn a_magnitude_is_the_least_change_of_a_percentage() {
        assert_eq!(percent(25, Some(2)).of(4), 6);
        assert_eq!(percent(-25, Some(2)).of(4), 2);
        assert_eq!(percent(0, Some(2)).of(4), 4, "no change is not made one");
        assert_eq!(percent(50, Some(2)).of(10), 15);
        let change = Adjustment { kind: AdjustmentType::ChangeInCapacity, by: 1, min_magnitude: Some(3) };
        assert_eq!(change.of(4), 5, "of percentages only");
    }

    #[test]
    fn results_outside_the_limits_are_moved_to_them() {
        let by = |by| Adjustment { kind: AdjustmentType::ChangeInCapacity, by, min_magnitude: None };
        assert_eq!((by(3).within(2, 0, 3), by(-2).within(3, 2, 9)), (3, 2));
        assert_eq!(by(i32::MIN).within(3, 0, 9), 0);
        assert_eq!(percent(i32::MAX, None).within(u32::MAX, 0, u32::MAX), u32::MAX);
    }
}
