//! What may be recommended: the candidates that axes make of a scenario.

use std::collections::BTreeSet;

use super::RecommendError;
use super::field::Candidate;
use crate::experiment::sweep::{Axis, Values};
use crate::plan::{Group, Plan};
use crate::scenario::{Diagnostics, Draft, Scenario, split_path};

/// The most candidates of one search. One that is bisected plays few of them.
pub const MOST_CANDIDATES: usize = 1_000;
/// Several groups are varied together while that makes no more candidates than this; else one at a time.
const MOST_JOINTLY: usize = 64;
/// Sizes of a group that are tried where it is not alone, as shares of its present size.
const LEVELS: [f64; 6] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0];
/// Sizes of a group that is alone: with more, some are passed over.
const MOST_SIZES: u32 = 200;

/// The candidates.
pub struct Space {
    /// All that can be read. The scenario as it stands is always among them.
    pub candidates: Vec<Candidate>,
    /// The scenario as it stands.
    pub present: usize,
    /// What it sets on the axes, where the resolved scenario says so.
    pub present_settings: Vec<(String, String)>,
    /// What cannot be, and why.
    pub refused: Vec<(Vec<(String, String)>, String)>,
    /// Where there is one axis and its values are numbers of a range: all candidates by their value, as far as they have one.
    pub order: Option<Vec<usize>>,
    /// What is varied, in words.
    pub axes: Vec<String>,
}

/// Makes the candidates: each grid is the product of its axes.
///
/// # Errors
/// Where there are too many, none can be, or an axis has no list of values.
pub fn space(draft: &Draft<'_>, base: &Scenario, grids: &[Vec<Axis>]) -> Result<Space, RecommendError> {
    let resolved: toml::Table = base.resolved().parse().unwrap_or_default();
    let axes: Vec<&Axis> = grids.iter().flatten().collect();
    let mut settings = BTreeSet::new();
    let mut ordered = Vec::new();
    for grid in grids {
        for one in product(grid)? {
            if settings.insert(one.clone()) {
                ordered.push(one);
            }
        }
    }
    let present_settings = axes.iter().flat_map(|axis| &axis.paths);
    let present_settings =
        present_settings.filter_map(|path| Some((path.clone(), look_up(&resolved, path)?)));
    let mut space = Space {
        // The scenario as it stands comes first: of equals the first one is recommended.
        candidates: vec![Candidate::new(Vec::new(), true, base.plan().clone())],
        present: 0,
        present_settings: present_settings.collect(),
        refused: Vec::new(),
        order: None,
        axes: axes.iter().map(ToString::to_string).collect(),
    };
    let mut first_error = None;
    for one in ordered {
        let variant = one.iter().fold(draft.clone(), |draft, (path, value)| draft.with(path, value));
        match variant.read() {
            Ok(scenario) if scenario.resolved() == base.resolved() => space.candidates[0].settings = one,
            Ok(scenario) if scenario.plan().objectives.len() == base.plan().objectives.len() => {
                space.candidates.push(Candidate::new(one, false, scenario.plan().clone()));
            }
            Ok(_) => space.refused.push((one, "it has other objectives".to_string())),
            Err(diagnostics) => {
                space.refused.push((one, first_message(&diagnostics)));
                first_error.get_or_insert(diagnostics);
            }
        }
    }
    if space.candidates.len() == 1 && space.candidates[0].settings.is_empty() {
        return Err(first_error
            .map_or(RecommendError::NoCandidates, |first| RecommendError::Scenario(Box::new(first))));
    }
    if let ([axis], 1) = (axes.as_slice(), grids.len()) {
        space.order = order(axis, &space);
    }
    Ok(space)
}

fn product(grid: &[Axis]) -> Result<Vec<Vec<(String, String)>>, RecommendError> {
    let mut all: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for axis in grid {
        let values = axis.list()?;
        if all.len().saturating_mul(values.len()) > MOST_CANDIDATES {
            return Err(RecommendError::TooMany);
        }
        let own = |value: &str| {
            axis.settings(value).map(|(path, value)| (path.to_string(), value.to_string())).collect()
        };
        let own: Vec<Vec<(String, String)>> = values.iter().map(|value| own(value)).collect();
        all =
            all.iter().flat_map(|one| own.iter().map(move |more| [one.as_slice(), more].concat())).collect();
    }
    Ok(all)
}

/// The candidates of one axis by value, where that is a range of numbers with one unit.
fn order(axis: &Axis, space: &Space) -> Option<Vec<usize>> {
    if !axis.to_string().contains("..") {
        return None;
    }
    // What all its paths have: a scenario in which they differ has no place in the order.
    let value = |settings: &[(String, String)]| {
        let of = |path: &String| number(&settings.iter().find(|(own, _)| own == path)?.1);
        let (first, rest) = axis.paths.split_first()?;
        let first = of(first)?;
        rest.iter().all(|path| of(path).as_ref() == Some(&first)).then_some(first)
    };
    let (_, unit) = value(&space.candidates.iter().find(|one| !one.settings.is_empty())?.settings)?;
    let mut numbered = Vec::new();
    for (index, candidate) in space.candidates.iter().enumerate() {
        let own = if candidate.settings.is_empty() { &space.present_settings } else { &candidate.settings };
        match value(own) {
            Some((number, own)) if own == unit => numbered.push((number, index)),
            _ if candidate.present => {}
            _ => return None,
        }
    }
    numbered.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some(numbered.into_iter().map(|(_, index)| index).collect())
}

/// A number and what stands around it, such as 80 and `/s`.
pub fn number(text: &str) -> Option<(f64, String)> {
    let text = text.trim().trim_matches('"');
    let from = text.find(|c: char| c.is_ascii_digit() || c == '-')?;
    let to = text[from..].find(|c: char| !(c.is_ascii_digit() || "-._".contains(c)));
    let to = to.map_or(text.len(), |length| from + length);
    let unit = format!("{}{}", &text[..from], &text[to..]);
    let number = text[from..to].replace('_', "").parse().ok()?;
    (!unit.contains(|c: char| c.is_ascii_digit())).then_some((number, unit))
}

/// The value at a path of a resolved scenario, as it would be set.
fn look_up(resolved: &toml::Table, path: &str) -> Option<String> {
    let keys = split_path(path)?;
    let (first, rest) = keys.split_first()?;
    let value = rest.iter().try_fold(resolved.get(first)?, |value, key| match value {
        toml::Value::Table(table) => table.get(key),
        toml::Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })?;
    Some(match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// What is varied where nothing is said: the sizes of all groups. A single group whose size is fixed has any size up to twice
/// its present one; others have a few, and the bounds of one that scales are varied each.
pub fn usual_grids(draft: &Draft<'_>, plan: &Plan) -> Result<Vec<Vec<Axis>>, RecommendError> {
    if let [group] = plan.groups.as_slice()
        && group.scaling.is_empty()
    {
        let most = group.desired.max(1).saturating_mul(2);
        let step = most.div_ceil(MOST_SIZES).max(1);
        let step = if step > 1 { format!(":{step}") } else { String::new() };
        return Ok(vec![vec![size_axis(draft, group, &format!("1..{most}{step}"))?]]);
    }
    let of_group = |group: &Group| -> Result<Vec<Axis>, RecommendError> {
        if group.scaling.is_empty() {
            return Ok(vec![size_axis(draft, group, &levels(group.desired))?]);
        }
        let path = path_of(group);
        Ok(vec![
            format!("{path}.min={}", levels(group.min)).parse()?,
            format!("{path}.max={}", levels(group.max)).parse()?,
        ])
    };
    let each: Vec<Vec<Axis>> = plan.groups.iter().map(of_group).collect::<Result<_, _>>()?;
    let size = |axis: &Axis| match &axis.values {
        Values::List(list) => list.len(),
        Values::Range(_) => MOST_CANDIDATES,
    };
    let jointly = each.iter().flatten().map(size).fold(1, usize::saturating_mul);
    Ok(if jointly <= MOST_JOINTLY { vec![each.concat()] } else { each })
}

/// The axis of a group's fixed size: `min`, and what else of its size the scenario states.
fn size_axis(draft: &Draft<'_>, group: &Group, values: &str) -> Result<Axis, RecommendError> {
    let path = path_of(group);
    let text: toml::Table = draft.text().parse().unwrap_or_default();
    let stated = |key: &str| {
        let path = format!("{path}.{key}");
        look_up(&text, &path).is_some() || draft.overrides().iter().any(|(own, _)| *own == path)
    };
    let keys = ["min", "desired", "max"].into_iter().filter(|key| *key == "min" || stated(key));
    let paths: Vec<String> = keys.map(|key| format!("{path}.{key}")).collect();
    Ok(format!("{}={values}", paths.join(",")).parse()?)
}

fn path_of(group: &Group) -> String {
    let bare = group.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { format!("group.{}", group.name) } else { format!("group.\"{}\"", group.name) }
}

/// A few sizes around one.
fn levels(now: u32) -> String {
    let sizes: BTreeSet<u32> =
        LEVELS.iter().map(|level| ((f64::from(now) * level).round() as u32).max(1)).collect();
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    sizes.join(",")
}

fn first_message(diagnostics: &Diagnostics) -> String {
    diagnostics.list.first().map_or(String::new(), |diagnostic| diagnostic.message.clone())
}

/// An axis with values for bisection: a range that has no list of its own gets values that are apart by the tolerance, a share
/// of each.
///
/// # Errors
/// Where that makes no list, or too many values.
pub fn spaced(axis: &Axis, tolerance: f64) -> Result<Axis, RecommendError> {
    let Values::Range(range) = &axis.values else { return Ok(axis.clone()) };
    let text = axis.to_string();
    if range.whole && !range.log {
        let step = ((range.high - range.low + 1.0) / MOST_CANDIDATES as f64).ceil();
        return if step <= 1.0 { Ok(axis.clone()) } else { Ok(format!("{text}:{step}").parse()?) };
    }
    let steps =
        if range.low > 0.0 { (range.high / range.low).ln() / tolerance.ln_1p() } else { 1.0 / tolerance };
    if steps >= MOST_CANDIDATES as f64 {
        return Err(RecommendError::TooMany);
    }
    let (scale, count) =
        (if range.low > 0.0 { "log" } else { "lin" }, (steps - 1e-9).ceil().max(1.0) as usize + 1);
    Ok(format!("{}:{scale}{count}", text.trim_end_matches(":log")).parse()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use super::*;
    use crate::NoFiles;

    const SHOP: &str = r#"
        [scenario]
        duration = "1min"
        [traffic.web]
        to = "front"
        profile = { constant = "50/s" }
        [service.api]
        runtime = "event-loop"
        [service.api.endpoint."GET /"]
        steps = [{ cpu = "1ms" }]
        [group."web.eu"]
        service = "api"
        machine = "c7g.large"
        min = 2
        max = 6
        [balancer.front]
        targets = "web.eu"
    "#;

    fn made(draft: &Draft<'_>, axes: &[&str]) -> Space {
        let grid = axes.iter().map(|axis| axis.parse().unwrap()).collect();
        space(draft, &draft.read().unwrap(), &[grid]).unwrap()
    }

    fn shown(space: &Space) -> Vec<String> {
        let value = |index: &usize| {
            let candidate = &space.candidates[*index];
            candidate.settings.first().map_or("as it stands".to_string(), |setting| setting.1.clone())
        };
        space.order.iter().flatten().map(value).collect()
    }

    #[test]
    fn the_scenario_as_it_stands_has_its_place_in_the_order() {
        let draft = Draft::new("shop.toml", SHOP, &NoFiles);
        let path = "traffic.web.profile.constant";
        assert_eq!(
            shown(&made(&draft, &[&format!("{path}=30/s..60/s:10")])),
            ["30/s", "40/s", "50/s", "60/s"]
        );
        let between = made(&draft, &[&format!("{path}=20/s..80/s:20")]);
        assert_eq!(shown(&between), ["20/s", "40/s", "as it stands", "60/s", "80/s"]);
        assert!(between.candidates[between.present].present);
        assert_eq!(
            made(&draft, &[&format!("{path}=30/s,40/s,60/s")]).order,
            None,
            "a list is compared in full"
        );
        let both = made(&draft, &["group.\"web.eu\".min,group.\"web.eu\".max=2..4"]);
        assert_eq!(shown(&both), ["2", "3", "4"], "with 2 to 6 it is neither");
        assert_eq!(both.candidates.len(), 4);
    }

    #[test]
    fn a_fixed_group_is_varied_by_all_that_is_stated_of_its_size() {
        let draft = Draft::new("shop.toml", SHOP, &NoFiles);
        let grids = usual_grids(&draft, draft.read().unwrap().plan()).unwrap();
        assert_eq!(grids[0][0].to_string(), "group.\"web.eu\".min,group.\"web.eu\".max=1..4");
    }

    #[test]
    fn bounds_of_a_group_that_scales_are_varied_each() {
        let scaling = "max = 6\nmonitoring = \"detailed\"\nscaling = [{ target_tracking = { target = 50 } }]";
        let draft = Draft::new("shop.toml", SHOP.replace("max = 6", scaling), &NoFiles);
        let grids = usual_grids(&draft, draft.read().unwrap().plan()).unwrap();
        let axes: Vec<String> = grids.concat().iter().map(ToString::to_string).collect();
        assert_eq!(axes, ["group.\"web.eu\".min=1,2,3,4", "group.\"web.eu\".max=2,3,5,6,9,12"]);
    }

    #[test]
    fn a_range_without_values_gets_some_that_are_apart_by_the_tolerance() {
        let list = |text: &str, tolerance| spaced(&text.parse().unwrap(), tolerance).unwrap().list().unwrap();
        assert_eq!(list("a=100/s..400/s", 1.0), ["100/s", "200/s", "400/s"]);
        assert_eq!(list("a=1..4", 0.5), ["1", "2", "3", "4"]);
        assert_eq!(list("a=1..4000", 0.5).len(), 1_000);
        assert!(matches!(spaced(&"a=1s..1000s".parse().unwrap(), 1e-3), Err(RecommendError::TooMany)));
    }

    #[test]
    fn numbers_have_their_unit() {
        assert_eq!(number("80/s"), Some((80.0, "/s".to_string())));
        assert_eq!(number("x4"), Some((4.0, "x".to_string())));
        assert_eq!(number("1_000"), Some((1000.0, String::new())));
        assert_eq!((number("round-robin"), number("2026-11-27")), (None, None));
    }
}
