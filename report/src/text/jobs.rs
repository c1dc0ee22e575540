//! What became of jobs and queues.

use scalesim::results::{Distribution, JobCounts, JobsResult, QueueResult, QueueRow};

use super::{Summary, WIDTH, count, duration, percent, short, sparkline, value, wrap};

/// Seconds from which times are told in minutes and hours.
const LONG: f64 = 600.0;

impl Summary<'_> {
    pub(super) fn jobs(&mut self) {
        let run = self.run;
        for jobs in &run.jobs {
            self.page.section(&format!("Jobs of {}", jobs.name));
            self.job_ends(&jobs.counts);
            self.job_times(jobs);
            self.tries(&jobs.counts);
            self.worker_hours(&jobs.counts);
            self.news(jobs);
            self.cost_of_a_job(jobs);
        }
    }

    pub(super) fn queues(&mut self) {
        let run = self.run;
        for (index, queue) in run.queues.iter().enumerate() {
            self.page.section(&format!("Queue {} ({})", queue.name, queue.kind));
            let course = |of: fn(&QueueRow) -> f64| -> Vec<f64> {
                run.series.iter().filter_map(|row| row.queues.get(index).map(of)).collect()
            };
            let rest = parts(&[
                (queue.in_flight, "with consumers"),
                (queue.delayed, "not to be received yet"),
                (queue.held_at_start, "there when measurement began"),
            ]);
            self.page.line(format!(
                "  waiting     {}  {} at most, {} at the end{rest}",
                sparkline(&course(|row| row.visible as f64), 32),
                count(queue.visible_max as f64),
                count(queue.visible as f64),
            ));
            if queue.oldest_max > 0.0 {
                let ages = sparkline(&course(|row| row.oldest), 32);
                self.page.line(format!("  oldest      {ages}  {} at most", long(queue.oldest_max)));
            }
            self.messages(queue);
            self.consumers(queue, &course(|row| f64::from(row.consumers_busy)));
        }
    }

    /// How jobs ended.
    fn job_ends(&mut self, counts: &JobCounts) {
        let all = counts.submitted;
        let share = |n: u64| format!("{} ({})", count(n as f64), percent(n as f64, all as f64));
        let mut line = format!("  submitted {}   done {}", count(all as f64), share(counts.done));
        let ends = [
            ("dead-lettered", counts.dead_lettered),
            ("lost", counts.lost()),
            ("too late", counts.too_late),
            ("in progress", counts.in_progress()),
        ];
        for (name, n) in ends.into_iter().filter(|end| end.1 > 0) {
            line.push_str(&format!("   {name} {}", share(n)));
        }
        self.page.line(line);
        let reasons = parts(&[
            (counts.lost_with_worker, "died with their worker"),
            (counts.expired, "expired"),
            (counts.dropped, "dropped by a full queue"),
        ]);
        if !reasons.is_empty() {
            self.told("lost", reasons.trim_start_matches(", "));
        }
    }

    /// From submitting until known, and its parts.
    fn job_times(&mut self, jobs: &JobsResult) {
        let rows = [
            ("answer to the request (HTTP)", &jobs.accepted),
            ("wait in the queue", &jobs.waited),
            ("service, all tries", &jobs.served),
            ("from done until known", &jobs.told),
            ("from submitting until known", &jobs.total),
        ];
        // Where nobody asks, a job is known when it is done, and that takes no time.
        let rows = rows.into_iter().filter(|(_, times)| times.count > 0 && times.max > 0.0);
        let rows: Vec<(&str, &Distribution)> = rows.collect();
        if rows.is_empty() {
            return;
        }
        self.page.line("");
        let head = ["jobs", "mean", "p50", "p90", "p99", "max"].map(|name| format!("{name:>9}"));
        self.page.line(format!("  {:<28} {}", "job time", head.join(" ")));
        for (name, times) in rows {
            let cells = [times.mean, times.p50, times.p90, times.p99, times.max];
            let cells = cells.map(|time| format!("{:>9}", long(time)));
            self.page.line(format!("  {name:<28} {:>9} {}", count(times.count as f64), cells.join(" ")));
        }
        self.page.line("");
    }

    fn tries(&mut self, counts: &JobCounts) {
        if counts.deliveries == 0 {
            return;
        }
        let rest = parts(&[
            (counts.delivered_again, "of them again"),
            (counts.failed_tries, "tries failed"),
            (counts.cut_tries, "tries cut"),
            (counts.done_again, "jobs done twice"),
            (counts.skipped, "found done already"),
            (counts.put_out, "given to somebody else meanwhile"),
        ]);
        self.told("deliveries", &format!("{}{rest}", count(counts.deliveries as f64)));
    }

    fn worker_hours(&mut self, counts: &JobCounts) {
        let (wasted, twice) = (counts.wasted_seconds, counts.duplicated_seconds);
        let all = counts.useful_seconds + wasted + twice;
        if all <= 0.0 {
            return;
        }
        let mut line = format!("{} of work, {} useful", duration(all), percent(counts.useful_seconds, all));
        for (seconds, words) in [(wasted, "wasted on tries that came to nothing"), (twice, "duplicated")] {
            if seconds > 0.0 {
                line.push_str(&format!(", {} ({}) {words}", duration(seconds), percent(seconds, all)));
            }
        }
        self.told("workers", &line);
    }

    /// How clients learn of their jobs.
    fn news(&mut self, jobs: &JobsResult) {
        let counts = &jobs.counts;
        if counts.questions > 0 {
            let line = format!(
                "{} questions or messages, {} a job, {} a second at the HTTP layer",
                count(counts.questions as f64),
                short(counts.questions as f64 / counts.submitted.max(1) as f64),
                short(jobs.questions_per_second)
            );
            self.told("news", &line);
        }
        if counts.given_up > 0 {
            let clients = count(counts.given_up as f64);
            self.told("given up", &format!("{clients} clients waited no longer, or were never told"));
        }
    }

    fn cost_of_a_job(&mut self, jobs: &JobsResult) {
        if let (Some(cost), Some(bill)) = (jobs.cost, &self.run.bill) {
            let cost = small_price(cost, &bill.currency);
            self.told("cost", &format!("{cost} of workers for a job that was done"));
        }
    }

    fn messages(&mut self, queue: &QueueResult) {
        let sent = parts(&[
            (queue.consumed, "consumed"),
            (queue.dead_lettered, "dead letters"),
            (queue.lost, "lost"),
            (queue.refused, "refused: it was full"),
        ]);
        self.told("messages", &format!("{} sent{sent}", count(queue.sent as f64)));
        if queue.received > 0 {
            let rest = parts(&[
                (queue.received_again, "of them again"),
                (queue.stale, "acknowledged too late: the receipt was stale"),
            ]);
            self.told("deliveries", &format!("{}{rest}", count(queue.received as f64)));
        }
        if queue.requests > 0 {
            let rest = parts(&[
                (queue.empty_receives, "receives that brought nothing"),
                (queue.over_limit, "receives refused: too many messages in flight"),
            ]);
            self.told("requests", &format!("{} as they are billed{rest}", count(queue.requests as f64)));
        }
    }

    fn consumers(&mut self, queue: &QueueResult, busy: &[f64]) {
        if queue.consumers_mean > 0.0 {
            self.page.line(format!(
                "  consumers   {}  {} at work of {} on average ({} idle)",
                sparkline(busy, 32),
                short(queue.consumers_busy_mean),
                short(queue.consumers_mean),
                percent(queue.consumers_mean - queue.consumers_busy_mean, queue.consumers_mean)
            ));
        }
        if queue.rebalances > 0 {
            self.told("rebalances", &count(queue.rebalances as f64));
        }
    }

    /// A line, or several, behind a name.
    fn told(&mut self, name: &str, text: &str) {
        for (index, line) in wrap(text, WIDTH - 14).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            self.page.line(format!("  {name:<10}  {line}"));
        }
    }
}

/// What there is of several things, each after a comma.
fn parts(all: &[(u64, &str)]) -> String {
    let some = all.iter().filter(|(n, _)| *n > 0);
    some.map(|(n, words)| format!(", {} {words}", count(*n as f64))).collect()
}

/// A length of time, in minutes or hours where it is long.
fn long(seconds: f64) -> String {
    if seconds >= LONG { duration(seconds) } else { value(seconds, "s") }
}

/// A price with two digits that count.
fn small_price(price: f64, currency: &str) -> String {
    if price >= 1.0 || price <= 0.0 {
        return value(price, currency);
    }
    let digits = (1.0 - price.log10().floor()).clamp(2.0, 12.0) as usize;
    match currency {
        "USD" => format!("${price:.digits$}"),
        _ => format!("{price:.digits$} {currency}"),
    }
}
