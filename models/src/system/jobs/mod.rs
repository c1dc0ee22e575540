//! Jobs: work that outlives the request that asks for it. A request submits one to a queue; a worker takes it from there; who
//! submitted it finds out that it is done.
//!
//! * [`submit`](self): from a request's step into the queue, and how jobs come to their end;
//! * [`work`](self): consumers, what they have in hand, and what is lost when their instance goes;
//! * [`consumers`](self): how many there are, and how many of them are at work;
//! * [`know`](self): clients that ask, are told, or lose interest;
//! * [`bill`](self): what queues and jobs cost;
//! * [`cause`](self): who may be why they were late;
//! * [`gpu`](self): GPUs of instances;
//! * [`observe`](self): what metrics and causes learn of workers and their queue.
//!
//! A job is one entry of a slab, however often its message is delivered. Queues (see [`crate::queue`]) are state machines of their
//! own: what they say is kept in a list, and carried out before the event ends, so that no function calls itself through a queue.

mod bill;
mod cause;
mod consumers;
mod finish;
mod gpu;
mod know;
mod observe;
mod submit;
mod tokens;
mod work;

use std::collections::VecDeque;

use sim_core::{Calendar, Keyed, Seed, Span, Time, Timer};
use smallvec::SmallVec;

use super::System;
use crate::event::{Event, Ref, Slab};
use crate::plan::{Plan, QueueId, TrafficId};
use crate::queue::{Counts, Happened, Queue};

use consumers::Staff;
pub use gpu::Gpus;
pub use observe::WorkMarks;
pub(super) use observe::{gpu_percent, sample};
pub use work::Consumer;

/// The number of no job, no consumer, no request.
pub const NONE: u32 = u32::MAX;

/// All jobs and queues of a run.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// By the plan's order.
    pub(super) lines: Vec<Line>,
    pub(super) all: Slab<Job>,
    consumers: Slab<Consumer>,
    /// How many consumers each group has, and how many of them are at work.
    staff: Vec<Staff>,
    /// The consumers of each instance, by its slot.
    at: Vec<SmallVec<[u32; 2]>>,
    /// What requests are for, by their slot; those behind its end are for nothing.
    errands: Vec<Errand>,
    /// What is to be carried out before the event ends.
    pending: VecDeque<Pending>,
    happened: Vec<Happened>,
    /// Which jobs can never be done.
    poison: Keyed,
    /// Until when jobs are wanted.
    deadlines: Keyed,
    /// How long loading takes.
    loads: Keyed,
    /// What waits between tries, and of clients, are drawn from.
    waits: Keyed,
    /// Whether webhooks fail, and how long clients are told.
    tells: Keyed,
}

/// A queue, and who waits for room in it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) queue: Queue,
    /// Requests that it had got at the end of each hour, for the bill.
    by_hour: Vec<u64>,
    timer: Timer,
    /// When that fires; never where it is not set.
    due: Time,
    /// Requests that wait for room, where senders do.
    senders: VecDeque<Ref>,
    /// Requests that were turned away because it was full.
    refused: u64,
    /// The most that waited at the end of a minute.
    visible_max: u64,
    /// The greatest age of its oldest message at the end of a minute.
    oldest_max: Span,
    /// What it had counted when measurement began, and what it held then.
    before: (Counts, u64),
}

impl Line {
    /// True where it takes no message more.
    fn is_full(&self, plan: &Plan, id: QueueId, now: Time) -> bool {
        let Some(capacity) = plan.queues[id.index()].capacity else { return false };
        self.queue.depth(now).held() >= capacity
    }
}

/// A job.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Which its draws are keyed by: the number of the request that submitted it.
    pub number: u64,
    /// When that was first sent.
    pub born: Time,
    /// When it was sent to its queue.
    pub queued: Time,
    /// When a worker first began it; [`Time::NEVER`] before.
    pub started: Time,
    /// When it was done; [`Time::NEVER`] before.
    pub done: Time,
    /// When its first token was out; [`Time::NEVER`] before, and where none are generated for it.
    pub first_token: Time,
    /// What a try may leave out, because checkpoints have it.
    pub saved: Span,
    /// Whose client submitted it.
    pub source: TrafficId,
    /// The queue that it was sent to.
    pub queue: QueueId,
    /// How it stands.
    pub state: JobState,
    /// It had come to an end when measurement began: what becomes of it after that is not counted.
    pub past: bool,
    /// Its client waits for news of it, or its request has not been answered yet.
    pub watched: bool,
    /// Tries that were cut because its worker went away.
    pub cuts: u16,
    /// Tries that failed.
    pub failures: u16,
    /// Messages that stand for it.
    copies: u16,
    /// Consumers that work on it.
    hands: u16,
    /// Others that were submitted with it, and are not done.
    others: u16,
    /// The one that its client asks for: itself, or the first that was submitted with it.
    first: u32,
    /// Requests that ask for it, or bring its news.
    asking: u16,
    /// The request whose answer is held back until it is done.
    held: Ref,
    /// When its client learnt that it was submitted.
    told: Time,
    /// Questions of its client.
    pub questions: u32,
}

/// How a job stands. Each ends in one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits, or somebody works on it.
    InProcess,
    /// Its work was done.
    Done,
    /// Its message is a dead letter.
    DeadLettered,
    /// It was taken too late, when nobody wanted it any more.
    TooLate,
    /// Its message is lost.
    Lost(crate::queue::Loss),
}

/// What a request is for, beside its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// For nothing.
    Nothing,
    /// It has submitted a job, whose client waits for the answer.
    Submits(u32),
    /// It is a consumer's work on a job.
    Works(u32),
    /// It asks for a job.
    Asks(u32),
    /// It tells a client of a job.
    Tells(u32),
}

/// What is to be carried out before the event ends.
#[derive(Clone, Copy, Debug)]
enum Pending {
    /// What a queue said.
    Of(QueueId, Happened),
    /// A request whose answer was held back goes on.
    Resume(Ref),
    /// A queue may have room again.
    Room(QueueId),
}

impl Jobs {
    /// The jobs of a plan before the first; `None` where it has no queue.
    pub(super) fn new(plan: &Plan, seed: Seed, calendar: &mut Calendar<Event>) -> Option<Box<Jobs>> {
        if plan.queues.is_empty() {
            return None;
        }
        let lines = plan.queues.iter().map(|queue| Line {
            queue: Queue::new(queue, seed),
            by_hour: Vec::new(),
            timer: calendar.timer(),
            due: Time::NEVER,
            senders: VecDeque::new(),
            refused: 0,
            visible_max: 0,
            oldest_max: Span::ZERO,
            before: (Counts::default(), 0),
        });
        Some(Box::new(Jobs {
            lines: lines.collect(),
            all: Slab::default(),
            consumers: Slab::default(),
            staff: plan.groups.iter().map(|_| Staff::new(Time::ZERO)).collect(),
            at: Vec::new(),
            errands: Vec::new(),
            pending: VecDeque::new(),
            happened: Vec::new(),
            poison: seed.keyed("jobs/poison"),
            deadlines: seed.keyed("jobs/deadlines"),
            loads: seed.keyed("jobs/loads"),
            waits: seed.keyed("jobs/waits"),
            tells: seed.keyed("jobs/tells"),
        }))
    }

    /// What a request is for; from now on it is for nothing.
    fn take_errand(&mut self, slot: u32) -> Errand {
        match self.errands.get_mut(slot as usize) {
            Some(errand) => std::mem::replace(errand, Errand::Nothing),
            None => Errand::Nothing,
        }
    }

    fn errand(&self, slot: u32) -> Errand {
        self.errands.get(slot as usize).copied().unwrap_or(Errand::Nothing)
    }

    fn set_errand(&mut self, slot: u32, errand: Errand) {
        let slot = slot as usize;
        if self.errands.len() <= slot {
            self.errands.resize(slot + 1, Errand::Nothing);
        }
        self.errands[slot] = errand;
    }

    /// Does something with a queue, and remembers what it says and when it is to be asked again.
    fn with<T>(
        &mut self,
        id: QueueId,
        calendar: &mut Calendar<Event>,
        act: impl FnOnce(&mut Queue, Time, &mut Vec<Happened>) -> T,
    ) -> T {
        let line = &mut self.lines[id.index()];
        let result = act(&mut line.queue, calendar.now(), &mut self.happened);
        let due = line.queue.due();
        if due != line.due {
            line.due = due;
            match due {
                Time::NEVER => calendar.clear(line.timer),
                due => calendar.set_at(line.timer, due.max(calendar.now()), Event::Queue(id)),
            }
        }
        self.pending.extend(self.happened.drain(..).map(|happened| Pending::Of(id, happened)));
        result
    }

    /// A request asks for a job, which is not forgotten while it does.
    fn asking(&mut self, slot: u32) {
        self.all[slot].asking += 1;
    }

    fn answered(&mut self, slot: u32) {
        self.all[slot].asking -= 1;
    }

    /// A job is forgotten once nobody has anything to do with it.
    fn release(&mut self, slot: u32) {
        let job = &self.all[slot];
        let open = job.watched
            || job.copies > 0
            || job.hands > 0
            || job.asking > 0
            || (job.first == slot && job.others > 0);
        if !open {
            self.all.free(slot);
        }
    }
}

impl System {
    /// The queues as they stand, by the plan's order.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.jobs.iter().flat_map(|jobs| &jobs.lines).map(|line| &line.queue)
    }

    /// Something happens at a queue by itself.
    pub(super) fn queue_due(&mut self, id: QueueId, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        jobs.lines[id.index()].due = Time::NEVER; // it has fired
        jobs.with(id, calendar, |queue, now, happened| queue.advance(now, happened));
    }

    /// Carries out what queues have said.
    #[inline]
    pub(super) fn settle_jobs(&mut self, calendar: &mut Calendar<Event>) -> bool {
        let Some(jobs) = &mut self.jobs else { return false };
        let Some(pending) = jobs.pending.pop_front() else { return false };
        match pending {
            Pending::Of(id, happened) => self.queue_says(id, happened, calendar),
            Pending::Room(id) => self.room(id, calendar),
            Pending::Resume(reference) => {
                if let Some(slot) = self.requests.live(reference) {
                    self.no_longer_held(slot, calendar);
                }
            }
        }
        true
    }

    fn queue_says(&mut self, id: QueueId, happened: Happened, calendar: &mut Calendar<Event>) {
        match happened {
            Happened::Delivered { consumer, job, receipt, receives } => {
                self.delivered(consumer, job, receipt, receives, calendar);
            }
            Happened::Consumed { job } => self.message_gone(id, job, None, calendar),
            Happened::DeadLettered { job, sent } => self.dead_letter(id, job, sent, calendar),
            Happened::Lost { job, how } => {
                self.message_gone(id, job, Some(JobState::Lost(how)), calendar);
            }
            Happened::PutOut { consumer } => self.put_out(consumer),
        }
    }

    /// A request of this slot is over; what it was for goes on. Its client `sees` the end, or has given up before.
    #[inline]
    pub(super) fn errand_over(
        &mut self,
        slot: u32,
        request: &super::Request,
        ending: super::Ending,
        calendar: &mut Calendar<Event>,
    ) {
        let Some(jobs) = &mut self.jobs else { return };
        match jobs.take_errand(slot) {
            Errand::Nothing => {}
            Errand::Submits(job) => self.submission_over(job, request, ending, calendar),
            Errand::Works(consumer) => self.try_over(consumer, ending, calendar),
            Errand::Asks(job) => self.question_over(job, ending, calendar),
            Errand::Tells(job) => self.tells(job, ending, calendar),
        }
    }

    /// The client of a request gives up on it.
    pub(super) fn errand_given_up(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        match jobs.take_errand(slot) {
            Errand::Submits(job) => {
                jobs.all[job].watched = false;
                jobs.release(job);
            }
            Errand::Asks(job) => self.question_over(job, super::Ending::TimedOut, calendar),
            errand => jobs.set_errand(slot, errand),
        }
    }
}

#[cfg(test)]
mod tests;
