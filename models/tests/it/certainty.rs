//! How many replications a precision takes, how often objectives hold, and where a run's start ends.

use std::sync::Mutex;

use scalesim::experiment::precision::FIRST_ROUND;
use scalesim::experiment::{Round, figures, transient};
use scalesim::results::{Outcome, Results};
use scalesim::{Experiment, Scenario};

/// One server that is 70 % busy, for ten minutes.
const BUSY: &str = r#"
[scenario]
duration = "10min"
[traffic.web]
to = "front"
profile = { constant = "70/s" }
timeout = "none"
[service.api]
runtime = { event-loop = { accept_queue = 100000 } }
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "9.5ms" } } }]
[group.web]
service = "api"
machine = "c6i.large"
min = 1
[balancer.front]
targets = "web"
health_check = "none"
[[sla]]
name = "fast"
objective = "p99 <= 150ms"
"#;

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn precise(text: &str, share: f64, most: u32) -> Results {
    Experiment::new(&scenario(text)).precision(share).replications(most).run()
}

#[test]
fn every_quantile_is_as_tight_as_asked() {
    let results = precise(BUSY, 0.04, 500);
    let (reached, runs) = (results.precision.clone().unwrap(), results.replications.len());
    assert!(reached.reached && runs > FIRST_ROUND as usize, "{reached:?} after {runs}");
    let quantiles: Vec<&str> =
        ["response time p50", "response time p99", "api: GET / p99", "fast: overall"].into();
    let names: Vec<String> =
        figures::readings(&results.run).into_iter().filter(|r| r.quantile).map(|r| r.name).collect();
    for name in quantiles {
        assert!(names.iter().any(|known| known == name), "{name} is a quantile");
    }
    let tight = results.figures.iter().filter(|figure| names.contains(&figure.name)).map(|figure| {
        let share = figure.half_width.unwrap() / figure.mean;
        assert!(share <= 0.04, "{}: {share}", figure.name);
        share
    });
    let widest = tight.fold(0.0, f64::max);
    let told = reached.widest.unwrap();
    assert!((told.relative.unwrap() - widest).abs() < 1e-12, "{told:?} for {widest}");
}

#[test]
fn what_is_not_reached_says_how_many_would_do() {
    let results = precise(BUSY, 0.01, 15);
    let told = results.precision.unwrap();
    assert_eq!(results.replications.len(), 15);
    assert!(!told.reached);
    assert!(told.would_do.unwrap() > 15, "{told:?}");
}

#[test]
fn nothing_that_is_timed_is_tight_at_once() {
    let quiet = BUSY.replace("70/s", "0/s").split("[[sla]]").next().unwrap().to_string();
    let results = precise(&quiet, 0.01, 500);
    assert_eq!(results.replications.len(), FIRST_ROUND as usize);
    let told = results.precision.unwrap();
    assert!(told.reached && told.widest.is_none());
}

/// Times that are always the same have intervals without width.
#[test]
fn what_does_not_vary_is_tight_at_once() {
    let steady = BUSY
        .replace("70/s\" }", "1/s\" }\ndispersion = 0.0")
        .replace("{ exp = { mean = \"9.5ms\" } }", "\"5ms\"");
    let results = precise(&steady, 0.001, 500);
    assert_eq!(results.replications.len(), FIRST_ROUND as usize, "{:?}", results.precision);
}

#[test]
fn runs_that_end_before_their_time_are_not_added_to() {
    let results = precise(&format!("{BUSY}[limits]\nin_flight = 3\n"), 0.01, 500);
    assert!(matches!(results.run.outcome, Outcome::Limit { .. }), "{:?}", results.run.outcome);
    assert_eq!(results.replications.len(), FIRST_ROUND as usize, "{:?}", results.precision);
    assert!(!results.precision.unwrap().reached);
}

#[test]
fn rounds_say_how_many_there_will_be_and_how_tight_it_is_by_now() {
    let seen: Mutex<Vec<Round>> = Mutex::default();
    let round = |round| seen.lock().unwrap().push(round);
    let most = Mutex::new(0);
    let progress = |progress: scalesim::Progress| {
        let mut most = most.lock().unwrap();
        *most = progress.replication.max(*most);
    };
    let scenario = scenario(BUSY);
    let results = Experiment::new(&scenario).precision(0.03).on_round(&round).on_progress(&progress).run();
    let rounds = seen.into_inner().unwrap();
    assert_eq!((rounds[0].replications, &rounds[0].widest), (FIRST_ROUND, &None));
    assert!(rounds.len() > 1 && rounds[1].widest.is_some());
    let runs = results.replications.len();
    assert_eq!(rounds.last().unwrap().replications as usize, runs);
    assert_eq!(most.into_inner().unwrap(), runs - 1, "replications report by their number");
}

#[test]
fn an_objective_held_in_so_many_replications() {
    let results = Experiment::new(&scenario(BUSY)).replications(24).run();
    let held = &results.held[0];
    let objective = &results.run.objectives[0];
    let kept =
        results.replications.iter().filter(|one| one.violation_minutes[0] <= objective.allowed_minutes);
    assert_eq!(held.replications as usize, kept.count());
    let share = f64::from(held.replications) / 24.0;
    assert!(held.low <= share && share <= held.high && held.high - held.low < 0.45, "{held:?}");
    assert!(Experiment::new(&scenario(BUSY)).run().held.is_empty(), "one run is one day");
}

/// What came less what went is what is inside: to the request, at the end of a run without a warm-up.
#[test]
fn requests_in_progress_are_what_came_less_what_went() {
    let overloaded = scenario(&BUSY.replace("70/s", "130/s"));
    let run = Experiment::new(&overloaded).run().run;
    let [in_progress, queued, open] = transient::courses(overloaded.plan(), &run).unwrap();
    assert_eq!(in_progress.len(), run.series.len());
    assert!(run.requests.in_flight > 100, "{:?}", run.requests);
    assert!((in_progress.last().unwrap() - run.requests.in_flight as f64).abs() < 1e-6);
    assert!(queued.iter().chain(&open).all(|&none| none == 0.0));
}

/// Sessions of ten minutes that begin at a constant rate need some of these to be as many as they stay.
#[test]
fn sessions_that_open_are_a_transient_and_a_warm_up_leaves_it_out() {
    let sessions = |warm_up: &str| {
        BUSY.replace("duration = \"10min\"", &format!("duration = \"6h\"\nwarm_up = \"{warm_up}\""))
            .replace("70/s", "2/s")
            .replace(
                "[service.api]\n",
                "[traffic.web.sessions]\nlength = { exp = { mean = \"10min\" } }\n[service.api]\n",
            )
    };
    let found = |warm_up: &str| {
        Experiment::new(&scenario(&sessions(warm_up))).replications(5).run().transient.unwrap()
    };
    let transient = found("0s");
    assert_eq!(transient.of, "open sessions");
    let until = transient.until.unwrap();
    // After k means of a session e^-k of them are missing.
    assert!((1_200.0..=5_400.0).contains(&until), "{until} s");
    assert!(!transient.covered && found("2h").covered);
}

#[test]
fn a_load_that_moves_or_scales_has_no_transient() {
    let sessions = BUSY.replace("duration = \"10min\"", "duration = \"2h\"").replace("70/s", "2/s").replace(
        "[service.api]\n",
        "[traffic.web.sessions]\nlength = { exp = { mean = \"10min\" } }\n[service.api]\n",
    );
    let found = |text: &str| Experiment::new(&scenario(text)).run().transient;
    assert!(found(&sessions).is_some());
    let day = "{ day = { low = \"1/s\", peak = \"3/s\", low_at = \"04:00\", peak_at = \"16:00\" } }";
    assert_eq!(found(&sessions.replace("{ constant = \"2/s\" }", day)), None);
    let scaling = "min = 1\nmax = 4\n[[group.web.scaling]]\ntarget_tracking = { target = 50 }";
    assert_eq!(found(&sessions.replace("min = 1", scaling)), None);
    assert_eq!(found(&format!("{sessions}[[incident]]\ncrash = {{ group = \"web\", at = \"1h\" }}\n")), None);
}

#[test]
fn a_run_of_less_than_its_start_is_too_short_to_tell() {
    let long = BUSY.replace("70/s", "2/s").replace(
        "[service.api]\n",
        "[traffic.web.sessions]\nlength = { exp = { mean = \"1h\" } }\n[service.api]\n",
    );
    let transient = Experiment::new(&scenario(&long)).run().transient.unwrap();
    assert_eq!((transient.until, transient.covered), (None, false));
}
