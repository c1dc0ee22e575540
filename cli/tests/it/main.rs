//! The binary as people and scripts meet it: exit codes, what goes to which stream, files.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]

mod console;
mod explain;
mod recommend;
mod servers;
mod sweep;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A run of seconds that keeps its SLA.
const QUICK: &str = r#"
[scenario]
name = "Quick"
duration = "10min"
[traffic.web]
to = "front"
profile = { constant = "50/s" }
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "5ms" } } }]
[group.web]
service = "api"
machine = "c6i.large"
min = 1
[balancer.front]
targets = "web"
[[sla]]
objective = "p99 <= 200ms"
[cost]
prices = "aws-us-east-1"
"#;

/// A folder of its own for each test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("quick.toml"), QUICK).unwrap();
    folder
}

fn scalesim(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scalesim")).current_dir(folder).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_run_reports_and_writes() {
    let folder = folder("run");
    let output = scalesim(&folder, &["run", "quick.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("SLA HOLDS"), "{}", stdout(&output));
    assert!(!stdout(&output).contains('\u{1b}'), "no colour where there is no terminal");
    let mut files: Vec<String> = std::fs::read_dir(folder.join("out/quick"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files.len(), 18, "{files:?}");
    for name in ["overview.png", "load.svg", "results.json", "series.csv", "activities.csv", "violations.csv"]
    {
        assert!(files.contains(&name.to_string()), "{name}");
    }
}

#[test]
fn exit_codes_say_what_happened() {
    let folder = folder("exit-codes");
    let code = |args: &[&str]| scalesim(&folder, args).status.code().unwrap();
    assert_eq!(code(&["run", "quick.toml", "--json"]), 0);
    assert_eq!(code(&["run", "quick.toml", "--json", "--set", "sla.0.objective=p99 <= 1ms"]), 1);
    assert_eq!(code(&["run", "quick.toml", "--set", "group.web.mim=3"]), 2);
    assert_eq!(code(&["run", "absent.toml"]), 2);
    assert_eq!(code(&["run"]), 2);
    assert_eq!(code(&["explain", "quick.toml", "--json"]), 0);
    assert_eq!(code(&["explain", "quick.toml", "--json", "--set", "sla.0.objective=p99 <= 1ms"]), 1);
    assert_eq!(code(&["explain", "quick.toml", "--resolved", "--json"]), 2);
    assert_eq!(code(&["explain", "quick.toml", "--json", "--set", "limits.in_flight=1"]), 3);
    assert_eq!(code(&["run", "quick.toml", "--set", "nonsense"]), 2);
    assert_eq!(code(&["run", "quick.toml", "--json", "--set", "limits.in_flight=1"]), 3);
    assert!(!folder.join("out").exists(), "nothing is written by a run that did not start");
}

#[test]
fn a_precision_that_is_not_reached_is_unfinished() {
    let folder = folder("precision");
    let run = |args: &[&str]| {
        let all = [&["run", "quick.toml", "--quiet"], args].concat();
        let output = scalesim(&folder, &all);
        (output.status.code().unwrap(), format!("{}{}", stdout(&output), stderr(&output)))
    };
    let (code, text) = run(&["--precision", "10%"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("10 replications: ") && text.contains("(asked 10 %)"), "{text}");
    let (code, text) = run(&["--precision", "0.1%", "--replications", "4"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("NOT TIGHT ENOUGH (asked 0.10 %)") && text.contains("would do"), "{text}");
    let (code, text) = run(&["--precision", "0.02"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("write a percentage such as `2%`"), "{text}");
    assert_eq!(run(&["--precision", "2%", "--replications", "1"]).0, 2);
}

#[test]
fn json_goes_to_standard_output_and_is_the_same_for_any_number_of_threads() {
    let folder = folder("json");
    let run = |threads: &str| {
        Command::new(env!("CARGO_BIN_EXE_scalesim"))
            .current_dir(&folder)
            .env("RAYON_NUM_THREADS", threads)
            .args(["run", "quick.toml", "--json", "--replications", "4", "--seed", "5"])
            .output()
            .unwrap()
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one.stdout, two.stdout);
    let json: serde_json::Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(json["schema"], "scalesim.results/1");
    assert_eq!(json["seed"], 5);
    assert_eq!(json["replications"].as_array().unwrap().len(), 4);
    assert!(json["figures"].as_array().unwrap().iter().all(|figure| figure["half_width"].is_number()));
    assert!(!folder.join("out").exists(), "--json writes no files of its own accord");
}

#[test]
fn errors_go_to_standard_error_with_their_place() {
    let folder = folder("errors");
    let output = scalesim(&folder, &["check", "quick.toml", "--set", "group.web.machine=c6i.lrge"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).is_empty());
    for part in ["--set:1:", "c6i.lrge", "did you mean `c6i.large`?"] {
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
    }
    let absent = scalesim(&folder, &["run", "absent.toml"]);
    assert!(stderr(&absent).contains("hint: `scalesim new absent.toml`"), "{}", stderr(&absent));
}

#[test]
fn new_check_and_explain_work_together() {
    let folder = folder("new");
    assert!(scalesim(&folder, &["new", "mine.toml"]).status.success());
    let again = scalesim(&folder, &["new", "mine.toml"]);
    assert_eq!(again.status.code(), Some(2), "it does not overwrite");
    assert!(scalesim(&folder, &["new", "mine.toml", "--force"]).status.success());
    let check = scalesim(&folder, &["check", "mine.toml"]);
    assert!(check.status.success(), "{}", stderr(&check));
    for part in ["no errors", "theory", "at max 6", "20:00"] {
        assert!(stdout(&check).contains(part), "{part}: {}", stdout(&check));
    }
    let resolved = scalesim(&folder, &["explain", "--resolved", "mine.toml"]);
    std::fs::write(folder.join("resolved.toml"), &resolved.stdout).unwrap();
    let twice = scalesim(&folder, &["explain", "--resolved", "resolved.toml"]);
    assert_eq!(
        stdout(&resolved).lines().skip(1).collect::<Vec<_>>(),
        stdout(&twice).lines().skip(1).collect::<Vec<_>>()
    );
    assert_eq!(
        stdout(&scalesim(&folder, &["new", "-"])),
        std::fs::read_to_string(folder.join("mine.toml")).unwrap()
    );
}

#[test]
fn traces_are_found_beside_the_scenario_and_blamed_by_line() {
    let folder = folder("traces");
    std::fs::create_dir(folder.join("deep")).unwrap();
    let scenario = QUICK
        .replace("profile = { constant = \"50/s\" }", "trace = { file = \"counts.csv\", amplitude = 2 }");
    std::fs::write(folder.join("deep/replay.toml"), scenario).unwrap();
    std::fs::write(
        folder.join("deep/counts.csv"),
        "time,count\n2026-01-01 00:00:00,60\n2026-01-01 00:01:00,30\n2026-01-01 00:03:00,30\n",
    )
    .unwrap();
    let output = scalesim(&folder, &["run", "deep/replay.toml", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["run"]["requests"]["offered"], 240);
    assert!(json["notes"].to_string().contains("1 bins of 1min in 1 holes"), "{}", json["notes"]);
    std::fs::write(folder.join("deep/counts.csv"), "time,count\n2026-01-01 00:00:00,sixty\n").unwrap();
    let bad = scalesim(&folder, &["run", "deep/replay.toml"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(stderr(&bad).contains("counts.csv:2:2: expected a count, found `sixty`"), "{}", stderr(&bad));
}

/// An interrupt ends the run; what was played is written, and says that it is not all.
#[cfg(unix)]
#[test]
fn an_interrupt_writes_what_there_is() {
    let folder = folder("interrupt");
    let child = Command::new(env!("CARGO_BIN_EXE_scalesim"))
        .current_dir(&folder)
        .args([
            "run",
            "quick.toml",
            "--out",
            "partial",
            "--set",
            "scenario.duration=2000h",
            "--set",
            "sla.0.window=24h",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The folder is made just before the run begins.
    while !folder.join("partial").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stdout(&output).contains("PARTIAL: interrupted at"), "{}", stdout(&output));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("partial/results.json")).unwrap()).unwrap();
    assert!(json["run"]["outcome"]["interrupted"]["at"].as_f64().unwrap() > 0.0);
    let left: Vec<_> =
        std::fs::read_dir(folder.join("partial")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("unfinished")), "{left:?}");
}

/// Whoever reads the summary may go away: the report is there all the same, and the exit code tells the verdict.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_loses_nothing() {
    let folder = folder("broken-pipe");
    let script = format!(
        "{} run quick.toml --out report --set 'sla.0.objective=p99 <= 1ms' | true; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_scalesim")
    );
    let code = Command::new("bash").current_dir(&folder).args(["-c", &script]).status().unwrap().code();
    assert_eq!(code, Some(1));
    assert!(folder.join("report/results.json").exists());
}

/// Where nobody can be told, nothing panics.
#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_error_is_no_reason_to_panic() {
    let folder = folder("full");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scalesim"));
    let status = command.current_dir(&folder).args(["check", "absent.toml"]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

/// A report is written whole or not at all.
#[test]
fn a_report_that_cannot_be_placed_leaves_what_was_there() {
    let folder = folder("in-the-way");
    std::fs::create_dir_all(folder.join("report/overview.png")).unwrap();
    let output = scalesim(&folder, &["run", "quick.toml", "--out", "report"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let left = std::fs::read_dir(folder.join("report")).unwrap().count();
    assert_eq!(left, 1, "only what was in the way");
}

#[test]
fn a_scenario_that_is_no_text_is_refused_with_its_place() {
    let folder = folder("no-text");
    std::fs::write(folder.join("latin.toml"), b"[scenario]\nname = \"caf\xe9\"\n").unwrap();
    let output = scalesim(&folder, &["check", "latin.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("latin.toml:2:12"), "{}", stderr(&output));
}

/// `validate` starts itself for each job that is a process.
#[test]
fn a_job_is_told_when_to_start_and_tells_what_came_of_it() {
    use std::io::Write;
    let folder = folder("job");
    let run = |input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scalesim"));
        command.args(["validate-job", "--iterations", "1000000", "--limit", "10000"]).current_dir(&folder);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    // A start that is past: at once.
    let output = run(b"1000000000\n");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let (ready, told) = text.split_once('\n').unwrap();
    let job: serde_json::Value = serde_json::from_str(told).unwrap();
    assert!(ready == "ready" && job["finished"].as_u64() > job["begun"].as_u64(), "{text}");
    for nonsense in [&b""[..], b"soon\n", b"99999999999999999999999999999999999999999\n"] {
        let output = run(nonsense);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("a part of `scalesim validate`"), "{}", stderr(&output));
    }
}

#[test]
fn validate_says_what_it_cannot_do_before_it_measures() {
    let folder = folder("validate");
    let both = scalesim(&folder, &["validate", "--quick", "--thorough"]);
    assert_eq!(both.status.code(), Some(2));
    let in_the_way = scalesim(&folder, &["validate", "--quick", "--out", "quick.toml"]);
    assert_eq!(in_the_way.status.code(), Some(2), "{}", stderr(&in_the_way));
    assert!(stderr(&in_the_way).contains("cannot write to quick.toml"), "{}", stderr(&in_the_way));
}
