//! Processes that die, who starts them again, and what balancers' checks make of it. The machine goes on, so that EC2 status
//! checks notice nothing.

use sim_core::{Calendar, Span, Time};

use super::System;
use super::ending::Ending;
use super::incidents::{how_long, instances};
use super::instance::{Instance, Phase};
use super::request::{NOWHERE, Stage};
use crate::event::{Event, Ref};
use crate::plan::{GroupId, HealthCheckKind, IncidentKind};
use crate::results::ActivityKind;
use crate::supervisor::{History, Next};

/// Failed starts of a process in a row that are entries of their own in the log; further ones are one.
const MOST_TOLD: u32 = 20;

/// The life of a process, once one of its instance has died.
#[derive(Clone, Debug)]
pub struct Life {
    state: State,
    /// The start that is under way will fail.
    doomed: bool,
    died: Time,
    history: History,
    /// Where its last failed start stands in the log.
    told: Option<usize>,
}

/// Where a process stands. Waiting and starting ones have one event to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// Its supervisor lets some time pass.
    Waiting,
    Starting,
    /// Nobody starts it again.
    GivenUp,
}

/// A death of processes, for the log.
#[derive(Clone, Copy, Debug)]
struct Death {
    at: Time,
    next: Next,
    /// Requests that were lost with them.
    lost: u32,
}

/// The last failed start that was told, which others at the same instant join.
#[derive(Clone, Debug)]
pub struct Told {
    instance: Ref,
    at: Time,
    kind: ActivityKind,
    next: Next,
    numbers: Vec<u16>,
    /// Where it stands in the log.
    index: usize,
}

/// Whom an instance, or a part of it, loses at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Losing {
    /// All that is inside an instance.
    Everything(u32),
    /// What its dead processes had.
    Dead(u32),
}

impl Instance {
    /// The lives of its processes; those nobody has looked at were started with their app.
    fn lives(&mut self) -> &mut [Life] {
        if self.lives.is_empty() {
            let history = History::new(self.app_started);
            let life = Life { state: State::Up, doomed: false, died: Time::ZERO, history, told: None };
            self.lives = vec![life; self.server.processes.len()];
        }
        &mut self.lives
    }

    /// Its processes that are dead for good.
    pub(super) fn given_up(&self) -> u32 {
        self.lives.iter().filter(|life| life.state == State::GivenUp).count() as u32
    }
}

impl System {
    /// Processes of an instance die at this instant, for the reason that `how` gives.
    pub(super) fn die(
        &mut self,
        slot: u32,
        numbers: &[u16],
        kind: ActivityKind,
        how: &str,
        calendar: &mut Calendar<Event>,
    ) {
        self.harmed = true;
        let now = calendar.now();
        let lost = self.lose_processes(slot, numbers, calendar);
        let reference = self.instances.reference(slot);
        let supervisor = self.supervisor(slot);
        let instance = &mut self.instances[slot];
        let group = instance.group;
        let mut next = Next::Never;
        for &number in numbers {
            let life = &mut instance.lives()[usize::from(number)];
            if life.state == State::Up {
                life.died = now;
            }
            next = supervisor.map_or(Next::Never, |rules| life.history.died(&rules, now));
            match next {
                Next::Never => life.state = State::GivenUp,
                Next::Start(after) => {
                    life.state = State::Waiting;
                    calendar.after(after, Event::Process(reference, number));
                }
            }
        }
        self.log_death(slot, numbers, kind, how, Death { at: now, next, lost });
        self.note_trouble(group, numbers.len() as u32, now);
        self.server_down(slot, calendar);
    }

    fn supervisor(&self, slot: u32) -> Option<crate::plan::Supervisor> {
        self.plan.services[self.instances[slot].service.index()].supervisor
    }

    /// Tells what became of processes that died together, whose supervisor does the same with all of them. Those of one
    /// instance that fail at one instant, one after another, are told as one.
    fn log_death(&mut self, slot: u32, numbers: &[u16], kind: ActivityKind, how: &str, death: Death) {
        let Some(&first) = numbers.first() else { return };
        let supervised = self.supervisor(slot).is_some();
        let kind = if supervised && death.next == Next::Never { ActivityKind::GaveUp } else { kind };
        let (reference, now) = (self.instances.reference(slot), death.at);
        let last = self.told.as_ref().filter(|told| {
            (told.instance, told.at, told.kind, told.next) == (reference, now, kind, death.next)
        });
        let all: Vec<u16> = last.iter().flat_map(|told| &told.numbers).chain(numbers).copied().collect();
        let words = self.words_of_death(slot, &all, kind, how, death);
        let instance = &self.instances[slot];
        let again = kind == ActivityKind::FailedStart
            && instance.lives[usize::from(first)].history.restarts > MOST_TOLD;
        if let Some(index) = last.filter(|_| !again).map(|told| told.index) {
            self.measure.log[index].description = words;
            self.instances[slot].lives[usize::from(first)].told = Some(index);
            if let Some(told) = &mut self.told {
                told.numbers = all;
            }
            return;
        }
        let before = self.measure.log.len();
        let activity = self.activity(instance.group, kind, now, words);
        let told = &mut self.instances[slot].lives[usize::from(first)].told;
        self.measure.log_repeated(told, activity, again);
        let is_new = self.measure.log.len() > before && numbers.len() < self.instances[slot].lives.len();
        self.told = is_new.then_some(Told {
            instance: reference,
            at: now,
            kind,
            next: death.next,
            numbers: all,
            index: before,
        });
    }

    fn words_of_death(
        &self,
        slot: u32,
        numbers: &[u16],
        kind: ActivityKind,
        how: &str,
        Death { at, next, lost }: Death,
    ) -> String {
        let instance = &self.instances[slot];
        let history = numbers.first().map(|&number| instance.lives[usize::from(number)].history);
        let (started, restarts) = history.map_or((at, 0), |history| (history.started, history.restarts));
        let (its, it) = if numbers.len() > 1 { ("their", "them") } else { ("its", "it") };
        let lived = match kind {
            ActivityKind::FailedStart | ActivityKind::GaveUp if at > started => {
                format!(" {} after {its} start", at.since(started))
            }
            _ => String::new(),
        };
        let requests = if lost > 0 { format!(" and lost {lost} requests") } else { String::new() };
        let supervisor = self.supervisor(slot);
        let does = match (supervisor, next) {
            (Some(rules), Next::Start(after)) if after.is_zero() => {
                format!("; {} starts {it} again at once (restart {restarts} in a row)", rules.name)
            }
            (Some(rules), Next::Start(after)) => {
                format!("; {} starts {it} again in {after} (restart {restarts} in a row)", rules.name)
            }
            (Some(rules), Next::Never) => format!("; {} gives up on {it}", rules.name),
            (None, _) => format!("; nobody starts {it} again"),
        };
        let ec2 = self.plan.groups[instance.group.index()].health_check == HealthCheckKind::Ec2;
        let whole = instance.lives.iter().all(|life| life.state == State::GivenUp);
        let unnoticed = if whole && ec2 {
            "; EC2 status checks do not notice, and nobody replaces the instance"
        } else {
            ""
        };
        let (number, name) = (instance.number, name(numbers, instance.server.processes.len()));
        format!("{name} of instance {number} {how}{lived}{requests}{does}{unnoticed}.")
    }

    /// Kills processes and loses what they had: how many requests that was. What waits for a worker stays, unless the last
    /// one is dead.
    fn lose_processes(&mut self, slot: u32, numbers: &[u16], calendar: &mut Calendar<Event>) -> u32 {
        let now = calendar.now();
        let server = &mut self.instances[slot].server;
        numbers.iter().for_each(|&number| server.kill(number));
        let closed = server.living().next().is_none();
        let mut in_front = server.in_front();
        in_front.sort_unstable();
        let inside = self.requests.iter().filter(|(at, request)| {
            let waits = request.stage == Stage::Accepting || in_front.binary_search(at).is_ok();
            request.instance == slot
                && request.stage != Stage::Connecting
                && (closed || (numbers.contains(&request.process) && !waits))
        });
        let tasks: Vec<u32> = inside.map(|(at, _)| at).collect();
        let references: Vec<Ref> = tasks.iter().map(|&at| self.requests.reference(at)).collect();
        let instance = &mut self.instances[slot];
        match instance.machine.end(now, &tasks) {
            Some(next) => calendar.set_at(instance.timer, next, Event::Cpu(slot)),
            None => calendar.clear(instance.timer),
        }
        self.leave_gpus(slot, &tasks, calendar);
        self.leave_engine(slot, &tasks, calendar);
        let instance = &mut self.instances[slot];
        let lost = tasks.len() as u32;
        instance.server.inside -= lost;
        self.fleets[instance.group.index()].inside.add(now, -f64::from(lost));
        if closed {
            debug_assert_eq!(instance.server.inside, 0, "all that is inside was lost");
            instance.server.close();
        } else {
            let key = key(instance.number, u16::MAX, now);
            instance.server.reconnect(&mut self.connections.at(key));
        }
        self.losing = Some(Losing::Dead(slot));
        for reference in references {
            let Some(at) = self.requests.live(reference) else { continue };
            let request = self.requests[at];
            self.measure.served(request.endpoint, Ending::Lost, now.since(request.sent));
            if request.variant > 0 {
                self.served_by_version(&request, Ending::Lost, now);
            }
            self.attempt_ends(at, Ending::Lost, calendar);
        }
        match self.sessions {
            None => {}
            Some(_) if closed => self.lose_sessions(slot, calendar),
            Some(_) => self.lose_sessions_of(slot, numbers, calendar),
        }
        if closed {
            self.reset_flows(slot, calendar);
        }
        self.losing = None;
        lost
    }

    /// True where a request at a process will be lost by itself at this instant.
    pub(super) fn is_lost(&self, instance: u32, process: u16) -> bool {
        match self.losing {
            _ if instance == NOWHERE => false,
            None => false,
            Some(Losing::Everything(slot)) => slot == instance,
            Some(Losing::Dead(slot)) => {
                slot == instance && !self.instances[slot].server.processes[usize::from(process)].lives()
            }
        }
    }

    /// A process is started, or its app is up, or has died again.
    pub(super) fn process_goes_on(&mut self, reference: Ref, number: u16, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.instances.live(reference) else { return };
        let instance = &self.instances[slot];
        let Some(life) = instance.lives.get(usize::from(number)) else { return };
        match life.state {
            State::Waiting => self.start_process(slot, number, calendar),
            State::Starting if life.doomed => {
                self.die(slot, &[number], ActivityKind::FailedStart, "died", calendar);
            }
            State::Starting => self.process_up(slot, number, calendar),
            State::Up | State::GivenUp => {}
        }
    }

    fn start_process(&mut self, slot: u32, number: u16, calendar: &mut Calendar<Event>) {
        let fails = self.start_fails(slot);
        let reference = self.instances.reference(slot);
        let instance = &mut self.instances[slot];
        let (group, of) = (instance.group, instance.number);
        let life = &mut instance.lives()[usize::from(number)];
        (life.state, life.history.started, life.doomed) = (State::Starting, calendar.now(), fails.is_some());
        let takes = fails.unwrap_or_else(|| {
            let mut draws = self.fleets[group.index()].restarts.at(key(of, number, calendar.now()));
            let version = self.instances[slot].version;
            self.plan.groups[group.index()].template(version).startup.app.span(&mut draws)
        });
        calendar.after(takes, Event::Process(reference, number));
    }

    fn process_up(&mut self, slot: u32, number: u16, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let instance = &mut self.instances[slot];
        let plan = &self.plan.groups[instance.group.index()];
        let runtime = &self.plan.services[instance.service.index()].runtime;
        let first = instance.server.living().next().is_none();
        instance.server.revive(number, runtime, plan.machines[instance.machine_type()].processor.vcpus);
        let life = &mut instance.lives()[usize::from(number)];
        life.state = State::Up;
        let took = now.since(life.died);
        if first {
            instance.server.reconnect(&mut self.connections.at(key(instance.number, number, now)));
        }
        let words = format!(
            "{} of instance {} is up again {took} after it died.",
            name(&[number], instance.server.processes.len()),
            instance.number
        );
        let group = instance.group;
        self.log(group, ActivityKind::Restarted, now, words);
        self.hand_over(slot);
        self.dirty.push((slot, number));
        self.server_up(slot);
    }

    /// Without a process nothing listens, and checks begin to fail.
    fn server_down(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &mut self.instances[slot];
        let alive = instance.server.living().next().is_some();
        if alive || !matches!(instance.phase, Phase::Up | Phase::AppStarting) {
            return;
        }
        (instance.phase, instance.crashed) = (Phase::Crashed, Some(calendar.now()));
    }

    /// The first process is up again: the server listens, and checks begin to pass.
    fn server_up(&mut self, slot: u32) {
        let instance = &mut self.instances[slot];
        if instance.phase == Phase::Crashed && !instance.impaired {
            (instance.phase, instance.crashed) = (Phase::Up, None);
        }
    }

    /// Releases what does not start: processes die a while after each start.
    pub(super) fn crash_loop(
        &mut self,
        index: u16,
        group: GroupId,
        count: Option<u32>,
        after: Span,
        lasts: Option<Span>,
        calendar: &mut Calendar<Event>,
    ) {
        let can = |instance: &Instance| instance.in_service() && !instance.impaired;
        let slots = self.hit(index, group, count.unwrap_or(u32::MAX), can);
        let victims: Vec<Ref> = slots.iter().map(|&slot| self.instances.reference(slot)).collect();
        self.incidents[usize::from(index)].victims = victims;
        let numbers: Vec<u64> = slots.iter().map(|&slot| self.instances[slot].number).collect();
        let whom = if count.is_none() { "all instances".to_string() } else { instances(&numbers) };
        let words =
            format!("A release comes to {whom} that dies {after} after each start{}.", how_long(lasts));
        self.log(group, ActivityKind::IncidentBegan, calendar.now(), words);
        for slot in slots {
            self.release(slot, after, calendar);
        }
    }

    /// All processes of an instance are started anew, and will not live.
    fn release(&mut self, slot: u32, after: Span, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let reference = self.instances.reference(slot);
        if matches!(self.instances[slot].phase, Phase::Booting | Phase::AppStarting) {
            self.instances[slot].doomed = true;
            return;
        }
        let living: Vec<u16> = self.instances[slot].server.living().collect();
        self.lose_processes(slot, &living, calendar);
        for (number, life) in (0u16..).zip(self.instances[slot].lives()) {
            life.history = History::new(now);
            match life.state {
                State::Waiting => {} // its start is to come, and asks then
                State::Starting => life.doomed = true,
                state @ (State::Up | State::GivenUp) => {
                    if state == State::Up {
                        life.died = now;
                    }
                    (life.state, life.doomed) = (State::Starting, true);
                    calendar.after(after, Event::Process(reference, number));
                }
            }
        }
        self.server_down(slot, calendar);
    }

    /// How long a process lives that is started now, where it will not come up.
    pub(super) fn start_fails(&self, slot: u32) -> Option<Span> {
        let (group, reference) = (self.instances[slot].group, self.instances.reference(slot));
        let mut loops = self.plan.incidents.iter().zip(&self.incidents).filter(|(_, ongoing)| ongoing.active);
        loops.find_map(|(incident, ongoing)| match incident.kind {
            IncidentKind::CrashLoop { group: own, count, after } if own == group => {
                (count.is_none() || ongoing.victims.contains(&reference)).then_some(after)
            }
            _ => None,
        })
    }

    /// The first start of an instance's app has failed.
    pub(super) fn first_start_failed(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        self.instances[slot].doomed = false;
        let all: Vec<u16> = self.instances[slot].server.living().collect();
        self.die(slot, &all, ActivityKind::FailedStart, "died", calendar);
    }
}

/// Of draws for a process of an instance, at an instant.
fn key(instance: u64, process: u16, now: Time) -> u64 {
    (instance ^ u64::from(process) << 48).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(now.as_nanos())
}

/// `The server`, `Process 2`, `Both processes`, `All 4 processes`.
fn name(numbers: &[u16], of: usize) -> String {
    match numbers {
        _ if of == 1 => "The server".to_string(),
        [number] => format!("Process {number}"),
        numbers if numbers.len() == of && of == 2 => "Both processes".to_string(),
        numbers if numbers.len() == of => format!("All {of} processes"),
        numbers => format!("{} processes", numbers.len()),
    }
}
