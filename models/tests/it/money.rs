//! Mixed instances and Spot by their rules, the bill by hour, and the oracle beside a run.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::oracle::{carries, instances_for};
use scalesim::results::{Activity, ActivityKind, BillKind, Results, Run};
use scalesim::scaling::{hard_limit, is_short, on_demand_units, price_per_unit};
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use serde_json::Value;
use sim_core::{Seed, Span, Time};

use crate::asg_vectors::vectors;

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// A group whose size somebody sets, with these keys of its own, behind a balancer with quick checks.
fn text(duration: &str, group: &str, rest: &str) -> String {
    format!(
        r#"
        [scenario]
        duration = "{duration}"
        [traffic.t]
        to = "b"
        profile = {{ constant = "40/s" }}
        timeout = "5s"
        [service.s]
        runtime = "thread-per-request"
        [service.s.endpoint.e]
        steps = [{{ cpu = "2ms" }}, {{ wait = "500ms" }}]
        [group.g]
        service = "s"
        zones = ["a", "b"]
        startup = {{ provision = "20s", boot = "20s", app = "5s" }}
        {group}
        [balancer.b]
        targets = "g"
        health_check = {{ interval = "5s", timeout = "2s", healthy = 2, unhealthy = 2 }}
        deregistration_delay = "30s"
        [cost]
        prices = "aws-us-east-1"
        {rest}
        "#
    )
}

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn play(text: &str) -> Results {
    let results = Experiment::new(&scenario(text)).run();
    assert!(results.run.requests.conserved(), "{:?}", results.run.requests);
    results
}

fn of(run: &Run, kind: ActivityKind) -> Vec<&Activity> {
    run.activities.iter().filter(|activity| activity.kind == kind).collect()
}

/// All Spot, of one type in two zones.
fn all_spot(size: u32, spot: &str) -> String {
    format!(
        "min = {size}\nmax = {}\nmixed_instances = {{ on_demand_percentage = 0, machines = [{{ machine = \"c6i.large\" }}], spot = {{ price = 0.4, {spot} }} }}",
        2 * size
    )
}

#[test]
fn on_demand_is_the_base_and_a_share_that_is_rounded_up() {
    let vectors = vectors("mixed_instances_split");
    assert_eq!(vectors.len(), 14);
    for vector in vectors {
        let [total, base, percentage] =
            ["total", "on_demand_base", "on_demand_pct_above_base"].map(|key| number(&vector.input[key]));
        let on_demand = on_demand_units(total, base, percentage);
        assert_eq!(on_demand, number(&vector.expected["on_demand"]), "{}", vector.id);
        assert_eq!(total - on_demand, number(&vector.expected["spot"]), "{}", vector.id);
    }
}

#[test]
fn a_unit_costs_the_price_over_the_weight() {
    let vectors = vectors("price_per_unit");
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let price =
            price_per_unit(vector.input["price_per_hour"].as_f64().unwrap(), number(&vector.input["weight"]));
        let rounded = (price * 1_000.0).round() / 1_000.0;
        assert_eq!(
            Some(rounded),
            vector.expected["price_per_unit_hour_rounded_3dp"].as_f64(),
            "{}",
            vector.id
        );
    }
}

#[test]
fn weights_may_exceed_the_maximum_by_almost_the_largest() {
    let vectors = vectors("weighted");
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let input = &vector.input;
        let weights: Vec<u32> = input["weights"].as_array().unwrap().iter().map(number).collect();
        if let Some(limit) = vector.expected.get("hard_limit") {
            assert_eq!(
                hard_limit(number(&input["desired_capacity"]), weights),
                number(limit),
                "{}",
                vector.id
            );
            continue;
        }
        let [max, mut current, add, weight] =
            ["max_capacity", "current_capacity", "add_units", "chosen_weight"].map(|key| number(&input[key]));
        let desired = (current + add).min(max);
        while is_short(current, desired) {
            current += weight;
        }
        assert_eq!(desired, number(&vector.expected["desired_capacity"]), "{}", vector.id);
        assert_eq!(current, number(&vector.expected["current_capacity"]), "{}", vector.id);
        assert!(current <= hard_limit(desired, weights));
    }
}

/// Ten of twenty units are On-Demand before any are Spot, and of the rest a half.
#[test]
fn a_group_is_mixed_as_its_policy_says() {
    let group = r#"
        min = 20
        max = 20
        mixed_instances = { on_demand_base = 10, on_demand_percentage = 50, machines = [{ machine = "c6i.large" }, { machine = "c5.large" }], spot = { price = { "c6i.large" = 0.5, "c5.large" = 0.4 } } }
    "#;
    let run = play(&text("1h", group, "")).run;
    let bill = run.bill.unwrap();
    let hours = |kind: BillKind| -> f64 {
        bill.lines.iter().filter(|line| line.kind == kind).map(|line| line.quantity).sum()
    };
    assert_eq!([hours(BillKind::OnDemand), hours(BillKind::Spot)], [15.0, 5.0]);
    // The cheaper pool, in each zone.
    assert!(
        bill.lines
            .iter()
            .filter(|line| line.kind == BillKind::Spot)
            .all(|line| line.item.contains("c5.large"))
    );
    let spot = run.groups[0].spot.unwrap();
    assert_eq!((spot.launched, spot.interrupted, spot.share), (5, 0, 0.25));
    assert!((spot.saved.unwrap() - 5.0 * 0.085 * 0.6).abs() < 1e-9, "{spot:?}");
}

/// 10 units of instances that count 4 are 3 instances, 12 units; and of these none is too much for 9.
#[test]
fn weights_count_units_out_and_in() {
    let group = r#"
        min = 5
        desired = 10
        max = 10
        mixed_instances = { machines = [{ machine = "c6i.2xlarge", weight = 4 }, { machine = "c6i.large" }] }
        scaling = [{ manual = { at = "10min", desired = 9 } }, { manual = { at = "20min", desired = 8 } }]
    "#;
    let run = play(&text("30min", group, "")).run;
    assert_eq!([run.series[0].groups[0].serving, run.groups[0].serving_min], [3, 2]);
    let ended = of(&run, ActivityKind::Terminate);
    assert_eq!(ended.iter().map(|activity| activity.at).collect::<Vec<_>>(), [1_200.0], "{ended:?}");
}

/// A group of larger machines carries what they can do, and not what its first machine can.
#[test]
fn capacity_is_that_of_the_instances_that_serve() {
    let group = |machines: &str| {
        format!(
            "min = 4\nmax = 4\nmixed_instances = {{ machines = [{machines}], on_demand_allocation = \"lowest-price\" }}"
        )
    };
    let large = r#"{ machine = "c7g.xlarge" }, { machine = "c7g.large" }"#;
    let weighted = r#"{ machine = "c7g.xlarge", weight = 2 }, { machine = "c7g.large", weight = 2 }"#;
    let capacity = |machines: &str| {
        let run = play(&text("10min", &group(machines), "")).run;
        let row = run.series[3].groups[0];
        // The first machine has four cores, of 2 ms and 3 % more a request.
        let of_first = run.series[3].capacity.unwrap() / (4.0 / 2.06e-3);
        assert!((of_first / row.worth - 1.0).abs() < 1e-9, "{of_first}");
        (row.serving, row.worth)
    };
    // c7g.large has the lower price of an instance: two cores at 2 ms a request, and half of an xlarge.
    assert_eq!(capacity(large), (4, 2.0));
    assert_eq!(capacity(weighted), (2, 1.0));
}

/// Nobody listens: 40 requests a second of half a second each are lost with their instance, whose successor is launched when
/// the health check of its group fails.
#[test]
fn without_rebalancing_the_replacement_starts_after_the_instance_is_gone() {
    let wave = r#"
        [[incident]]
        spot_interruption = { group = "g", zone = "a", share = 0.1, at = "10min30s", for = "1min" }
    "#;
    let run = play(&text("20min", &all_spot(4, ""), wave)).run;
    let notice = of(&run, ActivityKind::InterruptionNotice)[0];
    let taken = of(&run, ActivityKind::Interruption)[0];
    let launch = of(&run, ActivityKind::Launch)[0];
    assert_eq!([notice.at, taken.at, launch.at], [630.0, 750.0, 780.0], "two minutes, then the next check");
    let replaced = of(&run, ActivityKind::Replace)[0];
    assert!(replaced.description.contains("EC2 status check, 30s after it stopped"), "{replaced:?}");
    let spot = run.groups[0].spot.unwrap();
    assert_eq!((spot.launched, spot.notices, spot.interrupted, spot.rebalanced), (5, 1, 1, 0));
    assert!((2..=9).contains(&spot.requests_lost), "10 a second for half a second: {spot:?}");
    assert!(run.requests.failed >= spot.requests_lost);
    // It is paid for until it was taken back.
    let hours: f64 = run.groups[0].instance_hours;
    let expected = (3.0 * 1_200.0 + 750.0 + (1_200.0 - 800.0)) / 3_600.0;
    assert!((hours - expected).abs() < 1e-9, "{hours} and not {expected}");
}

#[test]
fn who_listens_to_the_notice_loses_nothing() {
    let wave = r#"
        [[incident]]
        spot_interruption = { group = "g", zone = "a", share = 0.1, at = "10min30s", for = "1min" }
    "#;
    let run = play(&text("20min", &all_spot(4, "drain_on_notice = true"), wave)).run;
    let spot = run.groups[0].spot.unwrap();
    assert_eq!((spot.interrupted, spot.requests_lost, run.requests.failed), (1, 0, 0));
    assert_eq!(of(&run, ActivityKind::Launch)[0].at, 780.0, "its place is free when it is gone");
    assert_eq!(run.groups[0].serving_min, 3, "it left its target groups at the notice");
}

#[test]
fn with_rebalancing_the_replacement_serves_before_the_old_one_goes() {
    let wave = r#"
        [[incident]]
        spot_interruption = { group = "g", machine = "c6i.large", zone = "a", share = 0.1, at = "10min30s", for = "1min" }
    "#;
    let spot = "rebalance_recommendation = \"5min\", capacity_rebalancing = true";
    let run = play(&text("20min", &all_spot(4, spot), wave)).run;
    assert_eq!(of(&run, ActivityKind::RebalanceRecommendation)[0].at, 630.0);
    assert_eq!(of(&run, ActivityKind::Launch)[0].at, 630.0, "launched first");
    let ended = of(&run, ActivityKind::Terminate)[0];
    assert!((675.0..700.0).contains(&ended.at), "once the new one passed its check: {ended:?}");
    let spot = run.groups[0].spot.unwrap();
    assert_eq!((spot.rebalanced, spot.interrupted, spot.notices, run.requests.failed), (1, 0, 0, 0));
    assert_eq!((run.groups[0].serving_min, run.groups[0].launched), (4, 1));
}

/// A replacement needs longer than the two minutes: the old one goes when it must, and nothing is launched twice.
#[test]
fn a_replacement_that_is_late_is_still_the_only_one() {
    let wave = r#"
        [[incident]]
        spot_interruption = { group = "g", zone = "b", at = "10min30s", for = "1min" }
    "#;
    let group =
        all_spot(4, "capacity_rebalancing = true").replace("min = 4", "min = 4\ninstance_warmup = \"1min\"");
    let slow = text("30min", &group, wave).replace("provision = \"20s\"", "provision = \"4min\"");
    let run = play(&slow).run;
    let spot = run.groups[0].spot.unwrap();
    assert_eq!((spot.interrupted, run.groups[0].launched, run.groups[0].terminated), (2, 2, 2));
    assert_eq!(run.series.last().unwrap().groups[0].serving, 4);
}

/// At its maximum a group may have a tenth of it too many, and at least one.
#[test]
fn rebalancing_exceeds_the_maximum_by_a_tenth() {
    let wave = r#"
        [[incident]]
        spot_interruption = { group = "g", at = "10min30s", for = "1s" }
    "#;
    let group = all_spot(8, "rebalance_recommendation = \"10min\", capacity_rebalancing = true")
        .replace("max = 16", "max = 8");
    let run = play(&text("30min", &group, wave)).run;
    let most = run.series.iter().map(|row| row.groups[0].serving + row.groups[0].starting).max().unwrap();
    assert_eq!(most, 9);
    assert_eq!(run.groups[0].spot.unwrap().launched, 16, "one after another");
    assert_eq!(run.groups[0].spot.unwrap().requests_lost, 0);
}

/// No pool has capacity, and On-Demand does not stand in for it.
#[test]
fn a_dry_pool_gives_nothing_until_it_returns() {
    let wave = r#"
        [[incident]]
        spot_interruption = { group = "g", at = "10min30s", for = "10min" }
    "#;
    let run = play(&text("30min", &all_spot(2, ""), wave)).run;
    let launches: Vec<f64> = of(&run, ActivityKind::Launch).iter().map(|activity| activity.at).collect();
    assert_eq!(launches, [1_260.0; 2], "at the first check after the pools are back at 1230 s");
    let none = of(&run, ActivityKind::NoAction);
    let none = none.iter().filter(|activity| activity.description.contains("no pool of the group")).count();
    assert_eq!(none, 1, "said once");
    assert_eq!(run.groups[0].serving_min, 0);
}

#[test]
fn pools_have_so_many_instances_and_no_more() {
    let group = all_spot(6, "capacity = { \"c6i.large\" = 2 }");
    let run = play(&text("10min", &group, "")).run;
    assert_eq!(run.series[3].groups[0].serving, 4, "two of each zone, and six are desired");
}

#[test]
fn interruptions_come_at_their_rate() {
    // 40 instances for 10 hours, half an interruption an hour: 200, ± 14 as Poisson.
    let group = all_spot(40, "interruptions = { rate = 0.5 }");
    let text = text("10h", &group, "").replace("40/s", "1/s");
    let run = play(&text).run;
    let spot = run.groups[0].spot.unwrap();
    assert!((200.0 - spot.notices as f64).abs() < 3.0 * 14.2, "{spot:?}");
    assert!(spot.notices - spot.interrupted <= 3, "those of the last two minutes: {spot:?}");
}

#[test]
fn pools_are_interrupted_together() {
    let group =
        all_spot(10, "pool_interruptions = { mean_time_between = \"2h\", returns_after = \"20min\" }");
    let text = text("20h", &group, "").replace("40/s", "1/s");
    let run = play(&text).run;
    let waves = of(&run, ActivityKind::IncidentBegan).len() as f64;
    // Two pools for 20 hours: 20, ± 4.5 as Poisson.
    assert!((waves - 20.0).abs() < 13.5, "{waves}");
    let spot = run.groups[0].spot.unwrap();
    assert!(spot.interrupted > 3 * waves as u64, "about five at once: {spot:?} in {waves}");
}

/// What the bill has in each hour is what it is in all, whatever happens to instances in between.
#[test]
fn the_bill_is_the_sum_of_its_hours() {
    let group = all_spot(6, "interruptions = { rate = 2 }");
    let group = format!(
        "{group}\nvolume = {{ gib = 20 }}\nmonitoring = \"detailed\"\nscaling = [{{ target_tracking = {{ target = 50 }} }}]"
    );
    let cost = "data_transfer = true\ncloudwatch = true\nsavings_plan = { commitment = \"0.05/h\", discount = 0.3 }\nreserved = [{ machine = \"c6i.large\", count = 1, hourly = 0.054 }]";
    let results = play(&text("3h20min", &group, cost));
    let bill = results.run.bill.as_ref().unwrap();
    assert!(bill.lines.len() >= 10, "{bill:?}");
    for line in &bill.lines {
        assert_eq!(line.hours.len(), 4, "{}", line.item);
        assert!((line.hours.iter().sum::<f64>() - line.amount).abs() < 1e-9, "{line:?}");
    }
    assert!((bill.total - bill.lines.iter().map(|line| line.amount).sum::<f64>()).abs() < 1e-9);
    let last = results.run.series.last().unwrap().cost.unwrap();
    assert!(
        (last - bill.total).abs() < 1e-9,
        "the last row has spent {last}, and the bill is {}",
        bill.total
    );
    let spent: Vec<f64> = results.run.series.iter().filter_map(|row| row.cost).collect();
    assert!(spent.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12));
}

/// A reservation is paid for where nothing runs, and a plan's commitment where less does.
#[test]
fn commitments_cover_what_runs_and_are_paid_in_any_case() {
    let group = "machine = \"c6i.large\"\nmin = 3\nmax = 3";
    let cost = "savings_plan = { commitment = \"1/h\", discount = 0.3 }\nreserved = [{ machine = \"c6i.large\", count = 2, hourly = 0.05 }]";
    let bill = play(&text("2h", group, cost)).run.bill.unwrap();
    let amount = |item: &str| bill.lines.iter().find(|line| line.item.contains(item)).unwrap().amount;
    assert_eq!([amount("g: c6i.large"), amount("reserved"), amount("Savings Plan")], [0.0, 0.2, 2.0]);
    let line = bill.lines.iter().find(|line| line.item == "Savings Plan").unwrap();
    assert!(line.assumption.contains("0.12 of it was used"), "{}", line.assumption);
}

#[test]
fn connections_that_are_passed_on_have_their_own_prices() {
    let group = "machine = \"c6i.large\"\nmin = 2\nmax = 2";
    let network = text("1h", group, "data_transfer = true")
        .replace("targets = \"g\"", "targets = \"g\"\nalgorithm = \"flow-hash\"\ncross_zone = true");
    let bill = play(&network.replace("steps = [", "size = \"1 MB\"\nsteps = [")).run.bill.unwrap();
    let line = |item: &str| bill.lines.iter().find(|line| line.item.contains(item)).unwrap();
    assert_eq!(line("Network Load Balancer").amount, 0.0225);
    let gb = 40.0 * 3_600.0 * 1e6 / 1e9;
    let near = |seen: f64, want: f64| assert!((seen / want - 1.0).abs() < 0.02, "{seen} and not {want}");
    near(line("NLB capacity units").quantity, gb);
    near(line("across zones").amount, 0.02 * gb / 2.0);
    near(line("to the internet").amount, 0.09 * (gb - 100.0 / 730.0));
}

/// 2 vCPUs with the objective and demands of a test of the oracle, and so many instances.
fn fleet(instances: u32, rate: f64, objective: &str, seed: u64) -> String {
    format!(
        r#"
        [scenario]
        duration = "30min"
        warm_up = "1min"
        seed = {seed}
        [traffic.t]
        to = "b"
        profile = {{ constant = "{rate}/s" }}
        [service.s]
        runtime = "thread-per-request"
        [service.s.endpoint.e]
        steps = [{{ cpu = {{ exp = {{ mean = "10ms" }} }} }}, {{ wait = {{ exp = {{ mean = "20ms" }} }} }}]
        [machine.two]
        vcpus = 2
        hourly = 0.1
        [group.g]
        service = "s"
        machine = "two"
        min = {instances}
        max = {instances}
        [balancer.b]
        targets = "g"
        algorithm = "random"
        [[sla]]
        objective = "{objective}"
        window = "29min"
        [cost]
        prices = "aws-us-east-1"
        "#
    )
}

/// As many instances as the oracle says keep the objective, and a tenth fewer break it.
#[test]
fn the_oracles_fleet_is_just_enough() {
    for objective in ["p95 <= 100ms", "p99 <= 200ms", "mean <= 45ms"] {
        let rate = 1_500.0;
        let plan = scenario(&fleet(1, rate, objective, 1)).plan().clone();
        let each = carries(&plan)[0].clone().unwrap();
        let needed = instances_for(&each, rate).unwrap();
        let run = |instances: u32| play(&fleet(instances, rate, objective, 7)).run;
        let enough = run(needed);
        assert!(enough.objectives[0].met, "{objective} with {needed}: {}", enough.objectives[0].overall);
        let fewer = needed - needed.div_ceil(8).max(1);
        let short = run(fewer);
        assert!(
            !short.objectives[0].met,
            "{objective} with {fewer} of {needed}: {}",
            short.objectives[0].overall
        );
        let oracle = short.oracle.unwrap();
        assert!(oracle.groups[0].minutes_short > 25.0, "{oracle:?}");
        let oracle = enough.oracle.unwrap();
        // Poisson noise of a row's load is a few per cent, so the oracle's fleet moves by an instance.
        let hours = oracle.groups[0].instance_hours;
        assert!((hours - f64::from(needed) * 0.5).abs() < 1.0, "{hours} for {needed} instances");
    }
}

#[test]
fn the_oracle_says_what_a_policy_paid_too_much() {
    let run = play(&fleet(40, 100.0, "p99 <= 300ms", 3)).run;
    let oracle = run.oracle.unwrap();
    let group = &oracle.groups[0];
    assert_eq!((group.minutes_short, group.hours_short), (0.0, 0.0));
    assert!((group.hours_above + group.instance_hours - 20.0).abs() < 1e-6, "{group:?}");
    assert!((oracle.paid.unwrap() - 2.0).abs() < 1e-9);
    assert!((oracle.cost.unwrap() - 0.1 * group.instance_hours).abs() < 1e-9);
    assert!((oracle.regret().unwrap() - 0.1 * group.hours_above).abs() < 1e-6);
    assert!(run.series.iter().all(|row| row.groups[0].needed.is_some()));
}

#[test]
fn an_objective_that_an_idle_instance_breaks_is_out_of_reach() {
    let run = play(&fleet(2, 10.0, "p99 <= 30ms", 3)).run;
    let oracle = run.oracle.unwrap();
    assert!((oracle.groups[0].minutes_out_of_reach - 30.0).abs() < 1e-6, "{oracle:?}");
    assert_eq!(oracle.groups[0].carries, 0.0);
}

#[test]
fn the_resolved_scenario_reads_back_to_the_same() {
    let first = scenario(include_str!("../../../examples/spot-fleet.toml"));
    let again = scenario(first.resolved());
    assert_eq!(first.resolved(), again.resolved());
    let spot = first.plan().groups[0].mixed.clone().unwrap().spot.unwrap();
    let prices: Vec<f64> = spot.pools.iter().map(|pool| pool.price).collect();
    assert_eq!(prices, [0.36, 0.36, 0.33, 0.38, 0.4, 0.4], "the longer name goes first");
}

/// Three instances of three units are one too many for six units, and two are not for five.
#[test]
fn scale_in_leaves_what_is_desired() {
    let group = r#"
        min = 1
        desired = 7
        max = 7
        mixed_instances = { machines = [{ machine = "c6i.large", weight = 3 }] }
        scaling = [{ manual = { at = "10min", desired = 6 } }, { manual = { at = "20min", desired = 5 } }]
    "#;
    let run = play(&text("30min", group, "")).run;
    let ended: Vec<f64> = of(&run, ActivityKind::Terminate).iter().map(|activity| activity.at).collect();
    assert_eq!(ended, [600.0], "nine units are too many for six, and six are not for five");
}

fn interrupted() -> impl Strategy<Value = String> {
    let switches = (prop::bool::ANY, prop::bool::ANY, prop::bool::ANY);
    let strategies =
        prop::sample::select(vec!["price-capacity-optimized", "capacity-optimized", "lowest-price"]);
    (2u32..12, 0u32..4, 0u32..100, switches, strategies, 1u32..4, 1u64..1_000).prop_map(
        |(size, base, share, (drains, rebalances, warned), strategy, weight, seed)| {
            let warned =
                if warned { ", rebalance_recommendation = { exp = { mean = \"1min\" } }" } else { "" };
            let group = format!(
                r#"
                min = {size}
                max = {}
                [group.g.mixed_instances]
                on_demand_base = {base}
                on_demand_percentage = {share}
                spot_allocation = "{strategy}"
                machines = [{{ machine = "c6i.large" }}, {{ machine = "c6i.xlarge", weight = {weight} }}]
                [group.g.mixed_instances.spot]
                price = {{ "c6i.large" = 0.4, "c6i.xlarge" = 0.35, "c6i.xlarge/b" = 0.5 }}
                capacity = 9
                interruptions = {{ rate = 6 }}
                pool_interruptions = {{ mean_time_between = "15min", share = 0.7, returns_after = "3min" }}
                drain_on_notice = {drains}
                capacity_rebalancing = {rebalances}{}
                "#,
                size + 2,
                warned.replace(", ", "\n")
            );
            text("25min", "", "")
                .replace("        [balancer.b]", &format!("{group}\n[balancer.b]"))
                .replace("duration =", &format!("seed = {seed}\nduration ="))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Under interruptions of every kind no request is unaccounted for at any instant, every instance that went was replaced,
    /// and the group never has more than its limits let it.
    #[test]
    fn interruptions_lose_nothing_that_is_not_counted(text in interrupted()) {
        let scenario = scenario(&text);
        let plan = Arc::new(scenario.plan().clone());
        let mut simulation = System::start(plan.clone(), Seed::new(plan.seed));
        let group = &plan.groups[0];
        let started = simulation.model.fleets()[0].members.len() as u64;
        let heaviest = *group.mixed.as_ref().unwrap().weights.iter().max().unwrap();
        for step in 1..=250u64 {
            simulation.run(Time::ZERO + Span::from_secs(6 * step), u64::MAX, &mut ());
            let system = &simulation.model;
            for source in &system.measure().sources {
                prop_assert!(source.ledger().conserved());
                prop_assert!(source.ledger().in_flight <= system.in_flight() as u64);
            }
            let fleet = &system.fleets()[0];
            let limit = hard_limit(fleet.max + (fleet.max / 10).max(1), [heaviest]);
            // Instances that drain or were taken back are not the group's any more.
            prop_assert!(fleet.members.len() as u32 <= limit + 12, "{} members", fleet.members.len());
        }
        let run = Experiment::new(&scenario).run().run;
        prop_assert!(run.requests.conserved());
        let (result, spot) = (&run.groups[0], run.groups[0].spot.unwrap());
        let there = simulation.model.fleets()[0].members.len() as u64;
        prop_assert_eq!(started + result.launched - result.terminated, there, "who went was replaced, and nobody twice");
        prop_assert!(spot.interrupted <= spot.notices);
        let bill = run.bill.unwrap();
        let hours: f64 = bill.lines.iter().flat_map(|line| &line.hours).sum();
        prop_assert!((hours - bill.total).abs() < 1e-9);
    }
}
