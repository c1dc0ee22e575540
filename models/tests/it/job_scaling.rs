//! Groups of workers that scale on the signals of their queue, what they cost, what they can do, and why jobs were late.

use scalesim::plan::{GroupId, Metric, Plan, TargetTracking};
use scalesim::results::{ActivityKind, BillKind, CauseKind, ObjectiveResult, Results};
use scalesim::scaling::{ActivityState, Datapoint, Memory, Observation, Policy};
use scalesim::{Experiment, Scenario};
use sim_core::{Span, Time};

use crate::jobs::{run, system};

const LONG: &str = "sqs = { visibility_timeout = \"12h\", wait_time = \"20s\" }";

/// So many jobs within the first ten seconds, and none later.
fn burst(jobs: f64) -> String {
    let rate = jobs / 10.0;
    format!(
        r#"{{ points = {{ at = [["0s", "{rate}/s"], ["10s", "{rate}/s"], ["10s", "0/s"], ["2h", "0/s"]] }} }}
dispersion = 0"#
    )
}

/// A system with these arrivals and these steps of a job.
fn world(queue: &str, arrivals: &str, job: &str, group: &str, more: &str) -> String {
    system(queue, group, more)
        .replace("{ constant = \"0.5/s\" }", arrivals)
        .replace(r#"[{ wait = { exp = { mean = "10s" } } }]"#, job)
}

fn workers(more: &str) -> String {
    format!("{more}\nworker = {{ queue = \"jobs\", job = \"job\" }}")
}

/// Second and size of each change.
fn sizes(results: &Results) -> Vec<(u64, u32)> {
    let log = results.run.activities.iter();
    let changes = log.filter(|entry| matches!(entry.kind, ActivityKind::ScaleOut | ActivityKind::ScaleIn));
    changes.map(|entry| (entry.at as u64, entry.desired)).collect()
}

fn first_size(results: &Results) -> u32 {
    sizes(results).first().unwrap_or_else(|| panic!("{:#?}", results.run.activities)).1
}

fn plan(text: &str) -> Plan {
    Scenario::parse(text).unwrap_or_else(|errors| panic!("{errors}")).plan().clone()
}

/// The guide's worked example as the policy sees it: 1500 messages at ten instances against 100 that are acceptable.
#[test]
fn the_guides_backlog_per_instance_asks_for_fifteen() {
    let policy = TargetTracking {
        metric: Metric::BacklogPerInstance,
        target: 100.0,
        high_datapoints: 3,
        low_datapoints: 15,
        low_factor: 0.9,
        estimated_instance_warmup: None,
        disable_scale_in: false,
    };
    let seen = Observation {
        now: Time::ZERO + Span::from_secs(600),
        datapoints: vec![vec![Some(Datapoint::of(1500.0 / 10.0, 10)); 3]],
        desired: 10,
        min: 1,
        max: 100,
        warming: 0,
        warm_at: None,
        terminating: 0,
        activity: ActivityState::None,
    };
    let decision = policy.decide(&mut Memory::default(), &seen);
    assert_eq!(decision.wanted, Some(15), "{}", decision.description);
    assert!(
        decision.description.contains("a backlog of 150.0 messages by instance"),
        "{}",
        decision.description
    );
}

/// The same as a whole: 1510 jobs, of which ten are with a worker. With fifteen workers the backlog is acceptable.
#[test]
fn a_backlog_per_instance_is_tracked_to_what_is_acceptable() {
    let group = workers(
        "min = 10\nmax = 30\nscaling = [{ target_tracking = { metric = \"backlog_per_instance\", target = 100 } }]",
    );
    let text = world(LONG, &burst(1510.0), r#"[{ wait = "3h" }]"#, &group, "")
        .replace("duration = \"2h\"", "duration = \"30min\"");
    let results = run(&text);
    assert_eq!(
        sizes(&results).iter().map(|size| size.1).collect::<Vec<_>>(),
        [15],
        "{:?}",
        results.run.queues
    );
}

#[test]
fn without_an_instance_the_backlog_is_that_of_one() {
    let group = workers(
        "min = 0\nmax = 30\nscaling = [{ target_tracking = { metric = \"backlog_per_instance\", target = 100 } }]",
    );
    let results = run(&world(LONG, &burst(250.0), r#"[{ wait = "3h" }]"#, &group, ""));
    assert_eq!(first_size(&results), 3);
}

#[test]
fn steps_go_by_the_length_of_a_queue_and_the_age_of_its_oldest_message() {
    let step = |metric: &str, threshold: u32| {
        let alarm =
            format!("alarm = {{ metric = \"{metric}\", comparison = \">=\", threshold = {threshold} }}");
        let steps = "adjustment_type = \"exact-capacity\", steps = [{ lower = 0, adjustment = 7 }]";
        let group = workers(&format!("min = 2\nmax = 30\nscaling = [{{ step = {{ {alarm}, {steps} }} }}]"));
        let text = world(LONG, &burst(100.0), r#"[{ wait = "3h" }]"#, &group, "");
        sizes(&run(&text)).first().copied()
    };
    let found = step("queue_length", 98).unwrap();
    assert_eq!(found.1, 7);
    assert_eq!(step("queue_length", 99), None, "two of a hundred are in flight");
    assert_eq!(step("messages_in_flight", 2), Some(found));
    assert_eq!(step("messages_in_flight", 3), None);
    // The oldest is sent at once, and is five minutes old at the end of the sixth.
    assert_eq!(step("age_of_oldest_message", 300), Some((found.0 + 300, 7)));
}

/// 0.3 jobs a second have 1.5 consumers or GPUs at work, three quarters of what there is. At 55 % that needs 2.7 of them.
#[test]
fn busy_workers_and_gpus_in_use_are_tracked() {
    let track = |metric: &str, step: &str| {
        let group = workers(&format!(
            "min = 2\nmax = 9\nscaling = [{{ target_tracking = {{ metric = \"{metric}\", target = 55 }} }}]"
        ));
        let text = world(
            LONG,
            "{ constant = \"0.3/s\" }\ndispersion = 0",
            step,
            &group,
            "[machine.gpus]\nvcpus = 2\nmemory = \"8 GiB\"\ngpus = 1",
        );
        let text = text.replacen(
            "[group.workers]\nservice = \"worker\"\nmachine = \"c7g.large\"",
            "[group.workers]\nservice = \"worker\"\nmachine = \"gpus\"",
            1,
        );
        sizes(&run(&text)).into_iter().map(|size| size.1).collect::<Vec<_>>()
    };
    assert_eq!(track("gpu", r#"[{ gpu = "5s" }]"#), [3]);
    assert_eq!(track("workers_busy", r#"[{ wait = "5s" }]"#), [3]);
}

/// Ten workers, one job a second each, and 3000 jobs. What is left when they are seen is to be cleared in a minute.
#[test]
fn the_time_to_clear_is_what_waits_by_the_pace_of_its_consumers() {
    let group = workers(
        "min = 10\nmax = 100\nscaling = [{ target_tracking = { metric = \"time_to_clear\", target = 60 } }]",
    );
    let results = run(&world(LONG, &burst(3_000.0), r#"[{ wait = "1s" }]"#, &group, ""));
    let (at, size) = sizes(&results)[0];
    // A datapoint is a minute old: until then ten a second were done.
    let left = 3_000.0 - 10.0 * (at as f64 - 60.0);
    assert!((f64::from(size) - left / 60.0).abs() < 2.0, "{at} s: {size}");
}

/// No pods, no jobs; fifty jobs, a pod at the next poll, ten once the HPA has seen them, and none when it is all over.
#[test]
fn keda_brings_workers_from_none_to_what_the_queue_needs_and_back() {
    let arrivals = r#"{ points = { at = [["0s", "0/s"], ["5min", "0/s"], ["5min", "5/s"], ["310s", "5/s"], ["310s", "0/s"], ["2h", "0/s"]] } }
dispersion = 0"#;
    let group = r#"min = 0
max = 40
kubernetes = { nodes = "pool", requests = { cpu = "100m", memory = "64Mi" } }
startup = { app = "1s" }
scaling = [{ keda = { triggers = [{ backlog = { target = 5 } }] } }]
worker = { queue = "jobs", job = "job", stop_grace = "30s" }"#;
    let text = world(
        LONG,
        arrivals,
        r#"[{ wait = "100s" }]"#,
        group,
        "[nodes.pool]\nmachine = \"c6i.2xlarge\"\nmin = 2",
    )
    .replacen(
        "[group.workers]\nservice = \"worker\"\nmachine = \"c7g.large\"",
        "[group.workers]\nservice = \"worker\"",
        1,
    );
    let results = run(&text);
    let jobs = &results.run.jobs[0].counts;
    assert_eq!((jobs.submitted, jobs.done, jobs.cut_tries), (50, 50, 0));
    let all = sizes(&results);
    assert_eq!(all[0], (330, 1), "the poll after the first job: {all:?}");
    assert_eq!(all.iter().map(|size| size.1).max(), Some(10), "{all:?}");
    assert_eq!(all.last().unwrap().1, 0, "{all:?}");
    // Five minutes after the last poll that found a message.
    let group = results.run.groups.iter().find(|group| group.name == "workers").unwrap();
    assert_eq!((group.serving_min, group.serving_max), (0, 10));
}

const COST: &str = "[cost]\nprices = \"aws-us-east-1\"";

#[test]
fn requests_to_sqs_are_billed_and_jobs_cost_what_their_workers_and_their_queue_do() {
    let text =
        system("sqs = { visibility_timeout = \"10min\" }", &workers("min = 8\nvolume = { gib = 20 }"), COST);
    let results = run(&text);
    let bill = results.run.bill.as_ref().unwrap();
    let queue = bill.lines.iter().find(|line| line.kind == BillKind::Queue).unwrap();
    let asked = results.run.queues[0].requests;
    assert!(asked > 3 * 3_000, "sends, receives and deletes of 3 600 jobs: {asked}");
    assert!((queue.quantity * 1e6 - asked as f64).abs() < 0.5, "{} and {asked}", queue.quantity * 1e6);
    assert!((queue.amount - queue.quantity * 0.4).abs() < 1e-9);
    assert_eq!(queue.hours.len(), 2);
    let own =
        bill.lines.iter().filter(|line| line.item.starts_with("workers") || line.kind == BillKind::Queue);
    let own: f64 = own.map(|line| line.amount).sum();
    let jobs = &results.run.jobs[0];
    let each = jobs.cost.unwrap();
    assert!((each - own / jobs.counts.done as f64).abs() < 1e-9, "{each}");
    assert_eq!(run(&text.replace(COST, "")).run.jobs[0].cost, None);
}

/// What is forgotten after a warm-up was paid for and worked for: both count.
#[test]
fn a_warm_up_does_not_make_jobs_dearer() {
    let text =
        system("sqs = {}", &workers("min = 8"), COST).replace("seed = 5", "seed = 5\nwarm_up = \"1h\"");
    let (all, half) = (run(&text.replace("warm_up = \"1h\"", "")), run(&text));
    assert!(half.run.jobs[0].counts.done < all.run.jobs[0].counts.done * 2 / 3);
    let [all, half] = [all, half].map(|results| results.run.jobs[0].cost.unwrap());
    assert!((all - half).abs() < 0.01 * all, "{all} and {half}");
}

/// Two sources, one with three times as many jobs: each bears its part, and a job costs the same.
#[test]
fn sources_share_a_group_by_what_it_worked_for_them() {
    let more = format!(
        "{COST}\n[traffic.others]\nto = \"front\"\nprofile = {{ constant = \"0.15/s\" }}\nmix = {{ \"POST /jobs\" = 1 }}"
    );
    let results = run(&system("sqs = { visibility_timeout = \"10min\" }", &workers("min = 9"), &more));
    let [a, b] = [0, 1].map(|index| results.run.jobs[index].cost.unwrap());
    assert!((a - b).abs() < 0.1 * a, "{a} and {b}");
    let bill = results.run.bill.as_ref().unwrap();
    let own =
        bill.lines.iter().filter(|line| line.item.starts_with("workers") || line.kind == BillKind::Queue);
    let own: f64 = own.map(|line| line.amount).sum();
    let borne: f64 = results.run.jobs.iter().map(|jobs| jobs.cost.unwrap() * jobs.counts.done as f64).sum();
    assert!((own - borne).abs() < 1e-6, "{own} and {borne}");
}

#[test]
fn a_worker_does_what_its_consumers_its_vcpus_and_its_gpus_let_it() {
    let capacity = |job: &str, concurrency: u32| {
        let group =
            format!("min = 2\nworker = {{ queue = \"jobs\", job = \"job\", concurrency = {concurrency} }}");
        let text = world(
            "sqs = {}",
            "{ constant = \"0.5/s\" }",
            job,
            &group,
            "[machine.own]\nvcpus = 4\nmemory = \"8 GiB\"\ngpus = 1",
        );
        let text = text.replacen(
            "[group.workers]\nservice = \"worker\"\nmachine = \"c7g.large\"",
            "[group.workers]\nservice = \"worker\"\nmachine = \"own\"",
            1,
        );
        let plan = plan(&text);
        let id = GroupId(plan.groups.iter().position(|group| group.name == "workers").unwrap() as u16);
        let jobs = plan.expected_jobs_of(id, Time::ZERO, Time::ZERO + Span::from_secs(100));
        assert!((jobs - 50.0).abs() < 1e-6, "{jobs}");
        let found = plan.worker_capacity(id).unwrap();
        assert_eq!(plan.capacity_per_instance(id), found.rate());
        ((1_000.0 * found.rate()).round(), found.limited_by())
    };
    assert_eq!(capacity(r#"[{ wait = "4s" }]"#, 2), (500.0, "consumers"));
    assert_eq!(capacity(r#"[{ gpu = "2s" }, { wait = "2s" }]"#, 8), (500.0, "GPUs"));
    let (rate, by) = capacity(r#"[{ cpu = "4s" }]"#, 16);
    assert!((rate - 1_000.0).abs() < 20.0 && by == "vCPUs", "{rate} {by}");
}

const STORE: &str = r#"
[service.store]
runtime = "thread-per-request"
[service.store.endpoint.put]
steps = [{ cpu = "1s" }]
[group.store]
service = "store"
machine = "small"
min = 1
[machine.small]
vcpus = 1
memory = "2 GiB"
[balancer.store]
targets = "store"
"#;

#[test]
fn what_jobs_call_is_asked_as_often_as_jobs_come() {
    let job = r#"[{ wait = "1s" }, { call = { to = "store", endpoint = "put" } }]"#;
    let text = world("sqs = {}", "{ constant = \"0.5/s\" }", job, &workers("min = 8"), STORE)
        .replace("\"POST /jobs\" = 1", "\"POST /jobs\" = 1, \"GET /job\" = 3");
    let plan = plan(&text);
    let id = plan.groups.iter().position(|group| group.name == "store").unwrap();
    let demand = plan.demands()[id];
    assert!((demand.visits - 0.25).abs() < 1e-9, "one of four requests submits: {demand:?}");
    assert!((demand.cpu - 0.25).abs() < 0.01, "{demand:?}");
}

/// An objective about jobs says nothing of the servers that take submissions, and workers have no interval to be judged by.
#[test]
fn the_oracle_leaves_jobs_and_their_workers_out() {
    let group = workers("min = 8");
    let jobs = "[[sla]]\nobjective = \"p95 <= 1ms\"\ntraffic = \"users\"\njobs = true";
    assert_eq!(run(&system("sqs = {}", &group, jobs)).run.oracle, None);
    let both =
        format!("{jobs}\n[[sla]]\nname = \"answers\"\nobjective = \"p95 <= 100ms\"\ntraffic = \"users\"");
    let oracle = run(&system("sqs = {}", &group, &both)).run.oracle.unwrap();
    let groups: Vec<&str> = oracle.groups.iter().map(|group| group.group.as_str()).collect();
    assert_eq!((groups, oracle.groups[0].limited_by.as_str()), (vec!["api"], "answers"));
}

fn objective(results: &Results) -> &ObjectiveResult {
    &results.run.objectives[0]
}

/// The causes of all windows that were violated: how many there are of each kind, and what the last of `kind` says.
fn cause(text: &str, kind: CauseKind) -> (f64, String) {
    let results = Experiment::new(&Scenario::parse(text).unwrap_or_else(|errors| panic!("{errors}"))).run();
    let violations = &objective(&results).violations;
    let those: Vec<_> = violations.iter().filter(|violation| violation.cause == kind).collect();
    let all: Vec<_> = violations.iter().map(|violation| (violation.cause, &violation.explanation)).collect();
    let last = those.last().unwrap_or_else(|| panic!("{kind:?} is not in {all:#?}"));
    (those.len() as f64 / all.len() as f64, last.explanation.clone())
}

fn promised(objective: &str) -> String {
    format!("[[sla]]\nobjective = \"{objective}\"\ntraffic = \"users\"\njobs = true\n")
}

/// Half a job a second of ten seconds each need five workers.
#[test]
fn too_few_workers_are_why_a_queue_grows() {
    let text = system(LONG, &workers("min = 4"), &promised("p95 <= 60s"));
    let (share, words) = cause(&text, CauseKind::TooFewWorkers);
    assert!(share > 0.8, "{share} {words}");
    for part in [
        "jobs a second came",
        "workers are needed for that",
        "4 of 4 workers of workers",
        "maximum of 4",
        "messages waited in jobs",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn workers_that_start_are_why_jobs_wait_meanwhile() {
    let group = workers(
        "min = 1\nmax = 20\nstartup = { app = \"10min\" }\nscaling = [{ target_tracking = { metric = \"backlog_per_instance\", target = 3 } }]",
    );
    let (_, words) = cause(&system(LONG, &group, &promised("p95 <= 60s")), CauseKind::WorkersStarting);
    assert!(words.contains("were still starting, the oldest for"), "{words}");
}

#[test]
fn clients_that_ask_rarely_know_late() {
    let more = format!(
        "[traffic.users.status]\npoll = {{ endpoint = \"GET /job\", every = \"2min\" }}\n{}",
        promised("p95 <= 60s")
    );
    let text = world(LONG, "{ constant = \"0.5/s\" }", r#"[{ wait = "1s" }]"#, &workers("min = 8"), &more);
    let (share, words) = cause(&text, CauseKind::AskedLate);
    assert!(share > 0.99 && words.contains("they ask every 2min"), "{share} {words}");
}

#[test]
fn poison_is_why_jobs_are_dead_letters() {
    let queue = "sqs = { visibility_timeout = \"1min\" }\nmax_receives = 3\ndead_letter = \"dead\"\n[queue.dead]\nsqs = {}";
    let group = "min = 10\nworker = { queue = \"jobs\", job = \"job\", poison = 0.1 }";
    let (share, words) =
        cause(&system(queue, group, &promised("availability >= 99%")), CauseKind::DeadLetters);
    assert!(share > 0.99 && words.contains("after 3 deliveries"), "{share} {words}");
}

/// Five of ten are at work when four are taken out: what they had comes back after twenty minutes.
#[test]
fn scale_in_under_jobs_is_why_they_come_back_late() {
    let queue = "sqs = { visibility_timeout = \"20min\", wait_time = \"20s\" }";
    let group =
        workers("min = 6\ndesired = 10\nmax = 10\nscaling = [{ manual = { at = \"30min\", desired = 6 } }]");
    let text =
        world(queue, "{ constant = \"0.08/s\" }", r#"[{ wait = "60s" }]"#, &group, &promised("p99 <= 12min"));
    let (_, words) = cause(&text, CauseKind::JobsCut);
    assert!(words.contains("after the visibility timeout of 20min"), "{words}");
}

#[test]
fn a_job_that_takes_longer_than_promised_is_nobodys_fault() {
    let text = world(
        LONG,
        "{ constant = \"0.05/s\" }",
        r#"[{ wait = "90s" }]"#,
        &workers("min = 20"),
        &promised("p95 <= 60s"),
    );
    let (share, words) = cause(&text, CauseKind::ServiceTime);
    assert!(share > 0.99 && words.contains("a job itself takes 1.5min"), "{share} {words}");
}

/// The store does one a second, and two come. Workers wait for it, of whom there are enough.
#[test]
fn a_store_that_jobs_wait_for_is_why_they_take_long() {
    let job = r#"[{ call = { to = "store", endpoint = "put" } }]"#;
    let more = format!("{STORE}{}", promised("p95 <= 20s"));
    let text = world(
        LONG,
        "{ constant = \"2/s\" }",
        job,
        "min = 40\nworker = { queue = \"jobs\", job = \"job\", concurrency = 200 }",
        &more,
    )
    .replace("duration = \"2h\"", "duration = \"20min\"");
    let (share, words) = cause(&text, CauseKind::AtMaximumSize);
    assert!(share > 0.5 && words.starts_with("jobs of workers wait for what they call"), "{share} {words}");
}
