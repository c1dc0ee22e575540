//! Scheduled actions and changes by hand.

use sim_core::Time;

/// Sets a group's limits or size at stated times. Members left out keep their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledAction {
    /// How the scenario states the times, for the activity log: a cron expression or a time.
    pub schedule: String,
    /// When it runs, in simulated time, ascending.
    pub times: Vec<Time>,
    /// The new minimum.
    pub min: Option<u32>,
    /// The new desired capacity.
    pub desired: Option<u32>,
    /// The new maximum.
    pub max: Option<u32>,
}

/// A group's limits and desired capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The smallest desired capacity.
    pub min: u32,
    /// The desired capacity.
    pub desired: u32,
    /// The largest desired capacity.
    pub max: u32,
}

/// What a scheduled action makes of a group's size, and how the log describes it; or why it fails. Raising the minimum
/// above the desired capacity lifts that, lowering the maximum below it lowers it.
pub fn apply(action: &ScheduledAction, size: Size) -> Result<(Size, String), String> {
    let (min, max) = (action.min.unwrap_or(size.min), action.max.unwrap_or(size.max));
    if min > max {
        return Err(format!(
            "Scheduled action ({}) failed: its minimum of {min} is above the maximum of {max}.",
            action.schedule
        ));
    }
    if let Some(desired) = action.desired.filter(|desired| !(min..=max).contains(desired)) {
        return Err(format!(
            "Scheduled action ({}) failed: the desired capacity of {desired} is outside {min} to {max}.",
            action.schedule
        ));
    }
    let new = Size { min, desired: action.desired.unwrap_or(size.desired).clamp(min, max), max };
    Ok((new, format!("Scheduled action ({}) set the size from {size} to {new}.", action.schedule)))
}

/// Sets the desired capacity by hand. Outside the group's limits it is refused, as the API does.
pub fn set_desired(size: Size, desired: u32) -> Result<(Size, String), String> {
    if !(size.min..=size.max).contains(&desired) {
        return Err(format!(
            "Setting the desired capacity to {desired} by hand was refused: it is outside {} to {}.",
            size.min, size.max
        ));
    }
    let new = Size { desired, ..size };
    Ok((new, format!("Somebody set the desired capacity by hand from {} to {desired}.", size.desired)))
}

impl std::fmt::Display for Size {
    /// Minimum, desired, maximum: `1/2/5`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.min, self.desired, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(min: Option<u32>, desired: Option<u32>, max: Option<u32>) -> ScheduledAction {
        ScheduledAction { schedule: "0 8 * * *".into(), times: vec![], min, desired, max }
    }

    const SIZE: Size = Size { min: 1, desired: 2, max: 5 };

    #[test]
    fn limits_move_the_desired_capacity() {
        let sized =
            |min, desired, max| apply(&action(min, desired, max), SIZE).map(|(size, _)| size.to_string());
        assert_eq!(sized(Some(3), None, None).as_deref(), Ok("3/3/5"));
        assert_eq!(sized(None, None, Some(1)).as_deref(), Ok("1/1/1"));
        assert_eq!(sized(Some(2), Some(4), Some(8)).as_deref(), Ok("2/4/8"));
        assert!(sized(None, Some(9), None).is_err());
        assert!(sized(Some(6), None, None).is_err());
    }

    #[test]
    fn a_change_by_hand_stays_within_the_limits() {
        assert_eq!(set_desired(SIZE, 5).map(|(size, _)| size.desired), Ok(5));
        assert!(set_desired(SIZE, 6).is_err());
    }
}
