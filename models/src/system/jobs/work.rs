//! Consumers: what they have in hand, how tries end, and what is lost when their instance goes.

use sim_core::chance::unit;
use sim_core::{Calendar, Span, Time};
use smallvec::SmallVec;

use super::{Errand, Job, JobState, Jobs, NONE, Pending, System};
use crate::event::{Event, Ref};
use crate::plan::{GroupId, Load, QueueId, Worker};
use crate::queue::{Happened, Receipt};
use crate::system::supervise::Losing;
use crate::system::targets::NO_BALANCER;
use crate::system::{Ending, Request};

/// One of the places of a worker in which a job can be worked on.
#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    /// Its instance.
    pub(super) instance: u32,
    /// The group of that.
    pub(super) group: GroupId,
    /// Where its jobs come from.
    queue: QueueId,
    /// The job in its hands; [`NONE`] while it waits for one.
    pub(super) job: u32,
    /// The slot of the request that it works on that as.
    request: u32,
    /// What it acknowledges that with.
    receipt: Receipt,
    /// How often that was delivered.
    receives: u32,
    /// When it began.
    pub(super) since: Time,
    /// What its try may leave out, because checkpoints have it.
    skip: Span,
    /// What it loads before its try.
    load: Span,
    /// Since when what it has loaded is not in use; `None` while it has nothing.
    loaded: Option<Time>,
}

/// What a try has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Try {
    Done,
    Failed,
    Cut,
}

impl System {
    /// What an instance takes from a queue; `None` where it takes nothing.
    fn worker_of(&self, instance: u32) -> Option<&Worker> {
        self.plan.groups[self.instances[instance].group.index()].worker.as_ref()
    }

    /// An instance serves from now on: where it is a worker, its consumers are there and ask for jobs.
    pub(in crate::system) fn workers_begin(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(worker) = self.worker_of(slot) else { return };
        let (queue, count, group) = (worker.queue, worker.concurrency, self.instances[slot].group);
        let Some(jobs) = &mut self.jobs else { return };
        for _ in jobs.at_instance(slot).len()..count as usize {
            jobs.new_consumer(slot, group, queue, calendar);
        }
    }

    /// How long an instance that is told to stop goes on with its jobs.
    pub(in crate::system) fn stop_grace(&self, slot: u32) -> Span {
        self.worker_of(slot).map_or(Span::ZERO, |worker| worker.stop_grace)
    }

    /// An instance is taken out in good order: consumers without a job leave, others when they are done with theirs.
    pub(in crate::system) fn workers_stop(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        let all: SmallVec<[u32; 2]> = jobs.at_instance(slot).into();
        for number in all {
            let Consumer { queue, job, .. } = jobs.consumers[number];
            if job == NONE && !jobs.is_delivered(number) {
                jobs.with(queue, calendar, |queue, now, happened| queue.leave(number, now, happened));
                jobs.forget(number, calendar.now());
            }
        }
    }

    /// An instance is lost with all that its consumers had; jobs in their hands have been cut before.
    pub(in crate::system) fn workers_lost(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        let all: SmallVec<[u32; 2]> = jobs.at_instance(slot).into();
        for number in all {
            let Some(jobs) = &mut self.jobs else { return };
            let Consumer { job, request, since, .. } = jobs.consumers[number];
            if job == NONE {
                jobs.crash(number, calendar);
                continue;
            }
            // Its instance broke down under the request that it was about to begin.
            jobs.take_errand(request);
            self.measure.jobs.tried(&jobs.all[job], since, calendar.now(), false);
            self.cut(number, calendar);
        }
    }

    /// A consumer gets a job.
    pub(super) fn delivered(
        &mut self,
        number: u32,
        job: u32,
        receipt: Receipt,
        receives: u32,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let Some(jobs) = &mut self.jobs else { return };
        jobs.takes(number, job, now);
        let (consumer, entry) = (&mut jobs.consumers[number], jobs.all[job]);
        (consumer.receipt, consumer.receives) = (receipt, receives);
        (consumer.since, consumer.skip, consumer.load) = (now, entry.saved, Span::ZERO);
        let Consumer { instance, group, .. } = *consumer;
        let plan = self.plan.clone();
        let worker = plan.groups[group.index()].worker.as_ref().expect("consumers are those of workers");
        self.measure.jobs.delivered(entry.source, receives > 1);
        let again = entry.state == JobState::Done;
        let too_late = !again && jobs.is_too_late(&entry, worker, now);
        if (again && worker.idempotent) || too_late {
            if too_late && entry.state == JobState::InProcess {
                self.job_ends(job, JobState::TooLate, calendar);
            }
            self.measure.jobs.skipped(entry.source, again);
            self.acknowledge(number, calendar);
            return self.hands_free(number, calendar);
        }
        if let Some(load) = &worker.load {
            jobs.load(number, load, entry.number, now);
        }
        if entry.started == Time::NEVER {
            jobs.all[job].started = now;
            self.measure.jobs.waited(entry.source, now.since(entry.queued));
        }
        let request = Request {
            born: now,
            parent: Ref::JOB,
            hedge: receives.min(255) as u8,
            ..Request::new(entry.source, worker.job, entry.number, now)
        };
        let reference = self.admit(request);
        if let Some(jobs) = &mut self.jobs {
            jobs.consumers[number].request = reference.slot;
            jobs.set_errand(reference.slot, Errand::Works(number));
        }
        self.measure.checked(worker.job);
        self.receive(reference.slot, NO_BALANCER, instance, calendar);
    }

    /// A consumer's try is over.
    pub(super) fn try_over(&mut self, number: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        jobs.consumers[number].loaded = Some(now);
        let consumer = jobs.consumers[number];
        let job = jobs.all[consumer.job];
        let took = now.since(consumer.since);
        let worker = plan.groups[consumer.group.index()].worker.as_ref();
        let worker = worker.expect("consumers are those of workers");
        let poisoned = worker.poison > 0.0 && unit(&mut jobs.poison.at(job.number)) < worker.poison;
        let late = worker.timeout.is_some_and(|timeout| took >= timeout);
        let end = match ending {
            Ending::Completed if !poisoned && !late => Try::Done,
            Ending::Lost | Ending::CutOff => Try::Cut,
            _ => Try::Failed,
        };
        self.measure.jobs.tried(&job, consumer.since, now, end == Try::Done);
        self.fleets[consumer.group.index()].work.tried(job.source, took, end);
        match end {
            Try::Done => {
                if job.state != JobState::Done {
                    self.job_ends(consumer.job, JobState::Done, calendar);
                }
                self.acknowledge(number, calendar);
                self.hands_free(number, calendar);
            }
            Try::Failed => {
                let failures = &mut jobs.all[consumer.job].failures;
                *failures = failures.saturating_add(1);
                let key = job.number.wrapping_add(u64::from(consumer.receives));
                let delay = worker.retry.map(|retry| retry.drawn(consumer.receives, jobs.waits, key));
                let receipt = consumer.receipt;
                jobs.with(consumer.queue, calendar, |queue, now, happened| {
                    queue.fail(receipt, delay, now, happened);
                });
                self.hands_free(number, calendar);
            }
            Try::Cut => {
                self.cut(number, calendar);
                // Whoever starts a process again that died starts its consumer too.
                let instance = consumer.instance;
                if self.losing != Some(Losing::Everything(instance)) && self.instances[instance].serving() {
                    self.workers_begin(instance, calendar);
                }
            }
        }
    }

    /// A try ends because its worker goes away, and the consumer with it. What checkpoints have is kept.
    fn cut(&mut self, number: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        let now = calendar.now();
        let slot = jobs.lets_go(number, now);
        let Consumer { group, since, .. } = jobs.consumers[number];
        let job = &mut jobs.all[slot];
        self.fleets[group.index()].work.cut += 1;
        let every = self.plan.groups[group.index()].worker.as_ref().and_then(|worker| worker.checkpoint);
        let saved = every.map_or(Span::ZERO, |every| {
            let all = (job.saved + now.since(since)).as_nanos();
            Span::from_nanos(all - all % every.as_nanos().max(1))
        });
        self.measure.jobs.cut(job, since, now, saved.saturating_sub(job.saved));
        job.saved = job.saved.max(saved);
        job.cuts = job.cuts.saturating_add(1);
        jobs.crash(number, calendar);
        jobs.release(slot);
    }

    /// The work of a message is done, or is not wanted any more.
    fn acknowledge(&mut self, number: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        let Consumer { queue, receipt, .. } = jobs.consumers[number];
        jobs.with(queue, calendar, |queue, now, happened| queue.acknowledge(receipt, now, happened));
    }

    /// A consumer is done with its job: it asks for another, or leaves where its instance is to stop.
    fn hands_free(&mut self, number: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        let Consumer { queue, instance, .. } = jobs.consumers[number];
        let job = jobs.lets_go(number, calendar.now());
        jobs.release(job);
        if self.instances[instance].serving() {
            jobs.with(queue, calendar, |queue, now, happened| queue.receive(number, now, happened));
        } else {
            jobs.with(queue, calendar, |queue, now, happened| queue.leave(number, now, happened));
            jobs.forget(number, calendar.now());
        }
    }

    /// What a step of a job takes that goes on from a checkpoint, that has to load something first, or that is broken off when
    /// it takes too long.
    pub(in crate::system) fn left_of_step(&mut self, slot: u32, time: Span, now: Time) -> Span {
        let most = self.left_of_try(slot, now).unwrap_or(Span::MAX);
        let Some(jobs) = &mut self.jobs else { return time };
        let Errand::Works(number) = jobs.errand(slot) else { return time };
        let consumer = &mut jobs.consumers[number];
        let skipped = consumer.skip.min(time);
        consumer.skip = consumer.skip.saturating_sub(skipped);
        let load = std::mem::replace(&mut consumer.load, Span::ZERO);
        (load + time.saturating_sub(skipped)).min(most)
    }

    /// A queue has put a consumer out.
    pub(super) fn put_out(&mut self, number: u32) {
        if let Some(jobs) = &mut self.jobs {
            let job = jobs.consumers[number].job;
            if job != NONE {
                self.measure.jobs.put_out(jobs.all[job].source);
            }
        }
    }
}

impl Jobs {
    /// True where nobody wants a job any more that a worker is about to begin.
    fn is_too_late(&self, job: &Job, worker: &Worker, now: Time) -> bool {
        let deadline = worker.deadline.as_ref();
        deadline
            .is_some_and(|deadline| now.since(job.born) > deadline.span(&mut self.deadlines.at(job.number)))
    }

    /// What a consumer has to load before a job, unless it has kept it since the last.
    fn load(&mut self, number: u32, load: &Load, job: u64, now: Time) {
        let consumer = &mut self.consumers[number];
        let keeps = |since: Time| load.keep.is_none_or(|keep| now.since(since) <= keep);
        if !consumer.loaded.is_some_and(keeps) {
            let key = job.wrapping_add(u64::from(consumer.receives));
            consumer.load = load.takes.span(&mut self.loads.at(key));
        }
    }

    pub(super) fn at_instance(&self, slot: u32) -> &[u32] {
        self.at.get(slot as usize).map_or(&[], SmallVec::as_slice)
    }

    /// A new consumer of an instance asks for its first job.
    fn new_consumer(
        &mut self,
        instance: u32,
        group: GroupId,
        queue: QueueId,
        calendar: &mut Calendar<Event>,
    ) {
        let consumer = Consumer {
            instance,
            group,
            queue,
            job: NONE,
            request: NONE,
            receipt: Receipt { place: 0, number: 0 },
            receives: 0,
            since: calendar.now(),
            skip: Span::ZERO,
            load: Span::ZERO,
            loaded: None,
        };
        let number = self.hire(consumer, calendar.now());
        if self.at.len() <= instance as usize {
            self.at.resize(instance as usize + 1, SmallVec::new());
        }
        self.at[instance as usize].push(number);
        self.with(queue, calendar, |queue, now, happened| {
            queue.join(number, now, happened);
            queue.receive(number, now, happened);
        });
    }

    /// A consumer is gone without a word.
    fn crash(&mut self, number: u32, calendar: &mut Calendar<Event>) {
        // What it was about to get, it does not get.
        self.pending.retain(|pending| {
            !matches!(pending, Pending::Of(_, Happened::Delivered { consumer, .. }) if *consumer == number)
        });
        let queue = self.consumers[number].queue;
        self.with(queue, calendar, |queue, now, happened| queue.crash(number, now, happened));
        self.forget(number, calendar.now());
    }

    /// True where a consumer is about to get a job.
    fn is_delivered(&self, number: u32) -> bool {
        self.pending.iter().any(|pending| {
            matches!(pending, Pending::Of(_, Happened::Delivered { consumer, .. }) if *consumer == number)
        })
    }
}
