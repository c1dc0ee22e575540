//! GPUs of instances: each is one request's at a time, first come, first served.

use std::collections::VecDeque;

use sim_core::{Calendar, Span};
use smallvec::SmallVec;

use super::System;
use crate::event::{Event, Ref};

/// The GPUs of an instance.
#[derive(Clone, Debug)]
pub struct Gpus {
    count: u32,
    /// Requests that have one, by slot.
    running: SmallVec<[u32; 4]>,
    /// Requests that wait for one, and how long they will have it.
    waiting: VecDeque<(u32, Span)>,
}

impl Gpus {
    /// So many, all idle; `None` for none.
    pub fn new(count: u32) -> Option<Box<Gpus>> {
        (count > 0).then(|| Box::new(Gpus { count, running: SmallVec::new(), waiting: VecDeque::new() }))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl System {
    /// A request needs a GPU for some time.
    pub(in crate::system) fn gpu(&mut self, slot: u32, demand: Span, calendar: &mut Calendar<Event>) {
        let demand = self.left_of_step(slot, self.slower(slot, demand), calendar.now());
        let instance = self.requests[slot].instance;
        let Some(gpus) = &mut self.instances.at_work(instance).gpus else { return };
        if gpus.running.len() < gpus.count as usize {
            self.runs_on_gpu(slot, demand, calendar);
        } else {
            gpus.waiting.push_back((slot, demand));
        }
    }

    fn runs_on_gpu(&mut self, slot: u32, demand: Span, calendar: &mut Calendar<Event>) {
        let instance = self.instances.at_work(self.requests[slot].instance);
        let Some(gpus) = &mut instance.gpus else { return };
        gpus.running.push(slot);
        self.fleets[instance.group.index()].gpus.add(calendar.now(), 1.0);
        calendar.after(demand, Event::GpuOver(self.requests.reference(slot)));
    }

    /// A request is done with its GPU.
    pub(in crate::system) fn gpu_over(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.requests.live(reference) else { return };
        self.leave_gpus(self.requests[slot].instance, &[slot], calendar);
        self.resume(slot, calendar);
    }

    /// Requests of an instance have no GPU any more, nor wait for one; others may have what that frees.
    pub(in crate::system) fn leave_gpus(
        &mut self,
        instance: u32,
        slots: &[u32],
        calendar: &mut Calendar<Event>,
    ) {
        let group = self.instances[instance].group;
        let Some(gpus) = &mut self.instances.at_work(instance).gpus else { return };
        let before = gpus.running.len();
        gpus.running.retain(|slot| !slots.contains(slot));
        gpus.waiting.retain(|(slot, _)| !slots.contains(slot));
        let freed = before - gpus.running.len();
        self.fleets[group.index()].gpus.add(calendar.now(), -(freed as f64));
        for _ in 0..freed {
            let Some(gpus) = &mut self.instances.at_work(instance).gpus else { return };
            let Some((slot, demand)) = gpus.waiting.pop_front() else { return };
            self.runs_on_gpu(slot, demand, calendar);
        }
    }

    /// All that was on the GPUs of an instance is lost.
    pub(in crate::system) fn empty_gpus(&mut self, instance: u32, calendar: &mut Calendar<Event>) {
        let entry = self.instances.at_work(instance);
        let Some(gpus) = &mut entry.gpus else { return };
        self.fleets[entry.group.index()].gpus.add(calendar.now(), -(gpus.running.len() as f64));
        gpus.running.clear();
        gpus.waiting.clear();
    }
}
