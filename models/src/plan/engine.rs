//! What a service generates tokens with, and how many a request has.

use std::sync::Arc;

use rand::Rng;
use sim_core::chance::below;
use sim_core::dist::Dist;

use super::{Endpoint, EndpointId, Plan, Step};
use crate::batching::Parameters;

/// The inference engine that each instance of a service has: one copy of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Such as `llama-3-8b on 1 x h100-80gb`.
    pub name: String,
    /// GPUs of its instance that it works on as one (tensor parallelism), at least 1.
    pub gpus: u32,
    /// How long its iterations take, and what limits its batches.
    pub parameters: Parameters,
}

/// Tokens of prompts and of what is generated for them.
#[derive(Clone, Debug)]
pub enum Tokens {
    /// Each by itself. What is drawn is rounded, and is one token at least.
    Drawn {
        /// Tokens of the prompt.
        input: Dist,
        /// Tokens that are generated.
        output: Dist,
    },
    /// Rows of a table, of which each request has one: prompts, and what was generated for them. Never empty, and 1 at least.
    Rows(Arc<[(u32, u32)]>),
}

impl Tokens {
    /// The most rows of a table.
    pub const MOST_ROWS: usize = 10_000_000;

    /// Tokens of one request: its prompt's, and those that will be generated.
    pub fn draw(&self, bits: &mut impl Rng) -> (u32, u32) {
        match self {
            Tokens::Drawn { input, output } => {
                let mut tokens = |dist: &Dist| dist.sample(bits).round().max(1.0) as u32;
                (tokens(input), tokens(output))
            }
            Tokens::Rows(rows) => rows[below(bits, rows.len() as u32) as usize],
        }
    }

    /// The means of both.
    pub fn means(&self) -> (f64, f64) {
        match self {
            Tokens::Drawn { input, output } => (input.mean().max(1.0), output.mean().max(1.0)),
            Tokens::Rows(rows) => {
                let mean = |of: fn(&(u32, u32)) -> u32| {
                    rows.iter().map(|row| f64::from(of(row))).sum::<f64>() / rows.len() as f64
                };
                (mean(|row| row.0), mean(|row| row.1))
            }
        }
    }
}

impl Plan {
    /// The engine that an endpoint's `generate` steps go to.
    pub fn engine_of(&self, endpoint: &Endpoint) -> Option<&Engine> {
        self.services[endpoint.service.index()].engine.as_ref()
    }

    /// Seconds that tokens take where nothing else is in the engine.
    pub fn alone(&self, endpoint: &Endpoint, tokens: &Tokens) -> f64 {
        let (input, output) = tokens.means();
        self.engine_of(endpoint).map_or(0.0, |engine| engine.parameters.alone(input, output))
    }

    /// Seconds of an engine that a request takes where its batches are as full as they can be.
    pub fn engine_seconds(&self, endpoint: &Endpoint) -> f64 {
        let Some(engine) = self.engine_of(endpoint) else { return 0.0 };
        let of = |step: &Step| match step {
            Step::Generate(tokens) => {
                let (input, output) = tokens.means();
                1.0 / engine.parameters.most_per_second(input, output)
            }
            _ => 0.0,
        };
        endpoint.steps.iter().map(of).sum()
    }

    /// Of each endpoint, whether tokens are generated for it, by itself or by what it calls.
    pub fn generates(&self) -> Vec<bool> {
        let mut generates = vec![false; self.endpoints.len()];
        for id in self.callees_first() {
            generates[id.index()] = self.endpoints[id.index()].steps.iter().any(|step| match step {
                Step::Generate(_) => true,
                Step::Call { endpoint, .. } => generates[endpoint.index()],
                _ => false,
            });
        }
        generates
    }

    /// The job of a queue's workers that tokens are generated for, where there is one.
    pub fn generating_job(&self, queue: super::QueueId, generates: &[bool]) -> Option<EndpointId> {
        self.workers_of(queue).map(|(_, _, worker)| worker.job).find(|job| generates[job.index()])
    }
}

#[cfg(test)]
mod tests {
    use sim_core::Seed;

    use super::*;

    #[test]
    fn tokens_are_whole_and_one_at_least_and_rows_stay_together() {
        let dist = |value| Dist::constant(value).unwrap();
        let mut bits = Seed::new(1).keyed("tokens").at(1);
        let drawn = Tokens::Drawn { input: dist(0.2), output: dist(12.6) };
        assert_eq!(drawn.draw(&mut bits), (1, 13));
        let rows = Tokens::Rows([(10, 1), (20, 2), (30, 3)].into());
        let mut seen = [0; 3];
        for _ in 0..300 {
            let (input, output) = rows.draw(&mut bits);
            assert_eq!(input, 10 * output);
            seen[output as usize - 1] += 1;
        }
        assert!(seen.iter().all(|&count| count > 60), "{seen:?}");
        assert_eq!(rows.means(), (20.0, 2.0));
    }
}
