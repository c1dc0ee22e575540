//! How attempts leave their instance, and who learns of that.

use sim_core::{Calendar, Time};

use super::System;
use super::ending::Ending;
use super::guard::Verdict;
use super::instance::Phase;
use super::request::{NOWHERE, Request};
use super::sessions::NOBODY;
use super::supervise::Losing;
use crate::event::{Event, Ref};
use crate::runtime::Server;

impl System {
    /// A request leaves its instance, answered or not.
    #[inline]
    pub(super) fn leave(&mut self, slot: u32, holding: bool, ending: Ending, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let request = self.requests[slot];
        let target = request.instance;
        let instance = self.instances.at_work(target);
        instance.server.inside -= 1;
        if holding {
            let process = &mut instance.server.processes[usize::from(request.process)];
            process.free_slot(request.thread, instance.numbered);
            if instance.server.wanted(request.process) {
                self.dirty.push((target, request.process));
            }
        }
        let last = instance.server.inside == 0 && instance.phase == Phase::Draining;
        self.fleets[instance.group.index()].inside.add(now, -1.0);
        self.measure.served(request.endpoint, ending, now.since(request.sent));
        if request.variant > 0 {
            self.served_by_version(&request, ending, now);
        }
        let last_of_draining = last.then(|| self.instances.reference(target));
        self.attempt_ends(slot, ending, calendar);
        if let Some(target) = last_of_draining {
            self.gone_if_empty(target, calendar);
        }
    }

    /// An attempt that no instance took.
    pub(super) fn turned_away(&mut self, slot: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        self.measure.served(request.endpoint, ending, calendar.now().since(request.sent));
        self.attempt_ends(slot, ending, calendar);
    }

    /// The server, or the balancer, is done with an attempt: whoever waits for it learns so.
    #[inline]
    pub(super) fn attempt_ends(&mut self, slot: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let request = self.requests[slot];
        self.requests.free(slot);
        self.tell_ending(&request, request.instance, ending);
        self.meter(&request, ending, calendar.now());
        if !request.abandoned() {
            let verdict = if ending == Ending::Completed { Verdict::Answered } else { Verdict::Failed };
            self.guard_sees(&request, verdict, calendar.now());
        }
        if request.session != NOBODY {
            return self.session_attempt_ends(&request, ending, calendar);
        }
        if request.abandoned() {
            return self.errand_over(slot, &request, ending, calendar);
        }
        if request.instance != NOWHERE {
            let target = request.instance as usize;
            self.outstanding[target] -= 1;
            self.loaded(request.instance);
            if ending == Ending::Completed {
                self.answered(&request, calendar.now());
            }
        }
        self.errand_over(slot, &request, ending, calendar);
        self.tell(slot, &request, ending, calendar);
    }

    /// Whoever waits for an attempt learns how it ended.
    #[inline(always)] // on every request's way; elsewhere it is rare
    pub(super) fn tell(
        &mut self,
        slot: u32,
        request: &Request,
        ending: Ending,
        calendar: &mut Calendar<Event>,
    ) {
        if request.parent == Ref::NONE {
            if !self.races.is_empty() && self.race(slot, request, ending, calendar.now()) {
                return;
            }
            self.client_sees(*request, ending, calendar);
        } else if self.is_check(request) {
            self.check_ends(request, ending, calendar);
        } else if let Some(parent) = self.requests.live(request.parent) {
            if ending == Ending::Completed {
                self.resume(parent, calendar);
            } else {
                let Request { instance, process, .. } = self.requests[parent];
                if self.is_lost(instance, process) {
                    return; // it is lost by itself
                }
                let holding = !self.instances[instance].server.processes[usize::from(process)].event_loop;
                self.leave(parent, holding, Ending::CallFailed, calendar);
            }
        }
    }

    /// Everything inside an instance is lost at once.
    pub(super) fn lose_requests(&mut self, target: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let inside: Vec<Ref> = self
            .requests
            .iter()
            .filter(|(_, request)| request.instance == target)
            .map(|(slot, _)| self.requests.reference(slot))
            .collect();
        self.empty_instance(target, now);
        self.losing = Some(Losing::Everything(target));
        for reference in inside {
            let Some(slot) = self.requests.live(reference) else { continue };
            let request = self.requests[slot];
            self.measure.served(request.endpoint, ending, now.since(request.sent));
            if request.variant > 0 {
                self.served_by_version(&request, ending, now);
            }
            self.attempt_ends(slot, ending, calendar);
        }
        if self.sessions.is_some() {
            self.lose_sessions(target, calendar);
        }
        self.empty_gpus(target, calendar);
        self.empty_engine(target, calendar);
        self.workers_lost(target, calendar);
        self.losing = None;
        self.outstanding[target as usize] = 0;
        self.loaded(target);
        calendar.clear(self.instances[target].timer);
    }

    fn empty_instance(&mut self, target: u32, now: Time) {
        let instance = self.instances.at_work(target);
        let lost = f64::from(instance.server.inside);
        self.fleets[instance.group.index()].inside.add(now, -lost);
        let plan = &self.plan.groups[instance.group.index()];
        let runtime = &self.plan.services[instance.service.index()].runtime;
        instance.server = Server::new(runtime, plan.machines[instance.machine_type()].processor.vcpus);
        instance.machine.clear(now);
    }
}
