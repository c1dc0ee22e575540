//! How many consumers groups of workers have, and how many of them are at work.

use sim_core::Time;
use sim_core::stats::TimeWeighted;

use super::{Consumer, Jobs, NONE};
use crate::plan::{Plan, QueueId};

/// The consumers of a group.
#[derive(Clone, Debug)]
pub struct Staff {
    /// Those that there are.
    pub consumers: TimeWeighted,
    /// Those that have a job in hand.
    pub busy: TimeWeighted,
}

impl Staff {
    /// None yet.
    pub fn new(now: Time) -> Staff {
        let none = TimeWeighted::new(now, 0.0);
        Staff { consumers: none, busy: none }
    }

    /// Measurement begins.
    pub fn begin(&mut self, now: Time) {
        self.consumers.reset(now);
        self.busy.reset(now);
    }
}

impl Jobs {
    /// A consumer is there from now on.
    pub(super) fn hire(&mut self, consumer: Consumer, now: Time) -> u32 {
        self.staff[consumer.group.index()].consumers.add(now, 1.0);
        self.consumers.insert(consumer).slot
    }

    /// A consumer is gone.
    pub(super) fn forget(&mut self, number: u32, now: Time) {
        let Consumer { instance, group, .. } = self.consumers[number];
        self.lets_go(number, now);
        self.staff[group.index()].consumers.add(now, -1.0);
        self.at[instance as usize].retain(|other| *other != number);
        self.consumers.free(number);
    }

    /// A consumer has a job in hand.
    pub(super) fn takes(&mut self, number: u32, job: u32, now: Time) {
        let consumer = &mut self.consumers[number];
        consumer.job = job;
        self.all[job].hands += 1;
        self.staff[consumer.group.index()].busy.add(now, 1.0);
    }

    /// A consumer has its job in hand no longer: which one that was, or [`NONE`].
    pub(super) fn lets_go(&mut self, number: u32, now: Time) -> u32 {
        let consumer = &mut self.consumers[number];
        let job = std::mem::replace(&mut consumer.job, NONE);
        if job != NONE {
            self.all[job].hands -= 1;
            self.staff[consumer.group.index()].busy.add(now, -1.0);
        }
        job
    }

    /// The staff of all groups that take jobs from a queue.
    pub(super) fn staff_of<'a>(&'a self, plan: &'a Plan, queue: QueueId) -> impl Iterator<Item = &'a Staff> {
        plan.workers_of(queue).map(|(group, ..)| &self.staff[group.index()])
    }
}
