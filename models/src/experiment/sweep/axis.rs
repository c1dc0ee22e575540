//! Axes: values that a path of a scenario takes, from one line of text.
//!
//! ```text
//! PATH[,PATH…]=VALUE,VALUE,…       group.web.max=4,8,16
//! LOW..HIGH                        group.web.max=4..16           every whole number
//! LOW..HIGH:STEP                   group.web.startup.boot=10s..90s:20s
//! LOW..HIGH:linN, LOW..HIGH:logN   traffic.web.profile.constant=80/s..900/s:log5
//! ```
//!
//! Both ends belong to a range, and have their unit. Where they are written without point and unit, its values are whole
//! numbers. `LOW..HIGH` with a unit or a point, and `LOW..HIGH:log`, have no values of their own: they are for what picks
//! values itself, as a Latin hypercube does. Several paths take the same value together.

use std::fmt;
use std::str::FromStr;

use super::range::Range;

/// Values that an axis may have.
pub const MOST_VALUES: usize = 10_000;

/// Why a text is no axis, or an axis has not what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{axis}`: {why}")]
pub struct AxisError {
    /// The axis as it was typed.
    pub axis: String,
    /// What is wrong with it, and what to write.
    pub why: String,
}

/// Paths of a scenario, and the values that they take together.
///
/// ```
/// use scalesim::experiment::sweep::Axis;
/// let axis: Axis = "group.web.startup.boot=10s..90s:40s".parse()?;
/// assert_eq!(axis.list()?, ["10s", "50s", "90s"]);
/// let axis: Axis = "balancer.front.algorithm=round-robin,least-outstanding-requests".parse()?;
/// assert_eq!(axis.list()?.len(), 2);
/// # Ok::<(), scalesim::experiment::sweep::AxisError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Paths as of `--set`; at least one.
    pub paths: Vec<String>,
    /// What they take.
    pub values: Values,
    text: String,
}

/// What an axis takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// These, in this order: TOML, or strings without their quotes. At least one, none twice.
    List(Vec<String>),
    /// Anything in a range.
    Range(Range),
}

impl Axis {
    /// All its values, in order, as a grid takes them.
    ///
    /// # Errors
    /// Where it is a range in which there are values without end, or more than [`MOST_VALUES`].
    pub fn list(&self) -> Result<Vec<String>, AxisError> {
        match &self.values {
            Values::List(list) => Ok(list.clone()),
            Values::Range(range) => range.whole_numbers().map_err(|why| self.error(why)),
        }
    }

    /// The value at a share of the axis from 0 up to and not including 1: an even share of it belongs to each value of a
    /// list and to each whole number.
    pub fn at(&self, share: f64) -> String {
        match &self.values {
            Values::List(list) => {
                let index = (share.clamp(0.0, 1.0) * list.len() as f64) as usize;
                list[index.min(list.len() - 1)].clone()
            }
            Values::Range(range) => range.at(share),
        }
    }

    /// What to set for it to have `value`: paths and values as [`Draft::with`](crate::Draft::with) takes them.
    pub fn settings<'a>(&'a self, value: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.paths.iter().map(move |path| (path.as_str(), value))
    }

    /// What it is called in tables and plots: its paths, with a comma between.
    pub fn name(&self) -> String {
        self.paths.join(",")
    }

    fn error(&self, why: String) -> AxisError {
        AxisError { axis: self.text.clone(), why }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Axis {
    type Err = AxisError;

    fn from_str(text: &str) -> Result<Axis, AxisError> {
        parse(text).map_err(|why| AxisError { axis: text.to_string(), why })
    }
}

fn parse(text: &str) -> Result<Axis, String> {
    let (paths, values) = match split(text, '=').as_slice() {
        [_] => return Err("it has no `=`; write `group.web.max=4,8,16`".to_string()),
        [paths, ..] => (*paths, &text[paths.len() + 1..]),
        [] => return Err("it is empty".to_string()),
    };
    let paths: Vec<String> = split(paths, ',').into_iter().map(|path| path.trim().to_string()).collect();
    if paths.iter().any(String::is_empty) {
        return Err("a path is empty; write `group.web.max=4,8,16`".to_string());
    }
    Ok(Axis { paths, values: read_values(values)?, text: text.to_string() })
}

/// Items between commas, each a value or a range that has a list.
fn read_values(text: &str) -> Result<Values, String> {
    let items: Vec<&str> = split(text, ',').into_iter().map(str::trim).collect();
    let mut list: Vec<String> = Vec::new();
    for item in &items {
        if item.is_empty() {
            return Err("a value is empty".to_string());
        }
        match Range::read(item)? {
            None => list.push(item.to_string()),
            Some((range, None)) if items.len() == 1 => return Ok(Values::Range(range)),
            Some((range, None)) => list.extend(range.whole_numbers()?),
            Some((range, Some(spacing))) => list.extend(range.spaced(spacing)?),
        }
        if list.len() > MOST_VALUES {
            return Err(format!("it has more than {MOST_VALUES} values"));
        }
    }
    let mut sorted: Vec<&String> = list.iter().collect();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("it has `{}` twice", twice[0]));
    }
    Ok(Values::List(list))
}

/// The parts of a text between separators that are in no quotes and no brackets.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, c) if c == separator && depth == 0 => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use super::*;

    fn list(values: &str) -> Vec<String> {
        format!("a.b={values}").parse::<Axis>().unwrap().list().unwrap()
    }

    fn error(text: &str) -> String {
        match text.parse::<Axis>().and_then(|axis| axis.list()) {
            Ok(list) => panic!("{text} has the values {list:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_list_keeps_its_order_and_its_words() {
        assert_eq!(list("16,4, 8"), ["16", "4", "8"]);
        assert_eq!(list("round-robin,random"), ["round-robin", "random"]);
        assert_eq!(list("p99 <= 60ms"), ["p99 <= 60ms"]);
        assert_eq!(list("../one.csv,../two.csv"), ["../one.csv", "../two.csv"]);
    }

    #[test]
    fn commas_in_quotes_and_brackets_part_nothing() {
        assert_eq!(list("[\"a\", \"b\"],['a']"), ["[\"a\", \"b\"]", "['a']"]);
        assert_eq!(
            list("{ exp = { mean = \"2ms\", cap = 1 } },3ms"),
            ["{ exp = { mean = \"2ms\", cap = 1 } }", "3ms"]
        );
        let axis: Axis = "service.api.endpoint.\"GET /?a=1,2\".size=1 KiB,2 KiB".parse().unwrap();
        assert_eq!(axis.paths, ["service.api.endpoint.\"GET /?a=1,2\".size"]);
    }

    #[test]
    fn a_value_may_have_an_equals_sign() {
        assert_eq!(list("p99 <= 60ms,p99 <= 90ms"), ["p99 <= 60ms", "p99 <= 90ms"]);
    }

    #[test]
    fn a_range_of_whole_numbers_has_both_ends() {
        assert_eq!(list("4..8"), ["4", "5", "6", "7", "8"]);
        assert_eq!(list("-1..1"), ["-1", "0", "1"]);
        assert_eq!(list("1..3,8,16"), ["1", "2", "3", "8", "16"]);
    }

    #[test]
    fn a_step_ends_at_or_before_the_end() {
        assert_eq!(list("4..16:4"), ["4", "8", "12", "16"]);
        assert_eq!(list("4..15:4"), ["4", "8", "12"]);
        assert_eq!(list("10s..90s:20s"), ["10s", "30s", "50s", "70s", "90s"]);
        assert_eq!(list("80/s..90/s:5"), ["80/s", "85/s", "90/s"]);
        assert_eq!(list("0..1:0.25"), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(list("0.1..0.7:0.1"), ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]);
        assert_eq!(list("x2..x6:2"), ["x2", "x4", "x6"]);
        assert_eq!(list("1 GiB..2 GiB:0.5 GiB"), ["1 GiB", "1.5 GiB", "2 GiB"]);
    }

    #[test]
    fn a_number_of_values_is_spaced_evenly_or_by_an_even_factor() {
        assert_eq!(list("80/s..900/s:lin5"), ["80/s", "285/s", "490/s", "695/s", "900/s"]);
        assert_eq!(list("1s..100s:log3"), ["1s", "10s", "100s"]);
        assert_eq!(list("1..1000:log4"), ["1", "10", "100", "1000"]);
        assert_eq!(list("4..16:lin6"), ["4", "6", "9", "11", "14", "16"], "whole numbers stay whole");
        assert_eq!(list("0.0..1.0:lin3"), ["0", "0.5", "1"]);
    }

    #[test]
    fn paths_can_take_their_values_together() {
        let axis: Axis = "group.web.min, group.web.max=2..3".parse().unwrap();
        let settings: Vec<_> = axis.settings("2").collect();
        assert_eq!(settings, [("group.web.min", "2"), ("group.web.max", "2")]);
        assert_eq!(axis.name(), "group.web.min,group.web.max");
    }

    #[test]
    fn what_is_no_axis_says_what_to_write() {
        for (text, part) in [
            ("group.web.max", "no `=`"),
            ("=4", "a path is empty"),
            ("a=", "a value is empty"),
            ("a=4,,5", "a value is empty"),
            ("a=4,8,4", "`4` twice"),
            ("a=1..3,2", "`2` twice"),
            ("a=8..4", "goes down"),
            ("a=10s..90s", "`10s..90s:lin5`"),
            ("a=10s..90s,4s", "`10s..90s:lin5`"),
            ("a=1..8:log", "`1..8:log5`"),
            ("a=10s..90min:20s", "same unit"),
            ("a=10s..90s:1min", "same unit"),
            ("a=10s..90s:0s", "above zero"),
            ("a=0s..90s:log4", "above zero"),
            ("a=10s..90s:lin1", "at least 2"),
            ("a=4..6:lin7", "`4.0..6.0:lin7`"),
            ("a=1..20000", "10000 values"),
            ("a=1..2:1e-9", "a step"),
            ("a=0..1:0.00001", "10000 values"),
            ("a=0..99999999999999999999", "too large"),
        ] {
            assert!(error(text).contains(part), "{text}: {}", error(text));
        }
    }

    #[test]
    fn shares_of_an_axis_belong_to_its_values_evenly() {
        for (text, expected) in [("a=x,y", ["x", "x", "y", "y"]), ("a=1..2", ["1", "1", "2", "2"])] {
            let axis: Axis = text.parse().unwrap();
            assert_eq!([0.0, 0.49, 0.5, 0.999].map(|share| axis.at(share)), expected);
        }
        let axis: Axis = "a=10s..90s".parse().unwrap();
        assert_eq!([0.0, 0.25, 0.5].map(|share| axis.at(share)), ["10s", "30s", "50s"]);
        let axis: Axis = "a=1s..100s:log".parse().unwrap();
        assert_eq!([0.0, 0.5].map(|share| axis.at(share)), ["1s", "10s"]);
        assert_eq!("a=7..7".parse::<Axis>().unwrap().at(0.3), "7");
    }
}
