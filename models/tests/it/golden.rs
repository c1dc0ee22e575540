//! Every shipped example has a golden result: a change of behaviour shows here. `UPDATE_GOLDEN=1` writes what is seen now.

use std::fmt::Write;
use std::path::Path;

use scalesim::{Experiment, NoFiles, Scenario};

#[test]
fn shipped_examples_give_their_golden_results() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut examples: Vec<_> =
        std::fs::read_dir(root.join("../examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    examples.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    examples.retain(|path| path.file_name().is_some_and(|name| name != "Cargo.toml"));
    examples.sort();
    assert!(!examples.is_empty());
    for path in examples {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let seen = match Scenario::read(&format!("{name}.toml"), &text, &[], &NoFiles) {
            Ok(scenario) => played(&scenario),
            Err(lesson) => lesson.render(false), // some examples show what is refused, and why
        };
        let golden = root.join("tests/golden").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &seen).unwrap();
        }
        assert_eq!(seen, std::fs::read_to_string(&golden).unwrap_or_default(), "{name}");
    }
}

/// What a run found, in a few lines.
fn played(scenario: &Scenario) -> String {
    let run = Experiment::new(scenario).run().run;
    let mut seen =
        format!("events {}\norder_hash {}\nrequests {:?}\n", run.events, run.order_hash, run.requests);
    let times = run.response_time;
    let _ = writeln!(seen, "response time mean {:.9} p50 {:.9} p99 {:.9}", times.mean, times.p50, times.p99);
    for objective in &run.objectives {
        let _ = writeln!(
            seen,
            "{}: met {} violation {} min",
            objective.name, objective.met, objective.violation_minutes
        );
        for violation in &objective.violations {
            let _ = writeln!(
                seen,
                "  {:.0} {:?} {}",
                violation.window.from, violation.cause, violation.explanation
            );
        }
    }
    if let Some(bill) = &run.bill {
        let _ = writeln!(seen, "cost {:.6} {}", bill.total, bill.currency);
    }
    for part in &run.traffic {
        let _ = writeln!(
            seen,
            "{}: mean {:.9} p99 {:.9}",
            part.name, part.response_time.mean, part.response_time.p99
        );
    }
    seen
}
