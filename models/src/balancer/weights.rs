//! What targets weigh, and how that changes.

use sim_core::{Span, Time};

use super::anomalies::Anomalies;
use super::weighted::{Chances, Turns};

/// What targets weigh.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// By instance.
    pub of: Vec<u32>,
    pub slow_start: Option<Span>,
    /// Since when a target starts slowly, by instance.
    pub since: Vec<Option<Time>>,
    /// When it was registered, and whether nobody was there before.
    pub registered: Vec<(Time, bool)>,
    pub turns: Option<Turns>,
    pub chances: Option<Chances>,
    pub anomalies: Option<Anomalies>,
}

/// Requests in progress, by weight where that is not the same for all (nginx `least_conn`).
#[inline]
pub fn load(outstanding: u32, target: u32, weights: Option<&Weights>) -> u64 {
    /// Weights are whole numbers below a thousand: quotients that differ do so by more than a millionth.
    const SCALE: u64 = 1 << 24;
    match weights {
        Some(weights) => u64::from(outstanding) * SCALE / u64::from(weights.of(target).max(1)),
        None => u64::from(outstanding),
    }
}

impl Weights {
    pub fn of(&self, target: u32) -> u32 {
        self.of.get(target as usize).copied().unwrap_or(0)
    }

    pub fn register(&mut self, target: u32, weight: u32, others: &[u32], now: Time) {
        let at = target as usize;
        if self.of.len() <= at {
            self.of.resize(at + 1, 0);
            self.since.resize(at + 1, None);
            self.registered.resize(at + 1, (Time::ZERO, false));
        }
        let among_the_first = others.iter().all(|&other| self.registered[other as usize].0 == now);
        (self.of[at], self.since[at], self.registered[at]) = (weight, None, (now, among_the_first));
        if let Some(anomalies) = &mut self.anomalies {
            anomalies.forget(target);
        }
    }

    /// A target that becomes healthy starts slowly, if there is a healthy one that does not, and unless it is among the first
    /// that were registered (ALB, "Slow start mode").
    pub fn start(&mut self, target: u32, healthy: &[u32], now: Time) {
        let Some(ramp) = self.slow_start else { return };
        let full = |other: &&u32| self.since[**other as usize].is_none_or(|since| now >= since + ramp);
        let (_, among_the_first) = self.registered[target as usize];
        if !among_the_first && healthy.iter().any(|other| full(&other)) {
            self.since[target as usize] = Some(now);
        }
    }
}
