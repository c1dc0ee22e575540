//! What a plan's jobs come to on average: how many there are, and how long they take; for checks before a run.

use crate::plan::{EndpointId, Plan, Step};

impl Plan {
    /// Jobs that a request for each endpoint submits, those of its calls included: one for each queue that it sends to.
    pub fn jobs_per_request(&self) -> Vec<f64> {
        let mut jobs = vec![0.0; self.endpoints.len()];
        for EndpointId(index) in self.callees_first() {
            let steps = &self.endpoints[usize::from(index)].steps;
            jobs[usize::from(index)] = steps.iter().fold(0.0, |sum, step| match step {
                Step::Enqueue(sends) => sum + sends.len() as f64,
                Step::Call { endpoint, .. } => sum + jobs[endpoint.index()],
                _ => sum,
            });
        }
        jobs
    }
}
