//! The values that one path may take, in an order from which shrinking knows its way.

use std::ops::RangeInclusive;

use sim_core::Span;

use crate::scenario::split_path;

/// Steps of a grid, at most.
const MOST_STEPS: f64 = 10_000.0;

/// A path and its values, which are numbered from 0.
#[derive(Clone, Debug)]
pub struct Choice {
    path: String,
    values: Values,
    /// Where the scenario's own value is among them, or between which and the next; `None` where it is not in their range.
    own: Option<u64>,
    /// Whether that is the scenario's own value and not only near it.
    exact: bool,
}

#[derive(Clone, Debug)]
enum Values {
    Whole { low: i64, last: u64 },
    Spans { low: u64, high: u64, step: u64 },
    Decimals { low: f64, high: f64, decimals: i32, unit: &'static str },
    List(Vec<String>),
}

impl Choice {
    /// Whole numbers.
    pub fn whole(path: &str, range: &RangeInclusive<i64>, own: Option<&toml::Value>) -> Choice {
        let values = Values::Whole { low: *range.start(), last: range.end().abs_diff(*range.start()) };
        let own = own.and_then(toml::Value::as_integer).filter(|own| range.contains(own));
        Choice::new(path, values, own.map(|own| own.abs_diff(*range.start())), true)
    }

    /// Lengths of time.
    pub fn span(path: &str, low: Span, high: Span, own: Option<&toml::Value>) -> Choice {
        let (low, high) = (low.as_nanos(), high.as_nanos());
        let mut step = 1;
        while (high - low) as f64 / step as f64 > MOST_STEPS {
            step *= 10;
        }
        let own = own.and_then(|own| own.as_str()?.parse::<Span>().ok()).map(Span::as_nanos);
        let own = own.filter(|own| (low..=high).contains(own));
        let exact = own.is_some_and(|own| (own - low).is_multiple_of(step));
        Choice::new(path, Values::Spans { low, high, step }, own.map(|own| (own - low) / step), exact)
    }

    /// Numbers, written with a unit.
    pub fn decimal(path: &str, low: f64, high: f64, unit: &'static str, own: Option<&toml::Value>) -> Choice {
        let most_decimals = (MOST_STEPS / (high - low).max(f64::MIN_POSITIVE)).log10().floor();
        let decimals = most_decimals.clamp(-300.0, 12.0) as i32;
        let own = own.and_then(|own| match own {
            toml::Value::Integer(own) => Some(*own as f64),
            toml::Value::Float(own) => Some(*own),
            toml::Value::String(own) => own.strip_suffix(unit)?.trim().parse().ok(),
            _ => None,
        });
        let own = own.filter(|own| (low..=high).contains(own));
        let near = own.map(|own| ((own - low) * 10f64.powi(decimals)).round().max(0.0) as u64);
        let mut choice = Choice::new(path, Values::Decimals { low, high, decimals, unit }, near, false);
        choice.exact = near.zip(own).is_some_and(|(near, own)| choice.decimal_at(near) == Some(own));
        choice
    }

    /// Values from a list.
    pub fn any_of(path: &str, values: Vec<String>, own: Option<&toml::Value>) -> Choice {
        let own = own.map(|own| own.as_str().map_or_else(|| own.to_string(), str::to_string));
        let own = own.and_then(|own| values.iter().position(|value| *value == own));
        Choice::new(path, Values::List(values), own.map(|own| own as u64), true)
    }

    fn new(path: &str, values: Values, own: Option<u64>, exact: bool) -> Choice {
        Choice { path: path.to_string(), values, own, exact }
    }

    /// As of `--set`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The number of the last value.
    pub fn last(&self) -> u64 {
        match &self.values {
            Values::Whole { last, .. } => *last,
            Values::Spans { low, high, step } => (high - low).div_ceil(*step),
            Values::Decimals { low, high, decimals, .. } => {
                ((high - low) * 10f64.powi(*decimals) - 1e-6).ceil().max(0.0) as u64
            }
            Values::List(values) => values.len() as u64 - 1, // a list has at least one
        }
    }

    /// Whether a value is the scenario's own.
    pub fn is_own(&self, value: u64) -> bool {
        self.exact && self.own == Some(value)
    }

    /// Where the scenario's own value is; `None` where it is not in the range, so that the path has to be set.
    pub fn own(&self) -> Option<u64> {
        self.own
    }

    /// A value as `--set` takes it.
    pub fn text(&self, value: u64) -> String {
        match &self.values {
            Values::Whole { low, .. } => low.saturating_add_unsigned(value).to_string(),
            Values::Spans { low, high, step } => {
                Span::from_nanos(low.saturating_add(step.saturating_mul(value)).min(*high)).to_string()
            }
            Values::Decimals { decimals, unit, .. } => {
                let places = usize::try_from(*decimals).unwrap_or(0);
                format!("{:.places$}{unit}", self.decimal_at(value).unwrap_or(0.0))
            }
            Values::List(values) => {
                let index = usize::try_from(value).unwrap_or(usize::MAX).min(values.len() - 1);
                values[index].clone()
            }
        }
    }

    fn decimal_at(&self, value: u64) -> Option<f64> {
        let Values::Decimals { low, high, decimals, .. } = self.values else { return None };
        let x = (low + value as f64 / 10f64.powi(decimals)).min(high);
        // As it will be read: with no more decimals than are written.
        format!("{x:.places$}", places = usize::try_from(decimals).unwrap_or(0)).parse().ok()
    }
}

/// What stands at a path.
pub fn value_at<'a>(table: &'a toml::Table, path: &str) -> Option<&'a toml::Value> {
    let keys = split_path(path)?;
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(first)?, |value, key| match value {
        toml::Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    })
}
