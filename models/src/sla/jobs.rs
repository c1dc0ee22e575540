//! Why jobs were late, or were not done. The part of their time that was longest says where to look: before the queue, in it, at
//! the workers, or at how clients learn of it.

use sim_core::Span;

use super::{BUSY, OVERLOADED, Suspect, explain};
use crate::capacity::WorkerCapacity;
use crate::measure::{JobFacts, JobPart, LateJobs, MinuteFacts, ViolationRecord};
use crate::plan::{Channel, Indicator, JobStatus, Objective, Queue, QueueKind};
use crate::results::CauseKind;

/// Of consumers fewer than this share are busy where there is enough to do only if something keeps them from it.
const IDLE: f64 = 60.0;
/// Where more than this share of late jobs had the same mishap, that is why.
const MOST: f64 = 0.5;

type Cause = (CauseKind, String);

/// What is known of the workers that do an objective's jobs.
#[derive(Clone, Debug)]
pub struct Workers<'a> {
    /// Their group.
    pub suspect: Suspect<'a>,
    /// Where their jobs come from.
    pub queue: &'a Queue,
    /// What one of them can do.
    pub capacity: WorkerCapacity,
    /// The groups that their jobs call.
    pub calls: Vec<Suspect<'a>>,
}

/// The main cause of a window in which jobs broke an objective; `None` where it lies before the queues, with the requests that
/// submit.
pub fn explain_jobs(
    objective: &Objective,
    window: &ViolationRecord,
    workers: &[Workers<'_>],
    status: Option<&JobStatus>,
) -> Option<Cause> {
    let jobs = &window.jobs;
    let worst = workers.iter().max_by(|a, b| a.backlog(window).total_cmp(&b.backlog(window)))?;
    if matches!(objective.indicator, Indicator::Availability | Indicator::ErrorRatio) {
        return worst.failed(window);
    }
    match jobs.longest()? {
        JobPart::Submitting => None,
        JobPart::Waiting => Some(worst.waited(window)),
        JobPart::Working => Some(worst.worked(window)),
        JobPart::Telling => Some(told(jobs, status)),
    }
}

/// Jobs were done, and their clients did not know.
fn told(jobs: &LateJobs, status: Option<&JobStatus>) -> Cause {
    let count = jobs.late.max(1) as f64;
    let done = (jobs.mean() - jobs.telling / count).max(0.0);
    let how = match status.map(|status| &status.channel) {
        Some(Channel::Poll { every, .. }) if every.max > every.first && every.multiplier > 1.0 => {
            format!(
                "they ask {} after each other and more and more rarely, every {} at last",
                every.first, every.max
            )
        }
        Some(Channel::Poll { every, .. }) => format!("they ask every {}", every.first),
        Some(Channel::LongPoll { pause, .. }) => {
            format!("their long polls end before the job does, with {pause} until the next")
        }
        Some(Channel::Push { .. }) => "what is pushed takes that long".to_string(),
        Some(Channel::Webhook { retries, .. }) => {
            format!("calls of their webhooks failed, and up to {retries} more were made")
        }
        None => "they waited for others that were submitted with them".to_string(),
    };
    let words = format!(
        "{} jobs were done {} after they were submitted, and their clients knew {} later, on average: {how}",
        jobs.late,
        length(done),
        length(jobs.telling / count)
    );
    (CauseKind::AskedLate, words)
}

impl<'a> Workers<'a> {
    /// The minutes that made the jobs of a window late: its own, and as many before as they took.
    fn minutes(&self, window: &ViolationRecord) -> &'a [MinuteFacts] {
        let facts = self.suspect.facts;
        let (from, to) = super::minute_range(window, facts.len());
        let before = (window.jobs.mean() / 60.0).ceil() as usize;
        &facts[from.saturating_sub(before)..to]
    }

    /// How badly off its queue was, in seconds.
    fn backlog(&self, window: &ViolationRecord) -> f64 {
        let facts = self.minutes(window).iter().filter_map(|minute| minute.jobs.as_deref());
        facts.map(|jobs| jobs.time_to_clear().max(jobs.oldest)).fold(0.0, f64::max)
    }

    /// Jobs waited for workers.
    fn waited(&self, window: &ViolationRecord) -> Cause {
        let minutes = self.minutes(window);
        let name = &self.suspect.group.name;
        let seen = minutes.iter().filter_map(|minute| Some((minute, minute.jobs.as_deref()?)));
        let Some((peak, jobs)) = seen.max_by_key(|(_, jobs)| jobs.visible) else {
            return (CauseKind::ServiceTime, "the window is shorter than what was recorded".to_string());
        };
        let state = self.state(peak, jobs);
        if peak.starting > 0 && peak.serving < peak.desired {
            let words = format!(
                "{state}; {} of {name} were still starting, the oldest for {}",
                workers(peak.starting),
                length(peak.starting_for)
            );
            return (CauseKind::WorkersStarting, words);
        }
        if let Some(found) = self.suspect.stopped(minutes, self.suspect.not_whole_before(window), &state) {
            return found;
        }
        let lost = self.suspect.lost_and_not_replaced(window);
        if lost > 0 {
            return (CauseKind::InstanceLost, format!("{} lost; {state}", workers(lost)));
        }
        if peak.serving == 0 {
            return (CauseKind::NoHealthyInstance, format!("no worker of {name} took jobs; {state}"));
        }
        if let Some(found) = self.idle(jobs, &state) {
            return found;
        }
        self.too_few(window, minutes, peak, &state)
    }

    /// How many waited for how many.
    fn state(&self, minute: &MinuteFacts, jobs: &JobFacts) -> String {
        let busy = jobs.busy_percent().map_or(String::new(), |busy| format!(", {busy:.0} % of them busy"));
        format!(
            "{} messages waited in {}, the oldest for {}, and {} of {} workers of {} took jobs with {} consumers{busy}; at their \
             pace it is clear in {}",
            jobs.visible,
            self.queue.name,
            length(jobs.oldest),
            minute.serving,
            minute.desired,
            self.suspect.group.name,
            jobs.consumers,
            length(jobs.time_to_clear())
        )
    }

    /// Messages waited, and consumers had nothing to do.
    fn idle(&self, jobs: &JobFacts, state: &str) -> Option<Cause> {
        jobs.busy_percent().filter(|&busy| busy < IDLE && jobs.visible > u64::from(jobs.consumers))?;
        let why = match self.queue.kind {
            QueueKind::Kafka(kafka) if kafka.partitions < jobs.all_consumers => format!(
                "{} partitions are for as many consumers, and there are {}",
                kafka.partitions, jobs.all_consumers
            ),
            QueueKind::Kafka(kafka) => format!(
                "{} partitions are unevenly full, or change hands: a consumer that died is missed after {}",
                kafka.partitions, kafka.session_timeout
            ),
            QueueKind::Sqs(sqs) if sqs.fifo => {
                "of each message group one message is in flight at a time".to_string()
            }
            QueueKind::Sqs(sqs) if sqs.wait_time.is_zero() => {
                format!("they poll the short way, every {}", sqs.poll_interval)
            }
            _ => "messages were with consumers that fetched them ahead".to_string(),
        };
        Some((CauseKind::ConsumersIdle, format!("{why}; {state}")))
    }

    /// All workers were at work, and there were too few of them: what kept the group from growing?
    fn too_few(
        &self,
        window: &ViolationRecord,
        minutes: &[MinuteFacts],
        peak: &MinuteFacts,
        state: &str,
    ) -> Cause {
        let name = &self.suspect.group.name;
        let facts: Vec<&JobFacts> = minutes.iter().filter_map(|minute| minute.jobs.as_deref()).collect();
        let seconds = 60.0 * facts.len().max(1) as f64;
        let came = facts.iter().map(|jobs| jobs.sent).sum::<u64>() as f64 / seconds;
        let each = self.capacity.rate() * self.share(&facts);
        let can = each * f64::from(peak.serving);
        let needed = (came / each).ceil();
        let rates =
            format!("{} jobs a second came, and {} do {}", rate(came), workers(peak.serving), rate(can));
        if needed <= f64::from(peak.serving) {
            let words = format!("backlog of the minutes before: {rates} now; {state}");
            return (CauseKind::Backlog, words);
        }
        let before = self.suspect.before(window);
        let kept = match (&peak.policy, before.iter().map(|minute| minute.desired).max()) {
            (_, Some(was)) if was > peak.desired => {
                format!("{name} was scaled in from {was} to {}", peak.desired)
            }
            _ if peak.desired >= peak.max => format!("{name} was at its maximum of {}", peak.max),
            (Some((_, words)), _) => words.trim_end_matches('.').to_string(),
            (None, _) => format!("no policy grows {name}, which may have up to {}", peak.max),
        };
        let words = format!("{rates}: {} are needed for that; {kept}; {state}", workers(needed as u32));
        (CauseKind::TooFewWorkers, words)
    }

    /// The part of its consumers' queue that is this group's to do.
    fn share(&self, facts: &[&JobFacts]) -> f64 {
        let sum = |of: fn(&JobFacts) -> u32| facts.iter().map(|jobs| f64::from(of(jobs))).sum::<f64>();
        let (own, all) = (sum(|jobs| jobs.consumers), sum(|jobs| jobs.all_consumers));
        if own > 0.0 { all / own } else { 1.0 }
    }

    /// The work itself took long, with all tries.
    fn worked(&self, window: &ViolationRecord) -> Cause {
        let (jobs, minutes) = (&window.jobs, self.minutes(window));
        let name = &self.suspect.group.name;
        let many = |count: u64| count as f64 > MOST * jobs.late as f64;
        let each = length(jobs.working / jobs.late.max(1) as f64);
        let usual = length(self.capacity.job);
        if many(jobs.cut) {
            let lost: u32 = minutes.iter().chain(self.suspect.before(window)).map(|minute| minute.lost).sum();
            let why = match lost {
                0 => "was taken out".to_string(),
                lost => format!("was taken out or lost, as {} were", workers(lost)),
            };
            let words = format!(
                "{} of {} late jobs were cut, because their worker of {name} {why}; they were delivered again {}, and took {each} \
                 with all tries instead of {usual}",
                jobs.cut,
                jobs.late,
                comes_back(&self.queue.kind)
            );
            return (CauseKind::JobsCut, words);
        }
        if many(jobs.retried) {
            let words = format!(
                "tries of {} of {} late jobs failed at {name}, and they took {each} with all tries instead of {usual}",
                jobs.retried, jobs.late
            );
            return (CauseKind::TriesFailed, words);
        }
        let called = explain(window, &self.calls);
        if !self.calls.is_empty() && !matches!(called.0, CauseKind::ServiceTime | CauseKind::HighUtilisation)
        {
            return (called.0, format!("jobs of {name} wait for what they call: {}", called.1));
        }
        let hottest = minutes.iter().map(|minute| minute.hottest).fold(0.0, f64::max);
        let load = format!("the busiest of {name} was {:.0} % busy", 100.0 * hottest);
        if let Some(found) = self.suspect.hindered(minutes, &load) {
            return found;
        }
        if hottest >= BUSY && self.capacity.limited_by() != "consumers" || hottest >= OVERLOADED {
            let words = format!(
                "a job took {each} instead of {usual}, because jobs share the {} of {name}; {load}",
                self.capacity.limited_by()
            );
            return (CauseKind::HighUtilisation, words);
        }
        (CauseKind::ServiceTime, format!("a job itself takes {usual}, and these took {each}; {load}"))
    }

    /// Jobs were not done at all.
    fn failed(&self, window: &ViolationRecord) -> Option<Cause> {
        let (jobs, queue) = (&window.jobs, self.queue);
        let of = |count: u64| format!("{count} of {} jobs", window.requests);
        let dead = || {
            let tries = queue.max_receives.map_or(String::new(), |most| format!(" after {most} deliveries"));
            let words = format!("{} became dead letters of {}{tries}", of(jobs.dead_lettered), queue.name);
            (CauseKind::DeadLetters, words)
        };
        let with_worker = || {
            let words = format!(
                "{} died with their worker of {}, which had the only copy",
                of(jobs.lost_with_worker),
                self.suspect.group.name
            );
            (CauseKind::JobsLost, words)
        };
        let expired = || {
            let retention = queue.retention.map_or(String::new(), |most| format!(" of {most}"));
            let words =
                format!("{} outlived the retention period{retention} of {}", of(jobs.expired), queue.name);
            (CauseKind::JobsLost, words)
        };
        let dropped = || {
            let room = queue.capacity.map_or(String::new(), |most| format!(", which holds {most}"));
            (CauseKind::JobsLost, format!("{} were dropped by {}{room}", of(jobs.dropped), queue.name))
        };
        let too_late = || {
            let (kind, words) = self.waited(window);
            (kind, format!("{} were taken too late to be begun; {words}", of(jobs.too_late)))
        };
        let all: [(u64, &dyn Fn() -> Cause); 5] = [
            (jobs.dead_lettered, &dead),
            (jobs.lost_with_worker, &with_worker),
            (jobs.expired, &expired),
            (jobs.dropped, &dropped),
            (jobs.too_late, &too_late),
        ];
        let most = all.into_iter().reduce(|most, other| if other.0 > most.0 { other } else { most })?;
        (most.0 > 0).then(|| most.1())
    }
}

/// When a message comes back whose consumer is gone.
fn comes_back(kind: &QueueKind) -> String {
    match kind {
        QueueKind::Sqs(sqs) => format!("after the visibility timeout of {}", sqs.visibility_timeout),
        QueueKind::Kafka(kafka) => {
            format!(
                "after a rebalance, at the latest when the session timeout of {} was over",
                kafka.session_timeout
            )
        }
        QueueKind::RedisList(list) => match list.processing {
            Some(processing) => format!("when they had been in the processing list for {processing}"),
            None => "by nobody".to_string(),
        },
        QueueKind::RedisStream(stream) => format!("when they had been idle for {}", stream.min_idle),
        QueueKind::RabbitMq(rabbit) => {
            format!("when the broker noticed, after up to {}", rabbit.notices)
        }
        QueueKind::BullMq(bull) => {
            format!("when their lock of {} had run out and somebody looked", bull.lock_duration)
        }
    }
}

fn workers(count: u32) -> String {
    if count == 1 { "1 worker".to_string() } else { format!("{count} workers") }
}

/// Jobs a second, of which there may be few.
fn rate(jobs: f64) -> String {
    match jobs {
        jobs if jobs >= 10.0 => format!("{jobs:.0}"),
        jobs if jobs >= 1.0 => format!("{jobs:.1}"),
        jobs => format!("{jobs:.2}"),
    }
}

/// A length of time, without digits that nobody reads.
fn length(seconds: f64) -> Span {
    let unit = if seconds >= 10.0 { 1.0 } else { 0.1 };
    Span::from_secs_f64((seconds / unit).round() * unit)
}
