//! An instance: a machine, the process on it, and where it stands in its life.

use sim_core::{Span, Time, Timer};
use smallvec::SmallVec;

use super::engines::InferenceEngine;
use super::jobs::Gpus;
use super::lifecycle::{Standing, State};
use super::supervise::Life;
use crate::machine::Machine;
use crate::plan::{GroupId, ServiceId};
use crate::runtime::Server;
use crate::scaling::Purchase;

/// One instance of a group.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Whose it is.
    pub group: GroupId,
    /// Its number within the group, for the log.
    pub number: u64,
    /// The index of its zone.
    pub zone: u16,
    /// Which of its group's machines it is; see [`Instance::machine_type`].
    pub machine_type: u16,
    /// The version of the launch template that it was made from; see [`Group::template`](crate::plan::Group::template).
    pub version: u8,
    /// The number of that version among those of all groups; 0 where its group has no versions.
    pub variant: u8,
    /// What it runs.
    pub service: ServiceId,
    /// Where its machine and its server stand.
    pub phase: Phase,
    /// Where it stands in its group.
    pub standing: Standing,
    /// Units of its group's capacity that it counts as.
    pub units: u32,
    /// What it was bought as.
    pub purchase: Purchase,
    /// How far its interruption has come.
    pub interruption: Interruption,
    /// When the next step of that is due.
    pub interruption_due: Time,
    /// When it was taken back; it is billed until then.
    pub taken_back: Option<Time>,
    /// It drains after its interruption notice, and holds its place in the group until it is gone.
    pub held: bool,
    /// Its replacement was launched before it is gone, and it holds no place any more.
    pub relieved: bool,
    /// Its vCPUs and who runs on them.
    pub machine: Machine,
    /// How many of them it may use.
    pub vcpus: f64,
    /// Fires at the machine's next completion.
    pub timer: Timer,
    /// Whether its operating system tells threads apart.
    pub numbered: bool,
    /// The weight of its server's threads.
    pub weight: f64,
    /// Whether each process of its server runs on the vCPU of its own number only.
    pub pinned: bool,
    /// The server's processes.
    pub server: Server,
    /// Its GPUs; `None` where it has none.
    pub gpus: Option<Box<Gpus>>,
    /// What it generates tokens with; `None` where its service has no engine.
    pub engine: Option<Box<InferenceEngine>>,
    /// Balancers in whose rotation it is.
    pub rotations: u32,
    /// What its balancers believe of it: slots of [`Target`](super::Target)s.
    pub targets: SmallVec<[u32; 2]>,
    /// When a balancer first found it healthy.
    pub first_healthy: Option<Time>,
    /// Whether all its balancers can connect to it once it is up.
    pub reachable: bool,
    /// Open connections of clients that lead to it.
    pub flows: u32,
    /// When it was launched.
    pub launched: Time,
    /// When it began to run: from then on it is billed.
    pub running: Option<Time>,
    /// When it crashed.
    pub crashed: Option<Time>,
    /// Whether the machine itself stopped, which the EC2 status check notices; else only the app did.
    pub impaired: bool,
    /// Requests that fit into its memory, beside what is open.
    pub fits: u32,
    /// Requests inside above which it is looked at whether it takes one more: what fits, or what it sheds load above.
    pub most_inside: u32,
    /// The step of its user data that is under way.
    pub user_data: u8,
    /// That step has failed: the machine goes on, and nobody starts the app.
    pub without_app: bool,
    /// When its app was started.
    pub app_started: Time,
    /// The start of its app that is under way will fail.
    pub doomed: bool,
    /// What became of its processes; empty until one dies.
    pub lives: Vec<Life>,
    /// How many times as long its CPU work takes as it should: 1 unless an incident makes it slow.
    pub slow: f64,
    /// Core nanoseconds at the last minute, and at the last row of the series.
    pub seen_core_nanos: [f64; 2],
    /// When it began or ceased to take requests.
    pub readiness_since: Time,
}

/// The stages of an instance's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Launched, not yet running.
    Pending,
    /// Running; the operating system boots.
    Booting,
    /// The app is starting.
    AppStarting,
    /// The app answers. It gets requests once a balancer has checked it.
    Up,
    /// It stopped, and its group has not noticed.
    Crashed,
    /// Out of rotation, finishing what it has.
    Draining,
}

/// How far the interruption of a Spot instance has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Nobody wants it back.
    None,
    /// The provider said that it is at risk.
    Recommended,
    /// The provider said when it ends.
    Noticed,
    /// It was taken back.
    TakenBack,
}

impl Instance {
    /// The index of its machine among its group's.
    pub fn machine_type(&self) -> usize {
        usize::from(self.machine_type)
    }

    /// True from the moment it runs and no hook keeps it until it is taken out: what the provider calls InService.
    pub fn in_service(&self) -> bool {
        self.standing.state == State::InService
            && matches!(self.phase, Phase::Booting | Phase::AppStarting | Phase::Up | Phase::Crashed)
    }

    /// When a warm-up, which counts from its coming into service, is over; `None` while it is not. Instances that were
    /// there from the start are warm.
    pub fn warm_at(&self, warm_up: Span) -> Option<Time> {
        self.standing.since.map(|since| if since == Time::ZERO { since } else { since + warm_up })
    }

    /// True where a balancer took it out of its rotation while it is up.
    pub fn taken_out(&self) -> bool {
        self.phase == Phase::Up
            && self.rotations == 0
            && self.first_healthy.is_some()
            && self.standing.state == State::InService
    }

    /// True where it is a healthy target and takes requests.
    pub fn serving(&self) -> bool {
        self.phase == Phase::Up && self.rotations > 0
    }

    /// Core nanoseconds that it has had until `now`, used or not.
    pub fn cores_had(&self, now: Time) -> f64 {
        let until = self.billed_until(now);
        let ran = self.running.map_or(0, |running| until.since(running).as_nanos());
        ran as f64 * self.vcpus
    }

    /// GPU nanoseconds that it had so far.
    pub fn gpus_had(&self, now: Time) -> f64 {
        let until = self.billed_until(now);
        let ran = self.running.map_or(0, |running| until.since(running).as_nanos());
        ran as f64 * self.gpus.as_ref().map_or(0.0, |gpus| f64::from(gpus.count()))
    }

    /// True once its server has been started.
    pub fn has_processes(&self) -> bool {
        matches!(self.phase, Phase::AppStarting | Phase::Up | Phase::Draining)
    }

    /// True from its launch until it takes requests for the first time.
    pub fn starting(&self) -> bool {
        self.standing.state != State::Standby
            && (matches!(self.phase, Phase::Pending | Phase::Booting | Phase::AppStarting)
                || (self.phase == Phase::Up && self.first_healthy.is_none()))
    }
}
