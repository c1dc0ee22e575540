//! Tokens as whole systems: what requests and jobs see of the engines of their instances, and what becomes of them when these go.

use scalesim::batching::{Efficiency, Engine, H100_80GB, Happened, LLAMA_3_8B, Parameters, Sequence};
use scalesim::results::{EnginesResult, Results, TokensResult};
use scalesim::{Experiment, NoFiles, Scenario};
use sim_core::{Span, Time};

/// Llama-3-8B on an H100, behind a balancer, and a source that sends to it.
fn chat(profile: &str, tokens: &str, engine: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "30min"
seed = 3

[traffic.users]
to = "front"
profile = {profile}
mix = {{ "POST /chat" = 1 }}

[service.chat]
runtime = {{ event-loop = {{ overhead = "0s" }} }}
engine = {{ model = "llama-3-8b", gpu = "h100-80gb"{engine} }}
[service.chat.endpoint."POST /chat"]
steps = [{{ generate = {tokens} }}]

[machine.gpu]
vcpus = 8
memory = "64 GiB"
gpus = 1

[group.chat]
service = "chat"
machine = "gpu"
min = 1

[balancer.front]
targets = "chat"
idle_timeout = "1h"
{more}
"#
    )
}

fn run(text: &str) -> Results {
    let scenario = Scenario::parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    Experiment::new(&scenario).run()
}

fn tokens(results: &Results) -> &TokensResult {
    results.run.traffic[0].tokens.as_ref().unwrap()
}

fn engines(results: &Results, group: usize) -> &EnginesResult {
    results.run.groups[group].engines.as_ref().unwrap()
}

fn h100() -> Parameters {
    Parameters::roofline(&LLAMA_3_8B, &H100_80GB, 1, &Efficiency::ASSUMED).unwrap()
}

fn near(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-3 // histograms keep three digits
}

#[test]
fn a_request_that_is_alone_takes_its_prefill_and_its_decodes() {
    let results = run(&chat("{ constant = \"1/min\" }", "{ input = 1000, output = 11 }", "", ""));
    let (seen, engine) = (tokens(&results), h100());
    let prefill = engine.iteration + engine.sequence + 1000.0 * (engine.prefill_token + engine.context_token);
    let decode: f64 = (1..=10)
        .map(|n| engine.iteration + engine.sequence + f64::from(1000 + n) * engine.context_token)
        .sum();
    assert!(seen.time_to_first_token.count > 10);
    assert!(near(seen.time_to_first_token.p50, prefill * 1e-9), "{:?}", seen.time_to_first_token);
    assert!(near(seen.time_per_output_token.p50, decode * 1e-10), "{:?}", seen.time_per_output_token);
    let times = &results.run.traffic[0].response_time;
    assert!(near(times.p50, (prefill + decode) * 1e-9), "{times:?}");
    assert_eq!(seen.input_tokens, 1000 * seen.generations);
    assert_eq!(seen.output_tokens, 11 * seen.generations);
    assert_eq!(engines(&results, 0).mean_batch, 1.0);
    // What is seen of an endpoint is the same, for nothing is before it.
    assert_eq!(results.run.endpoints[0].tokens.as_ref(), Some(seen));
}

/// Arrivals of a log, each with the same tokens, so that they can be given to an engine without a system around it.
struct Log(String);

impl scalesim::Files for Log {
    fn open(&self, _: &str) -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(std::io::Cursor::new(self.0.clone().into_bytes())))
    }
}

#[test]
fn a_batch_in_a_system_is_the_batch_of_an_engine_with_the_same_arrivals() {
    let arrivals: Vec<u64> = (0..600).map(|n: u64| 80 * n + (n * 37) % 71).collect();
    let lines: Vec<String> = arrivals.iter().map(|ms| format!("{:.3}", 1.7e9 + *ms as f64 / 1e3)).collect();
    let log = Log(format!("time\n{}\n", lines.join("\n")));
    let trace = "trace = { file = \"log.csv\", format = \"log\" }";
    let text = chat("{ constant = \"1/s\" }", "{ input = 700, output = 150 }", ", max_num_seqs = 12", "")
        .replace("profile = { constant = \"1/s\" }", trace);
    let scenario = Scenario::read("s.toml", &text, &[], &log).unwrap_or_else(|errors| panic!("{errors}"));
    let results = Experiment::new(&scenario).run();

    let mut engine = Engine::new(Parameters { most_sequences: 12, ..h100() }).unwrap();
    let (mut happened, mut due, mut first, mut last) = (Vec::new(), Time::NEVER, Span::ZERO, Span::ZERO);
    let start = arrivals[0];
    let sent = |id: u32| Time::ZERO + Span::from_millis(arrivals[id as usize] - start);
    let mut id = 0;
    loop {
        let next = if (id as usize) < arrivals.len() { sent(id) } else { Time::NEVER };
        if next.min(due) == Time::NEVER {
            break;
        }
        if next <= due {
            due = engine.add(next, Sequence { id, input: 700, output: 150 }).unwrap();
            id += 1;
            continue;
        }
        let now = due;
        due = engine.advance(now, &mut happened);
        for what in happened.drain(..) {
            match what {
                Happened::FirstToken(id) => first = first.max(now.since(sent(id))),
                Happened::Finished(id) => last = last.max(now.since(sent(id))),
                Happened::Preempted(_) => {}
            }
        }
    }
    let (seen, counts) = (tokens(&results), engine.counts());
    assert_eq!((seen.generations, seen.output_tokens), (600, 600 * 150));
    let engines = engines(&results, 0);
    assert_eq!((engines.iterations, engines.generated), (counts.iterations, counts.generated));
    assert_eq!((engines.prefilled, engines.mean_batch), (counts.prefilled, counts.mean_batch()));
    assert!(counts.mean_batch() > 8.0, "they do share batches: {}", counts.mean_batch());
    assert!(
        near(seen.time_to_first_token.max, first.as_secs_f64()),
        "{:?} {first}",
        seen.time_to_first_token
    );
    assert!(near(results.run.response_time.max, last.as_secs_f64()));
}

#[test]
fn requests_beyond_the_queue_are_shed_and_so_are_those_that_never_fit() {
    let small = ", kv_tokens = 8000, queue = 5";
    let tokens_of = "{ input = { uniform = { low = 100, high = 10000 } }, output = 500 }";
    let results = run(&chat("{ constant = \"5/s\" }", tokens_of, small, ""));
    let requests = results.run.requests;
    assert!(requests.conserved() && requests.refused > 1_000, "{requests:?}");
    assert_eq!(requests.refused, results.run.groups[0].shed);
    assert_eq!(requests.refused, tokens(&results).refused);
    assert!(results.notes.iter().any(|note| note.contains("too many tokens")), "{:?}", results.notes);
}

#[test]
fn sequences_that_outgrow_the_kv_cache_are_preempted_and_finished_all_the_same() {
    let results =
        run(&chat("{ constant = \"4/s\" }", "{ input = 100, output = 600 }", ", kv_tokens = 12000", ""));
    let engines = engines(&results, 0);
    assert!(engines.preemptions > 0 && engines.recomputed > 0, "{engines:?}");
    assert_eq!(engines.preemptions, tokens(&results).preemptions);
    assert!(engines.kv_usage_max > 95.0 && engines.kv_usage_mean < engines.kv_usage_max);
    assert_eq!(tokens(&results).output_tokens, 600 * tokens(&results).generations);
    assert!(results.run.requests.conserved());
}

#[test]
fn a_client_that_gives_up_frees_its_place() {
    let text = |timeout: &str| {
        let sent =
            chat("{ constant = \"12/s\" }", "{ input = 1000, output = 400 }", ", max_num_seqs = 16", "");
        sent.replace("mix =", &format!("timeout = \"{timeout}\"\nmix ="))
    };
    let results = run(&text("20s"));
    let requests = results.run.requests;
    assert!(requests.conserved() && requests.timed_out > 1_000, "{requests:?}");
    // 4.3 a second can be served. If those who gave up stayed, 14 000 would wait at the end.
    assert!(requests.in_flight < 260, "{requests:?}");
    let waiting = engines(&results, 0).waiting;
    assert!(waiting < 12.0 * 20.0, "nobody waits for longer than their client: {waiting}");
}

#[test]
fn a_lost_instance_loses_its_sequences_and_they_are_conserved() {
    let more = r#"
[[incident]]
crash = { group = "chat", every = { constant = "4min" } }
[[sla]]
objective = "availability >= 99.9%"
first_token = true
"#;
    let text =
        chat("{ constant = \"6/s\" }", "{ input = 1000, output = { exp = { mean = 400 } } }", "", more)
            .replace("min = 1", "min = 3\nstartup = { provision = \"10s\", boot = \"10s\", app = \"20s\" }")
            .replace("mix =", "retry = { max = 2, backoff = \"1s\" }\nmix =");
    let results = run(&text);
    let requests = results.run.requests;
    assert!(requests.conserved() && requests.attempts > requests.offered, "{requests:?}");
    let seen = tokens(&results);
    // Each request counts once, whatever became of its first attempt; those in flight may have theirs or not.
    let first = seen.time_to_first_token.count;
    assert!(first >= requests.completed && first <= requests.offered, "{first} {requests:?}");
    assert!(engines(&results, 0).generated > seen.output_tokens, "what was lost was generated in vain");
    let promised = &results.run.objectives[0];
    let lost = promised.budget.as_ref().unwrap().bad;
    assert!(first + lost <= requests.offered && lost <= requests.failed + requests.refused);
}

#[test]
fn a_promise_about_first_tokens_is_kept_while_the_answers_take_long() {
    let more = "[[sla]]\nname = \"first\"\nobjective = \"p95 <= 1s\"\nfirst_token = true\n[[sla]]\nname = \"whole\"\nobjective = \"p95 <= 1s\"";
    let text = |engine: &str| chat("{ constant = \"2/s\" }", "{ input = 500, output = 1000 }", engine, more);
    let results = run(&text(""));
    assert_eq!(results.run.objectives.iter().map(|o| o.met).collect::<Vec<_>>(), [true, false]);
    assert!(near(results.run.objectives[0].overall, tokens(&results).time_to_first_token.p95));
    // With few places they wait for their first token.
    let results = run(&text(", max_num_seqs = 8"));
    assert!(!results.run.objectives[0].met);
    let violation = &results.run.objectives[0].violations.last().unwrap().explanation;
    assert!(violation.contains("the fullest engine 100 % full"), "{violation}");
}

#[test]
fn tokens_of_a_service_behind_another_are_those_of_the_client() {
    let more = r#"
[service.api]
runtime = "event-loop"
[service.api.endpoint."POST /ask"]
steps = [{ wait = "100ms" }, { call = { to = "front", endpoint = "POST /chat" } }, { wait = "50ms" }]
[group.api]
service = "api"
machine = "c7g.large"
min = 1
[balancer.api]
targets = "api"
"#;
    let text = chat("{ constant = \"1/min\" }", "{ input = 1000, output = 11 }", "", more)
        .replacen("to = \"front\"\nprofile", "to = \"api\"\nprofile", 1)
        .replace("mix = { \"POST /chat\" = 1 }", "mix = { \"POST /ask\" = 1 }");
    let results = run(&text);
    let seen = tokens(&results).time_to_first_token;
    let [chat, ask] = ["chat: POST /chat", "api: POST /ask"]
        .map(|name| results.run.endpoints.iter().find(|part| part.name == name).unwrap().tokens.as_ref());
    assert!(ask.is_none(), "an endpoint's tokens are those that it generates itself");
    assert!((seen.p50 - chat.unwrap().time_to_first_token.p50 - 0.1).abs() < 1e-3, "{seen:?}");
}

/// Workers that have engines, and a queue before them.
fn workers(worker: &str) -> String {
    format!(
        r#"
[scenario]
duration = "1h"
seed = 5

[traffic.users]
to = "front"
profile = {{ constant = "1/s" }}
mix = {{ "POST /jobs" = 1 }}

[service.api]
runtime = "event-loop"
[service.api.endpoint."POST /jobs"]
steps = [{{ cpu = "2ms" }}, {{ enqueue = "jobs" }}]

[service.worker]
runtime = "thread-per-request"
engine = {{ model = "llama-3-8b", gpu = "l4" }}
[service.worker.endpoint.summary]
steps = [{{ cpu = "5ms" }}, {{ generate = {{ input = 1500, output = {{ exp = {{ mean = 200 }} }} }} }}]

[group.api]
service = "api"
machine = "c7g.large"
min = 1
[group.workers]
service = "worker"
machine = "g6.xlarge"
min = 4
worker = {{ queue = "jobs", job = "summary", concurrency = 16{worker} }}

[balancer.front]
targets = "api"
[queue.jobs]
sqs = {{ visibility_timeout = "10min", wait_time = "20s" }}

[[sla]]
objective = "p50 <= 30s"
first_token = true
"#
    )
}

#[test]
fn jobs_have_their_tokens_generated_by_the_engine_of_their_worker() {
    let results = run(&workers(""));
    let (jobs, seen) = (&results.run.jobs[0].counts, tokens(&results));
    assert!(jobs.done > 3_000, "{jobs:?}");
    assert_eq!(seen.generations, jobs.done);
    assert!(seen.time_to_first_token.count >= jobs.done);
    assert!(engines(&results, 1).mean_batch > 1.5, "{:?}", engines(&results, 1));
    // The promise counts from the submission on, as the job's own times do.
    assert!(near(results.run.objectives[0].overall, seen.time_to_first_token.p50));
    assert!(results.run.objectives[0].met);
}

#[test]
fn a_try_that_generates_for_too_long_is_broken_off() {
    let results = run(&workers(", timeout = \"15s\", retry = { backoff = \"1s\" }"));
    let (jobs, seen) = (&results.run.jobs[0].counts, tokens(&results));
    assert!(jobs.failed_tries > 100, "{jobs:?}");
    assert_eq!(seen.generations, jobs.done, "what was broken off is not generated to its end");
    assert!(results.run.jobs[0].served.p50 < 15.0);
}

#[test]
fn tables_of_tokens_are_read_and_their_rows_stay_together() {
    let log = Log("ContextTokens,GeneratedTokens\n100,10\n200,20\n".to_string());
    let steps = "{ trace = \"t.csv\", input = \"ContextTokens\", output = \"GeneratedTokens\" }";
    let text = chat("{ constant = \"1/s\" }", steps, "", "");
    let scenario = Scenario::read("s.toml", &text, &[], &log).unwrap_or_else(|errors| panic!("{errors}"));
    let results = Experiment::new(&scenario).run();
    let seen = tokens(&results);
    assert_eq!(seen.input_tokens, 10 * seen.output_tokens);
    let mean = seen.output_tokens as f64 / seen.generations as f64;
    assert!((mean - 15.0).abs() < 0.5, "{mean}");
    let missing = Scenario::read("s.toml", &text, &[], &NoFiles).unwrap_err().to_string();
    assert!(missing.contains("the tokens in `t.csv` cannot be used"), "{missing}");
}

#[test]
fn an_engine_reads_back_to_itself() {
    let by_times = "iteration = \"7ms\", prefill_token = \"27.5us\", sequence = \"10us\", context_token = \"48.9ns\", kv_tokens = 100000";
    for engine in [
        "model = \"llama-3-8b\", gpu = \"h100-80gb\", gpu_memory_utilization = 0.8, watermark = 0, queue = 9",
        "measured = \"llama-2-70b-8xh100\", enable_chunked_prefill = true",
        by_times,
    ] {
        let text =
            chat("{ constant = \"1/s\" }", "{ input = 1000, output = { exp = { mean = 20 } } }", "", "")
                .replace("model = \"llama-3-8b\", gpu = \"h100-80gb\"", engine)
                .replace("gpus = 1", "gpus = 8");
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let again = Scenario::parse(scenario.resolved()).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = |scenario: &Scenario| scenario.plan().services[0].engine.clone().unwrap();
        assert_eq!(plan(&scenario), plan(&again), "{engine}");
        assert_eq!(scenario.resolved(), again.resolved());
    }
}
