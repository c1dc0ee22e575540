//! Where connections lead: targets and workers that they stay with, and what becomes of them when targets go.

use super::{FOR_EVER, each_second, exactly_on, forked, near, of};

/// One client, four instances of four workers: with a flow hash all goes to one worker of one instance, and behind a
/// balancer of HTTP to all of them.
#[test]
fn a_connection_stays_with_its_target_and_its_worker() {
    let play = |balancer: &str, traffic: &str| {
        forked("10min", "20/s", &format!("clients = 1, {traffic}"), balancer, "min = 4", 1).run
    };
    for accept in ["flow-hash", "round-robin"] {
        let run = play(&format!("algorithm = \"{accept}\""), FOR_EVER);
        let (target, worker) =
            (run.groups[0].target_imbalance.unwrap(), run.groups[0].worker_imbalance.unwrap());
        assert_eq!(of(&run).opened, 1);
        if accept == "flow-hash" {
            assert!(near(target, 4.0) && near(worker, 4.0), "{target} {worker}");
        } else {
            assert!(target < 1.01 && worker < 1.1, "{target} {worker}");
        }
    }
    // A connection for each request is a new hash each time.
    let single = play("algorithm = \"flow-hash\"", "network = { round_trip = \"1ms\" }");
    let (target, worker) =
        (single.groups[0].target_imbalance.unwrap(), single.groups[0].worker_imbalance.unwrap());
    assert!(target < 1.05 && worker < 1.1, "{target} {worker}");
    // With HTTP/2 the streams of the one connection go there too.
    let http2 = play("algorithm = \"flow-hash\"", "connections = { http2 = { idle = \"1day\" } }");
    assert!(near(http2.groups[0].target_imbalance.unwrap(), 4.0));
    assert!(near(http2.groups[0].worker_imbalance.unwrap(), 4.0));
}

/// The probability that no cell of a multinomial of `n` over `cells` has more than `most`: n!/cells^n [x^n] (Σ x^k/k!)^cells.
fn none_above(n: usize, cells: usize, most: usize) -> f64 {
    let mut weights = vec![1.0];
    for _ in 0..cells {
        let mut next = vec![0.0; n + 1];
        for (before, weight) in weights.iter().enumerate() {
            let mut part = *weight;
            for more in 0..=most.min(n - before) {
                next[before + more] += part;
                part /= (more + 1) as f64 * cells as f64;
            }
        }
        weights = next;
    }
    // The weights carry cells^-k already.
    (1..=n).map(|k| k as f64).product::<f64>() * weights[n]
}

/// Each of 24 clients is on one of four workers for good: how many the busiest has is the maximum of a multinomial, and its
/// share of the requests follows.
#[test]
fn clients_that_stay_are_as_uneven_as_a_multinomial() {
    const CLIENTS: usize = 24;
    let expected: f64 =
        (0..CLIENTS).map(|most| 1.0 - none_above(CLIENTS, 4, most)).sum::<f64>() / (CLIENTS as f64 / 4.0);
    assert!((1.3..1.6).contains(&expected), "{expected}");
    let traffic = format!("clients = {CLIENTS}, {FOR_EVER}");
    let seen = |seed: u64| {
        let run = forked("2min", "200/s", &traffic, "algorithm = \"flow-hash\"", "min = 1", seed).run;
        assert_eq!(of(&run).opened, CLIENTS as u64);
        run.groups[0].worker_imbalance.unwrap()
    };
    const RUNS: u64 = 60;
    let all: Vec<f64> = (1..=RUNS).map(seen).collect();
    let mean = all.iter().sum::<f64>() / RUNS as f64;
    let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (RUNS - 1) as f64;
    let error = (variance / RUNS as f64).sqrt();
    // A client's own share of 24 000 requests is uncertain by 3 %, which the busiest gains from.
    assert!((mean - expected).abs() < 3.0 * error + 0.02, "{mean} ± {error}, expected {expected}");
}

/// Pinned clients make the busiest worker's queue the one that counts.
#[test]
fn pinning_costs_response_time() {
    let play = |traffic: &str| {
        let traffic = format!("clients = 24, {traffic}");
        forked("20min", "200/s", &traffic, "algorithm = \"flow-hash\"", "min = 1", 3).run
    };
    let (pinned, free) = (play(FOR_EVER), play("network = { round_trip = \"0s\" }"));
    let [pinned, free] = [pinned, free].map(|run| run.response_time.p99);
    assert!(pinned > 1.3 * free, "{pinned} and {free}");
}

/// A target that is taken out goes on with the connections it has until the delay is over; nobody notices.
#[test]
fn a_target_that_is_taken_out_keeps_its_connections() {
    let play = |connections: &str| {
        let traffic = format!("clients = 40, {connections}");
        let more = "min = 1\ndesired = 2\nmax = 2\nscaling = [{ manual = { at = \"5min\", desired = 1 } }]";
        let balancer = "algorithm = \"flow-hash\"\nderegistration_delay = \"120s\"";
        forked("20min", "40/s", &traffic, balancer, more, 1).run
    };
    let kept = play(FOR_EVER);
    // What runs at that instant is cut; a client whose connection idles opens another.
    assert!(kept.requests.failed <= 2, "{:?}", kept.requests);
    let hours = kept.groups[0].instance_hours;
    assert!(near(hours * 60.0, 20.0 + 7.0), "{hours}");
    assert!(of(&kept).opened > 45 && of(&kept).opened <= 80, "{}", of(&kept).opened);
    // Connections that are closed after a second of idling let it go early.
    let short = play("connections = { keep_alive = { requests = 20, idle = \"1s\", most = 1 } }");
    let minutes = short.groups[0].instance_hours * 60.0;
    assert!(minutes > 25.0 && minutes < 25.8, "{minutes}");
    assert_eq!(short.requests.failed, 0);
}

/// A balancer of HTTP answers for its targets: clients get a 504 for one that crashed, over the connections that they have. While
/// they wait for that they open others, up to as many as they may.
#[test]
fn a_balancer_of_http_keeps_its_clients_connections() {
    let traffic = format!("clients = 40, {FOR_EVER}");
    let crash = "min = 2\n[[incident]]\ncrash = { group = \"g\", at = \"5min\" }";
    let run = forked("20min", "40/s", &traffic, "", crash, 1).run;
    assert!(run.requests.failed > 100, "{:?}", run.requests);
    assert!((41..=40 * 6).contains(&of(&run).opened), "{}", of(&run).opened);
}

/// Of two targets one crashes: the next request on each of its connections is reset, new connections avoid it as soon as the
/// balancer has noticed.
#[test]
fn connections_to_a_target_that_crashed_are_reset() {
    let traffic = format!("clients = 40, {FOR_EVER}");
    let balancer = "algorithm = \"flow-hash\"\nhealth_check = { interval = \"10s\", timeout = \"5s\" }";
    let crash = "min = 2\n[[incident]]\ncrash = { group = \"g\", at = \"5min\" }";
    let run = forked("20min", "40/s", &traffic, balancer, crash, 1).run;
    let statuses = &run.traffic[0].statuses;
    let count = |status: &str| {
        statuses.iter().filter(|seen| seen.status == status).map(|seen| seen.count).sum::<u64>()
    };
    // Half of the clients, each once; then half of their new connections do not come about until the check has failed twice.
    assert!((15..=25).contains(&count("reset")), "{statuses:?}");
    assert!(count("no connection") > 5, "{statuses:?}");
    assert!(run.requests.conserved());
    let late: Vec<f64> = run.series.iter().filter(|row| row.at > 345.0).map(|row| row.errors).collect();
    assert!(late.iter().all(|errors| *errors == 0.0), "{late:?}");
}

/// With a cookie of the balancer its first answer decides; with one of the app two first requests can go to two targets.
#[test]
fn an_app_cookie_comes_with_the_first_answer() {
    let targets = |stickiness: &str, step: usize| {
        let balancer = format!("stickiness = {{ {stickiness} }}");
        let mut at = vec![1_250, 1_252];
        at.extend(each_second(1_000).into_iter().step_by(step).skip(1));
        exactly_on("min = 2", &at, "", &balancer, "").groups[0].target_imbalance.unwrap()
    };
    assert!(near(targets("lb_cookie = \"1day\"", 1), 2.0));
    let app = targets("app_cookie = \"1day\"", 1);
    assert!(near(app, 2.0 * 1_000.0 / 1_001.0), "one request went to the other: {app}");
    // Each answer renews it; one that is over by the next request leaves the turns as they are.
    assert!(near(targets("app_cookie = \"1s\"", 1), app));
    assert!(targets("app_cookie = \"1s\"", 2) < 1.01);
    assert!(near(targets("source_ip = \"1h\"", 1), 2.0));
}

/// A hundred clients behind one address are one to a balancer that looks at addresses, and a hundred to one that reads cookies.
#[test]
fn clients_behind_a_nat_share_an_address() {
    let play = |stickiness: &str, each: u32, algorithm: &str| {
        let traffic = format!("clients = 400, clients_per_address = {each}");
        let balancer = format!("algorithm = \"{algorithm}\"\n{stickiness}");
        let run = forked("5min", "100/s", &traffic, &balancer, "min = 4", 1).run;
        run.groups[0].target_imbalance.unwrap()
    };
    for algorithm in ["flow-hash", "round-robin", "least-outstanding-requests"] {
        let sticky = "stickiness = { source_ip = \"1h\" }";
        assert!(near(play(sticky, 400, algorithm), 4.0), "{algorithm}");
        assert!(play(sticky, 1, algorithm) < 1.4, "{algorithm}");
    }
    assert!(near(play("", 400, "ip-hash"), 4.0));
    assert!(play("", 1, "ip-hash") < 1.4);
}
