//! `[queue.NAME]`, `[group.NAME.worker]`, `[traffic.NAME.status]` and what else scenarios say of jobs.

use scalesim::Scenario;
use scalesim::plan::{
    Assignor, Channel, Commit, Enqueue, Group, Plan, PollClock, Queue, QueueKind, Step, Subject, Traffic,
    TrafficId, WhenFull,
};
use sim_core::Span;

/// A scenario that says all there is to say of jobs.
pub const JOBS: &str = r#"
[scenario]
duration = "1h"

[traffic.shop]
to = "front"
profile = { constant = "1/s" }
mix = { "POST /export" = 1, "GET /" = 3 }
network = { round_trip = "30ms" }
[traffic.shop.status]
poll = { endpoint = "GET /export", every = "2s", multiplier = 2, every_max = "16s", jitter = true, clock = "submission" }
patience = "30min"
[traffic.partner]
to = "front"
profile = { constant = "0.2/s" }
mix = { "POST /export" = 1 }
[traffic.partner.status]
webhook = { takes = { exp = { mean = "200ms" } }, fails = 0.1, retries = 5, backoff = "10s" }
[traffic.mobile]
to = "front"
profile = { constant = "0.2/s" }
mix = { "POST /import" = 1 }
[traffic.mobile.status]
long_poll = { endpoint = "GET /wait", pause = "1s" }
[traffic.desk]
to = "front"
profile = { constant = "0.1/s" }
mix = { "POST /import" = 1 }
[traffic.desk.status]
push = { endpoint = "GET /export" }

[service.api]
runtime = "event-loop"
[service.api.endpoint."GET /"]
steps = [{ cpu = "5ms" }]
[service.api.endpoint."POST /export"]
steps = [{ cpu = "5ms" }, { enqueue = "exports" }]
[service.api.endpoint."POST /import"]
steps = [{ enqueue = { to = ["imports", "audit"], keys = 1000 } }, { enqueue = { to = "mails", priorities = [1, 9] } }]
[service.api.endpoint."GET /export"]
steps = [{ cpu = "1ms" }]
[service.api.endpoint."GET /wait"]
steps = [{ await_job = "20s" }]
[service.render]
runtime = { thread-pool = { threads = 4 } }
[service.render.endpoint.export]
steps = [{ cpu = "1s" }, { gpu = { exp = { mean = "2s" } } }]
[service.render.endpoint.import]
steps = [{ cpu = "1s" }]

[queue.exports]
sqs = {}
max_receives = 3
dead_letter = "dead"
[queue.dead]
sqs = { fifo = true }
retention = "14days"
[queue.imports]
kafka = { partitions = 12, assignor = "cooperative-sticky", commit = "each-poll" }
[queue.audit]
redis_list = { processing = "5min" }
capacity = 1000
when_full = "drop-oldest"
[queue.mails]
rabbitmq = { priorities = 2, prefetch = 4 }
max_receives = 5
[queue.stream]
redis_stream = {}
[queue.bull]
bullmq = {}

[machine.own]
vcpus = 4
gpus = 2

[group.web]
service = "api"
machine = "c6i.large"
min = 2
[group.renderers]
service = "render"
machine = "own"
min = 1
max = 4
lifecycle_hooks = [{ on = "terminating", until_idle = true }]
[group.renderers.worker]
queue = "exports"
job = "export"
concurrency = 2
idempotent = true
poison = 0.01
retry = { backoff = "2s" }
timeout = "1min"
deadline = "1h"
checkpoint = "10s"
stop_grace = "25s"
[group.importers]
service = "render"
machine = "g5.xlarge"
min = 3
worker = { queue = "imports", job = "import" }

[balancer.front]
targets = "web"

[[sla]]
objective = "p95 <= 30s"
traffic = "shop"
jobs = true
[[sla]]
name = "questions"
objective = "p95 <= 100ms"
traffic = "shop status"
"#;

fn plan() -> Plan {
    Scenario::parse(JOBS).unwrap_or_else(|error| panic!("{error}")).plan().clone()
}

/// What a scenario names, whatever its number is: tables are numbered in the order of their names.
fn queue<'a>(plan: &'a Plan, name: &str) -> &'a Queue {
    plan.queues.iter().find(|queue| queue.name == name).unwrap()
}

fn group<'a>(plan: &'a Plan, name: &str) -> &'a Group {
    plan.groups.iter().find(|group| group.name == name).unwrap()
}

fn traffic<'a>(plan: &'a Plan, name: &str) -> &'a Traffic {
    plan.traffic.iter().find(|traffic| traffic.name == name).unwrap()
}

fn resolved() -> toml::Table {
    Scenario::parse(JOBS).unwrap_or_else(|error| panic!("{error}")).resolved().parse().unwrap()
}

#[test]
fn a_queue_that_says_nothing_has_the_defaults_of_its_original() {
    let plan = plan();
    let [exports, dead, imports, audit, mails, stream, bull] =
        ["exports", "dead", "imports", "audit", "mails", "stream", "bull"].map(|name| queue(&plan, name));
    let QueueKind::Sqs(sqs) = exports.kind else { panic!() };
    let [seconds, minutes] = [Span::from_secs, |n| Span::from_secs(60 * n)];
    assert_eq!(
        [sqs.visibility_timeout, sqs.wait_time, sqs.poll_interval],
        [seconds(30), Span::ZERO, seconds(1)]
    );
    assert_eq!((sqs.batch, sqs.heartbeat, sqs.fifo, sqs.in_flight), (1, None, false, 120_000));
    assert_eq!((sqs.misses, sqs.duplicates), (0.0, 0.0));
    assert_eq!((exports.retention, exports.delay), (Some(seconds(4 * 86_400)), Span::ZERO));
    let dead_letter = &plan.queues[exports.dead_letter.unwrap().index()];
    assert_eq!((exports.max_receives, dead_letter.name.as_str()), (Some(3), "dead"));
    let QueueKind::Sqs(fifo) = dead.kind else { panic!() };
    assert_eq!((fifo.fifo, fifo.in_flight), (true, 20_000));
    let QueueKind::Kafka(kafka) = imports.kind else { panic!() };
    assert_eq!((kafka.partitions, kafka.assignor), (12, Assignor::CooperativeSticky));
    assert_eq!((kafka.commit, kafka.max_poll_records), (Commit::EachPoll, 500));
    assert_eq!([kafka.session_timeout, kafka.max_poll_interval], [seconds(45), minutes(5)]);
    assert_eq!((kafka.initial_rebalance_delay, kafka.static_membership), (seconds(3), false));
    assert_eq!(imports.retention, Some(seconds(7 * 86_400)));
    assert_eq!((audit.capacity, audit.when_full, audit.retention), (Some(1000), WhenFull::DropOldest, None));
    let QueueKind::RabbitMq(rabbit) = mails.kind else { panic!() };
    assert_eq!((rabbit.priorities, rabbit.prefetch), (2, 4));
    assert_eq!([rabbit.consumer_timeout, rabbit.notices], [minutes(30), seconds(60)]);
    let QueueKind::RedisStream(redis) = stream.kind else { panic!() };
    assert_eq!([redis.min_idle, redis.claim_every], [seconds(60), seconds(30)]);
    let QueueKind::BullMq(bull) = bull.kind else { panic!() };
    assert_eq!([bull.lock_duration, bull.stalled_interval], [seconds(30), seconds(30)]);
    assert_eq!(bull.max_stalled_count, 1);
}

#[test]
fn a_step_sends_to_several_queues_and_shares_of_priorities_sum_to_one() {
    let plan = plan();
    let import = plan.endpoints.iter().find(|endpoint| endpoint.name == "POST /import").unwrap();
    let [Step::Enqueue(topic), Step::Enqueue(mails)] = &import.steps[..] else { panic!() };
    let name = |send: &Enqueue| plan.queues[send.queue.index()].name.clone();
    assert_eq!(topic.iter().map(name).collect::<Vec<_>>(), ["imports", "audit"]);
    assert!(topic.iter().all(|send| send.keys == Some(1000) && send.priorities == [1.0]));
    assert_eq!((name(&mails[0]), &mails[0].priorities), ("mails".to_string(), &vec![0.1, 0.9]));
    let index = plan.endpoints.iter().position(|endpoint| endpoint.name == "POST /import").unwrap();
    assert_eq!(plan.jobs_per_request()[index], 3.0);
}

#[test]
fn a_worker_takes_an_endpoint_of_its_own_service_for_its_job() {
    let plan = plan();
    let (renderers, importers) = (group(&plan, "renderers"), group(&plan, "importers"));
    let worker = renderers.worker.as_ref().unwrap();
    assert_eq!(plan.endpoints[worker.job.index()].name, "export");
    assert_eq!(plan.endpoints[worker.job.index()].service, renderers.service);
    assert_eq!(plan.queues[worker.queue.index()].name, "exports");
    assert_eq!((worker.concurrency, worker.idempotent, worker.poison), (2, true, 0.01));
    let retry = worker.retry.unwrap();
    assert_eq!((retry.wait(1), retry.wait(3)), (Span::from_secs(2), Span::from_secs(8)));
    assert_eq!((retry.max, retry.jitter), (Span::from_secs(300), true));
    assert_eq!(worker.checkpoint, Some(Span::from_secs(10)));
    assert!(renderers.lifecycle.hooks[0].until_idle);
    assert_eq!([renderers.machine().gpus, importers.machine().gpus], [2, 1]);
    let worker = importers.worker.as_ref().unwrap();
    assert_eq!((worker.concurrency, worker.retry, worker.stop_grace), (1, None, Span::ZERO));
}

#[test]
fn questions_are_a_source_of_their_own_after_all_others() {
    let plan = plan();
    let names: Vec<&str> = plan.traffic.iter().map(|traffic| traffic.name.as_str()).collect();
    let all = [
        "desk",
        "mobile",
        "partner",
        "shop",
        "desk status",
        "mobile status",
        "partner status",
        "shop status",
    ];
    assert_eq!(names, all);
    for (index, traffic) in plan.traffic.iter().enumerate().take(4) {
        assert_eq!(traffic.status.as_ref().unwrap().source, TrafficId(4 + index as u16));
    }
    let (shop, questions) = (traffic(&plan, "shop"), traffic(&plan, "shop status"));
    let Channel::Poll { endpoint, every, clock } = shop.status.as_ref().unwrap().channel else { panic!() };
    assert_eq!(questions.mix, [(endpoint, 1.0)]);
    assert_eq!((every.first, every.max, every.jitter), (Span::from_secs(2), Span::from_secs(16), true));
    assert_eq!(clock, PollClock::Submission);
    assert_eq!((questions.to, questions.timeout, questions.retry.max), (shop.to, shop.timeout, 0));
    assert!(questions.status.is_none() && questions.network.is_some());
    assert_eq!(plan.objectives[0].subject, Subject::Jobs);
    assert_eq!(
        (plan.objectives[1].subject, plan.objectives[1].traffic),
        (Subject::Requests, Some(TrafficId(7)))
    );
}

/// A quarter of a request a second exports, and each asks once at least; webhooks ask nothing.
#[test]
fn questions_are_expected_once_for_each_job() {
    let plan = plan();
    let peak = |name: &str| traffic(&plan, name).expected.peak().1;
    assert_eq!([peak("shop status"), peak("partner status")], [0.25, 0.0]);
    assert!((peak("mobile status") - 0.6).abs() < 1e-12 && (peak("desk status") - 0.3).abs() < 1e-12);
    let mut arrivals = traffic(&plan, "shop status").arrivals.clone();
    let mut stream = sim_core::Seed::new(1).stream("test");
    assert_eq!(arrivals.next(&mut stream), sim_core::Time::NEVER);
}

#[test]
fn what_a_key_means_that_is_left_out_stands_in_the_resolved_scenario() {
    let resolved = resolved();
    let at = |path: &str| {
        let mut keys = path.split('/');
        let first = resolved.get(keys.next().unwrap()).unwrap_or_else(|| panic!("{path}"));
        keys.fold(first, |value, key| value.get(key).unwrap_or_else(|| panic!("{path}"))).to_string()
    };
    for (path, value) in [
        ("queue/exports/sqs/visibility_timeout", "\"30s\""),
        ("queue/exports/sqs/wait_time", "\"0s\""),
        ("queue/imports/kafka/commit", "\"each-poll\""),
        ("queue/audit/retention", "\"none\""),
        ("group/importers/worker/concurrency", "1"),
        ("group/renderers/worker/retry/max_backoff", "\"5min\""),
        ("traffic/desk/status/push/takes", "\"50ms\""),
        ("traffic/partner/status/webhook/retries", "5"),
        ("machine/own/gpus", "2"),
    ] {
        assert_eq!(at(path), value, "{path}");
    }
}

#[test]
fn a_push_may_make_work_on_the_http_layer() {
    let plan = plan();
    let Some(Channel::Push { endpoint, .. }) = traffic(&plan, "desk").status.as_ref().map(|s| &s.channel)
    else {
        panic!()
    };
    assert_eq!(plan.endpoints[endpoint.unwrap().index()].name, "GET /export");
}
