//! The life of instances in their group: who goes, who is spared, who is waited for, what is prepared.

use scalesim::results::{Activity, ActivityKind, Results};
use scalesim::scaling::{
    Candidate, LaunchedFrom, TerminationPolicy, equals, global_timeout, is_lifetime, rebalance_ceiling,
    replaced_at_once, surplus, to_next_hour, warm_pool_size,
};
use scalesim::{Experiment, Scenario};
use serde_json::Value;
use sim_core::{Seed, Span, Time};

use crate::asg_vectors::vectors;

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

/// An instance as a vector describes it.
fn candidate(of: &Value) -> Candidate {
    let age = number(&of["config_age_rank"]);
    Candidate {
        zone: of["az"].as_str().unwrap().bytes().next().unwrap().into(),
        launched_from: match of["config_kind"].as_str().unwrap() {
            "launch_template" => LaunchedFrom::Template(age),
            _ => LaunchedFrom::Configuration(age),
        },
        launched: Time::ZERO,
        number: 0,
        to_next_hour: Span::from_secs(of["seconds_to_next_billing_hour"].as_u64().unwrap()),
        out_of_line: false,
        protected: of["scale_in_protected"].as_bool().unwrap(),
    }
}

#[test]
fn the_default_policy_terminates_whom_the_guide_says() {
    for vector in vectors("default_termination") {
        let instances = vector.input["instances"].as_array().unwrap();
        let candidates: Vec<Candidate> = instances.iter().map(candidate).collect();
        let any = equals(&candidates, &[TerminationPolicy::Default]);
        let any: Vec<&str> = any.into_iter().map(|index| instances[index]["id"].as_str().unwrap()).collect();
        let expected: Vec<&str> = (vector.expected["terminate_one_of"].as_array().unwrap().iter())
            .map(|id| id.as_str().unwrap())
            .collect();
        assert_eq!(any, expected, "{}", vector.id);
    }
}

/// Six instances, of which number 5 is in a zone of its own.
fn six() -> Vec<Candidate> {
    let of = |number: u64| Candidate {
        zone: u16::from(number == 5),
        launched_from: LaunchedFrom::Template(3),
        launched: Time::from_nanos(number),
        number,
        to_next_hour: Span::from_secs(100),
        out_of_line: false,
        protected: false,
    };
    (0..6).map(of).collect()
}

#[test]
fn each_policy_has_its_favourite_and_passes_ties_on() {
    use TerminationPolicy as Policy;
    let mut candidates = six();
    candidates[1].launched_from = LaunchedFrom::Template(2);
    candidates[2].launched_from = LaunchedFrom::Configuration(9);
    candidates[3].to_next_hour = Span::from_secs(9);
    candidates[4].out_of_line = true;
    let of = |policies: &[Policy]| equals(&candidates, policies);
    assert_eq!(of(&[Policy::OldestInstance]), [0]);
    assert_eq!(of(&[Policy::NewestInstance]), [4], "number 5 is in a zone with fewer");
    assert_eq!(of(&[Policy::OldestLaunchTemplate]), [2], "configurations go before templates");
    assert_eq!(of(&[Policy::OldestLaunchConfiguration]), [2]);
    assert_eq!(of(&[Policy::ClosestToNextInstanceHour]), [3]);
    assert_eq!(of(&[Policy::AllocationStrategy]), [4]);
    assert_eq!(of(&[Policy::Default]), [4], "the allocation strategy goes before all");
    candidates[4].out_of_line = false;
    let of = |policies: &[Policy]| equals(&candidates, policies);
    assert_eq!(of(&[Policy::Default]), [2]);
    candidates.remove(2);
    let of = |policies: &[Policy]| equals(&candidates, policies);
    assert_eq!(of(&[Policy::OldestLaunchConfiguration]), [0, 1, 2, 3], "none is of one");
    assert_eq!(of(&[Policy::OldestLaunchConfiguration, Policy::OldestInstance]), [0]);
    assert_eq!(of(&[Policy::AllocationStrategy, Policy::Default]), [1]);
}

#[test]
fn zones_are_counted_anew_after_each_choice() {
    let mut candidates = six();
    (candidates[3].zone, candidates[4].zone) = (1, 1);
    let mut draws = Seed::new(1).stream("termination");
    let gone = surplus(&candidates, 2, &[TerminationPolicy::OldestInstance], &mut draws);
    assert_eq!(gone, [0, 3, 1, 4], "three and three, then two and three, two and two, one and two");
}

#[test]
fn equals_are_all_chosen_some_time() {
    let equal: Vec<Candidate> = six().into_iter().take(4).collect();
    let mut draws = Seed::new(1).stream("termination");
    let first = |_| surplus(&equal, 3, &[TerminationPolicy::Default], &mut draws)[0];
    let mut seen = [0u32; 4];
    (0..400).map(first).for_each(|index| seen[index] += 1);
    // Binomial: 100 on average, with a deviation of 8.7.
    assert!(seen.iter().all(|count| (65..135).contains(count)), "{seen:?}");
}

#[test]
fn the_next_billing_hour_is_counted_from_the_first_second() {
    let at = |seconds| Time::ZERO + Span::from_secs(seconds);
    assert_eq!(to_next_hour(at(100), at(100)), Span::from_secs(3600));
    assert_eq!(to_next_hour(at(100), at(3_600)), Span::from_secs(100));
    assert_eq!(to_next_hour(at(0), at(7_199)), Span::from_secs(1));
}

#[test]
fn protected_instances_stay_and_the_desired_capacity_drops() {
    for vector in vectors("scale_in_protection") {
        let input = &vector.input;
        let protected = number(&input["protected"]) as usize;
        let mut candidates = vec![six()[0]; number(&input["instances"]) as usize];
        candidates.iter_mut().take(protected).for_each(|candidate| candidate.protected = true);
        let change = input["change"].as_i64().unwrap();
        let desired = (i64::from(number(&input["desired_capacity"])) + change) as usize;
        let mut draws = Seed::new(1).stream("termination");
        let gone = surplus(&candidates, desired, &[TerminationPolicy::Default], &mut draws);
        let left = candidates.len() - gone.len();
        assert_eq!(desired as u64, vector.expected["desired_capacity"].as_u64().unwrap(), "{}", vector.id);
        assert_eq!(left as u64, vector.expected["instances"].as_u64().unwrap(), "{}", vector.id);
    }
}

#[test]
fn numbers_are_those_of_the_guide() {
    for vector in vectors("az_rebalance_limit") {
        let ceiling = rebalance_ceiling(number(&vector.input["max_size"]));
        assert_eq!(ceiling, number(&vector.expected["temporary_max"]), "{}", vector.id);
    }
    assert_eq!(rebalance_ceiling(5), 6, "at least one");
    for vector in vectors("warm_pool_size") {
        let input = &vector.input;
        let prepared = input["max_prepared_capacity"].as_u64().map(|prepared| prepared as u32);
        let [desired, max, min] =
            ["desired_capacity", "max_size", "min_pool_size"].map(|key| number(&input[key]));
        let size = warm_pool_size(desired, max, prepared, min);
        assert_eq!(size, number(&vector.expected["warm_pool_size"]), "{}", vector.id);
    }
    assert_eq!(warm_pool_size(6, 10, Some(4), 0), 0, "prepared below desired");
    for vector in vectors("lifecycle_hook_timeout") {
        let heartbeat = Span::from_secs(vector.input["heartbeat_timeout_s"].as_u64().unwrap());
        let expected = Span::from_secs(vector.expected["global_timeout_s"].as_u64().unwrap());
        assert_eq!(global_timeout(heartbeat), expected, "{}", vector.id);
    }
    for vector in vectors("max_instance_lifetime") {
        let lifetime = Span::from_secs(vector.input["seconds"].as_u64().unwrap());
        assert_eq!(is_lifetime(lifetime), vector.expected["valid"].as_bool().unwrap(), "{}", vector.id);
    }
    assert!(is_lifetime(Span::ZERO));
    for vector in vectors("health_replacement_batch") {
        let batch = replaced_at_once(number(&vector.input["desired_capacity"]));
        assert_eq!(batch, number(&vector.expected["max_replaced_at_once"]), "{}", vector.id);
    }
}

/// A group of machines with one vCPU whose requests take what `steps` says. A start takes 10 s until it runs, 10 s of boot
/// and 10 s of the app. It is behind a balancer that checks every 10 s, unless `balancer` is empty.
struct Case<'a> {
    duration: &'a str,
    rate: &'a str,
    steps: &'a str,
    group: &'a str,
    balancer: &'a str,
    rest: &'a str,
}

const CASE: Case<'static> = Case {
    duration: "30min",
    rate: "10/s",
    steps: "{ cpu = \"10ms\" }",
    group: "min = 1",
    balancer: "deregistration_delay = \"60s\"",
    rest: "",
};

impl Case<'_> {
    fn text(&self) -> String {
        let startup = if self.group.contains("startup") {
            ""
        } else {
            "startup = { provision = \"10s\", boot = \"10s\", app = \"10s\" }"
        };
        let health = "health_check = { interval = \"10s\", timeout = \"5s\" }";
        let balancer = match self.balancer {
            "" => "targets = \"other\"".to_string(),
            options => format!("targets = \"g\"\n{health}\n{options}"),
        };
        format!(
            r#"
            [scenario]
            duration = "{}"
            [traffic.t]
            to = "b"
            profile = {{ constant = "{}" }}
            timeout = "none"
            [service.s]
            runtime = {{ thread-per-request = {{ most = 1000 }} }}
            [service.s.endpoint.e]
            steps = [{}]
            [machine.one]
            vcpus = 1
            hourly = 3.6
            [group.g]
            service = "s"
            machine = "one"
            monitoring = "detailed"
            {startup}
            {}
            [group.other]
            service = "s"
            machine = "one"
            min = 1
            [balancer.b]
            {balancer}
            [cost]
            prices = "aws-us-east-1"
            {}
            "#,
            self.duration, self.rate, self.steps, self.group, self.rest
        )
    }

    fn play(&self) -> Results {
        let scenario = Scenario::parse(&self.text()).unwrap_or_else(|errors| panic!("{errors}"));
        let results = Experiment::new(&scenario).run();
        assert!(results.run.requests.conserved());
        results
    }
}

/// What the log says of the group, by kind.
fn told(results: &Results, kind: ActivityKind) -> Vec<&Activity> {
    let own = results.run.activities.iter().filter(|activity| activity.group == "g");
    own.filter(|activity| activity.kind == kind).collect()
}

/// Seconds of all entries of a kind, without the microseconds that a check takes.
fn instants(results: &Results, kind: ActivityKind) -> Vec<f64> {
    told(results, kind).iter().map(|activity| (1e3 * activity.at).round() / 1e3).collect()
}

/// Numbers of the instances that entries of a kind are about.
fn numbers(results: &Results, kind: ActivityKind) -> Vec<u64> {
    let number = |activity: &&Activity| {
        let after = activity.description.split("nstance ").nth(1).unwrap();
        after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    told(results, kind).iter().map(number).collect()
}

fn says(results: &Results, text: &str) -> Vec<f64> {
    let own = results.run.activities.iter().filter(|activity| activity.group == "g");
    own.filter(|activity| activity.description.contains(text)).map(|activity| activity.at).collect()
}

/// Desired, serving, starting and draining at the end of the row before `at`.
fn row(results: &Results, at: f64) -> [u32; 4] {
    let row = results.run.series.iter().rev().find(|row| row.at < at).unwrap().groups[0];
    [row.desired, row.serving, row.starting, row.draining]
}

/// Four instances at the same instant: which two go is the policy's choice.
#[test]
fn termination_policies_choose_who_goes() {
    let gone = |policy: &str| {
        let group = format!(
            "min = 1\ndesired = 4\nmax = 6\nscaling = [{{ manual = {{ at = \"5min\", desired = 2 }} }}]\n{policy}"
        );
        let mut gone = numbers(&Case { group: &group, ..CASE }.play(), ActivityKind::Terminate);
        gone.sort_unstable();
        gone
    };
    assert_eq!(gone("termination_policies = [\"newest-instance\"]"), [2, 3]);
    assert_eq!(gone("termination_policies = [\"oldest-instance\", \"default\"]"), [0, 1]);
    assert_eq!(gone("").len(), 2, "any, but as many");
    assert_eq!(gone("zones = [\"a\", \"b\"]\ntermination_policies = [\"oldest-instance\"]"), [0, 1]);
    // Of 0 and 3 in a, 1 in b and 2 in c the first goes from a.
    assert_eq!(
        gone("zones = [\"a\", \"b\", \"c\"]\ntermination_policies = [\"newest-instance\"]"),
        [2, 3],
        "one each then, of which the newest goes"
    );
}

/// The desired capacity drops and nothing terminates; once two are no longer protected they go. A crash is replaced anyway.
#[test]
fn scale_in_spares_protected_instances_and_health_replacement_does_not() {
    let group = "min = 1\ndesired = 4\nmax = 6\nscale_in_protection = true\nscaling = [{ manual = { at = \"5min\", desired = 2 } }]\ninstance_actions = [{ unprotect = { at = \"10min\", count = 2 } }]";
    let rest = "[[incident]]\ncrash = { group = \"g\", at = \"15min\" }";
    let results = Case { group, rest, ..CASE }.play();
    assert_eq!(row(&results, 400.0)[..2], [2, 4]);
    assert_eq!(says(&results, "all are protected from scale-in"), [300.0], "told once");
    assert_eq!(instants(&results, ActivityKind::Terminate)[..2], [600.0, 600.0]);
    let mut gone = numbers(&results, ActivityKind::Terminate)[..2].to_vec();
    gone.sort_unstable();
    assert_eq!(gone, [0, 1], "the two that are protected no longer");
    assert_eq!(row(&results, 700.0)[..2], [2, 2]);
    assert_eq!(instants(&results, ActivityKind::Replace).len(), 1, "protected or not");
}

/// Jobs of ten minutes and a deregistration delay of one. Whoever works protects itself, and goes when the last job is done;
/// a delay as long as a job does the same, though the group then gets new work elsewhere; without either jobs are cut.
#[test]
fn long_jobs_end_where_they_began() {
    let play = |protection: &str, balancer: &str| {
        let group = format!(
            "min = 1\ndesired = 4\nmax = 4\n{protection}\nscaling = [{{ manual = {{ at = \"15min\", desired = 1 }} }}]"
        );
        let steps = "{ wait = \"10min\" }";
        let balancer = format!("idle_timeout = \"none\"\n{balancer}");
        let balancer = balancer.as_str();
        Case { duration: "2h", rate: "0.004/s", steps, group: &group, balancer, ..CASE }.play()
    };
    let cut = play("", "deregistration_delay = \"60s\"");
    assert!(cut.run.requests.failed > 0, "{:?}", cut.run.requests);
    let spared = play("scale_in_protection = \"while-busy\"", "deregistration_delay = \"60s\"");
    assert_eq!(spared.run.requests.failed, 0);
    assert!(says(&spared, "It was idle").len() == 3, "each goes in a minute without a job");
    let patient = play("", "deregistration_delay = \"10min\"");
    assert_eq!(patient.run.requests.failed, 0);
    // A termination hook comes after the balancer's delay, and too late for those who wait behind it.
    let hook =
        "lifecycle_hooks = [{ on = \"terminating\", heartbeat_timeout = \"20min\", takes = \"10min\" }]";
    let hooked = play(hook, "deregistration_delay = \"60s\"");
    assert_eq!(hooked.run.requests.failed, cut.run.requests.failed);
}

/// Second by second: the zone is back at 600 s, and the group at its maximum of six may have one more. It launches in b,
/// which serves 30 s later after its first check, and at the next full minute one goes elsewhere.
#[test]
fn a_zone_that_returns_is_filled_before_others_shrink() {
    let group = "min = 6\nmax = 6\nzones = [\"a\", \"b\", \"c\"]\nhealth_check = { elb = { grace_period = \"90s\" } }";
    let rest = "[[incident]]\nzone_loss = { zone = \"b\", at = \"2min\", for = \"8min\" }";
    let results = Case { group, rest, ..CASE }.play();
    assert_eq!(says(&results, "Rebalancing: 2 of 6 instances have to move"), [600.0]);
    let launched: Vec<f64> = says(&results, "Launching").into_iter().filter(|&at| at >= 600.0).collect();
    assert_eq!(launched, [600.0, 660.0]);
    let gone: Vec<f64> =
        instants(&results, ActivityKind::Terminate).into_iter().filter(|&at| at >= 600.0).collect();
    assert_eq!(gone, [660.0, 720.0]);
    let at: Vec<(u32, u32)> = [595.0, 605.0, 655.0, 675.0, 715.0, 735.0]
        .map(|at| row(&results, at))
        .map(|[_, serving, starting, _]| (serving, starting))
        .to_vec();
    assert_eq!(at, [(6, 0), (6, 1), (7, 0), (6, 1), (7, 0), (6, 0)]);
    let off = format!("{group}\nsuspend = [{{ processes = [\"az-rebalance\"] }}]");
    let off = Case { group: &off, rest, ..CASE }.play();
    assert_eq!(instants(&off, ActivityKind::Rebalance), [] as [f64; 0]);
}

/// Launches one instance at 5 min into a group of one, and says at which seconds it is in service, up, and healthy.
fn grown(group: &str) -> Results {
    let group =
        format!("min = 1\nmax = 4\n{group}\nscaling = [{{ manual = {{ at = \"5min\", desired = 2 }} }}]");
    Case { group: &group, ..CASE }.play()
}

/// The machine runs at 310 s and boots and starts its app meanwhile; the hook keeps it out of service for two minutes, so that
/// the balancer hears of it at 430 s.
#[test]
fn a_launch_hook_keeps_an_instance_from_the_balancer() {
    let plain = grown("");
    // Checks every 10 s from 310 s on; its app is up at 330 s.
    assert_eq!(instants(&plain, ActivityKind::Healthy), [330.0]);
    let hook = "lifecycle_hooks = [{ on = \"launching\", takes = \"2min\" }]";
    let hooked = grown(hook);
    assert_eq!(says(&hooked, "Pending:Wait"), [310.0]);
    assert_eq!(says(&hooked, "CONTINUE after 2min"), [430.0]);
    assert_eq!(instants(&hooked, ActivityKind::Healthy), [430.0]);
    let at = [305.0, 335.0, 425.0, 435.0].map(|at| row(&hooked, at));
    assert_eq!(at, [[2, 1, 1, 0], [2, 1, 1, 0], [2, 1, 1, 0], [2, 2, 0, 0]]);
    // It is billed since it runs.
    let hours = |results: &Results| results.run.groups[0].instance_hours;
    assert!((hours(&hooked) - hours(&plain)).abs() < 1e-9);
}

/// The grace period and the warm-up begin with its service, and so after the hook.
#[test]
fn grace_and_warm_up_begin_after_the_hook() {
    // An app of five minutes and a grace period of four: replaced without a hook, and in time with one of two minutes.
    let group = |hook: &str| {
        format!(
            "{hook}\nhealth_check = {{ elb = {{ grace_period = \"4min\" }} }}\nstartup = {{ provision = \"10s\", boot = \"10s\", app = \"5min\" }}"
        )
    };
    let replaced = |hook: &str| instants(&grown(&group(hook)), ActivityKind::Replace).len();
    assert!(replaced("") > 2);
    assert_eq!(replaced("lifecycle_hooks = [{ on = \"launching\", takes = \"2min\" }]"), 0);
    // Two vCPUs' worth of load on one: its metric is 100 %, and scale-out waits for the second to be warm.
    let warm = |hook: &str| {
        let group = format!(
            "min = 1\nmax = 9\ninstance_warmup = \"60s\"\n{hook}\nscaling = [{{ target_tracking = {{ target = 50 }} }}]"
        );
        let results = Case { rate: "200/s", group: &group, ..CASE }.play();
        instants(&results, ActivityKind::ScaleOut)
    };
    let (without, with) = (warm(""), warm("lifecycle_hooks = [{ on = \"launching\", takes = \"5min\" }]"));
    assert_eq!(without[0], with[0]);
    assert_eq!(with[1] - without[1], 300.0, "{without:?} {with:?}");
}

/// Work that nobody hears the end of is abandoned when the heartbeat timeout is over: terminated and replaced, for ever.
#[test]
fn an_abandoned_launch_is_terminated_and_replaced() {
    let hook = |rest: &str| {
        format!("lifecycle_hooks = [{{ on = \"launching\", heartbeat_timeout = \"2min\", {rest} }}]")
    };
    let lost = grown(&hook("takes = \"30s\", fails = 1.0"));
    // 300 s + 10 s + 2 min, and so on.
    assert_eq!(says(&lost, "ABANDON by default after 2min without an answer")[..3], [430.0, 560.0, 690.0]);
    assert_eq!(instants(&lost, ActivityKind::Launch)[..3], [300.0, 430.0, 560.0]);
    assert_eq!(row(&lost, 1700.0)[..2], [2, 1]);
    let anyway = grown(&hook("default_result = \"continue\", takes = \"30s\", fails = 1.0"));
    assert_eq!(instants(&anyway, ActivityKind::Healthy), [430.0]);
    let slow = grown(&hook("takes = \"5min\""));
    assert!(says(&slow, "ABANDON").len() > 5);
    let beats = grown(&hook("takes = \"5min\", heartbeats = true"));
    assert_eq!(instants(&beats, ActivityKind::Healthy), [610.0]);
    // Some fail: of many launches as many as it says.
    let group = format!(
        "min = 1\nmax = 401\n{}\nscaling = [{{ manual = {{ at = \"5min\", desired = 401 }} }}]",
        hook("takes = \"30s\", fails = 0.2")
    );
    let some = Case { duration: "8min", rate: "1/s", group: &group, ..CASE }.play();
    let failed = says(&some, "ABANDON").len();
    assert!((56..104).contains(&failed), "binomial, 80 with a deviation of 8: {failed}");
}

/// What waits in a termination hook gets no requests, is billed, and holds nobody up: its successor is launched at once.
#[test]
fn a_termination_hook_delays_the_end_and_not_the_replacement() {
    let play = |hook: &str| {
        let group = format!(
            "min = 2\nmax = 2\n{hook}\ninstance_actions = [{{ terminate = {{ at = \"5min\", decrement = false }} }}]"
        );
        Case { group: &group, ..CASE }.play()
    };
    let hooked = play("lifecycle_hooks = [{ on = \"terminating\", takes = \"3min\" }]");
    let plain = play("");
    assert_eq!(instants(&hooked, ActivityKind::Launch), instants(&plain, ActivityKind::Launch));
    assert_eq!(instants(&hooked, ActivityKind::Launch), [300.0]);
    assert_eq!(row(&hooked, 400.0), [2, 2, 0, 1]);
    let hours = |results: &Results| results.run.groups[0].instance_hours;
    assert!((hours(&hooked) - hours(&plain) - 0.05).abs() < 1e-3, "three minutes");
}

/// A cold start takes 20 s to run, 60 s to boot and 100 s for its app; one from the pool what its state and `start` say.
#[test]
fn a_warm_pool_is_taken_first_and_filled_again() {
    let group = |pool: &str, max: u32| {
        format!(
            "min = 1\nmax = {max}\nstartup = {{ provision = \"20s\", boot = \"60s\", app = \"100s\" }}\n{pool}\nscaling = [{{ manual = {{ at = \"5min\", desired = 3 }} }}]"
        )
    };
    let healthy =
        |pool: &str| instants(&Case { group: &group(pool, 3), ..CASE }.play(), ActivityKind::Healthy);
    assert_eq!(healthy(""), [480.0, 480.0]);
    assert_eq!(healthy("warm_pool = {}"), [460.0, 460.0], "boots and starts its app again");
    assert_eq!(healthy("warm_pool = { start = \"25s\" }"), [330.0, 330.0], "found by the check at 330 s");
    assert_eq!(healthy("warm_pool = { state = \"running\" }"), [300.0, 300.0]);
    assert_eq!(healthy("warm_pool = { state = \"hibernated\" }"), [300.0, 300.0]);
    // One is prepared: the second is launched cold.
    assert_eq!(healthy("warm_pool = { max_group_prepared_capacity = 2, start = \"25s\" }"), [330.0, 480.0]);
    // A pool of at least two is filled again, with the third and the fourth.
    let filled = Case { group: &group("warm_pool = { min_size = 2, start = \"25s\" }", 3), ..CASE }.play();
    assert_eq!(says(&filled, "into the warm pool"), [300.0, 300.0]);
    assert_eq!(says(&filled, "is set up and stopped"), [480.0, 480.0]);
    // Zones: what leaves the pool evens them out.
    let zones =
        Case { group: &group("zones = [\"a\", \"b\", \"c\"]\nwarm_pool = { start = \"25s\" }", 6), ..CASE }
            .play();
    assert_eq!(says(&zones, "for zone b").len() + says(&zones, "for zone c").len(), 2);
}

/// A launch hook fires on the way into the pool and on the way out of it.
#[test]
fn a_launch_hook_fires_twice_with_a_warm_pool() {
    let group = "min = 1\nmax = 2\nwarm_pool = { min_size = 1, start = \"5s\" }\nlifecycle_hooks = [{ on = \"launching\", takes = \"2min\" }]\nscaling = [{ manual = { at = \"5min\", desired = 2 } }]";
    let results = Case { group, ..CASE }.play();
    assert_eq!(says(&results, "Pending:Wait"), [300.0], "out of the pool");
    assert_eq!(instants(&results, ActivityKind::Healthy), [420.0]);
    // Into the pool: 10 s until it runs, and two minutes.
    assert_eq!(says(&results, "is set up and stopped"), [430.0]);
}

/// A dollar a GiB-month would be seen: 8 GiB for half an hour, and no instance-hours.
#[test]
fn stopped_instances_cost_their_volumes_and_running_ones_their_hours() {
    let play = |state: &str| {
        let group = format!("min = 1\nmax = 3\nwarm_pool = {{ state = \"{state}\", volume_gib = 100 }}");
        Case { group: &group, ..CASE }.play().run
    };
    let (stopped, running) = (play("stopped"), play("running"));
    assert!((stopped.groups[0].instance_hours - 0.5).abs() < 1e-9);
    assert!((running.groups[0].instance_hours - 1.5).abs() < 1e-9);
    let amount = |run: &scalesim::results::Run| {
        let lines = run.bill.as_ref().unwrap().lines.iter();
        lines.filter(|line| line.item.contains("warm pool")).map(|line| line.amount).sum::<f64>()
    };
    assert!((amount(&stopped) - 2.0 * 100.0 * 0.5 / 730.0 * 0.08).abs() < 1e-12);
    assert_eq!(amount(&running), 0.0);
}

/// With a reuse policy scale-in gives instances back, and the next scale-out gets the same ones.
#[test]
fn reuse_brings_instances_back_to_the_pool() {
    let play = |reuse: bool| {
        let group = format!(
            "min = 1\ndesired = 2\nmax = 2\nwarm_pool = {{ reuse_on_scale_in = {reuse}, start = \"5s\" }}\ntermination_policies = [\"newest-instance\"]\nscaling = [{{ manual = {{ at = \"5min\", desired = 1 }} }}, {{ manual = {{ at = \"15min\", desired = 2 }} }}]"
        );
        Case { group: &group, ..CASE }.play()
    };
    let (reused, fresh) = (play(true), play(false));
    assert_eq!(says(&reused, "Instance 1 goes back to the warm pool").len(), 1);
    assert_eq!(says(&reused, "into the warm pool"), [] as [f64; 0], "nothing is launched");
    assert_eq!(numbers(&reused, ActivityKind::Launch), [1]);
    assert_eq!(says(&fresh, "into the warm pool"), [300.0]);
    assert_eq!(numbers(&fresh, ActivityKind::Launch), [2]);
}

/// In standby it gets nothing and counts for nothing; its place is taken, or the desired capacity goes down with it.
#[test]
fn standby_replaces_or_decrements() {
    let play = |actions: &str| {
        let group = format!("min = 1\ndesired = 2\nmax = 3\ninstance_actions = [{actions}]");
        Case { group: &group, ..CASE }.play()
    };
    let smaller = play(
        "{ enter_standby = { at = \"5min\", decrement = true } }, { exit_standby = { at = \"10min\" } }",
    );
    assert_eq!([295.0, 400.0, 650.0].map(|at| row(&smaller, at)[0]), [2, 1, 2]);
    assert_eq!([295.0, 400.0, 650.0].map(|at| row(&smaller, at)[1]), [2, 1, 2]);
    assert_eq!(smaller.run.groups[0].launched, 0);
    let replaced = play(
        "{ enter_standby = { at = \"5min\", decrement = false } }, { exit_standby = { at = \"10min\" } }",
    );
    assert_eq!([295.0, 400.0, 650.0].map(|at| row(&replaced, at)[0]), [2, 2, 3]);
    assert_eq!([295.0, 400.0, 650.0].map(|at| row(&replaced, at)[1]), [2, 2, 3]);
    assert_eq!(instants(&replaced, ActivityKind::Launch), [300.0]);
    // Two go, and only one may.
    let refused = play("{ enter_standby = { at = \"5min\", count = 2, decrement = true } }");
    assert_eq!(says(&refused, "below the minimum of 1"), [300.0]);
    let full = play(
        "{ enter_standby = { at = \"5min\", decrement = false } }, { exit_standby = { at = \"10min\", count = 2 } }, { terminate = { at = \"6min\", decrement = false } }",
    );
    assert_eq!(row(&full, 700.0)[..2], [3, 3], "one was there to come back");
    // One that crashes there is nobody's business: nobody checks it.
    let text = "{ enter_standby = { at = \"5min\", count = 1, decrement = false } }, { stop = { at = \"6min\", count = 9 } }";
    let stopped = play(text);
    assert_eq!(instants(&stopped, ActivityKind::Replace).len(), 2, "the two in service");
}

/// What an instance in standby still has is cut when the deregistration delay is over, and the server serves on.
#[test]
fn standby_ends_what_outlives_the_delay() {
    let group = "min = 1\ndesired = 2\nmax = 3\ninstance_actions = [{ enter_standby = { at = \"5min\", decrement = true } }, { exit_standby = { at = \"10min\" } }]";
    let play = |delay: &str| {
        let balancer = format!("idle_timeout = \"none\"\nderegistration_delay = \"{delay}\"");
        Case { rate: "1/s", steps: "{ wait = \"100s\" }", group, balancer: &balancer, ..CASE }.play()
    };
    assert_eq!(play("100s").run.requests.failed, 0);
    let cut = play("40s");
    // One in two seconds came to it in the 60 s before.
    assert_eq!(cut.run.requests.failed, 30);
    assert_eq!(row(&cut, 700.0)[..2], [2, 2]);
}

#[test]
fn detaching_and_terminating_by_hand_replace_or_decrement() {
    let play = |action: &str| {
        let group = format!(
            "min = 1\ndesired = 3\nmax = 4\nscale_in_protection = true\ninstance_actions = [{action}]"
        );
        Case { group: &group, ..CASE }.play()
    };
    for action in ["detach", "terminate"] {
        let fewer = play(&format!("{{ {action} = {{ at = \"5min\", count = 2, decrement = true }} }}"));
        assert_eq!(row(&fewer, 500.0)[..2], [1, 1], "{action}");
        let same = play(&format!("{{ {action} = {{ at = \"5min\", count = 2, decrement = false }} }}"));
        assert_eq!(row(&same, 500.0)[..2], [3, 3], "{action}");
        assert_eq!(instants(&same, ActivityKind::Launch), [300.0, 300.0], "{action}");
        let none = play(&format!("{{ {action} = {{ at = \"5min\", count = 3, decrement = true }} }}"));
        assert_eq!(row(&none, 500.0)[..2], [3, 3], "{action}: the minimum is one");
    }
}

/// A terminated instance leaves the zones uneven: the group rebalances as it shrinks.
#[test]
fn terminating_by_hand_leads_to_a_rebalance() {
    // 0, 2 and 4 are in a, 1 and 3 in b; scale-in leaves the protected ones, 0, 1 and 2. After its standby 0 is the youngest, so
    // that 1 goes: two in a, nobody in b.
    let play = |rest: &str| {
        let group = format!(
            "min = 1\ndesired = 5\nmax = 6\nzones = [\"a\", \"b\"]\nscaling = [{{ manual = {{ at = \"5min\", desired = 3 }} }}]\ninstance_actions = [{{ protect = {{ at = \"1min\", count = 3 }} }}, {{ enter_standby = {{ at = \"6min\", decrement = true }} }}, {{ exit_standby = {{ at = \"7min\" }} }}, {rest} {{ terminate = {{ at = \"10min\", decrement = true }} }}]"
        );
        Case { group: &group, ..CASE }.play()
    };
    let moved = play("{ unprotect = { at = \"8min\", count = 3 } },");
    assert_eq!(instants(&moved, ActivityKind::Rebalance), [600.0]);
    assert!(says(&moved, "1 of 2 instances have to move until zones are even (a 2, b 0)").len() == 1);
    assert_eq!(row(&moved, 605.0), [2, 2, 1, 0]);
    assert_eq!(row(&moved, 655.0), [2, 3, 0, 0]);
    assert_eq!(row(&moved, 665.0), [2, 2, 0, 0]);
    let stays = play("");
    assert_eq!(instants(&stays, ActivityKind::Rebalance), [] as [f64; 0], "who is left is protected");
    assert_eq!(row(&stays, 1000.0), [2, 2, 0, 0]);
    // A zone that is back is filled when rebalancing is no longer suspended.
    let group = "min = 1\ndesired = 4\nmax = 4\nzones = [\"a\", \"b\"]\nsuspend = [{ processes = [\"az-rebalance\"], until = \"10min\" }]";
    let rest = "[[incident]]\nzone_loss = { zone = \"b\", at = \"2min\", for = \"5min\" }";
    let results = Case { group, rest, ..CASE }.play();
    assert_eq!(instants(&results, ActivityKind::Rebalance), [600.0], "once it is no longer suspended");
    assert_eq!(row(&results, 900.0), [4, 4, 0, 0]);
}

/// A process that is suspended does nothing, and what depends on it shows that.
#[test]
fn suspended_processes_have_the_documented_consequences() {
    let play = |processes: &str, group: &str, rest: &str| {
        let suspend = match processes {
            "" => String::new(),
            names => format!("suspend = [{{ processes = [{names}], from = \"1min\", until = \"20min\" }}]"),
        };
        let group = format!("max = 9\n{group}\n{suspend}");
        Case { group: &group, rest, ..CASE }.play()
    };
    let elb = "health_check = { elb = { grace_period = \"0s\" } }";
    let crash = "[[incident]]\ncrash = { group = \"g\", at = \"5min\" }";
    let ends = [500.0, 1_195.0, 1_290.0];
    let sizes = |results: &Results| ends.map(|at| (row(results, at)[0], row(results, at)[1]));

    // Launch: unhealthy instances go all the same, and the group shrinks.
    let launch = play("\"launch\"", &format!("min = 3\n{elb}"), crash);
    assert_eq!(sizes(&launch), [(3, 2), (3, 2), (3, 3)]);
    assert_eq!(instants(&launch, ActivityKind::Launch), [1_200.0]);
    // Terminate: nobody goes, not even the unhealthy.
    let terminate = play("\"terminate\"", &format!("min = 3\n{elb}"), crash);
    assert_eq!(instants(&terminate, ActivityKind::Terminate), [1_200.0]);
    let down = "min = 1\ndesired = 3\nscaling = [{ manual = { at = \"5min\", desired = 1 } }]";
    let kept = play("\"terminate\"", down, "");
    assert_eq!(sizes(&kept), [(1, 3), (1, 3), (1, 1)]);
    assert_eq!(says(&kept, "Terminate is suspended"), [300.0]);
    // ReplaceUnhealthy and HealthCheck: nobody is replaced.
    for process in ["\"replace-unhealthy\"", "\"health-check\""] {
        let unhealthy = play(process, &format!("min = 3\n{elb}"), crash);
        assert_eq!(instants(&unhealthy, ActivityKind::Replace), [1_200.0], "{process}");
    }
    // SetInstanceHealth goes on where checks are suspended.
    let said = "min = 3\ninstance_actions = [{ set_unhealthy = { at = \"5min\" } }]";
    assert_eq!(instants(&play("\"health-check\"", said, ""), ActivityKind::Replace), [300.0]);
    // AddToLoadBalancer: who is launched meanwhile is not registered, and stays so.
    let up = "min = 1\nscaling = [{ manual = { at = \"5min\", desired = 3 } }, { manual = { at = \"21min\", desired = 4 } }]";
    let alone = play("\"add-to-load-balancer\"", up, "");
    assert_eq!(sizes(&alone), [(3, 1), (3, 1), (4, 1)]);
    assert_eq!(row(&alone, 1_400.0)[1], 2, "the one launched later is");
    // ScheduledActions: skipped, and not caught up.
    let schedule = "min = 1\nscaling = [{ scheduled = { at = \"5min\", desired = 3 } }, { manual = { at = \"25min\", desired = 2 } }]";
    let skipped = play("\"scheduled-actions\"", schedule, "");
    assert_eq!(sizes(&skipped), [(1, 1), (1, 1), (1, 1)]);
    assert_eq!(says(&skipped, "skipped"), [300.0]);
    assert_eq!(row(&skipped, 1_700.0)[0], 2, "by hand it goes");
    // AlarmNotification: alarms go on, and nobody acts; on resume those in ALARM are considered.
    let tracking = "min = 1\nscaling = [{ target_tracking = { target = 5 } }]";
    let silent = play("\"alarm-notification\"", tracking, "");
    assert_eq!(instants(&silent, ActivityKind::ScaleOut)[0], 1_200.0);
    assert!(instants(&silent, ActivityKind::Alarm)[0] < 400.0);
    assert!(instants(&play("", tracking, ""), ActivityKind::ScaleOut)[0] < 400.0);
    assert!(!says(&silent, "alarm-notification is suspended").is_empty());
}

/// While Terminate is suspended a rebalance launches and cannot terminate: the group stays above its desired capacity.
#[test]
fn rebalancing_without_termination_leaves_more_than_desired() {
    let group = "min = 6\nmax = 6\nzones = [\"a\", \"b\"]\nsuspend = [{ processes = [\"terminate\"], from = \"6min\" }]";
    let rest = "[[incident]]\nzone_loss = { zone = \"b\", at = \"2min\", for = \"8min\" }";
    let results = Case { group, rest, ..CASE }.play();
    assert_eq!(row(&results, 1_700.0), [6, 7, 0, 0], "one more than the maximum");
}

/// Two days, and a lifetime of one: ten instances are replaced one after another, forty by fours.
#[test]
fn instances_past_their_lifetime_are_replaced_in_turn() {
    let play = |desired: u32| {
        let group = format!("min = 1\ndesired = {desired}\nmax = {desired}\nmax_instance_lifetime = \"24h\"");
        Case { duration: "26h", rate: "0.01/s", group: &group, ..CASE }.play()
    };
    let day = 86_400.0;
    let ten = instants(&play(10), ActivityKind::Replace);
    // Each takes 30 s until it is there, and the group looks once a minute.
    assert_eq!(ten, (0..10).map(|nth| day + 60.0 * f64::from(nth)).collect::<Vec<_>>());
    let forty = instants(&play(40), ActivityKind::Replace);
    assert_eq!(forty, (0..40).map(|nth| day + 60.0 * f64::from(nth / 4)).collect::<Vec<_>>());
}

/// A stopped instance is not running, which is noticed in the grace period; one that crashed is impaired for three minutes.
/// What `SetInstanceHealth` says waits for the grace period unless it need not.
#[test]
fn the_grace_period_covers_checks_and_not_what_does_not_run() {
    let play = |action: &str| {
        let group = format!(
            "min = 2\nmax = 3\nhealth_check = {{ elb = {{ grace_period = \"12min\" }} }}\ninstance_actions = [{action}]"
        );
        instants(&Case { group: &group, ..CASE }.play(), ActivityKind::Replace)
    };
    assert_eq!(play("{ stop = { at = \"270s\" } }"), [300.0]);
    assert_eq!(play("{ set_unhealthy = { at = \"270s\" } }"), [720.0]);
    assert_eq!(play("{ set_unhealthy = { at = \"270s\", respect_grace_period = false } }"), [300.0]);
    // Several are replaced at once, where checks alone would be by tenths.
    assert_eq!(play("{ stop = { at = \"270s\", count = 2 } }"), [300.0, 300.0]);
}

/// Back from standby the grace period begins anew.
#[test]
fn the_grace_period_begins_with_each_service() {
    // The app is gone at 6 min, in standby, and nobody starts it again; back at 10 min it has 5 minutes of grace.
    let group = "min = 1\ndesired = 2\nmax = 3\nhealth_check = { elb = { grace_period = \"5min\" } }\ninstance_actions = [{ enter_standby = { at = \"10min\", decrement = true } }, { exit_standby = { at = \"11min\" } }]";
    let rest = "[[incident]]\nprocess_crash = { group = \"g\", at = \"11min\", count = 2 }";
    let results = Case { group, rest, ..CASE }.play();
    // Both servers are dead; the one with a settled life is replaced as soon as its checks say so.
    let replaced = instants(&results, ActivityKind::Replace);
    assert_eq!(replaced.len(), 2);
    assert_eq!(replaced[1], 960.0, "11 and 5 minutes");
    assert!(replaced[0] < 760.0);
}

/// Where all instances fail their checks, as when the checks are wrong, one goes at a time; else a tenth.
#[test]
fn far_fewer_are_replaced_while_all_fail() {
    let play = |count: u32| {
        let group = "min = 30\nmax = 30\nhealth_check = { elb = { grace_period = \"0s\" } }";
        let rest =
            format!("[[incident]]\nprocess_crash = {{ group = \"g\", at = \"10min\", count = {count} }}");
        instants(&Case { group, rest: &rest, ..CASE }.play(), ActivityKind::Replace)
    };
    let at_first = |replaced: &[f64]| replaced.iter().filter(|&&at| at == replaced[0]).count();
    assert_eq!(at_first(&play(20)), 3);
    assert_eq!(at_first(&play(30)), 1);
}

/// A group that no balancer sends to: its instances serve once their app is up, and its CPU is what runs beside it.
#[test]
fn a_group_without_a_balancer_plays() {
    let group = "min = 1\nmax = 8\ninstance_warmup = \"60s\"\nscaling = [{ scheduled = { at = \"5min\", desired = 2 } }, { target_tracking = { target = 60 } }]\nlifecycle_hooks = [{ on = \"launching\", takes = \"1min\" }]";
    let rest = "";
    let text = Case { group, rest, balancer: "", ..CASE }.text();
    let busy =
        text.replace("hourly = 3.6", "hourly = 3.6\nbackground = [{ name = \"training\", threads = 1 }]");
    let play = |text: &str| {
        Experiment::new(&Scenario::parse(text).unwrap_or_else(|errors| panic!("{errors}"))).run()
    };
    let idle = play(&text);
    // 310 s, and a minute in the hook.
    assert_eq!([295.0, 365.0, 375.0].map(|at| row(&idle, at)), [[1, 1, 0, 0], [2, 1, 1, 0], [2, 2, 0, 0]]);
    assert_eq!(row(&idle, 1_700.0), [1, 1, 0, 0], "nothing to do, so that one is enough");
    let idle = &idle.run.groups.iter().find(|group| group.name == "g").unwrap();
    assert!(idle.cpu == 0.0 && idle.serving_min == 1 && idle.serving_max == 2, "{idle:?}");
    let busy = play(&busy);
    assert!(
        instants(&busy, ActivityKind::ScaleOut).len() >= 2,
        "all of its vCPU is taken, however many there are"
    );
    assert_eq!(row(&busy, 1_700.0)[..2], [8, 8]);
}

/// Everything at once, at random places: nothing is lost, and the run is the same again.
#[test]
fn all_of_it_together_is_conserved_and_the_same_again() {
    let group = "min = 2\ndesired = 4\nmax = 9\nzones = [\"a\", \"b\", \"c\"]\ninstance_warmup = \"30s\"\nhealth_check = { elb = { grace_period = \"60s\" } }\nlifecycle_hooks = [{ on = \"launching\", heartbeat_timeout = \"60s\", takes = { exp = { mean = \"30s\" } }, fails = 0.1 }, { on = \"terminating\", takes = { exp = { mean = \"30s\" } } }]\nwarm_pool = { min_size = 1, reuse_on_scale_in = true, start = { exp = { mean = \"20s\" } } }\nsuspend = [{ processes = [\"launch\", \"az-rebalance\"], from = \"20min\", until = \"25min\" }, { processes = [\"terminate\"], from = \"40min\", until = \"50min\" }]\ninstance_actions = [{ enter_standby = { at = \"5min\", count = 2, decrement = false } }, { exit_standby = { at = \"15min\", count = 2 } }, { detach = { at = \"22min\", decrement = true } }, { terminate = { at = \"28min\", decrement = true } }, { stop = { at = \"33min\" } }, { set_unhealthy = { at = \"35min\", count = 2 } }, { protect = { at = \"36min\", count = 3 } }]\nscaling = [{ target_tracking = { target = 50, low_datapoints = 3 } }]";
    let rest = "[[incident]]\nzone_loss = { zone = \"b\", at = \"10min\", for = \"8min\" }\n[[incident]]\nzone_loss = { zone = \"a\", at = \"45min\", for = \"3min\" }\n[[incident]]\ncrash = { group = \"g\", every = { exp = { mean = \"9min\" } } }";
    let case = Case {
        duration: "2h",
        rate: "150/s",
        steps: "{ cpu = { exp = { mean = \"10ms\" } } }, { wait = { exp = { mean = \"2s\" } } }",
        group,
        rest,
        ..CASE
    };
    let (first, second) = (case.play(), case.play());
    assert_eq!(first.run.order_hash, second.run.order_hash);
    let busy = format!("{group}\nscale_in_protection = \"while-busy\"");
    let busy = Case { group: &busy, ..case }.play();
    assert_eq!(told(&busy, ActivityKind::Rebalance).len(), 0, "all of them work, and so nobody can move");
    for kind in
        [ActivityKind::Rebalance, ActivityKind::Lifecycle, ActivityKind::Manual, ActivityKind::Replace]
    {
        assert!(!told(&first, kind).is_empty(), "{kind:?}");
    }
    let last = row(&first, 7_190.0);
    assert!(last[1] >= 1 && last[1] <= 10, "{last:?}");
}

/// What is allowed and rarely meant is said before the run.
#[test]
fn what_is_rarely_meant_is_noted() {
    let notes = |group: &str| {
        let group = format!("min = 4\nmax = 6\n{group}");
        let scenario = Scenario::parse(&Case { group: &group, ..CASE }.text()).unwrap();
        scenario.plan().notes.join("\n")
    };
    assert!(
        notes("warm_pool = { max_group_prepared_capacity = 3 }").contains("only `min_size` keeps any in it")
    );
    assert!(notes("lifecycle_hooks = [{ on = \"launching\" }]").contains("every instance waits 1h"));
    assert!(!notes("warm_pool = { max_group_prepared_capacity = 5 }").contains("warm_pool"));
    let full = Case { group: "min = 4\nmax = 4\nwarm_pool = {}", ..CASE }.text();
    let full = Scenario::parse(&full).unwrap().plan().notes.join("\n");
    assert!(full.contains("is empty while the group is at its maximum of 4"), "{full}");
}

/// All options survive being resolved and read again.
#[test]
fn resolved_lives_read_back() {
    let group = "min = 2\nmax = 6\nscale_in_protection = \"while-busy\"\ntermination_policies = [\"oldest-instance\", \"default\"]\nlifecycle_hooks = [{ on = \"launching\", takes = \"2min\", fails = 0.1 }]\nwarm_pool = { start = \"25s\" }\nsuspend = [{ processes = [\"launch\"], from = \"1min\", until = \"2min\" }]\ninstance_actions = [{ detach = { at = \"3min\", decrement = true } }, { set_unhealthy = { at = \"4min\" } }]\nmax_instance_lifetime = \"2d\"";
    let scenario =
        Scenario::parse(&Case { group, ..CASE }.text()).unwrap_or_else(|errors| panic!("{errors}"));
    let again = Scenario::parse(scenario.resolved())
        .unwrap_or_else(|errors| panic!("{errors}\n{}", scenario.resolved()));
    assert_eq!(format!("{:?}", scenario.plan()), format!("{:?}", again.plan()));
    for key in ["heartbeats = false", "volume_gib = 8", "respect_grace_period = true", "count = 1"] {
        assert!(scenario.resolved().contains(key), "{key} in\n{}", scenario.resolved());
    }
}
