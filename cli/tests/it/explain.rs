//! `scalesim explain` as people meet it.

use super::{folder, scalesim, stderr, stdout};

#[test]
fn an_explanation_reports_and_writes() {
    let folder = folder("explain");
    let overloaded = ["explain", "quick.toml", "--set", "traffic.web.profile.constant=400/s"];
    let output = scalesim(&folder, &overloaded);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "SLA VIOLATED",
        "load passed the capacity of web",
        "What would have saved it",
        "--set group.web.min=2",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour where there is no terminal");
    let mut files: Vec<String> = std::fs::read_dir(folder.join("out/quick-explain"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["explain.png", "explain.svg", "explain.txt", "explanation.json"]);
    assert_eq!(std::fs::read_to_string(folder.join("out/quick-explain/explain.txt")).unwrap(), text);
}

#[test]
fn where_the_sla_holds_it_says_so() {
    let folder = folder("explain-holds");
    let output = scalesim(&folder, &["explain", "quick.toml", "--out", "here", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("SLA HOLDS: there is nothing to explain."), "{}", stdout(&output));
    assert!(stderr(&output).is_empty() && folder.join("here/explain.png").exists());
}
