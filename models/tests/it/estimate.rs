//! The paper math: what it says, and that it says so when playing gives something else.

use scalesim::estimate::{
    Assumption, Audience, Comparison, Estimate, Form, Options, Players, Target, Work, compare, estimate,
    servers_of_central_queue,
};
use scalesim::{Draft, NoFiles, Scenario, Watch};
use sim_core::{Span, Time};

/// Three machines' worth of exponential work behind a balancer that picks at random: what the formulas speak of.
const STATIONARY: &str = r#"
[scenario]
duration = "1h"
[traffic.web]
to = "front"
profile = { constant = "450/s" }
timeout = "none"
[service.api]
runtime = { thread-per-request = { overhead = "0s" } }
endpoint.get = { steps = [{ cpu = { exp = { mean = "5ms" } } }] }
[group.web]
service = "api"
machine = "box"
zones = ["a", "b", "c"]
min = 1
max = 50
[machine.box]
vcpus = 1
hourly = 0.1
[balancer.front]
targets = "web"
algorithm = "random"
health_check = "none"
[[sla]]
objective = "p95 <= 60ms"
"#;

fn draft(text: &str) -> Draft<'static> {
    Draft::new("estimate.toml", text, &NoFiles)
}

fn read(draft: &Draft<'_>) -> Scenario {
    draft.read().unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

fn of(draft: &Draft<'_>) -> (Scenario, Estimate) {
    let scenario = read(draft);
    let estimate = estimate(scenario.plan(), &Options::default());
    (scenario, estimate)
}

fn compared(draft: &Draft<'_>) -> Comparison {
    let (scenario, estimate) = of(draft);
    compare(scenario.plan(), &estimate, 1, Watch::default()).unwrap()
}

fn audience() -> Audience {
    Audience {
        users: 5e6,
        daily_active: 0.2,
        actions: 4.0,
        requests: 3.0,
        peak_factor: 3.0,
        service_time: Span::from_millis(8),
        cv: 1.0,
        wait: None,
        runtime: "thread-per-request".to_string(),
        machine: "c7g.large".to_string(),
        balancer: "round-robin".to_string(),
        target: Some("p95 <= 100ms".to_string()),
        zones: 3,
        startup: Span::from_secs(60),
        hourly: None,
        players: None,
    }
}

#[test]
fn one_queue_for_all_needs_as_many_servers_as_the_staffing_vectors_say() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../data/queueing-vectors.json")).unwrap();
    let mut seen = 0;
    for case in vectors["cases"].as_array().unwrap().iter().filter(|case| case["metric"] == "min_servers") {
        let of = |name: &str| case["params"][name].as_f64().unwrap();
        let (share, bound) = (of("target_prob"), of("t"));
        let target = match case["params"]["measure"].as_str().unwrap() {
            "wait" => Target::Wait { share, bound },
            _ => Target::Quantile { share, bound },
        };
        let work = Work::exponential(of("lambda"), 1.0 / of("mu"));
        let servers = servers_of_central_queue(&work, &target, true);
        assert_eq!(servers.map(f64::from), case["expected"].as_f64(), "{}", case["name"]);
        seen += 1;
    }
    assert!(seen >= 7, "{seen} cases");
}

#[test]
fn short_messages_wait_behind_long_ones_at_an_event_loop() {
    // Pollaczek and Khinchine with the second moment of all that come, not of those that are promised something.
    let mixed = draft(STATIONARY)
        .with("service.api.runtime", "{ event-loop = { overhead = \"0s\" } }")
        .with("service.api.endpoint.long", "{ steps = [{ cpu = \"40ms\" }] }")
        .with("service.api.endpoint.get", "{ steps = [{ cpu = \"2ms\" }] }")
        .with("traffic.web.mix", "{ get = 0.9, long = 0.1 }")
        .with("sla.0.endpoint", "get");
    let of = compared(&mixed);
    assert!(of.mean.formula.unwrap() > 0.01, "{of:#?}");
    assert!((of.mean.simulated / of.mean.formula.unwrap() - 1.0).abs() < 0.05, "{of:#?}");
}

#[test]
fn users_become_requests_and_the_peak_of_the_scenario_that_stands_for_them() {
    let (scenario, of) = audience().estimate(&Options::default()).unwrap();
    let result = |title: &str| of.traffic.iter().find(|step| step.title == title).unwrap().result;
    assert_eq!(result("requests a day"), 12e6);
    assert!((result("peak") - 12e6 / 86_400.0 * 3.0).abs() < 1e-9);
    let end = Time::ZERO + Span::from_secs(86_400);
    let traffic = &scenario.plan().traffic[0];
    let played = traffic.expected_requests(Time::ZERO, end);
    assert!((played / 12e6 - 1.0).abs() < 1e-6, "the day has {played} requests");
    assert!((traffic.expected.peak().1 / result("peak") - 1.0).abs() < 1e-9);
}

#[test]
fn every_peak_factor_has_a_day_with_the_same_requests() {
    for peak_factor in [1.0, 1.2, 1.5, 1.7, 2.0, 5.0, 12.0, 18.0, 20.0, 24.0] {
        let (scenario, _) = Audience { peak_factor, ..audience() }.estimate(&Options::default()).unwrap();
        let end = Time::ZERO + Span::from_secs(86_400);
        let requests = scenario.plan().traffic[0].expected_requests(Time::ZERO, end);
        assert!((requests / 12e6 - 1.0).abs() < 1e-5, "{peak_factor}: {requests}");
    }
}

#[test]
fn flags_and_the_equal_scenario_have_the_same_estimate() {
    let (_, from_flags) = audience().estimate(&Options::default()).unwrap();
    // By hand: 1 000 000 users × 12 requests, the peak of 416.67/s from half past eleven, ramps of 5 h 33 min.
    let by_hand = format!(
        r#"
        [scenario]
        duration = "24h"
        [traffic.people]
        to = "lb"
        profile = {{ points = {{ at = [["0s", "{low}/s"], ["21436.364s", "{low}/s"], ["41400s", "{peak}/s"],
            ["45000s", "{peak}/s"], ["64963.636s", "{low}/s"], ["24h", "{low}/s"]] }} }}
        mix = {{ ask = 1 }}
        [service.s]
        runtime = {{ thread-per-request = {{ overhead = "0s" }} }}
        endpoint.ask = {{ steps = [{{ cpu = {{ exp = {{ mean = "8ms" }} }} }}] }}
        [group.g]
        service = "s"
        machine = "c7g.large"
        zones = ["x", "y", "z"]
        min = 1
        max = 100
        monitoring = "detailed"
        startup = {{ provision = "60s", boot = "0s", app = "0s" }}
        [balancer.lb]
        targets = "g"
        [[sla]]
        objective = "p95 <= 100ms"
        "#,
        low = 12e6 / 86_400.0 / 4.0,
        peak = 12e6 / 86_400.0 * 3.0
    );
    let (_, from_scenario) = of(&draft(&by_hand));
    let [flags, scenario] = [&from_flags.groups[0], &from_scenario.groups[0]];
    assert_eq!(flags.instances, scenario.instances);
    assert_eq!(flags.forms, scenario.forms);
    let headrooms = [flags, scenario].map(|group| group.headroom.as_ref().unwrap());
    assert_eq!(headrooms[0].instances, headrooms[1].instances);
    assert!((headrooms[0].growth / headrooms[1].growth - 1.0).abs() < 1e-3);
    let months = [&from_flags, &from_scenario].map(|of| of.money.following.unwrap());
    assert!((months[0] / months[1] - 1.0).abs() < 1e-3, "{months:?}");
}

#[test]
fn what_is_out_of_range_or_unknown_is_said() {
    let wrong = |audience: Audience| audience.estimate(&Options::default()).unwrap_err().to_string();
    assert!(wrong(Audience { peak_factor: 30.0, ..audience() }).contains("between 1 and 24"));
    assert!(wrong(Audience { users: 0.0, ..audience() }).contains("there is no request"));
    assert!(wrong(Audience { service_time: Span::ZERO, ..audience() }).contains("service time"));
    for bad in ["c7g.larg", "\"] [x", ""] {
        let machine = bad.to_string();
        assert!(Audience { machine, ..audience() }.estimate(&Options::default()).is_err(), "{bad}");
    }
    let target = Some("p95 <= soon".to_string());
    assert!(Audience { target, ..audience() }.estimate(&Options::default()).is_err());
}

#[test]
fn each_form_has_its_fleet_and_the_one_that_fits_the_runtime_is_taken() {
    let (_, of) = of(&draft(STATIONARY));
    let group = &of.groups[0];
    let machines =
        |form| group.forms.iter().find(|sized| sized.form == form).and_then(|sized| sized.machines);
    // a = 450/s × 5 ms = 2.25.
    assert_eq!(machines(Form::Naive), Some(3));
    assert_eq!(machines(Form::SquareRoot), Some(4));
    assert_eq!(machines(Form::ErlangC), machines(Form::Mgc), "service times are exponential");
    assert_eq!(group.taken, Form::SharedCores);
    assert!(machines(Form::SharedCores) >= machines(Form::ErlangC), "no queue in common");
    let looped = draft(STATIONARY).with("service.api.runtime", "{ event-loop = { overhead = \"0s\" } }");
    assert_eq!(self::of(&looped).1.groups[0].taken, Form::EventLoops);
}

#[test]
fn without_a_promise_machines_are_sized_for_seventy_percent_and_that_is_said() {
    let text = STATIONARY.split("[[sla]]").next().unwrap();
    let (_, of) = of(&draft(text));
    assert_eq!((of.groups[0].taken, of.groups[0].instances), (Form::SeventyPercent, Some(4)));
    assert!(of.assumed.iter().any(|line| line.contains("70 %")), "{:?}", of.assumed);
}

#[test]
fn what_one_request_alone_breaks_no_number_of_machines_keeps() {
    let (_, of) = of(&draft(STATIONARY).with("sla.0.objective", "p95 <= 10ms"));
    assert_eq!(of.groups[0].instances, None);
    assert!(of.money.fixed.is_none());
}

#[test]
fn the_busiest_minute_is_where_expected_requests_are_the_most() {
    let spiked = draft(STATIONARY).with(
        "traffic.web.spikes",
        r#"[{ at = "20min", rise = "1min", hold = "2min", decay = "5min", height = "x3" }]"#,
    );
    let (scenario, of) = of(&spiked);
    let minute = |n: u64| Time::ZERO + Span::from_secs(60 * n);
    let traffic = &scenario.plan().traffic[0];
    let most =
        (0..60).map(|n| traffic.expected_requests(minute(n), minute(n + 1)) / 60.0).fold(0.0, f64::max);
    let peak = of.traffic.iter().find(|step| step.title == "peak").unwrap();
    assert!((peak.result / most - 1.0).abs() < 1e-9, "{} and {most}", peak.result);
    assert_eq!(of.peak_at, scenario.plan().wall_clock(minute(21)));
}

#[test]
fn a_fleet_that_follows_is_never_dearer_and_with_a_flat_day_no_cheaper() {
    let month = |draft: &Draft<'_>| {
        let money = of(draft).1.money;
        (money.fixed.unwrap(), money.following.unwrap())
    };
    let (fixed, following) = month(&draft(STATIONARY));
    assert!((fixed - following).abs() < 1e-6, "{fixed} and {following}");
    let swings = r#"{ points = { at = [["0s", "50/s"], ["30min", "450/s"], ["1h", "50/s"]] } }"#;
    let (fixed, following) = month(&draft(STATIONARY).with("traffic.web.profile", swings));
    assert!(following < 0.9 * fixed, "{fixed} and {following}");
}

#[test]
fn headroom_is_for_a_zone_for_a_spike_and_for_growth() {
    let scenario = read(&draft(STATIONARY));
    let options = Options { spike: Some(4.0), growth: Some(0.1), ..Options::default() };
    let of = estimate(scenario.plan(), &options);
    let headroom = of.groups[0].headroom.as_ref().unwrap();
    let zone_loss = headroom.zone_loss.unwrap();
    assert!(zone_loss - zone_loss / 3 >= headroom.peak, "two zones carry the peak");
    assert_eq!(headroom.instances, zone_loss.max(headroom.spike.unwrap()));
    assert!((headroom.growth - (1.0 + 0.1 * headroom.lead_time / 60.0)).abs() < 1e-12);
    assert!(headroom.track_at_most < 1.0 / headroom.growth);
}

#[test]
fn a_target_about_the_wait_is_a_queue_of_each_machine() {
    let scenario = read(&draft(STATIONARY));
    let wait = Some(Target::Wait { share: 0.8, bound: 0.0 });
    let of = estimate(scenario.plan(), &Options { wait, ..Options::default() });
    // One vCPU each: a share 1 − ρ does not wait, so ρ ≤ 0.2 and n = 2.25 / 0.2 = 11.25.
    assert_eq!((of.groups[0].taken, of.groups[0].instances), (Form::OwnQueue, Some(12)));
}

#[test]
fn where_every_assumption_holds_formula_and_simulation_agree() {
    let of = compared(&draft(STATIONARY));
    assert!(of.agree, "{of:#?}");
    assert!(of.broken.is_empty(), "{:?}", of.broken);
    assert!(of.mean.half_width < 0.03 * of.mean.simulated, "an interval that says something: {:?}", of.mean);
}

/// The assumption that closes most of the gap, where formula and simulation disagree.
fn first_broken(of: &Comparison) -> Option<Assumption> {
    assert!(!of.agree, "{of:#?}");
    of.broken.first().filter(|broken| broken.explains).map(|broken| broken.assumption)
}

#[test]
fn a_balancer_that_looks_where_there_is_room_is_told() {
    let of = compared(&draft(STATIONARY).with("balancer.front.algorithm", "least-outstanding-requests"));
    assert!(of.mean.simulated < of.mean.formula.unwrap(), "it is kinder than chance");
    assert_eq!(first_broken(&of), Some(Assumption::RandomInstance));
    assert!(of.broken[0].closes.unwrap() > 0.9, "{of:#?}");
}

#[test]
fn arrivals_that_come_in_bursts_are_told_and_what_does_no_harm_is_not_blamed() {
    let of =
        compared(&draft(STATIONARY).with("traffic.web.dispersion", "6").with("traffic.web.timeout", "10s"));
    assert!(of.mean.simulated > of.mean.formula.unwrap(), "bursts are harsher than chance");
    assert_eq!(first_broken(&of), Some(Assumption::PoissonArrivals));
    let patient = of.broken.iter().find(|broken| broken.assumption == Assumption::PatientClients).unwrap();
    assert!(!patient.explains, "{patient:?}");
}

#[test]
fn a_peak_that_is_over_before_the_queue_has_grown_is_told() {
    // Near saturation it takes minutes until a queue is as long as it will be; the peak lasts one.
    let text = STATIONARY.replace("p95 <= 60ms", "p95 <= 6s").replace("mean = \"5ms\"", "mean = \"200ms\"");
    let peak = r#"{ points = { at = [["0s", "2/s"], ["30min", "2/s"], ["30min", "25/s"], ["31min", "25/s"], ["31min", "2/s"], ["1h", "2/s"]] } }"#;
    let of = compared(&draft(&text).with("traffic.web.profile", peak));
    assert!(of.broken.iter().any(|broken| broken.assumption == Assumption::SteadyLoad), "{of:#?}");
    assert_eq!(first_broken(&of), Some(Assumption::SteadyLoad));
}

#[test]
fn open_connections_need_their_memory_and_their_messages_a_loop() {
    let of = |messages: f64| {
        let players = Players {
            concurrent: 200_000.0,
            session: Span::from_secs(1_800),
            messages,
            message_time: Span::from_micros(500),
            memory: "60 KiB".to_string(),
        };
        let runtime = "event-loop".to_string();
        let audience = Audience { users: 0.0, runtime, players: Some(players), ..audience() };
        audience.estimate(&Options::default()).unwrap().1
    };
    let result = |of: &Estimate, title: &str| {
        let mut steps = of.traffic.iter().chain(&of.groups[0].steps);
        steps.find(|step| step.title == title).unwrap().result
    };
    let quiet = of(0.001);
    assert_eq!(result(&quiet, "open sessions of players").round(), 200_000.0);
    // (4 GiB − 100 MiB − 100 KiB) / 60 KiB is 68 196.
    assert_eq!(result(&quiet, "instances for open sessions"), 3.0);
    assert!(quiet.groups[0].instances >= Some(3));
    // 40 000 a second of half a millisecond are twenty busy loops.
    assert!(of(0.2).groups[0].instances > Some(20));
}

#[test]
fn where_sessions_come_all_at_once_the_peak_can_be_made_to_last() {
    // As many as are open at the peak stay open, so that what was sized for them holds them.
    let of = compared(&draft(include_str!("../../../examples/chess-app.toml")));
    assert!(!of.agree && of.failed < 1.0, "{of:#?}");
    let steady = of.broken.iter().find(|broken| broken.assumption == Assumption::SteadyLoad).unwrap();
    assert!(steady.granted.unwrap()[0].simulated > 0.5 * of.mean.simulated, "{steady:?}");
    let [mean, _] = of.all_granted.unwrap();
    assert!((mean.simulated / mean.formula.unwrap() - 1.0).abs() < 0.2, "{mean:?}");
}
