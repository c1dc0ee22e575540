//! Sweeps: cells, shards, and what may be merged.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use scalesim::experiment::sweep::{
    Axis, CellResult, Design, MergeError, Part, Shard, Sweep, SweepError, SweepResults, merge,
};
use scalesim::{Draft, Experiment, Files, NoFiles, Scenario, Watch};

const SHOP: &str = r#"
[scenario]
name = "Shop"
duration = "2min"
[traffic.web]
to = "front"
profile = { constant = "60/s" }
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "20ms" } } }]
[group.web]
service = "api"
machine = "c6i.large"
min = 1
[balancer.front]
targets = "web"
[[sla]]
objective = "p99 <= 250ms"
window = "1min"
[cost]
prices = "aws-us-east-1"
"#;

const AXES: [&str; 2] = ["group.web.min=1..3", "traffic.web.profile.constant=40/s,90/s"];

fn axes(texts: &[&str]) -> Vec<Axis> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn shop(text: &str) -> Draft<'static> {
    Draft::new("shop.toml", text, &NoFiles)
}

fn sweep(draft: &Draft<'static>) -> Sweep<'static> {
    Sweep::new(draft, &axes(&AXES), Design::Grid, 2).unwrap()
}

/// A shard of the sweep as one machine would play it, its cells in the order in which they were done.
fn part(sweep: &Sweep<'_>, shard: Shard) -> Part {
    let wanted: Vec<usize> = (0..sweep.cells().len()).filter(|&cell| shard.holds(cell)).collect();
    let cells = Mutex::new(Vec::new());
    sweep.play(&wanted, Watch::default(), &|cell: CellResult| cells.lock().unwrap().push(cell));
    Part {
        name: shard.to_string(),
        header: sweep.header().of_shard(shard),
        cells: cells.into_inner().unwrap(),
    }
}

fn all(sweep: &Sweep<'_>) -> SweepResults {
    sweep.run(Shard::ALL, Watch::default()).unwrap()
}

fn json(results: &SweepResults) -> String {
    serde_json::to_string_pretty(results).unwrap()
}

#[test]
fn a_cell_is_what_a_run_with_its_settings_is() {
    let draft = shop(SHOP).with("scenario.seed", "9");
    for cell in all(&sweep(&draft)).cells {
        let set: Vec<(String, String)> = cell
            .result
            .set
            .iter()
            .map(|set| set.split_once('=').map(|(path, value)| (path.into(), value.into())).unwrap())
            .collect();
        assert_eq!(set.len(), 3, "{set:?}");
        let scenario = Scenario::read("shop.toml", SHOP, &set, &NoFiles).unwrap();
        let alone = Experiment::new(&scenario).replications(2).run();
        assert_eq!(alone.run.order_hash, cell.result.order_hash);
        assert_eq!(alone.figures, cell.result.figures[1..], "all but the violation of all objectives");
        let minutes = alone.replications.iter().map(|one| one.violation_minutes[0]).sum::<f64>() / 2.0;
        assert_eq!(cell.result.figures[0].mean, minutes);
        assert_eq!(cell.result.holds(2), Some(alone.met()));
    }
}

#[test]
fn more_servers_cost_more_and_the_frontier_is_where_they_help() {
    let results = all(&sweep(&shop(SHOP)));
    let cost = |cell: usize| results.cells[cell].result.figure("cost").unwrap().mean;
    assert!(cost(0) < cost(2) && cost(2) < cost(4), "the last axis changes first");
    let kept: Vec<Option<u32>> = results.cells.iter().map(|cell| cell.result.kept).collect();
    assert_eq!(
        (kept[1], kept[5]),
        (Some(0), Some(2)),
        "90/s are too many for one, and not for three: {kept:?}"
    );
    assert_eq!(results.cells[5].pareto, Some(false), "three serve 40/s for less");
}

#[test]
fn shards_merged_in_any_order_are_the_whole() {
    let sweep = sweep(&shop(SHOP));
    let whole = json(&all(&sweep));
    for of in [2, 3, 6, 9] {
        let mut parts: Vec<Part> =
            (1..=of).map(|number| part(&sweep, Shard::new(number, of).unwrap())).collect();
        for turn in 0..parts.len() {
            parts.rotate_left(turn);
            parts[0].cells.reverse();
            assert_eq!(json(&merge(parts.clone()).unwrap()), whole, "{of} shards, turned by {turn}");
        }
        parts.push(part(&sweep, Shard::ALL));
        assert_eq!(json(&merge(parts).unwrap()), whole, "what is there twice is the same");
    }
}

#[test]
fn a_table_does_not_depend_on_threads() {
    let sweep = sweep(&shop(SHOP));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        json(&pool.install(|| all(&sweep)))
    };
    assert_eq!(on(1), on(4));
}

#[test]
fn what_was_played_goes_on_where_it_stopped() {
    let sweep = sweep(&shop(SHOP));
    let stop = AtomicBool::new(false);
    let cells = Mutex::new(Vec::new());
    let wanted: Vec<usize> = (0..6).collect();
    sweep.play(&wanted, Watch { stop: Some(&stop), progress: None }, &|cell| {
        stop.store(true, Ordering::Relaxed);
        cells.lock().unwrap().push(cell);
    });
    let kept = cells.into_inner().unwrap();
    assert!((1..6).contains(&kept.len()), "{}", kept.len());
    let early = Part { name: "early".into(), header: sweep.header().clone(), cells: kept.clone() };
    let Err(MergeError::Missing { missing, .. }) = merge(vec![early.clone()]) else {
        panic!("cells are missing")
    };
    assert_eq!(missing, 6 - kept.len());
    let left: Vec<usize> =
        wanted.into_iter().filter(|cell| kept.iter().all(|own| own.cell != *cell)).collect();
    let cells = Mutex::new(Vec::new());
    sweep.play(&left, Watch::default(), &|cell| cells.lock().unwrap().push(cell));
    let late =
        Part { name: "late".into(), header: sweep.header().clone(), cells: cells.into_inner().unwrap() };
    assert_eq!(json(&merge(vec![early, late]).unwrap()), json(&all(&sweep)));
}

#[test]
fn parts_of_other_sweeps_are_refused_and_the_difference_is_named() {
    let own = part(&sweep(&shop(SHOP)), Shard::ALL);
    let refused = |name: &str, other: Part| match merge(vec![own.clone(), other]) {
        Err(MergeError::Different { differences, .. }) => {
            let fields: Vec<&str> = differences.iter().map(|found| found.field).collect();
            assert!(fields.len() == 1 && fields[0].starts_with(name), "{name}: {fields:?}");
        }
        other => panic!("{name}: {other:?}"),
    };
    let made =
        |sweep: Sweep<'_>| Part { name: "other".into(), header: sweep.header().clone(), cells: Vec::new() };
    let new = |draft: Draft<'static>, texts: &[&str], design, replications| {
        made(Sweep::new(&draft, &axes(texts), design, replications).unwrap())
    };
    refused("replications", new(shop(SHOP), &AXES, Design::Grid, 3));
    refused("design", new(shop(SHOP), &AXES, Design::LatinHypercube { cells: 6 }, 2));
    refused("axes", new(shop(SHOP), &["group.web.min=1..6"], Design::Grid, 2));
    refused("set", new(shop(SHOP).with("group.web.max", "8"), &AXES, Design::Grid, 2));
    refused("seed", new(shop(&SHOP.replace("\"2min\"", "\"2min\"\nseed = 5")), &AXES, Design::Grid, 2));
    refused("plans", new(shop(&SHOP.replace("20ms", "21ms")), &AXES, Design::Grid, 2));
    refused("scenario", new(shop(&SHOP.replace("Shop", "Shed")), &AXES, Design::Grid, 2));
    let mut other = own.clone();
    other.header.version = "0.0.9".into();
    refused("version", other);
    let comment = new(shop(&format!("# words\n{SHOP}")), &AXES, Design::Grid, 2);
    assert!(merge(vec![own.clone(), comment]).is_ok(), "a comment changes nothing");
}

#[test]
fn cells_that_contradict_are_missing_or_cannot_be_are_refused() {
    let own = part(&sweep(&shop(SHOP)), Shard::ALL);
    let changed = |change: &dyn Fn(&mut Part)| {
        let mut other = Part { name: "other".into(), ..own.clone() };
        other.cells.sort_by_key(|cell| cell.cell);
        change(&mut other);
        other
    };
    let says = |parts: Vec<Part>, words: &str| {
        let error = merge(parts).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    };
    let conflict = changed(&|part| part.cells[3].figures[1].mean += 1.0);
    says(vec![own.clone(), conflict], "cell 3 of other is not what it is in 1/1");
    says(vec![changed(&|part| drop(part.cells.drain(1..3)))], "2 of 6 cells are missing: 1-2");
    says(vec![changed(&|part| part.cells[0].cell = 6)], "there is no cell 6");
    says(vec![changed(&|part| part.cells[0].values.clear())], "one value for each axis");
    says(vec![changed(&|part| part.header.schema = "scalesim.sweep/0".into())], "scalesim.sweep/0");
    says(vec![changed(&|part| part.header.cells = usize::MAX)], "does not have");
    says(vec![changed(&|part| part.header.axes[0] = "nonsense".into())], "`nonsense`");
    says(vec![], "no cells to merge");
}

#[test]
fn bad_cells_are_told_before_anything_is_played_and_each_fault_once() {
    let bad = axes(&["group.web.min=1..2", "group.web.machine=c6i.large,c6i.lrge,nothing"]);
    let Err(SweepError::Cells { cells, kinds, others }) = Sweep::new(&shop(SHOP), &bad, Design::Grid, 1)
    else {
        panic!("cells are wrong")
    };
    assert_eq!((cells, others), (6, 0));
    let wrong: Vec<&[usize]> = kinds.iter().map(|kind| kind.cells.as_slice()).collect();
    assert_eq!(wrong, [[1, 4], [2, 5]]);
    assert_eq!(kinds[0].set, ["group.web.min=1", "group.web.machine=c6i.lrge"]);
    assert!(kinds[0].diagnostics.to_string().contains("c6i.lrge"), "{}", kinds[0].diagnostics);
}

/// A folder with one trace in it.
struct Trace(&'static str);

impl Files for Trace {
    fn open(&self, _: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(self.0.as_bytes()))
    }
}

const TWO_SECONDS_APART: &str = "time\n1764201600\n1764201602\n";

#[test]
fn a_trace_is_part_of_what_a_sweep_is() {
    let trace = "trace = { file = \"log.csv\", format = \"log\" }";
    let text = SHOP.replace("profile = { constant = \"60/s\" }", trace);
    let plans = |trace: &'static Trace| {
        let draft = Draft::new("shop.toml", text.clone(), trace);
        Sweep::new(&draft, &axes(&AXES[..1]), Design::Grid, 1).unwrap().header().plans.clone()
    };
    let [one, again, other] =
        [&Trace(TWO_SECONDS_APART), &Trace(TWO_SECONDS_APART), &Trace("time\n1764201600\n1764201603\n")]
            .map(plans);
    assert_eq!(one, again);
    assert_ne!(one, other);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is typed is an axis or an error, and an axis has values without a repetition.
    #[test]
    fn no_axis_panics(text in "[a-b.=,:0-9x/s%\\[\"' -]{0,24}|a=[0-9]{1,3}(\\.[0-9])?s?\\.\\.[0-9]{1,3}s?(:(lin|log)?[0-9.]{0,3}s?)?") {
        if let Ok(axis) = text.parse::<Axis>() {
            let _ = axis.at(0.999_999);
            if let Ok(list) = axis.list() {
                let mut sorted = list.clone();
                sorted.sort();
                sorted.dedup();
                prop_assert_eq!(sorted.len(), list.len(), "{:?}", list);
            }
        }
    }
}
