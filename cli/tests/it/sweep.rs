//! `sweep` and `merge`: the files that they write, and what they refuse.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use crate::{folder, scalesim, stderr, stdout};

/// Four cells of some seconds.
const SWEEP: [&str; 7] = [
    "sweep",
    "quick.toml",
    "--vary",
    "group.web.min=1,2",
    "--vary",
    "traffic.web.profile.constant=50/s,150/s",
    "--set=scenario.duration=2min",
];

fn sweep(folder: &Path, more: &[&str]) -> Output {
    scalesim(folder, &[&SWEEP[..], more].concat())
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !name.contains("-of-"))
        .collect()
}

fn says(output: &Output, code: i32, words: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    assert!(stderr(output).contains(words), "{words}: {}", stderr(output));
}

#[test]
fn a_sweep_writes_a_table_plots_and_the_cells_in_order() {
    let folder = folder("sweep");
    let output = sweep(&folder, &["--replications", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("4 cells of 2 runs each"), "{}", stdout(&output));
    let files = contents(&folder.join("out/quick-sweep"));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "cells.jsonl",
        "heatmap-cost.png",
        "heatmap-cost.svg",
        "heatmap-response-time-p99.png",
        "heatmap-response-time-p99.svg",
        "heatmap-violation.png",
        "heatmap-violation.svg",
        "pareto.png",
        "pareto.svg",
        "sweep.csv",
        "sweep.json",
        "sweep.parquet",
    ];
    assert_eq!(names, expected);
    assert!(files["sweep.parquet"].starts_with(b"PAR1") && files["sweep.parquet"].ends_with(b"PAR1"));
    let table = String::from_utf8(files["sweep.csv"].clone()).unwrap();
    assert_eq!(table.lines().count(), 5);
    assert!(
        table
            .starts_with("cell,group.web.min,traffic.web.profile.constant,holds,kept,pareto,violation (min)")
    );
    let json: serde_json::Value = serde_json::from_slice(&files["sweep.json"]).unwrap();
    assert_eq!(
        (json["schema"].as_str(), json["cells"].as_array().unwrap().len()),
        (Some("scalesim.sweep/1"), 4)
    );
}

#[test]
fn the_run_of_a_cell_is_the_cell() {
    let folder = folder("sweep-cell");
    let swept = sweep(&folder, &["--json", "--seed", "3"]);
    let json: serde_json::Value = serde_json::from_slice(&swept.stdout).unwrap();
    let cell = &json["cells"][3];
    let set: Vec<String> = cell["set"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| format!("--set={}", set.as_str().unwrap()))
        .collect();
    let mut args = vec!["run", "quick.toml", "--json"];
    args.extend(set.iter().map(String::as_str));
    let alone: serde_json::Value = serde_json::from_slice(&scalesim(&folder, &args).stdout).unwrap();
    assert_eq!(alone["seed"], 3);
    assert_eq!(alone["figures"].as_array().unwrap()[..], cell["figures"].as_array().unwrap()[1..]);
    assert_eq!(alone["run"]["order_hash"], cell["order_hash"]);
    assert!(!folder.join("out").exists(), "--json writes no files of its own accord");
}

#[test]
fn shards_merge_to_the_bytes_of_one_machine() {
    let folder = folder("sweep-shards");
    assert_eq!(sweep(&folder, &["--out", "one", "-q"]).status.code(), Some(0));
    for shard in ["3/3", "1/3"] {
        assert_eq!(sweep(&folder, &["--out", "many", "--shard", shard]).status.code(), Some(0));
    }
    says(&scalesim(&folder, &["merge", "many"]), 3, "1 of 4 cells are missing: 1");
    let mut last = Command::new(env!("CARGO_BIN_EXE_scalesim"));
    last.current_dir(&folder).args(SWEEP).args(["--out", "many", "--shard", "auto", "--shards", "3"]);
    let output = last.env("JOB_COMPLETION_INDEX", "1").output().unwrap();
    says(&output, 0, "shard 2/3: 1 cells in many/cells-2-of-3.jsonl");
    let merged = scalesim(&folder, &["merge", "many"]);
    assert_eq!(merged.status.code(), Some(0), "{}", stderr(&merged));
    assert!(
        contents(&folder.join("many")) == contents(&folder.join("one")),
        "the same files with the same bytes"
    );
    let again = scalesim(&folder, &["merge", "one/cells.jsonl", "many", "--out", "again"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert!(
        contents(&folder.join("again")) == contents(&folder.join("one")),
        "what is there twice is the same"
    );
}

#[test]
fn what_was_cut_off_goes_on_to_the_same_bytes() {
    let folder = folder("sweep-resume");
    assert_eq!(sweep(&folder, &["--out", "whole"]).status.code(), Some(0));
    let whole = contents(&folder.join("whole"));
    let lines = &whole["cells.jsonl"];
    let second = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0;
    for (cut, there) in
        [(0, 0), (7, 0), (second + 1, 2), (second + 40, 2), (lines.len() - 1, 3), (lines.len(), 4)]
    {
        std::fs::create_dir_all(folder.join("cut")).unwrap();
        std::fs::write(folder.join("cut/cells.jsonl"), &lines[..cut]).unwrap();
        let output = sweep(&folder, &["--out", "cut"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(
            stderr(&output).contains(&format!("{there} of 4 cells are there already")),
            there > 0,
            "{cut}"
        );
        assert!(contents(&folder.join("cut")) == whole, "cut at {cut}");
        std::fs::remove_dir_all(folder.join("cut")).unwrap();
    }
}

#[test]
fn cells_of_another_sweep_are_neither_added_to_nor_merged() {
    let folder = folder("sweep-refused");
    assert_eq!(sweep(&folder, &["--out", "a"]).status.code(), Some(0));
    let before = contents(&folder.join("a"));
    says(
        &sweep(&folder, &["--out", "a", "--seed", "5"]),
        2,
        "is of another sweep (remove it, or choose another --out)",
    );
    says(&sweep(&folder, &["--out", "a", "--replications", "2"]), 2, "replications: 1 there, 2 here");
    assert!(contents(&folder.join("a")) == before);
    assert_eq!(sweep(&folder, &["--out", "b", "--seed", "5"]).status.code(), Some(0));
    says(
        &scalesim(&folder, &["merge", "a", "b"]),
        2,
        "a/cells.jsonl and b/cells.jsonl are not of the same sweep",
    );
    std::fs::write(folder.join("b/cells.jsonl"), "{\"schema\":\"scalesim.sweep/9\"}\n").unwrap();
    says(&scalesim(&folder, &["merge", "b"]), 2, "its format is `scalesim.sweep/9`");
    std::fs::write(folder.join("b/cells.jsonl"), "nonsense\n").unwrap();
    says(&scalesim(&folder, &["merge", "b"]), 2, "line 1");
    says(&scalesim(&folder, &["merge", "absent"]), 2, "cannot read absent");
    says(&scalesim(&folder, &["merge", "."]), 2, "no files of cells");
}

#[test]
fn what_cannot_be_swept_is_told_before_anything_is_played() {
    let folder = folder("sweep-wrong");
    let wrong = |args: &[&str], words: &str| {
        says(&scalesim(&folder, &[&["sweep", "quick.toml"][..], args].concat()), 2, words)
    };
    wrong(&[], "--vary");
    wrong(&["--vary", "group.web.max"], "no `=`");
    wrong(&["--vary", "group.web.min=1s..2s"], "lin5");
    wrong(&["--vary", "group.web.mim=1,2"], "cells 0-1: group.web.mim=1");
    wrong(&["--vary", "group.web.min=1,2", "--shard", "3/2"], "no shard 3 of 2");
    wrong(
        &["--vary", "group.web.min=1,2", "--shard", "1/2", "--shards", "2"],
        "--shards is for `--shard auto`",
    );
    wrong(&["--vary", "group.web.min=1,2", "--shard", "1/2", "--json"], "add --out DIR");
    wrong(&["--vary", "group.web.min=1", "--json", "--figure", "speed"], "no figure `speed`");
    assert!(!folder.join("out").exists());
}

#[test]
fn a_latin_hypercube_needs_no_steps() {
    let folder = folder("sweep-hypercube");
    let args = ["sweep", "quick.toml", "--set=scenario.duration=1min", "--latin-hypercube", "5"];
    let vary = [
        "--vary",
        "traffic.web.profile.constant=10/s..90/s",
        "--vary",
        "group.web.min=1..3",
        "--figure",
        "cost",
    ];
    let output = scalesim(&folder, &[&args[..], &vary[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = contents(&folder.join("out/quick-sweep"));
    assert!(files.contains_key("axes-cost.svg") && !files.contains_key("heatmap-cost.svg"));
    let table = String::from_utf8(files["sweep.csv"].clone()).unwrap();
    assert_eq!(table.lines().count(), 6);
}
