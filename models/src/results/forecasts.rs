//! What predictive policies forecast, beside what came.

use serde::{Deserialize, Serialize};

/// The forecasts of one predictive policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastResult {
    /// The group.
    pub group: String,
    /// What is forecast, summed up over the group, with its unit: `CPU in %`, `requests a minute`, `open sessions`.
    pub load: String,
    /// The value by instance that is planned for.
    pub target: f64,
    /// True where the group follows the forecast; else it is a forecast only.
    pub scales: bool,
    /// Hours of history before the run.
    pub history: u32,
    /// How far the forecasts were off, on average over the hours of the run, in percent of what came (MAPE); `None` where
    /// nothing can be compared.
    pub error: Option<f64>,
    /// Hour by hour, from the wall clock's hour in which the run begins.
    pub hours: Vec<ForecastHour>,
}

/// An hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastHour {
    /// When it begins; the first may be cut by the start of the run.
    pub at: f64,
    /// The load that was forecast when its capacity was asked for; `None` where there was no forecast.
    pub forecast: Option<f64>,
    /// The mean load that came; `None` where less than half of the hour was measured.
    pub actual: Option<f64>,
    /// Instances that the forecast needs, before the group's limits.
    pub capacity: Option<u32>,
}
