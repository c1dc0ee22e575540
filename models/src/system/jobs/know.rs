//! How those who submitted a job find out: they ask, they are told, or they lose interest.

use rand::Rng;
use sim_core::chance::unit;
use sim_core::{Calendar, Span, Time};

use super::{Errand, Job, JobState, Pending, System};
use crate::event::{Event, Ref};
use crate::plan::{Backoff, Channel, EndpointId, PollClock, TrafficId};
use crate::system::{Ending, Request, Stage};

impl System {
    /// A client knows that its job was submitted, and wants to know when it is done.
    pub(super) fn begin_to_watch(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        let job = jobs.all[slot];
        let plan = self.plan.clone();
        let Some(status) = &plan.traffic[job.source.index()].status else { return };
        match &status.channel {
            Channel::Poll { every, clock, .. } => {
                let mut wait = self.wait_of(&job, every, 1);
                if *clock == PollClock::FreeRunning {
                    let Some(jobs) = &self.jobs else { return };
                    wait = every.first.mul_f64(unit(&mut jobs.waits.at(job.number)));
                }
                self.asks_after(slot, wait, calendar);
            }
            Channel::LongPoll { .. } => self.asks_after(slot, Span::ZERO, calendar),
            // One that was done before its client knew of it is told of at once.
            Channel::Push { .. } | Channel::Webhook { .. } => self.may_be_known(slot, calendar),
        }
    }

    /// The wait before a client's question number `questions`.
    fn wait_of(&self, job: &Job, every: &Backoff, questions: u32) -> Span {
        let Some(jobs) = &self.jobs else { return every.wait(questions) };
        every.drawn(questions, jobs.waits, job.number.wrapping_add(u64::from(questions) << 32))
    }

    fn asks_after(&mut self, slot: u32, wait: Span, calendar: &mut Calendar<Event>) {
        if let Some(jobs) = &self.jobs {
            calendar.after(wait, Event::Ask(jobs.all.reference(slot)));
        }
    }

    /// A client's next question is due.
    pub(in crate::system) fn ask(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        let Some(slot) = jobs.all.live(reference).filter(|&slot| jobs.all[slot].watched) else { return };
        let job = &mut jobs.all[slot];
        let Some(status) = &plan.traffic[job.source.index()].status else { return };
        if status.patience.is_some_and(|patience| now.since(job.born) > patience) {
            return self.loses_interest(slot);
        }
        job.questions += 1;
        let job = *job;
        let (endpoint, next) = match &status.channel {
            Channel::Poll { endpoint, every, clock } => {
                let waits =
                    (*clock != PollClock::Answer).then(|| self.wait_of(&job, every, job.questions + 1));
                (*endpoint, waits)
            }
            Channel::LongPoll { endpoint, .. } => (*endpoint, None),
            Channel::Push { .. } | Channel::Webhook { .. } => return,
        };
        if let Some(wait) = next {
            self.asks_after(slot, wait, calendar);
        }
        self.request_for(slot, &job, status.source, endpoint, Errand::Asks(slot), calendar);
    }

    /// A request that a client sends for news of its job, or that is sent to bring it.
    fn request_for(
        &mut self,
        slot: u32,
        job: &Job,
        source: TrafficId,
        endpoint: EndpointId,
        errand: Errand,
        calendar: &mut Calendar<Event>,
    ) {
        let draws = match &self.jobs {
            Some(jobs) => jobs.tells.at(job.number.wrapping_add(u64::from(job.questions))).next_u64(),
            None => return,
        };
        let request = Request::new(source, endpoint, draws, calendar.now());
        self.measure.offered(source);
        self.measure.jobs.asked(job.source);
        let reference = self.admit(request);
        if let Some(jobs) = &mut self.jobs {
            jobs.asking(slot);
            jobs.set_errand(reference.slot, errand);
        }
        self.send(reference, calendar);
    }

    /// The answer to a client's question, or the end of it without one.
    pub(super) fn question_over(&mut self, slot: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        jobs.answered(slot);
        let job = jobs.all[slot];
        let Some(status) = plan.traffic.get(job.source.index()).and_then(|traffic| traffic.status.as_ref())
        else {
            return jobs.release(slot);
        };
        if !job.watched {
            return jobs.release(slot);
        }
        if ending == Ending::Completed && job.is_known() {
            return self.known(slot, calendar);
        }
        match &status.channel {
            Channel::Poll { every, clock: PollClock::Answer, .. } => {
                let wait = self.wait_of(&job, every, job.questions + 1);
                self.asks_after(slot, wait, calendar);
            }
            // A server that is down is not asked in a storm.
            Channel::LongPoll { pause, .. } => {
                let pause = if ending == Ending::Completed { *pause } else { (*pause).max(AGAIN) };
                self.asks_after(slot, pause, calendar);
            }
            _ => {}
        }
    }

    /// A job has come to an end: a held answer goes out, and clients are told who can be.
    pub(super) fn may_be_known(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        let job = jobs.all[slot];
        if !job.is_known() || !job.watched || job.told == Time::NEVER {
            return;
        }
        if job.held != Ref::NONE {
            jobs.all[slot].held = Ref::NONE;
            jobs.pending.push_back(Pending::Resume(job.held));
            return;
        }
        let Some(status) = &plan.traffic[job.source.index()].status else { return };
        let mut bits = jobs.tells.at(job.number);
        match &status.channel {
            Channel::Push { endpoint: Some(endpoint), .. } => {
                self.request_for(slot, &job, status.source, *endpoint, Errand::Tells(slot), calendar);
            }
            Channel::Push { endpoint: None, takes } | Channel::Webhook { takes, .. } => {
                let takes = takes.span(&mut bits);
                calendar.after(takes, Event::News(jobs.all.reference(slot)));
            }
            Channel::Poll { .. } | Channel::LongPoll { .. } => {}
        }
    }

    /// The work of telling a client is done; then the news is on its way.
    pub(super) fn tells(&mut self, slot: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        jobs.answered(slot);
        let job = jobs.all[slot];
        let status = plan.traffic.get(job.source.index()).and_then(|traffic| traffic.status.as_ref());
        match status.map(|status| &status.channel) {
            Some(Channel::Push { takes, .. }) if job.watched && ending == Ending::Completed => {
                let takes = takes.span(&mut jobs.tells.at(job.number));
                calendar.after(takes, Event::News(jobs.all.reference(slot)));
            }
            // What is not told is not known: pushes are not repeated.
            _ => self.loses_interest(slot),
        }
    }

    /// The news of a job reaches its client, or does not.
    pub(in crate::system) fn news(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Some(jobs) = &mut self.jobs else { return };
        let Some(slot) = jobs.all.live(reference).filter(|&slot| jobs.all[slot].watched) else { return };
        let job = &mut jobs.all[slot];
        let Some(status) = &plan.traffic[job.source.index()].status else { return };
        if let Channel::Webhook { takes, fails, retry, retries } = &status.channel {
            job.questions += 1;
            let calls = job.questions;
            let job = *job;
            let mut bits = jobs.tells.at(job.number.wrapping_add(u64::from(calls) << 32));
            if unit(&mut bits) < *fails {
                if calls > *retries {
                    return self.loses_interest(slot);
                }
                let wait = self.wait_of(&job, retry, calls) + takes.span(&mut bits);
                calendar.after(wait, Event::News(reference));
                return;
            }
        }
        let job = &self.jobs.as_ref().expect("it has this job").all[slot];
        if status.patience.is_some_and(|patience| calendar.now().since(job.born) > patience) {
            return self.loses_interest(slot);
        }
        self.known(slot, calendar);
    }

    /// A client knows how its job ended.
    fn known(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        let job = &mut jobs.all[slot];
        job.watched = false;
        let job = *job;
        if job.state == JobState::Done {
            self.measure.job_known(&self.plan, &job, calendar.now());
        }
        jobs.release(slot);
    }

    /// Nobody waits for news of a job any more.
    fn loses_interest(&mut self, slot: u32) {
        let Some(jobs) = &mut self.jobs else { return };
        let job = &mut jobs.all[slot];
        if std::mem::replace(&mut job.watched, false) {
            self.measure.jobs.given_up(job.source);
        }
        jobs.release(slot);
    }

    /// A request's answer is held back until its job is done. False where that is no job, or it is done: the answer goes out.
    pub(in crate::system) fn holds_back(
        &mut self,
        slot: u32,
        most: Span,
        calendar: &mut Calendar<Event>,
    ) -> bool {
        let root = self.root(slot);
        let reference = self.requests.reference(slot);
        let Some(jobs) = &mut self.jobs else { return false };
        let Some(Errand::Asks(job)) = root.map(|root| jobs.errand(root)) else { return false };
        let entry = &mut jobs.all[job];
        if entry.is_known() {
            return false;
        }
        entry.held = reference;
        self.requests[slot].stage = Stage::Held;
        calendar.after(most, Event::HeldLongEnough(reference));
        true
    }

    /// An answer has been held back for as long as it may.
    pub(in crate::system) fn held_long_enough(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        if let Some(slot) = self.requests.live(reference) {
            self.no_longer_held(slot, calendar);
        }
    }

    /// An answer that is held back goes out.
    pub(super) fn no_longer_held(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        if self.requests[slot].stage != Stage::Held {
            return;
        }
        self.requests[slot].stage = Stage::Steps;
        let root = self.root(slot);
        if let Some(jobs) = &mut self.jobs
            && let Some(Errand::Asks(job)) = root.map(|root| jobs.errand(root))
        {
            jobs.all[job].held = Ref::NONE;
        }
        self.resume(slot, calendar);
    }
}

/// How long a client waits at least that asks by long polling and got no answer.
const AGAIN: Span = Span::from_secs(1);

impl Job {
    /// True where it has ended, and all that was submitted with it: its client can know.
    fn is_known(&self) -> bool {
        self.state != JobState::InProcess && self.others == 0
    }
}
