//! Reports of runs with jobs and queues. What they found is made by hand, on top of a real run of requests.

use scalesim::results::{Distribution, JobCounts, JobsResult, JobsRow, QueueResult, QueueRow, Results};
use scalesim_report::{Style, render_text};

use crate::{HOUR, artefact, results};

fn distribution(p50: f64, count: u64) -> Distribution {
    Distribution {
        count,
        mean: 1.2 * p50,
        std_dev: p50,
        p50,
        p90: 2.0 * p50,
        p95: 2.5 * p50,
        p99: 4.0 * p50,
        p999: 6.0 * p50,
        max: 8.0 * p50,
    }
}

fn counts() -> JobCounts {
    JobCounts {
        submitted: 20_000,
        done: 19_500,
        dead_lettered: 40,
        too_late: 60,
        lost_with_worker: 11,
        expired: 7,
        dropped: 2,
        deliveries: 20_600,
        delivered_again: 900,
        skipped: 120,
        done_again: 33,
        failed_tries: 210,
        cut_tries: 45,
        put_out: 5,
        useful_seconds: 36_000.0,
        wasted_seconds: 3_600.0,
        duplicated_seconds: 360.0,
        questions: 90_000,
        given_up: 12,
    }
}

fn queue(name: &str, kind: &str) -> QueueResult {
    QueueResult {
        name: name.to_string(),
        kind: kind.to_string(),
        visible: 320,
        in_flight: 60,
        delayed: 3,
        held_at_start: 0,
        visible_max: 4_800,
        oldest_max: 1_260.0,
        sent: 20_000,
        refused: 0,
        received: 20_600,
        received_again: 900,
        consumed: 19_560,
        stale: 33,
        dead_lettered: 40,
        lost: 20,
        requests: 61_300,
        empty_receives: 2_400,
        over_limit: 0,
        rebalances: 0,
        consumers_mean: 64.0,
        consumers_busy_mean: 48.0,
    }
}

/// The flash crowd submits jobs, and the queue grows and shrinks with it.
fn with_queues(queues: &[QueueResult]) -> Results {
    let mut results = results(HOUR, 1);
    let run = &mut results.run;
    run.jobs = vec![JobsResult {
        name: "web".to_string(),
        counts: counts(),
        accepted: distribution(0.012, 20_000),
        waited: distribution(25.0, 19_600),
        served: distribution(2.0, 19_500),
        told: distribution(1.0, 19_400),
        total: distribution(28.0, 19_400),
        questions_per_second: 25.0,
        cost: Some(0.000_123),
    }];
    run.queues = queues.to_vec();
    for row in &mut run.series {
        let crowd = (-((row.at - 2_400.0) / 400.0).powi(2)).exp();
        let one = |share: f64| QueueRow {
            visible: (share * 4_800.0 * crowd) as u64,
            in_flight: 20 + (share * 40.0 * crowd) as u64,
            oldest: 1_260.0 * share * crowd,
            consumers: 64,
            consumers_busy: 20 + (40.0 * crowd) as u32,
        };
        row.queues = (0..queues.len()).map(|index| one(1.0 / (1.0 + index as f64))).collect();
        let (submitted, done) = (4.0 + 12.0 * crowd, 4.0 + 6.0 * crowd);
        let known = (row.at > 60.0).then_some(3.0 + 900.0 * crowd);
        row.jobs = Some(JobsRow { submitted, done, p50: known, p95: known.map(|time| 1.6 * time) });
    }
    run.groups[0].workers_busy = Some(75.4);
    run.groups[0].gpu = Some(61.2);
    results
}

fn text(results: &Results) -> String {
    let text = render_text(results, Style::Plain);
    assert!(text.lines().all(|line| line.chars().count() <= 150), "{text}");
    text
}

/// A text in one line, wherever it was broken.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[test]
fn the_summary_tells_how_jobs_ended_and_where_their_time_went() {
    let text = text(&with_queues(&[queue("exports", "SQS")]));
    let told = flat(&text);
    for line in [
        "Jobs of web",
        "  submitted 20.0 k   done 19.5 k (97.5 %)   dead-lettered 40 (0.20 %)   lost 20 (0.10 %)   too late 60 (0.30 %)   in progress 380 (1.90 %)",
        "  lost        11 died with their worker, 7 expired, 2 dropped by a full queue",
        "  job time                          jobs      mean       p50       p90       p99       max",
        "  answer to the request (HTTP)    20.0 k   14.4 ms   12.0 ms   24.0 ms   48.0 ms   96.0 ms",
        "  wait in the queue               19.6 k   30.00 s   25.00 s   50.00 s  100.00 s  200.00 s",
        "  deliveries  20.6 k, 900 of them again, 210 tries failed, 45 tries cut, 33 jobs done twice, 120 found done already, 5 given to somebody else meanwhile",
        "  workers     11.1 h of work, 90.1 % useful, 60 min (9.01 %) wasted on tries that came to nothing, 6 min (0.90 %) duplicated",
        "  news        90.0 k questions or messages, 4.50 a job, 25 a second at the HTTP layer",
        "  given up    12 clients waited no longer, or were never told",
        "  cost        $0.00012 of workers for a job that was done",
    ] {
        assert!(told.contains(&flat(line)), "{line} is not in\n{text}");
    }
}

#[test]
fn the_summary_tells_how_queues_stood_and_who_worked_on_them() {
    let text = text(&with_queues(&[queue("exports", "SQS")]));
    for part in [
        "Queue exports (SQS)",
        "4800 at most, 320 at the end, 60 with consumers, 3 not to be received yet",
        "21 min at most",
        "  messages    20.0 k sent, 19.6 k consumed, 40 dead letters, 20 lost",
        "  deliveries  20.6 k, 900 of them again, 33 acknowledged too late: the receipt was stale",
        "  requests    61.3 k as they are billed, 2400 receives that brought nothing",
        "48 at work of 64 on average (25 % idle)",
        "  workers   75 % of consumers at work on average",
        "  GPUs      61 % of those of running instances in use on average",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn what_did_not_happen_to_jobs_has_no_line() {
    let mut results = with_queues(&[queue("exports", "Redis list")]);
    let jobs = &mut results.run.jobs[0];
    jobs.counts =
        JobCounts { submitted: 5, done: 5, deliveries: 5, useful_seconds: 10.0, ..JobCounts::default() };
    (jobs.told, jobs.cost) = (Distribution { count: 5, ..Distribution::default() }, None);
    let (name, kind) = ("exports".to_string(), "Redis list".to_string());
    results.run.queues =
        vec![QueueResult { name, kind, sent: 5, received: 5, consumed: 5, ..QueueResult::default() }];
    let text = text(&results);
    let text = &text[text.find("Jobs of").unwrap_or(0)..text.find("Group web").unwrap_or(0)];
    assert!(text.contains("  submitted 5   done 5 (100 %)\n"), "{text}");
    assert!(
        text.contains("  deliveries  5\n") && text.contains("  messages    5 sent, 5 consumed\n"),
        "{text}"
    );
    for word in [
        "lost",
        "dead",
        "too late",
        "in progress",
        "news",
        "given up",
        "from done until known",
        "oldest",
        "rebalances",
        "stale",
        "billed",
        "of workers for",
    ] {
        assert!(!text.contains(word), "{word} is in\n{text}");
    }
}

#[test]
fn runs_without_queues_say_nothing_of_them() {
    let results = results(HOUR, 1);
    let text = render_text(&results, Style::Plain);
    assert!(!text.contains("Jobs of") && !text.contains("Queue ") && !text.contains("GPUs"), "{text}");
    let series = String::from_utf8(artefact(&results, "series.csv")).expect("a table is text");
    assert!(!series.contains("visible") && !series.contains("jobs_"));
    let json = String::from_utf8(artefact(&results, "results.json")).expect("JSON is text");
    for key in ["workers_busy", "consumers_busy", "\"gpu\"", "jobs_row"] {
        assert!(!json.contains(key), "{key}");
    }
}

#[test]
fn queues_and_jobs_have_columns_in_the_series() {
    let results = with_queues(&[queue("exports", "SQS"), queue("mails", "Kafka")]);
    let results = Results { command: String::new(), ..results };
    let series = String::from_utf8(artefact(&results, "series.csv")).expect("a table is text");
    let mut lines = series.lines();
    let header = lines.next().unwrap_or_default();
    assert!(header.ends_with(
        "exports.visible,exports.in_flight,exports.oldest_s,exports.consumers,exports.consumers_busy,\
         mails.visible,mails.in_flight,mails.oldest_s,mails.consumers,mails.consumers_busy,\
         jobs_submitted_per_s,jobs_done_per_s,jobs_p50_s,jobs_p95_s"
    ));
    let columns = header.split(',').count();
    assert!(lines.all(|line| line.split(',').count() == columns));
    let back: Results = serde_json::from_slice(&artefact(&results, "results.json")).expect("it reads back");
    assert_eq!(back, results);
}

#[test]
fn the_overview_has_panels_of_queues_and_jobs() {
    let mut results = with_queues(&[queue("exports", "SQS")]);
    let mut objective = results.run.objectives[0].clone();
    (objective.name, objective.objective) = ("exported".to_string(), "p95 <= 10min".to_string());
    (objective.bound, objective.jobs) = (600.0, true);
    results.run.objectives.push(objective);
    let svg = String::from_utf8(artefact(&results, "overview.svg")).expect("SVG is text");
    for part in [
        "Flash crowd: messages in queues",
        "exports: waiting",
        "exports: in flight",
        "Flash crowd: age of the oldest message, minutes",
        "Flash crowd: jobs per second",
        "submitted",
        "Flash crowd: jobs from submitting until known (logarithmic)",
        "exported: p95 &lt;= 10min",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    let times = String::from_utf8(artefact(&results, "response-time.svg")).expect("SVG is text");
    assert!(!times.contains("exported"), "objectives of jobs have a panel of their own");
    let several = [queue("exports", "SQS"), queue("mails", "Kafka"), queue("dead", "SQS FIFO")];
    for results in [results, with_queues(&several)] {
        let png = artefact(&results, "overview.png");
        if let Some(folder) = std::env::var_os("SCALESIM_SHOW") {
            let path = std::path::Path::new(&folder).join(format!("jobs-{}.png", results.run.queues.len()));
            std::fs::write(path, &png).expect("the folder is there");
        }
        let height = u32::from_be_bytes([png[20], png[21], png[22], png[23]]);
        assert_eq!(height, 8 * 380);
    }
}
