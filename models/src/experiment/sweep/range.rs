//! Ranges between two numbers with a unit: `10s..90s`, `80/s..900/s`, `x2..x8`.

use super::axis::MOST_VALUES;

/// Digits that a value inside a range is rounded to: of the range's length, or of the value where the scale is logarithmic.
const DIGITS: i32 = 6;

/// The largest end of a range: whole numbers up to here are exact.
const MOST_END: f64 = 9_007_199_254_740_992.0;

/// Everything between two numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The least value.
    pub low: f64,
    /// The greatest value; not below `low`, and itself part of the range.
    pub high: f64,
    /// Equal shares of the range are equal factors, not equal differences. Both ends are above zero then.
    pub log: bool,
    /// Its values are whole numbers.
    pub whole: bool,
    /// What stands before the number, such as `x`.
    pub prefix: String,
    /// What stands after the number, such as `ms` or `/s`.
    pub unit: String,
    /// Digits after the point that its ends have.
    decimals: usize,
}

/// How many values a range has.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spacing {
    /// One each so much.
    Step(Quantity),
    /// So many.
    Count(usize),
}

/// A number as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantity {
    prefix: String,
    number: f64,
    decimals: usize,
    point: bool,
    unit: String,
}

impl Range {
    /// Reads a range and how it is spaced; `None` where the text is a value, and no range.
    pub(super) fn read(text: &str) -> Result<Option<(Range, Option<Spacing>)>, String> {
        let Some((low, rest)) = text.split_once("..") else { return Ok(None) };
        let (high, spacing) = match rest.split_once(':') {
            Some((high, spacing)) => (high, Some(spacing.trim())),
            None => (rest, None),
        };
        let (Some(low), Some(high)) = (Quantity::read(low), Quantity::read(high)) else { return Ok(None) };
        if low.number > high.number {
            return Err("the range goes down; write the lower end first".to_string());
        }
        if low.number.abs().max(high.number.abs()) > MOST_END {
            return Err("an end of the range is too large".to_string());
        }
        if (&low.prefix, &low.unit) != (&high.prefix, &high.unit) {
            return Err("both ends need the same unit, such as `10s..90s`".to_string());
        }
        let mut range = Range {
            low: low.number,
            high: high.number,
            log: false,
            whole: !low.point && !high.point && low.unit.is_empty() && low.prefix.is_empty(),
            decimals: low.decimals.max(high.decimals),
            prefix: low.prefix,
            unit: low.unit,
        };
        let spacing = match spacing {
            Some(spacing) => range.read_spacing(spacing)?,
            None => None,
        };
        Ok(Some((range, spacing)))
    }

    /// `20s`, `lin5`, `log5` or `log`.
    fn read_spacing(&mut self, text: &str) -> Result<Option<Spacing>, String> {
        let logarithmic = text.strip_prefix("log");
        self.log = logarithmic.is_some();
        if self.log && self.low <= 0.0 {
            return Err("a logarithmic range has to begin above zero".to_string());
        }
        if logarithmic.is_some_and(str::is_empty) {
            return Ok(None);
        }
        if let Some(count) = logarithmic.or(text.strip_prefix("lin")) {
            let count: usize = count
                .parse()
                .map_err(|_| format!("`{text}` is no number of values; write `lin5` or `log5`"))?;
            return match count {
                2..=MOST_VALUES => Ok(Some(Spacing::Count(count))),
                0 | 1 => Err("a range has at least 2 values".to_string()),
                _ => Err(format!("it has more than {MOST_VALUES} values")),
            };
        }
        let wanted = "write a step such as `:4` or `:20s`, a number of values as `:lin5` or `:log5`";
        let step = Quantity::read(text).ok_or_else(|| format!("`{text}` is no step; {wanted}"))?;
        let bare = step.prefix.is_empty() && step.unit.is_empty();
        if !bare && (&step.prefix, &step.unit) != (&self.prefix, &self.unit) {
            return Err(format!("a step needs the same unit as the ends, or none; {wanted}"));
        }
        if step.number <= 0.0 {
            return Err("a step has to be above zero".to_string());
        }
        Ok(Some(Spacing::Step(step)))
    }

    /// Its values where it is spaced so.
    pub(super) fn spaced(&self, spacing: Spacing) -> Result<Vec<String>, String> {
        match spacing {
            Spacing::Step(step) => self.stepped(&step),
            Spacing::Count(count) => {
                let last = (count - 1) as f64;
                let values: Vec<String> = (0..count).map(|index| self.between(index as f64 / last)).collect();
                let distinct = values.windows(2).all(|pair| pair[0] != pair[1]);
                let (kind, ends) = (if self.log { "log" } else { "lin" }, self.with_points());
                distinct.then_some(values).ok_or_else(|| {
                    format!("it has fewer than {count} different values; write `{ends}:{kind}{count}` for fractions")
                })
            }
        }
    }

    fn stepped(&self, step: &Quantity) -> Result<Vec<String>, String> {
        // What a step that divides the range in decimals misses in binary is far below this.
        let steps = ((self.high - self.low) / step.number + 1e-9).floor();
        if steps >= MOST_VALUES as f64 {
            return Err(format!("it has more than {MOST_VALUES} values"));
        }
        let decimals = self.decimals.max(step.decimals);
        let value = |index: usize| self.show(self.low + index as f64 * step.number, decimals);
        Ok((0..=steps as usize).map(value).collect())
    }

    /// Every whole number of it.
    pub(super) fn whole_numbers(&self) -> Result<Vec<String>, String> {
        if !self.whole || self.log {
            let (low, high) = (self.end(self.low), self.end(self.high));
            let (kind, step) = (if self.log { "log" } else { "lin" }, self.end((self.high - self.low) / 4.0));
            return Err(format!(
                "there is no end of values in it: write how many, `{low}..{high}:{kind}5`, or a step, \
                 `{low}..{high}:{step}`"
            ));
        }
        let one =
            Quantity { prefix: String::new(), number: 1.0, decimals: 0, point: false, unit: String::new() };
        self.stepped(&one)
    }

    /// The value at a share of the range from 0 up to and not including 1; each whole number has an even share.
    pub fn at(&self, share: f64) -> String {
        if self.whole && !self.log {
            let number = self.low + (share.clamp(0.0, 1.0) * (self.high - self.low + 1.0)).floor();
            return self.show(number.min(self.high), 0);
        }
        self.between(share.clamp(0.0, 1.0))
    }

    /// The value so far on the way from one end, at 0, to the other, at 1.
    fn between(&self, share: f64) -> String {
        let value = if self.log {
            self.low * (self.high / self.low).powf(share)
        } else {
            self.low + share * (self.high - self.low)
        };
        let rounded_to = if self.log { value } else { self.high - self.low };
        let magnitude = if rounded_to > 0.0 { rounded_to.log10().floor() as i32 } else { 0 };
        let decimals = if self.whole { 0 } else { (DIGITS - 1 - magnitude).clamp(0, 15) as usize };
        self.show(value, decimals.max(if self.whole { 0 } else { self.decimals }))
    }

    fn end(&self, number: f64) -> String {
        self.show(number, self.decimals.max(2))
    }

    fn with_points(&self) -> String {
        let end = |number: f64| format!("{}{number:.*}{}", self.prefix, self.decimals.max(1), self.unit);
        format!("{}..{}", end(self.low), end(self.high))
    }

    /// A number with so many digits after the point at most, and its unit.
    fn show(&self, number: f64, decimals: usize) -> String {
        let digits = format!("{number:.decimals$}");
        let short =
            if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
        format!("{}{}{}", self.prefix, if short == "-0" { "0" } else { short }, self.unit)
    }
}

impl Quantity {
    /// A number with what stands before and after it; `None` where there is none.
    fn read(text: &str) -> Option<Quantity> {
        let text = text.trim();
        let digit = text.find(|c: char| c.is_ascii_digit())?;
        let start = if text[..digit].ends_with('-') { digit - 1 } else { digit };
        let number = text[digit..].find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_');
        let end = number.map_or(text.len(), |length| digit + length);
        let digits = text[start..end].replace('_', "");
        let unit = &text[end..];
        // A second number is no unit, but another kind of word: `p99 <= 60ms`, `2026-11-27`.
        if unit.contains(|c: char| c.is_ascii_digit()) {
            return None;
        }
        Some(Quantity {
            prefix: text[..start].to_string(),
            number: digits.parse().ok()?,
            decimals: digits.split_once('.').map_or(0, |(_, fraction)| fraction.len()).min(15),
            point: digits.contains('.'),
            unit: unit.to_string(),
        })
    }
}
