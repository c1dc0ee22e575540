//! Who may be why jobs were late.

use super::System;
use crate::measure::{JobPart, ViolationRecord};
use crate::plan::{Group, GroupId, Objective, Plan, Step, Subject, TrafficId};
use crate::results::CauseKind;
use crate::sla::{Workers, explain_jobs};

impl System {
    /// The main cause of a window in which an objective about jobs was broken; `None` where it is about requests, or where the
    /// requests that submit are to be looked at.
    pub(in crate::system) fn cause_of_jobs(
        &self,
        objective: &Objective,
        window: &ViolationRecord,
        workers: &[Workers<'_>],
        releases: &[String],
    ) -> Option<(CauseKind, String)> {
        if objective.subject != Subject::Jobs {
            return None;
        }
        let status = objective.traffic.and_then(|source| self.status_of(source));
        if let Some(status) = status.filter(|_| window.jobs.longest() == Some(JobPart::Telling)) {
            // Clients may have asked in time, and were not answered.
            let asking = Objective { traffic: Some(status.source), endpoint: None, ..objective.clone() };
            let found = self.cause(&asking, window, &self.suspects(&asking, releases));
            if !matches!(found.0, CauseKind::ServiceTime | CauseKind::HighUtilisation) {
                return Some(found);
            }
        }
        explain_jobs(objective, window, workers, status)
    }

    /// The groups that do the jobs of an objective; none where it is about requests.
    pub(in crate::system) fn workers_on<'a>(
        &'a self,
        objective: &Objective,
        releases: &'a [String],
    ) -> Vec<Workers<'a>> {
        if objective.subject != Subject::Jobs {
            return Vec::new();
        }
        let own = self.worker_groups(objective).into_iter().filter_map(|id| {
            let worker = self.plan.groups[id.index()].worker.as_ref()?;
            let mut called = vec![false; self.plan.groups.len()];
            for step in &self.plan.endpoints[worker.job.index()].steps {
                if let &Step::Call { to, endpoint } = step {
                    self.plan.mark_groups(to, endpoint, &mut called);
                }
            }
            let called = (0u16..).map(GroupId).zip(called).filter(|(_, called)| *called);
            Some(Workers {
                suspect: self.suspect(id, releases),
                queue: &self.plan.queues[worker.queue.index()],
                capacity: self.plan.worker_capacity(id)?,
                calls: called.map(|(id, _)| self.suspect(id, releases)).collect(),
            })
        });
        own.collect()
    }

    /// The groups whose workers do the jobs of an objective.
    pub(in crate::system) fn worker_groups(&self, objective: &Objective) -> Vec<GroupId> {
        let queues = self.plan.queues_of(objective.traffic);
        let works = |group: &Group| group.worker.as_ref().is_some_and(|worker| queues[worker.queue.index()]);
        let groups = (0u16..).map(GroupId).zip(&self.plan.groups);
        groups.filter(|(_, group)| works(group)).map(|(id, _)| id).collect()
    }
}

impl Plan {
    /// Which queues the jobs of a source go to, or those of any.
    fn queues_of(&self, source: Option<TrafficId>) -> Vec<bool> {
        let mut asked = vec![0.0; self.endpoints.len()];
        let sources = (0u16..).map(TrafficId).zip(&self.traffic);
        for (_, traffic) in sources.filter(|(id, _)| source.is_none_or(|source| source == *id)) {
            traffic.asks_for().for_each(|endpoint| asked[endpoint.index()] = 1.0);
        }
        self.jobs_sent(&asked).into_iter().map(|sent| sent > 0.0).collect()
    }
}
