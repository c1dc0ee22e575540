//! What keeps load away and what adds to it: shedding, rate limiters, circuit breakers, retry budgets, hedged requests.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::results::{ActivityKind, CauseKind, Results, Row};
use scalesim::system::System;
use scalesim::theory::{Mmck, erlang_b};
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

/// One source, one service, one group of one machine, one balancer.
struct Small<'a> {
    head: &'a str,
    rate: u32,
    traffic: &'a str,
    service: &'a str,
    steps: &'a str,
    vcpus: u32,
    balancer: &'a str,
    rest: &'a str,
}

/// A thread for each request, on one vCPU.
const SMALL: Small<'static> = Small {
    head: "duration = \"10min\"",
    rate: 100,
    traffic: "timeout = \"none\"",
    service: "runtime = { thread-per-request = { overhead = \"0s\" } }",
    steps: "{ cpu = { exp = { mean = \"10ms\" } } }",
    vcpus: 1,
    balancer: "",
    rest: "",
};

impl Small<'_> {
    fn text(&self) -> String {
        let Small { head, rate, traffic, service, steps, vcpus, balancer, rest } = self;
        format!(
            r#"
            [scenario]
            {head}
            [traffic.t]
            to = "b"
            profile = {{ constant = "{rate}/s" }}
            {traffic}
            [service.s]
            {service}
            endpoint.e.steps = [{steps}]
            [machine.m]
            vcpus = {vcpus}
            [group.g]
            service = "s"
            machine = "m"
            min = 1
            [balancer.b]
            targets = "g"
            {balancer}
            {rest}
            "#
        )
    }

    fn scenario(&self) -> Scenario {
        Scenario::parse(&self.text()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn play(&self) -> Results {
        Experiment::new(&self.scenario()).run()
    }

    /// A share of what is offered over twelve replications: its mean, and 3.5 standard errors.
    fn share(&self, of: fn(&scalesim::results::Requests) -> u64) -> (f64, f64) {
        let results = Experiment::new(&self.scenario()).replications(12).run();
        let shares: Vec<f64> = results
            .replications
            .iter()
            .map(|one| of(&one.requests) as f64 / one.requests.offered as f64)
            .collect();
        let n = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / n;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, 3.5 * (variance / n).sqrt())
    }
}

fn status(results: &Results, reason: &str) -> u64 {
    let statuses = results.run.traffic.iter().flat_map(|part| &part.statuses);
    statuses.filter(|status| status.reason.contains(reason)).map(|status| status.count).sum()
}

fn close(seen: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((seen - expected).abs() <= tolerance, "{what}: {seen} and {expected} ± {tolerance}");
}

/// Three times as much as the bucket lets through: what it held and what came in, to the token.
#[test]
fn a_rate_limiter_lets_through_what_it_held_and_what_came() {
    let results = Small {
        rate: 300,
        balancer: "rate_limit = { rate = \"100/s\", burst = 50 }",
        vcpus: 4,
        steps: "{ wait = \"1ms\" }",
        ..SMALL
    }
    .play();
    let limited = results.run.limits[0].rate_limited;
    assert_eq!(limited, status(&results, "rate limiter"));
    let passed = results.run.requests.offered - limited;
    assert!((60_049..=60_050).contains(&passed), "50 and 100/s for ten minutes: {passed}");
    assert_eq!(results.run.requests.refused, limited);
}

/// Who finds as many inside as are allowed is turned away: M/M/c/K, and Erlang's loss formula without room to wait.
#[test]
fn shedding_above_a_limit_is_a_bounded_queue() {
    for (vcpus, above, rate) in [(1, 8, 90), (2, 5, 260), (2, 2, 150), (4, 4, 300)] {
        let service = format!("{}\nshed = {{ above = {above} }}", SMALL.service);
        let (seen, error) =
            Small { rate, vcpus, service: &service, ..SMALL }.share(|requests| requests.refused);
        let theory = Mmck::new(f64::from(rate), 100.0, vcpus, above).unwrap().p_block();
        assert!(error < 0.04 * theory + 2e-3, "{error} is too wide for {theory}");
        close(seen, theory, error, &format!("{rate}/s on {vcpus} vCPUs, at most {above}"));
        if vcpus == above {
            close(theory, erlang_b(f64::from(rate) / 100.0, vcpus).unwrap(), 1e-12, "Erlang B");
        }
    }
}

/// Half as much again as can be served, in every runtime with a queue: whoever is answered has not waited longer than is
/// allowed, and the server does nothing in vain.
#[test]
fn a_queue_time_bounds_the_wait_and_keeps_the_throughput() {
    for runtime in [
        "{ thread-pool = { threads = 1, accept_queue = 5000, overhead = \"0s\" } }",
        "{ event-loop = { accept_queue = 5000, overhead = \"0s\" } }",
        "{ async = { workers = 1, accept_queue = 5000, overhead = \"0s\" } }",
        "{ gil = { threads = 1, accept_queue = 5000, overhead = \"0s\" } }",
        "{ processes = { workers = 1, accept = \"shared\", backlog = 5000, each = { thread-pool = { threads = 1, overhead = \"0s\" } } } }",
        "{ cluster = { workers = 1, accept = \"shared\", accept_queue = 5000, overhead = \"0s\" } }",
    ] {
        let service = format!("runtime = {runtime}\nshed = {{ queue_time = \"100ms\" }}");
        let results = Small { rate: 150, service: &service, steps: "{ cpu = \"10ms\" }", ..SMALL }.play();
        let run = &results.run;
        let longest = run.traffic[0].response_time.max;
        assert!((0.1..=0.1101).contains(&longest), "{runtime}: {longest}");
        let wait = run.endpoints[0].wait.map_or(0.0, |wait| wait.time.max);
        assert!(wait <= 0.1001, "{runtime}: waited {wait}");
        let served = run.requests.completed as f64 / 600.0;
        assert!(served > 99.5, "{runtime}: {served} of 100 a second");
        assert_eq!(run.groups[0].shed, status(&results, "shed load"), "{runtime}");
        assert_eq!(run.groups[0].shed, run.requests.refused, "{runtime}");
    }
}

/// Last come, first served: the same wait on average, and the square of it is `1 / (1 - rho)` times as much (Takács 1963).
#[test]
fn the_newest_first_waits_as_long_on_average_and_less_evenly() {
    let moments = |queue: &str| {
        let service = format!(
            "runtime = {{ thread-pool = {{ threads = 1, accept_queue = 5000, overhead = \"0s\"{queue} }} }}"
        );
        let run = Small { head: "duration = \"12h\"", rate: 50, service: &service, ..SMALL }.play().run;
        let wait = run.endpoints[0].wait.unwrap().time;
        [wait.mean, wait.std_dev.powi(2) + wait.mean.powi(2), wait.p50]
    };
    // M/M/1 at a half: W = rho / (mu (1 - rho)), and 2 rho / (mu (1 - rho))^2 for the square.
    for (queue, square) in [("", 2.0 * 0.5 / 2_500.0), (", queue = \"lifo\"", 2.0 * 0.5 / 1_250.0)] {
        let [mean, seen, _] = moments(queue);
        close(mean, 0.01, 0.0002, queue);
        close(seen, square, 0.06 * square, queue);
    }
}

/// The primary of a cluster hands over to the loop, where the request waits again: there it is turned away.
#[test]
fn a_worker_of_a_cluster_sheds_what_its_primary_accepted_long_ago() {
    let service = "runtime = { cluster = { workers = 2, accept_queue = 5000, overhead = \"0s\" } }\nshed = { queue_time = \"100ms\" }";
    let results = Small { rate: 400, vcpus: 2, service, steps: "{ cpu = \"10ms\" }", ..SMALL }.play();
    assert!(results.run.groups[0].shed > 10_000, "{}", results.run.groups[0].shed);
    // Two workers and the primary share two vCPUs, so that a step takes up to three halves of its time and some handovers.
    let longest = results.run.traffic[0].response_time.max;
    assert!(longest < 0.1 + 0.03, "{longest}");
    assert!(results.run.requests.completed > 60_000, "{:?}", results.run.requests);
}

/// An answer that costs CPU time costs it, whether it is given at once or after a wait.
#[test]
fn a_503_costs_what_it_costs() {
    for (shed, runtime) in [
        ("above = 1", "{ thread-per-request = { overhead = \"0s\" } }"),
        ("queue_time = \"1ms\"", "{ thread-pool = { threads = 1, accept_queue = 10, overhead = \"0s\" } }"),
        ("queue_time = \"1ms\"", "{ event-loop = { accept_queue = 10, overhead = \"0s\" } }"),
    ] {
        let service = format!("runtime = {runtime}\nshed = {{ {shed}, cpu = \"2ms\" }}");
        for scheduler in ["", "scheduler = \"slices\""] {
            let text = Small { service: &service, steps: "{ cpu = \"4ms\" }", vcpus: 2, ..SMALL }
                .text()
                .replace("vcpus = 2", &format!("vcpus = 2\n{scheduler}"));
            let run = Experiment::new(&Scenario::parse(&text).unwrap()).run().run;
            let shed = run.groups[0].shed;
            assert!(shed > 1_000, "{service}: {shed}");
            let seconds = (run.requests.completed * 4 + shed * 2) as f64 / 1_000.0;
            let used = run.groups[0].cpu / 100.0 * 2.0 * 600.0;
            close(used, seconds, 0.005 * seconds, &format!("{service} {scheduler}"));
        }
    }
}

/// Envoy's limit: who comes while so many are in progress is turned away, so that they are Erlang's lines. Nobody waits for
/// a core, so that only the mean of the service time matters.
#[test]
fn max_requests_are_erlangs_lines() {
    for steps in ["{ wait = { exp = { mean = \"100ms\" } } }", "{ wait = \"100ms\" }"] {
        let balancer = "circuit_breaker = { max_requests = 20 }";
        let (seen, error) = Small { rate: 200, steps, balancer, ..SMALL }.share(|requests| requests.refused);
        let theory = erlang_b(20.0, 20).unwrap();
        assert!(error < 0.03 * theory, "{error}");
        close(seen, theory, error, steps);
    }
}

/// A client that gives up ends its call there and then: a thousand calls hang in a server that never answers, and of these only
/// a second's count.
#[test]
fn a_call_that_is_given_up_on_is_no_longer_in_progress() {
    let small = Small { steps: "{ wait = \"20s\" }", traffic: "timeout = \"1s\"", ..SMALL };
    let overflowed = |most: u32| {
        let balancer = format!("circuit_breaker = {{ max_requests = {most} }}");
        Small { balancer: &balancer, ..small }.play().run.limits[0].overflowed
    };
    assert_eq!(overflowed(160), 0, "a hundred in progress, and six standard deviations");
    assert!(overflowed(100) > 1_000);
}

/// All instances are gone for some minutes: the breaker opens after half of its window, tries every minute, and closes as soon
/// as a trial goes well.
#[test]
fn a_breaker_opens_tries_and_closes() {
    let balancer =
        "circuit_breaker = { failure_rate = 0.5 }\nhealth_check = { interval = \"5s\", timeout = \"2s\" }";
    let rest = "[[incident]]\ncrash = { group = \"g\", at = \"2min\" }";
    let results = Small { rate: 50, balancer, rest, steps: "{ cpu = \"1ms\" }", ..SMALL }.play();
    let changes: Vec<(f64, ActivityKind)> = results
        .run
        .activities
        .iter()
        .map(|activity| (activity.at, activity.kind))
        .filter(|(_, kind)| {
            matches!(
                kind,
                ActivityKind::CircuitOpened | ActivityKind::CircuitHalfOpen | ActivityKind::CircuitClosed
            )
        })
        .collect();
    use ActivityKind::{CircuitClosed, CircuitHalfOpen, CircuitOpened};
    let kinds: Vec<ActivityKind> = changes.iter().map(|change| change.1).collect();
    // The instance is replaced three minutes later, and a minute after that its app is up.
    let opened = kinds.iter().filter(|kind| **kind == CircuitOpened).count();
    assert!((4..=6).contains(&opened), "{changes:?}");
    let mut expected = [CircuitOpened, CircuitHalfOpen].repeat(opened);
    expected.push(CircuitClosed);
    assert_eq!(kinds, expected);
    // Connections do not come about, which takes ten seconds to find out, and half of a hundred calls fail at 50/s. The first
    // call after a minute is the trial.
    assert!((131.0 - 0.8..=131.0 + 0.8).contains(&changes[0].0), "{changes:?}");
    for pair in changes.windows(2).filter(|pair| pair[0].1 == CircuitOpened) {
        let open = pair[1].0 - pair[0].0;
        assert!((60.0..60.3).contains(&open), "{open}");
    }
    let limits = &results.run.limits[0];
    assert_eq!(limits.opened, opened as u64);
    close(limits.open_for, 60.0 * opened as f64, 0.3 * opened as f64, "seconds open");
    assert_eq!(limits.circuit_open, status(&results, "circuit breaker"));
    // All that were sent in the eleven seconds until it opened, and ten for each trial but the last.
    let failed = status(&results, "no connection came about") as f64 - 10.0 * (opened as f64 - 1.0);
    close(failed, 11.0 * 50.0, 4.4 * (11.0f64 * 50.0).sqrt(), "without an answer");
}

/// Calls that take longer than they may open it too, and so do those whose clients stopped waiting.
#[test]
fn slow_calls_and_timeouts_open_a_breaker() {
    for (steps, breaker) in
        [("{ wait = \"2s\" }", "slow_call = \"1500ms\""), ("{ wait = \"20s\" }", "failure_rate = 1.0")]
    {
        let balancer = format!("circuit_breaker = {{ {breaker} }}");
        let traffic = "timeout = \"5s\"";
        let results = Small { rate: 100, steps, balancer: &balancer, traffic, ..SMALL }.play();
        let first =
            results.run.activities.iter().find(|activity| activity.kind == ActivityKind::CircuitOpened);
        // A hundred calls are sent in a second, and end after two or after five.
        let after = if breaker.contains("slow") { 3.0 } else { 6.0 };
        close(first.unwrap().at, after, 0.5, breaker);
    }
    let fine = "circuit_breaker = { slow_call = \"2500ms\" }";
    let results = Small { steps: "{ wait = \"2s\" }", balancer: fine, ..SMALL }.play();
    assert_eq!(results.run.limits[0].opened, 0);
}

/// Everything fails at once, and clients may try again: in the ten seconds up to any retry there are no more of them than a fifth
/// of the requests and a hundred, and on average just as many.
#[test]
fn a_retry_budget_is_never_overdrawn() {
    let results = Small {
        rate: 200,
        balancer: "rate_limit = { rate = \"1/h\", burst = 1 }",
        traffic: "timeout = \"none\"\nretry = { max = 3, backoff = \"0s\", budget = {} }",
        ..SMALL
    }
    .play();
    let run = &results.run;
    assert_eq!(run.interval, 1.0);
    let retries = |row: &Row| row.attempts - row.offered;
    for rows in run.series.windows(10).filter(|rows| retries(&rows[9]) > 0.0) {
        let (offered, again) =
            rows.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.offered, sum.1 + retries(row)));
        assert!(again <= 0.2 * offered + 100.0 + 1e-6, "{again} of {offered} at {}", rows[9].at);
    }
    let again = run.requests.attempts - run.requests.offered;
    close(again as f64, 0.2 * run.requests.offered as f64 + 10.0 * 600.0, 300.0, "retries");
    let refused = run.traffic[0].repeats.unwrap().refused_by_budget;
    assert!(refused > again && refused <= run.requests.refused, "{refused} refused, {again} retries");
}

/// Services that take an exponential time of mean `m` and do not disturb one another. After `d` a second runs beside the first:
/// from then on the answer comes twice as fast, and three times after a third.
#[test]
fn hedged_requests_are_the_shorter_of_two() {
    let mean = 0.1;
    let small = Small {
        rate: 300,
        head: "duration = \"20min\"\nwarm_up = \"2min\"",
        steps: "{ wait = { exp = { mean = \"100ms\" } } }",
        ..SMALL
    };
    let play = |hedge: &str| {
        let traffic = format!("timeout = \"none\"\n{hedge}");
        Small { traffic: &traffic, ..small }.play().run
    };
    let alone = play("");
    let times = alone.response_time;
    close(times.p99, mean * 100f64.ln(), 0.01, "p99 alone");
    for (hedge, delay, most) in [
        ("hedge = { after = \"50ms\" }", 0.05, 1),
        ("hedge = { after = \"200ms\" }", 0.2, 1),
        ("hedge = { after = \"50ms\", most = 2 }", 0.05, 2),
        ("hedge = { after = { percentile = 95 } }", mean * 20f64.ln(), 1),
    ] {
        let run = play(hedge);
        // The share that is still unanswered when the k-th is sent, and what they take on average from then on.
        let (mut left, mut expected, mut hedges) = (1.0f64, 0.0, 0.0);
        for k in 1..=most {
            let passed = (-f64::from(k) * delay / mean).exp();
            expected += left * mean / f64::from(k) * (1.0 - passed);
            left *= passed;
            hedges += left;
        }
        expected += left * mean / f64::from(most + 1);
        let n = run.response_time.count as f64;
        close(run.response_time.mean, expected, 4.0 * run.response_time.std_dev / n.sqrt() + 2e-4, hedge);
        let seen = run.traffic[0].repeats.unwrap();
        close(seen.hedges as f64 / n, hedges, 0.03 * hedges + 1e-3, &format!("share of {hedge}"));
        // One of two that are equally fast from then on.
        if most == 1 {
            close(seen.hedges_won as f64 / seen.hedges as f64, 0.5, 0.02, "won");
        }
        // Until so many are left, at the last rate.
        let p99 = f64::from(most) * delay + mean / f64::from(most + 1) * (left / 0.01).ln();
        close(run.response_time.p99, p99, 0.03 * p99, &format!("p99 of {hedge}"));
        assert!(run.response_time.p99 < 0.9 * times.p99);
        // Requests that were under way when measurement began are offered again in the books, not sent again.
        let sent = run.requests.offered + seen.hedges;
        assert!(run.requests.attempts.abs_diff(sent) < 100, "{} and {sent}", run.requests.attempts);
    }
}

/// Half as much again as can be served: everybody is above the percentile of those before, and hedges stay within their share.
#[test]
fn hedges_by_percentile_do_not_pile_on() {
    let service = "runtime = { thread-pool = { threads = 10, accept_queue = 500, overhead = \"0s\" } }";
    let traffic = "timeout = \"2s\"\nhedge = { after = { percentile = 95 } }";
    let run = Small { rate: 150, service, traffic, ..SMALL }.play().run;
    let seen = run.traffic[0].repeats.unwrap();
    let most = 0.05 * run.requests.offered as f64 + 10.0 * 600.0;
    assert!(seen.hedges as f64 <= most + 1.0, "{} of {most}", seen.hedges);
    assert!(seen.refused_by_budget > 10_000, "{seen:?}");
    // Where retries have a budget, hedges are paid from that as well.
    let poor = "timeout = \"2s\"\nretry = { max = 1, budget = { ratio = 0.01, per_second = 0 } }\nhedge = { after = \"5ms\" }";
    let run = Small { rate: 50, traffic: poor, ..SMALL }.play().run;
    let again = run.requests.attempts - run.requests.offered;
    let paid = 0.01 * run.requests.offered as f64;
    // What was paid in and not drawn out within ten seconds is forgotten.
    assert!((0.8 * paid..=paid).contains(&(again as f64)), "{again} of {paid}");
}

/// A client waits for its timeout and no longer, however many attempts it has sent; then it tries again.
#[test]
fn a_client_gives_up_on_all_its_attempts_at_once() {
    let traffic =
        "timeout = \"1s\"\nhedge = { after = \"300ms\", most = 2 }\nretry = { max = 1, backoff = \"0s\" }";
    let head = "duration = \"10min\"";
    let run = Small { head, rate: 20, steps: "{ wait = \"30s\" }", traffic, ..SMALL }.play().run;
    assert!(run.requests.conserved());
    assert_eq!(run.requests.completed, 0);
    let times = run.response_time;
    assert_eq!(
        (times.count, times.p50, times.max),
        (run.requests.timed_out, 2.0, 2.0),
        "two attempts of a second each"
    );
    let seen = run.traffic[0].repeats.unwrap();
    let ended = run.requests.timed_out;
    assert!(
        (4 * ended..=4 * (ended + run.requests.in_flight)).contains(&seen.hedges),
        "two beside each: {seen:?}"
    );
    assert_eq!(seen.hedges_won, 0);
}

/// An attempt that is sent beside another and turned away at once: its client waits for the first, and does not try again.
#[test]
fn a_hedge_that_fails_does_not_end_the_race() {
    let service = "runtime = { thread-per-request = { overhead = \"0s\" } }\nshed = { above = 1 }";
    let traffic = "timeout = \"none\"\nretry = { max = 15 }\nhedge = { after = \"100ms\" }";
    let slow = Small {
        head: "duration = \"10h\"",
        rate: 1,
        steps: "{ wait = \"400ms\" }",
        service,
        traffic,
        ..SMALL
    };
    let text = slow.text().replace("\"1/s\"", "\"100/h\"");
    let run = Experiment::new(&Scenario::parse(&text).unwrap()).run().run;
    let seen = run.traffic[0].repeats.unwrap();
    assert!(seen.hedges > 900 && seen.hedges_won == 0, "{seen:?}");
    assert_eq!((run.requests.completed, run.response_time.p50), (run.requests.offered, 0.4));
    // Some came while another was inside, and tried again.
    let retries = run.requests.attempts - run.requests.offered - seen.hedges;
    assert!(retries < 60 && run.groups[0].shed == seen.hedges + retries, "{retries}");
}

/// An instance crashes with a hundred requests in progress. Half of those that had an attempt elsewhere do not notice.
#[test]
fn a_hedge_saves_who_was_on_an_instance_that_crashed() {
    let lost = |traffic: &str| {
        let rest = "[[incident]]\ncrash = { group = \"g\", at = \"5min\" }";
        let balancer = "algorithm = \"random\"";
        let text = Small { rate: 40, steps: "{ wait = \"20s\" }", traffic, rest, balancer, ..SMALL }.text();
        let run = Experiment::new(&Scenario::parse(&text.replace("min = 1", "min = 2")).unwrap()).run().run;
        assert!(run.requests.conserved());
        run.traffic[0]
            .statuses
            .iter()
            .find(|seen| seen.reason.contains("went away"))
            .map_or(0, |seen| seen.count)
    };
    // 400 are there; with a hedge those of the last second, and half of the others.
    let (alone, hedged) =
        (lost("timeout = \"none\""), lost("timeout = \"none\"\nhedge = { after = \"1s\" }"));
    close(alone as f64, 400.0, 60.0, "lost");
    close(hedged as f64, 20.0 + 190.0, 50.0, "lost with a hedge");
}

/// Half a minute of double load. Without the cure not a request is answered a quarter of an hour later; with it all are within a
/// minute. Same clients, same seed.
#[test]
fn a_retry_storm_outlives_its_trigger_and_the_cure_ends_it() {
    let scenario = Scenario::parse(include_str!("../../../examples/retry-storm.toml")).unwrap();
    let run = Experiment::new(&scenario).run().run;
    let [naive, cured] = [0, 1].map(|index| &run.objectives[index]);
    assert_eq!((naive.name.as_str(), cured.name.as_str()), ("naive", "cured"));
    assert_eq!(naive.violations.len(), 15, "from the spike to the end");
    for violation in &naive.violations[1..] {
        assert_eq!(violation.cause, CauseKind::RetryStorm, "{}", violation.explanation);
        assert_eq!(violation.window.value, 0.0, "not one answer in time");
        assert!(violation.explanation.contains("4.0 attempts for each request"), "{}", violation.explanation);
        assert!(violation.explanation.contains("where 2"), "what was asked for: {}", violation.explanation);
    }
    assert_eq!(cured.violations.len(), 1);
    assert!(cured.violations[0].window.to <= 360.0, "the spike is over at 340 s");
    assert_eq!(run.traffic[1].name, "naive");
    assert!(run.traffic[0].repeats.unwrap().refused_by_budget > 1_000);
}

/// More was asked for than there is capacity: then that is the cause, however often clients try again.
#[test]
fn an_overload_is_not_a_retry_storm() {
    let traffic = "timeout = \"1s\"\nretry = { max = 3 }";
    let service = "runtime = { thread-pool = { threads = 50, accept_queue = 2000, overhead = \"0s\" } }";
    let rest = "[[sla]]\nobjective = \"availability >= 99%\"";
    let play = |rate: u32| Small { rate, traffic, service, rest, ..SMALL }.play().run;
    let causes: Vec<CauseKind> =
        play(150).objectives[0].violations.iter().map(|violation| violation.cause).collect();
    assert!(
        !causes.is_empty() && causes.iter().all(|cause| *cause == CauseKind::AtMaximumSize),
        "{causes:?}"
    );
    assert!(play(60).objectives[0].violations.is_empty());
}

/// Limits that turn requests away while there is room are named as the cause, each by what it is.
#[test]
fn a_limit_that_is_too_low_is_the_cause() {
    let steps = "{ cpu = \"2ms\" }, { wait = \"50ms\" }";
    let rest = "[[sla]]\nobjective = \"availability >= 99%\"\nwindow = \"1min\"";
    for (limit, word) in [
        ("balancer", "rate_limit = { rate = \"80/s\" }", "by a rate limiter"),
        ("balancer", "circuit_breaker = { max_requests = 4 }", "too many in progress"),
        ("balancer", "circuit_breaker = { slow_call = \"40ms\" }", "by an open circuit breaker"),
        ("service", "shed = { above = 4 }", "by servers that shed load"),
    ]
    .map(|(where_, limit, word)| ((where_, limit), word))
    {
        let service = match limit {
            ("service", limit) => format!("{}\n{limit}", SMALL.service),
            _ => SMALL.service.to_string(),
        };
        let balancer = if limit.0 == "balancer" { limit.1 } else { "" };
        let run = Small { steps, rest, service: &service, balancer, ..SMALL }.play().run;
        let violations = &run.objectives[0].violations;
        assert!(violations.len() >= 5, "{limit:?}");
        for violation in violations {
            assert_eq!(violation.cause, CauseKind::TurnedAway, "{}", violation.explanation);
            assert!(violation.explanation.contains(word), "{}", violation.explanation);
        }
    }
}

#[test]
fn limits_that_are_never_reached_and_hedges_that_help_nobody_are_noted() {
    let pool = |above: u32| {
        format!(
            "runtime = {{ thread-pool = {{ threads = 10, accept_queue = 20 }} }}\nshed = {{ above = {above} }}"
        )
    };
    let traffic = "hedge = { after = \"1s\" }\nclients = 50";
    let notes = |above: u32, balancer: &str| {
        Small { service: &pool(above), traffic, balancer, ..SMALL }.scenario().plan().notes.join("\n")
    };
    let said = notes(30, "algorithm = \"maglev\"");
    assert!(
        said.contains("never sheds load above 30 requests") && said.contains("to the same target"),
        "{said}"
    );
    let said = notes(29, "algorithm = \"random\"");
    assert!(!said.contains("sheds") && !said.contains("hedges"), "{said}");
}

/// Everything that keeps load away or adds to it, with crashes, calls and a flash crowd. At the end nobody comes for a while,
/// and then a few.
fn everything() -> impl Strategy<Value = String> {
    let runtime = prop::sample::select(vec![
        "{ event-loop = { accept_queue = 60 } }",
        "{ thread-pool = { threads = 8, accept_queue = 60 } }",
        "{ async = { accept_queue = 60 } }",
        "{ gil = { threads = 6, accept_queue = 60 } }",
        "{ cluster = { workers = 2, accept_queue = 60 } }",
        "{ processes = { workers = 2, accept = \"shared\", backlog = 60, each = { thread-pool = { threads = 3 } } } }",
    ]);
    let hedge = prop::sample::select(vec![
        "{ after = \"40ms\", most = 3 }",
        "{ after = { percentile = 90 }, most = 2 }",
        "{ after = { percentile = 50 } }",
    ]);
    let shed = prop::sample::select(vec![
        "{ above = 12 }",
        "{ queue_time = \"60ms\", cpu = \"1ms\" }",
        "{ above = 30, queue_time = \"30ms\", cpu = \"500us\" }",
    ]);
    let breaker = prop::sample::select(vec![
        "{ max_requests = 40 }",
        "{ failure_rate = 0.4, open_for = \"10s\" }",
        "{ max_requests = 60, failure_rate = 0.3, slow_call = \"80ms\", slow_rate = 0.5, window = 50, minimum = 20, open_for = \"5s\", trial_requests = 5 }",
    ]);
    (runtime, hedge, shed, breaker, 40u32..400, 1u64..1_000).prop_map(|(runtime, hedge, shed, breaker, rate, seed)| {
        format!(
            r#"
            scenario = {{ duration = "10min", seed = {seed} }}
            [traffic.a]
            to = "front"
            profile = {{ points = {{ at = [["0s", "{rate}/s"], ["5min", "{rate}/s"], ["5min", "0/s"], ["7min", "0/s"], ["7min", "5/s"]] }} }}
            spikes = [{{ at = "1min", rise = "5s", hold = "30s", decay = "5s", shape = "linear", height = "x4" }}]
            timeout = "200ms"
            retry = {{ max = 3, backoff = "30ms", budget = {{ ratio = 0.5, per_second = 5, ttl = "5s" }} }}
            hedge = {hedge}
            [service.s]
            runtime = {runtime}
            shed = {shed}
            [service.s.endpoint.e]
            steps = [{{ cpu = {{ exp = {{ mean = "6ms" }} }} }}, {{ call = {{ to = "inner", endpoint = "x" }} }}, {{ wait = {{ exp = {{ mean = "20ms" }} }} }}]
            [service.t]
            runtime = {{ thread-pool = {{ threads = 4, accept_queue = 20 }} }}
            shed = {{ queue_time = "20ms" }}
            endpoint.x = {{ steps = [{{ cpu = {{ exp = {{ mean = "3ms" }} }} }}] }}
            [machine.m]
            vcpus = 2
            [group.g]
            service = "s"
            machine = "m"
            min = 2
            startup = {{ provision = "5s", boot = "5s", app = "5s" }}
            [group.h]
            service = "t"
            machine = "m"
            min = 1
            startup = {{ provision = "5s", boot = "5s", app = "5s" }}
            [balancer.front]
            targets = "g"
            algorithm = "power-of-two-choices"
            rate_limit = {{ rate = "{rate}/s", burst = 200 }}
            circuit_breaker = {breaker}
            deregistration_delay = "1s"
            health_check = {{ interval = "5s", timeout = "2s" }}
            [balancer.inner]
            targets = "h"
            circuit_breaker = {{ max_requests = 9, failure_rate = 0.6, window = 20, open_for = "3s" }}
            health_check = {{ interval = "5s", timeout = "2s" }}
            [[incident]]
            crash = {{ group = "g", at = "2min" }}
            [[incident]]
            crash = {{ group = "h", at = "3min" }}
            [[sla]]
            objective = "availability >= 99%"
            window = "1min"
            "#
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The ledger balances at every instant, a fork in mid-run has the same future, nothing is left inside once nobody comes, and
    /// then nobody is in a breaker's books either.
    #[test]
    fn nothing_is_lost_with_everything_on(text in everything(), millis in prop::collection::vec(0u64..300_000, 12), fork in 20u64..280) {
        let scenario = Scenario::parse(&text).unwrap();
        let mut simulation = System::start(Arc::new(scenario.plan().clone()), Seed::new(5));
        let mut instants: Vec<Time> = millis.into_iter().map(|millis| Time::ZERO + Span::from_millis(millis)).collect();
        instants.push(Time::ZERO + Span::from_secs(fork));
        instants.sort();
        let mut forked = None;
        for instant in instants {
            simulation.run(instant, u64::MAX, &mut ());
            let measure = simulation.model.measure();
            for source in &measure.sources {
                prop_assert!(source.ledger().conserved());
                prop_assert!(source.ledger().in_flight <= simulation.model.in_flight() as u64);
            }
            for endpoint in &measure.endpoints {
                prop_assert!(endpoint.served.ledger().conserved());
            }
            if instant == Time::ZERO + Span::from_secs(fork) {
                forked = Some(simulation.clone());
            }
        }
        simulation.run(Time::ZERO + Span::from_millis(413_500), u64::MAX, &mut ());
        prop_assert_eq!(simulation.model.in_flight(), 0);
        prop_assert_eq!(simulation.model.measure().sources[0].ledger().in_flight, 0);
        // Five a second are never as many at once as a breaker lets through, unless some have never been given back.
        let overflowed = |system: &System| system.measure().limits.iter().map(|limits| limits.overflowed).sum::<u64>();
        let before = overflowed(&simulation.model);
        simulation.run(Time::ZERO + Span::from_secs(600), u64::MAX, &mut ());
        prop_assert_eq!(overflowed(&simulation.model), before);
        let mut forked = forked.unwrap();
        forked.run(Time::ZERO + Span::from_secs(600), u64::MAX, &mut ());
        prop_assert_eq!(forked.calendar.order_hash(), simulation.calendar.order_hash());
    }

    /// All of it is counted once: what balancers got is what clients sent, and every hedge and refusal is in the results.
    #[test]
    fn attempts_are_what_balancers_got_with_everything_on(text in everything()) {
        let scenario = Scenario::parse(&text).unwrap();
        let results = Experiment::new(&scenario).run();
        let run = &results.run;
        prop_assert!(run.requests.conserved() && run.requests.offered > 1_000);
        prop_assert_eq!(run.requests.attempts, run.endpoints[0].requests.offered);
        let repeats = run.traffic[0].repeats.unwrap();
        prop_assert!(repeats.hedges > 0 && repeats.hedges_won <= repeats.hedges);
        prop_assert!(repeats.hedges <= run.requests.attempts - run.requests.offered);
        let turned_away: u64 = run.limits.iter().map(|own| own.rate_limited + own.overflowed + own.circuit_open).sum();
        let refused: u64 = run.endpoints.iter().map(|part| part.requests.refused).sum();
        let shed: u64 = run.groups.iter().map(|group| group.shed + group.refused).sum();
        let no_target: u64 = run.endpoints.iter().flat_map(|part| &part.statuses).filter(|status| status.reason.contains("no target")).map(|status| status.count).sum();
        prop_assert_eq!(turned_away + shed + no_target, refused);
        let again = Experiment::new(&scenario).run();
        prop_assert_eq!(serde_json::to_string(&results).unwrap(), serde_json::to_string(&again).unwrap());
        let resolved = Scenario::parse(scenario.resolved()).unwrap();
        prop_assert_eq!(format!("{:?}", scenario.plan()), format!("{:?}", resolved.plan()));
    }
}
