//! `scalesim recommend` as people meet it: what it prints, what it writes, and that what it writes runs.

use std::fs;

use crate::{folder, scalesim, stderr, stdout};

#[test]
fn the_recommended_scenario_is_written_and_runs_from_where_it_is() {
    let folder = folder("recommend");
    let rows: String = (0..10).map(|minute| format!("2026-11-26 00:0{minute}:00,3000\n")).collect();
    fs::write(folder.join("counts.csv"), format!("time,count\n{rows}")).unwrap();
    let text = fs::read_to_string(folder.join("quick.toml")).unwrap();
    let text =
        text.replace("profile = { constant = \"50/s\" }", "trace = { file = \"counts.csv\" } # a quiet day");
    fs::write(folder.join("shop.toml"), text.replace("min = 1", "min = 3 # one a zone")).unwrap();
    let output = scalesim(&folder, &["recommend", "shop.toml", "--vary", "group.web.min=1..4"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let printed = stdout(&output);
    for part in
        ["RECOMMENDED: group.web.min = 1", "what you have is group.web.min = 3", "no closed form applies"]
    {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
    let written = fs::read_to_string(folder.join("out/shop-recommend/shop.toml")).unwrap();
    for part in
        ["min = 1 # one a zone", "file = \"../../counts.csv\" } # a quiet day", "# Changed from shop.toml"]
    {
        assert!(written.contains(part), "{part} is not in\n{written}");
    }
    for name in ["recommendation.json", "candidates.png", "candidates.svg"] {
        assert!(folder.join("out/shop-recommend").join(name).exists(), "{name}");
    }
    let again = scalesim(&folder, &["run", "out/shop-recommend/shop.toml"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert!(stdout(&again).contains("SLA HOLDS"), "{}", stdout(&again));
}

#[test]
fn exit_codes_tell_an_answer_from_none() {
    let folder = folder("recommend-codes");
    let code = |args: &[&str]| scalesim(&folder, args).status.code().unwrap();
    let ask = ["recommend", "quick.toml", "--json", "--vary", "group.web.min=1..2"];
    let with = |more: &[&'static str]| code(&[&ask[..], more].concat());
    assert_eq!(with(&["--set", "sla.0.objective=p99 <= 1ms"]), 1);
    assert_eq!(with(&["--days-kept", "200%"]), 2);
    assert_eq!(with(&["--most-days", "10"]), 3);
    assert_eq!(code(&["recommend", "quick.toml", "--json", "--vary", "group.web.mim=1..2"]), 2);
    assert_eq!(code(&["recommend", "quick.toml", "--set", "group.web.mim=3"]), 2);
    assert!(!folder.join("out").exists(), "nothing is written where nothing was asked for, or could be");
}
