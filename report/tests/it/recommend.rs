//! Recommendations as text and as a plot.

use scalesim::experiment::recommend::answer::Recommendation;
use scalesim::experiment::recommend::{Question, Watching, recommend};
use scalesim::{Draft, NoFiles};
use scalesim_report::{Style, recommendation_png, recommendation_svg, render_recommendation};

/// Two minutes of a shop with `instances`, of which some number can be too few.
fn ask(rate: u32, instances: u32, axes: &[&str]) -> Recommendation {
    let text = format!(
        r#"
[scenario]
name = "Shop"
start = "2026-11-27T20:00:00+00:00[UTC]"
duration = "2min"
seed = 5
[traffic.web]
to = "front"
profile = {{ constant = "{rate}/s" }}
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{{ cpu = {{ exp = {{ mean = "10ms" }} }} }}]
[group.web]
service = "api"
machine = "c7g.large"
min = {instances}
[balancer.front]
targets = "web"
health_check = "none"
[[sla]]
name = "fast"
objective = "p95 <= 60ms"
window = "1min"
[cost]
prices = "aws-us-east-1"
"#
    );
    let vary = axes.iter().map(|axis| axis.parse().unwrap()).collect();
    let draft = Draft::new("shop.toml", text, &NoFiles);
    recommend(&draft, &Question { vary, ..Question::default() }, Watching::default()).unwrap()
}

#[test]
fn the_answer_comes_first_and_the_rejected_say_what_they_broke() {
    let answer = ask(300, 6, &["group.web.min=1..6"]);
    let text = render_recommendation(&answer, Style::Plain);
    for part in [
        "RECOMMENDED: group.web.min = ",
        "what you have is group.web.min = 6: kept on ",
        "% more",
        "What broke the rejected ones",
        "fast (p95 <= 60ms) on ",
        "worst ",
        "of day ",
        "more were not played: their neighbours speak for them",
        "no closed form applies: ",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert!(!text.contains('\u{1b}'));
    assert!(render_recommendation(&answer, Style::Colour).contains('\u{1b}'));
}

#[test]
fn what_is_kept_and_what_nothing_holds_have_their_own_headlines() {
    let keep = render_recommendation(&ask(50, 1, &["group.web.min=1..3"]), Style::Plain);
    assert!(keep.contains("KEEP WHAT YOU HAVE: group.web.min = 1"), "{keep}");
    let nothing = render_recommendation(&ask(580, 1, &["group.web.min=1..3"]), Style::Plain);
    assert!(nothing.contains("NOTHING IN THE RANGE HOLDS THE SLA"), "{nothing}");
    assert!(nothing.contains("the nearest is group.web.min = 3: broke p95 <= 60ms"), "{nothing}");
}

#[test]
fn the_plot_shows_candidates_with_their_names() {
    let answer = ask(300, 6, &["group.web.machine=c7g.large,c7g.xlarge", "group.web.min=1,2,4,6"]);
    let svg = String::from_utf8(recommendation_svg(&answer).unwrap()).unwrap();
    for part in ["days kept against cost", "90 % of days are to be kept", "(now)", "recommended", "c7g."] {
        assert!(svg.contains(part), "{part}");
    }
    let png = recommendation_png(&answer).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
}
