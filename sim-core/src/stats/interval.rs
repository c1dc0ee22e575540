//! Confidence intervals.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Tally;

/// A confidence interval for a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub mean: f64,
    /// Half the interval's width.
    pub half_width: f64,
    /// The confidence level, such as 0.95.
    pub level: f64,
    /// How many independent values it rests on.
    pub count: u64,
}

impl Interval {
    /// Student's interval for the mean of independent values; `None` with fewer than two, or with a level outside (0, 1).
    pub fn student_t(values: &Tally, level: f64) -> Option<Interval> {
        let variance = values.variance()?;
        if !(level > 0.0 && level < 1.0) {
            return None;
        }
        let degrees = (values.count() - 1) as f64;
        let t = StudentsT::new(0.0, 1.0, degrees).ok()?.inverse_cdf(0.5 + level / 2.0);
        let half_width = t * (variance / values.count() as f64).sqrt();
        Some(Interval { mean: values.mean(), half_width, level, count: values.count() })
    }

    /// True where `value` lies inside.
    pub fn contains(&self, value: f64) -> bool {
        (value - self.mean).abs() <= self.half_width
    }

    /// Half the width as a share of the estimate.
    pub fn relative(&self) -> f64 {
        (self.half_width / self.mean).abs()
    }
}
