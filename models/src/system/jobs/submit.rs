//! From a request's step into the queue, and how jobs come to their end.

use rand::Rng;
use sim_core::chance::{below, unit};
use sim_core::{Calendar, Keyed, Span, Time};

use super::{Errand, Job, JobState, NONE, Pending, System};
use crate::event::{Event, Ref};
use crate::plan::{Enqueue, QueueId, TrafficId, WhenFull};
use crate::queue::Message;
use crate::system::program::Op;
use crate::system::versions::program_of;
use crate::system::{Ending, Request};

/// What came of a step that submits.
pub(in crate::system) enum Submitted {
    /// The request goes on.
    GoesOn,
    /// It waits for room.
    Waits,
    /// A queue is full.
    Refused,
}

impl System {
    /// A request is at a step that submits jobs.
    pub(in crate::system) fn enqueue(&mut self, slot: u32, holding: bool, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let program = &self.programs[program_of(&self.variants, request)];
        let Some(Op::Enqueue { sends, draws }) = program.steps.get(usize::from(request.step)) else { return };
        let (sends, draws) = (sends.clone(), *draws);
        match self.submit(slot, &sends, draws, calendar) {
            Submitted::GoesOn => {
                self.requests[slot].step += 1;
                self.proceed(slot, holding, calendar);
            }
            Submitted::Waits => self.yield_loop(slot, holding),
            Submitted::Refused => self.leave(slot, holding, Ending::Shed, calendar),
        }
    }

    /// A request that waited for room tries again.
    fn submits_again(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Request { instance, process, .. } = self.requests[slot];
        let holding = !self.instances[instance].server.processes[usize::from(process)].event_loop;
        self.enqueue(slot, holding, calendar);
    }

    /// A request submits a job to each of the step's queues; all of them, or none where one is full.
    pub(in crate::system) fn submit(
        &mut self,
        slot: u32,
        sends: &[Enqueue],
        draws: Keyed,
        calendar: &mut Calendar<Event>,
    ) -> Submitted {
        let request = self.requests[slot];
        let root = self.root(slot);
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return Submitted::GoesOn };
        let now = calendar.now();
        let is_full = |send: &&Enqueue| jobs.lines[send.queue.index()].is_full(&plan, send.queue, now);
        if let Some(send) = sends.iter().find(is_full) {
            match plan.queues[send.queue.index()].when_full {
                WhenFull::Block => {
                    let reference = self.requests.reference(slot);
                    jobs.lines[send.queue.index()].senders.push_back(reference);
                    return Submitted::Waits;
                }
                WhenFull::Refuse => {
                    jobs.lines[send.queue.index()].refused += 1;
                    return Submitted::Refused;
                }
                WhenFull::DropOldest => {}
            }
        }
        let first = match root.map(|root| (root, jobs.errand(root))) {
            Some((_, Errand::Submits(job))) => job,
            _ => NONE,
        };
        let mut first = first;
        for (index, send) in (0u64..).zip(sends) {
            let mut bits = draws.at(request.key().wrapping_add(index << 60));
            let key = match send.keys {
                Some(keys) => u64::from(below(&mut bits, keys)),
                None => bits.next_u64(),
            };
            let priority = priority(&send.priorities, &mut bits);
            let number = request.key().wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let job = self.new_job(number, &request, send.queue, calendar.now());
            let Some(jobs) = &mut self.jobs else { return Submitted::GoesOn };
            if first == NONE {
                first = job;
                jobs.all[job].watched = root.is_some();
                if let Some(root) = root {
                    jobs.set_errand(root, Errand::Submits(job));
                }
            } else {
                jobs.all[first].others += 1;
            }
            jobs.all[job].first = first;
            self.measure.jobs.submitted(request.source);
            let message = Message { job, key, priority, sent: calendar.now() };
            let sent =
                jobs.with(send.queue, calendar, |queue, now, happened| queue.send(message, now, happened));
            if sent.is_err() {
                // Two steps of one request that fill a queue between them: what does not fit is dropped.
                self.message_gone(
                    send.queue,
                    job,
                    Some(JobState::Lost(crate::queue::Loss::Dropped)),
                    calendar,
                );
            }
        }
        Submitted::GoesOn
    }

    /// The client's request that an attempt belongs to; `None` where it is a worker's, or its client is gone.
    pub(super) fn root(&self, slot: u32) -> Option<u32> {
        let mut at = slot;
        loop {
            let request = &self.requests[at];
            if request.parent == Ref::NONE {
                return (!request.abandoned()).then_some(at);
            }
            at = self.requests.live(request.parent)?;
        }
    }

    fn new_job(&mut self, number: u64, request: &Request, queue: QueueId, now: Time) -> u32 {
        let job = Job {
            number,
            born: request.born,
            queued: now,
            started: Time::NEVER,
            done: Time::NEVER,
            first_token: Time::NEVER,
            saved: Span::ZERO,
            source: request.source,
            queue,
            state: JobState::InProcess,
            past: false,
            watched: false,
            cuts: 0,
            failures: 0,
            copies: 1,
            hands: 0,
            others: 0,
            first: NONE,
            held: Ref::NONE,
            told: Time::NEVER,
            questions: 0,
            asking: 0,
        };
        let jobs = self.jobs.as_mut().expect("a step that submits has a queue");
        let reference = jobs.all.insert(job);
        let most = self.plan.limits.jobs;
        if jobs.all.len() > most as usize {
            self.reached = Some(crate::system::ReachedLimit { limit: "jobs", value: u64::from(most) });
        }
        reference.slot
    }

    /// Requests that waited for room in a queue try again, as far as there is some.
    pub(super) fn room(&mut self, id: QueueId, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        let line = &mut jobs.lines[id.index()];
        while !line.is_full(&plan, id, calendar.now()) {
            let Some(reference) = line.senders.pop_front() else { return };
            if let Some(slot) = self.requests.live(reference) {
                jobs.pending.push_back(Pending::Room(id));
                return self.submits_again(slot, calendar);
            }
        }
    }

    /// A message is no longer in its queue: its work was done, or it is lost as `state` says.
    pub(super) fn message_gone(
        &mut self,
        id: QueueId,
        job: u32,
        state: Option<JobState>,
        calendar: &mut Calendar<Event>,
    ) {
        let Some(jobs) = &mut self.jobs else { return };
        jobs.all[job].copies -= 1;
        if !jobs.lines[id.index()].senders.is_empty() {
            jobs.pending.push_back(Pending::Room(id));
        }
        match state {
            Some(state) if jobs.all[job].state == JobState::InProcess && jobs.all[job].copies == 0 => {
                self.job_ends(job, state, calendar);
            }
            _ => jobs.release(job),
        }
    }

    /// A message is a dead letter: it goes to the queue for these, or is the end of its job here.
    pub(super) fn dead_letter(&mut self, id: QueueId, job: u32, sent: Time, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let to = plan.queues[id.index()].dead_letter;
        if let Some(to) = to
            && let Some(jobs) = &mut self.jobs
        {
            let key = jobs.all[job].number;
            let message = Message { job, key, priority: 0, sent };
            let taken = jobs.with(to, calendar, |queue, now, happened| queue.send(message, now, happened));
            jobs.all[job].copies += u16::from(taken.is_ok());
        }
        if let Some(jobs) = &self.jobs
            && jobs.all[job].state == JobState::InProcess
        {
            // It holds on to its place while the message itself moves.
            self.job_ends(job, JobState::DeadLettered, calendar);
        }
        self.message_gone(id, job, None, calendar);
    }

    /// A job comes to an end; whoever waits for it may learn so.
    pub(super) fn job_ends(&mut self, slot: u32, state: JobState, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let Some(jobs) = &mut self.jobs else { return };
        let job = &mut jobs.all[slot];
        let before = std::mem::replace(&mut job.state, state);
        if state == JobState::Done {
            job.done = now;
        }
        let job = *job;
        self.measure.jobs.ended(&job, before);
        let first = job.first;
        // One that was given up, and that a worker who did not know finished after all, is known to be lost by now.
        if before == JobState::InProcess {
            self.measure.job_ended(&self.plan, &job, now);
            jobs.all[first].others -= u16::from(first != slot);
            self.may_be_known(first, calendar);
        }
        let Some(jobs) = &mut self.jobs else { return };
        if before == JobState::InProcess && first != slot {
            jobs.release(first);
        }
        jobs.release(slot);
    }

    /// The traffic's clients whose jobs these are.
    pub(super) fn status_of(&self, source: TrafficId) -> Option<&crate::plan::JobStatus> {
        self.plan.traffic.get(source.index())?.status.as_ref()
    }

    /// The answer to a request that submitted a job, or the end of it without one.
    pub(super) fn submission_over(
        &mut self,
        job: u32,
        request: &Request,
        ending: Ending,
        calendar: &mut Calendar<Event>,
    ) {
        let answered = ending == Ending::Completed && !request.abandoned();
        let asks = answered && self.status_of(request.source).is_some();
        let Some(jobs) = &mut self.jobs else { return };
        if answered {
            let time = calendar.now().since(request.born);
            jobs.all[job].told = calendar.now();
            self.measure.jobs.accepted(request.source, time);
        }
        if asks {
            self.begin_to_watch(job, calendar);
        } else {
            jobs.all[job].watched = false;
            jobs.release(job);
        }
    }
}

fn priority(shares: &[f64], bits: &mut impl Rng) -> u8 {
    let draw = unit(bits);
    let mut sum = 0.0;
    let found = shares.iter().position(|share| {
        sum += share;
        draw < sum
    });
    found.unwrap_or(shares.len().saturating_sub(1)).min(255) as u8
}
