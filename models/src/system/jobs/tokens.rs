//! Jobs that tokens are generated for.

use sim_core::{Span, Time};

use super::{Consumer, Errand, System};

impl System {
    /// The first token of a job is out, in the try that this request is. Of one that is tried again only the first counts.
    pub(in crate::system) fn first_token_of_job(&mut self, slot: u32, now: Time) {
        let Some(jobs) = &mut self.jobs else { return };
        let Errand::Works(consumer) = jobs.errand(slot) else { return };
        let job = &mut jobs.all[jobs.consumers[consumer].job];
        if job.first_token == Time::NEVER {
            job.first_token = now;
            let job = *job;
            self.measure.first_token_of_job(&self.plan, &job, self.requests[slot].endpoint, now);
        }
    }

    /// How long the try of a job may go on; `None` where it may take as long as it likes.
    pub(in crate::system) fn left_of_try(&self, slot: u32, now: Time) -> Option<Span> {
        let jobs = self.jobs.as_ref()?;
        let Errand::Works(consumer) = jobs.errand(slot) else { return None };
        let Consumer { since, group, .. } = jobs.consumers[consumer];
        let timeout = self.plan.groups[group.index()].worker.as_ref()?.timeout?;
        Some((since + timeout).since(now))
    }
}
