//! Bounds as tests write them.

use sim_core::Span;

use super::tell;

/// A bound of an assertion: text as a scenario would have it (`"250ms"`, `"5min"`, `"99.9%"`, `"120"`), or a number in the unit
/// of what is measured: seconds for response times, minutes for violations, hours for instance hours, percent for shares, the
/// price book's currency for money.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// With its unit.
    Text(String),
    /// In the unit of what is measured.
    Number(f64),
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        Bound::Text(text.to_string())
    }
}

impl From<f64> for Bound {
    fn from(number: f64) -> Self {
        Bound::Number(number)
    }
}

impl From<i32> for Bound {
    fn from(number: i32) -> Self {
        Bound::Number(f64::from(number))
    }
}

impl From<u32> for Bound {
    fn from(number: u32) -> Self {
        Bound::Number(f64::from(number))
    }
}

impl Bound {
    /// Its value in `unit`, or why it has none.
    pub(super) fn read(&self, unit: &str) -> Result<f64, String> {
        let number = match self {
            Bound::Number(number) => Some(*number),
            Bound::Text(text) => read(text.trim(), unit),
        };
        number
            .filter(|number| number.is_finite())
            .ok_or_else(|| format!("`{}` is no bound: expected {}", self.show(unit), expected(unit)))
    }

    /// As it was written.
    pub(super) fn show(&self, unit: &str) -> String {
        match self {
            Bound::Text(text) => text.clone(),
            Bound::Number(number) => tell::value(*number, unit),
        }
    }
}

fn read(text: &str, unit: &str) -> Option<f64> {
    let seconds = || text.parse::<Span>().ok().map(Span::as_secs_f64);
    match unit {
        "s" => seconds(),
        "min" => Some(seconds()? / 60.0),
        "h" => Some(seconds()? / 3_600.0),
        "%" => text.strip_suffix('%')?.trim().parse().ok(),
        "USD" => text.trim_start_matches('$').trim_end_matches("USD").trim().parse().ok(),
        unit => text.trim_end_matches(unit).trim().replace('_', "").parse().ok(),
    }
}

fn expected(unit: &str) -> String {
    match unit {
        "s" | "min" | "h" => "a length of time such as \"250ms\" or \"5min\"".to_string(),
        "%" => "a share such as \"99.9%\"".to_string(),
        "" => "a number".to_string(),
        currency => format!("an amount such as 120.0 or \"120 {currency}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_in_the_unit_of_what_is_measured() {
        let read = |bound: Bound, unit: &str| bound.read(unit).ok();
        assert_eq!(read("250ms".into(), "s"), Some(0.25));
        assert_eq!(read("1h30min".into(), "min"), Some(90.0));
        assert_eq!(read("90min".into(), "h"), Some(1.5));
        assert_eq!(read("99.9 %".into(), "%"), Some(99.9));
        assert_eq!(read("$12.50".into(), "USD"), Some(12.5));
        assert_eq!(read("12.50 EUR".into(), "EUR"), Some(12.5));
        assert_eq!(read("1_000".into(), ""), Some(1000.0));
        assert_eq!(read(0.25.into(), "s"), Some(0.25));
    }

    #[test]
    fn what_is_no_bound_says_what_would_be() {
        let why = |text: &str, unit: &str| Bound::from(text).read(unit).unwrap_err();
        assert_eq!(
            why("250", "s"),
            "`250` is no bound: expected a length of time such as \"250ms\" or \"5min\""
        );
        assert_eq!(why("0.999", "%"), "`0.999` is no bound: expected a share such as \"99.9%\"");
        assert!(Bound::from(f64::NAN).read("s").is_err());
    }
}
