//! Tables: the series, the activities, the violations.

use scalesim::results::{ActivityKind, CauseKind, Results};
use serde::Serialize;

use crate::Clock;

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A row.
    #[error(transparent)]
    Row(#[from] csv::Error),
    /// The end of the table.
    #[error("{0}")]
    End(String),
}

/// One row per interval, with columns for each group.
pub fn series(results: &Results) -> Result<Vec<u8>, TableError> {
    let clock = Clock::new(results);
    let mut header: Vec<String> = [
        "time",
        "at_s",
        "offered_per_s",
        "attempts_per_s",
        "completed_per_s",
        "errors_per_s",
        "capacity_per_s",
        "p50_s",
        "p95_s",
        "p99_s",
        "cost",
    ]
    .map(String::from)
    .to_vec();
    for group in &results.run.groups {
        for column in [
            "desired",
            "max",
            "serving",
            "starting",
            "draining",
            "cpu_percent",
            "queued",
            "sessions",
            "needed",
        ] {
            header.push(format!("{}.{column}", group.name));
        }
    }
    queue_columns(results, &mut header);
    let columns: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = headed(&columns)?;
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for row in &results.run.series {
        let mut fields = vec![clock.iso(row.at), row.at.to_string()];
        fields.extend([row.offered, row.attempts, row.completed, row.errors].map(|rate| rate.to_string()));
        fields.extend([row.capacity, row.p50, row.p95, row.p99, row.cost].map(optional));
        for group in &row.groups {
            fields.extend(
                [group.desired, group.max, group.serving, group.starting, group.draining]
                    .map(|n| n.to_string()),
            );
            fields.extend([group.cpu.to_string(), group.queued.to_string(), group.sessions.to_string()]);
            fields.push(group.needed.map_or(String::new(), |needed| needed.to_string()));
        }
        for queue in &row.queues {
            fields.extend([queue.visible, queue.in_flight].map(|n| n.to_string()));
            fields.push(queue.oldest.to_string());
            fields.extend([queue.consumers, queue.consumers_busy].map(|n| n.to_string()));
        }
        if let Some(jobs) = &row.jobs {
            fields.extend([jobs.submitted, jobs.done].map(|rate| rate.to_string()));
            fields.extend([jobs.p50, jobs.p95].map(optional));
        }
        table.write_record(&fields)?;
    }
    end(table)
}

/// The columns of each queue and of jobs, which are there where there are queues.
fn queue_columns(results: &Results, header: &mut Vec<String>) {
    for queue in &results.run.queues {
        for column in ["visible", "in_flight", "oldest_s", "consumers", "consumers_busy"] {
            header.push(format!("{}.{column}", queue.name));
        }
    }
    if !results.run.queues.is_empty() {
        let jobs = ["jobs_submitted_per_s", "jobs_done_per_s", "jobs_p50_s", "jobs_p95_s"];
        header.extend(jobs.map(String::from));
    }
}

/// The activity log.
pub fn activities(results: &Results) -> Result<Vec<u8>, TableError> {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        at_s: f64,
        until_s: f64,
        times: u64,
        group: &'a str,
        kind: ActivityKind,
        desired: u32,
        description: &'a str,
        cause: &'a str,
    }
    let clock = Clock::new(results);
    let mut table =
        headed(&["time", "at_s", "until_s", "times", "group", "kind", "desired", "description", "cause"])?;
    for activity in &results.run.activities {
        table.serialize(Line {
            time: clock.iso(activity.at),
            at_s: activity.at,
            until_s: activity.until,
            times: activity.times,
            group: &activity.group,
            kind: activity.kind,
            desired: activity.desired,
            description: &activity.description,
            cause: &activity.cause,
        })?;
    }
    end(table)
}

/// Every violating window with its cause.
pub fn violations(results: &Results) -> Result<Vec<u8>, TableError> {
    #[derive(Serialize)]
    struct Line<'a> {
        objective: &'a str,
        time: String,
        from_s: f64,
        to_s: f64,
        value: f64,
        unit: &'a str,
        requests: u64,
        cause: CauseKind,
        explanation: &'a str,
    }
    let clock = Clock::new(results);
    let mut table = headed(&[
        "objective",
        "time",
        "from_s",
        "to_s",
        "value",
        "unit",
        "requests",
        "cause",
        "explanation",
    ])?;
    for objective in &results.run.objectives {
        for violation in &objective.violations {
            table.serialize(Line {
                objective: &objective.name,
                time: clock.iso(violation.window.from),
                from_s: violation.window.from,
                to_s: violation.window.to,
                value: violation.window.value,
                unit: &objective.unit,
                requests: violation.window.requests,
                cause: violation.cause,
                explanation: &violation.explanation,
            })?;
        }
    }
    end(table)
}

/// A table with its header, which is there even where there are no rows.
pub(crate) fn headed(columns: &[&str]) -> Result<csv::Writer<Vec<u8>>, TableError> {
    let mut table = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    table.write_record(columns)?;
    Ok(table)
}

pub(crate) fn end(table: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, TableError> {
    table.into_inner().map_err(|error| TableError::End(error.to_string()))
}
