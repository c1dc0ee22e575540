//! A group of machines that run a service.

use std::sync::Arc;

use sim_core::dist::Dist;
use sim_core::{Span, Time};

use super::{
    Lifecycle, Mig, MixedInstances, PodAutoscaler, Pods, Predictive, ScaledObject, ScheduledAction,
    ServiceId, TargetTracking, Version, Vmss, Worker,
};
use crate::machine::{Processor, Refill, Scheduler};
use crate::scaling::{Policy, SimpleScaling, StepScaling};

/// A fleet of machines that runs one service: an EC2 Auto Scaling group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name in the scenario.
    pub name: String,
    /// What its instances run.
    pub service: ServiceId,
    /// What its instances may be, at least one; the first is what the group is planned with.
    pub machines: Vec<Machine>,
    /// How these are mixed, and what is Spot; `None` for On-Demand instances of the one machine.
    pub mixed: Option<MixedInstances>,
    /// The volume of each instance, where it is to be on the bill.
    pub volume: Option<Volume>,
    /// Availability Zones, at least one; launches go to the one with the fewest instances.
    pub zones: Vec<String>,
    /// The smallest desired capacity.
    pub min: u32,
    /// The desired capacity at the start.
    pub desired: u32,
    /// The largest desired capacity.
    pub max: u32,
    /// How long a launch takes.
    pub startup: Startup,
    /// Who tells the group that an instance is unhealthy.
    pub health_check: HealthCheckKind,
    /// Failed balancer checks count only this long after an instance came into service.
    pub grace_period: Span,
    /// Default instance warm-up; `None` where the scenario sets none, which is not the same as zero.
    pub instance_warmup: Option<Span>,
    /// Default cooldown, which stands in for a warm-up that is not set.
    pub default_cooldown: Span,
    /// Period of the instances' CPU metric: 1 minute (detailed monitoring) or 5 (basic).
    pub monitoring: Span,
    /// How long after its period a datapoint can be seen.
    pub metric_delay: Span,
    /// The ports that its security group lets balancers in at; `None` lets them in everywhere.
    pub inbound: Option<Vec<u16>>,
    /// What becomes of its instances between their launch and their end.
    pub lifecycle: Lifecycle,
    /// What changes the desired capacity.
    pub scaling: Vec<Scaling>,
    /// Its instances are pods on nodes; `None` where they are machines.
    pub pods: Option<Pods>,
    /// Further versions of its launch template, of which its own settings are the first.
    pub versions: Vec<Version>,
    /// What its instances take from a queue; `None` where they get requests.
    pub worker: Option<Worker>,
}

impl Group {
    /// The machine that the group is planned with.
    pub fn machine(&self) -> &Machine {
        &self.machines[0]
    }

    /// Units of capacity that an instance of a machine counts as: 1 unless a mixed instances policy says otherwise.
    pub fn weight(&self, machine: u16) -> u32 {
        self.mixed.as_ref().map_or(1, |mixed| mixed.weight(machine))
    }

    /// The names of its machines, each once.
    pub fn machine_names(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for machine in &self.machines {
            if !names.contains(&machine.name.as_str()) {
                names.push(&machine.name);
            }
        }
        names.join(", ")
    }

    /// Whether some instances count as more than one.
    pub fn is_weighted(&self) -> bool {
        self.mixed.as_ref().is_some_and(|mixed| mixed.weights.iter().any(|&weight| weight != 1))
    }

    /// True where a policy has to be asked every 10 s.
    pub fn high_resolution(&self) -> bool {
        self.scaling.iter().filter_map(Scaling::policy).any(Policy::high_resolution)
    }

    /// How long its new instances warm up for one of its policies: the policy's own warm-up, else the group's, else the
    /// default cooldown. Simple scaling knows no warm-up but the group's.
    pub fn warm_up(&self, policy: &Scaling) -> Span {
        if let Scaling::Simple(_) = policy {
            return self.instance_warmup.unwrap_or(Span::ZERO);
        }
        let own = policy.policy().and_then(Policy::estimated_instance_warmup);
        crate::scaling::effective_warmup(own, self.instance_warmup, self.default_cooldown)
    }
}

/// A volume that an instance has while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volume {
    /// Its size.
    pub gib: f64,
    /// What a GiB costs for a month.
    pub price: f64,
}

/// An instance type.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Such as `c6i.large`.
    pub name: String,
    /// Its virtual CPUs and who shares them out.
    pub processor: Processor,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// Its GPUs.
    pub gpus: u32,
    /// Price of an hour in the price book's currency, where it is known.
    pub hourly: Option<f64>,
    /// What refilling its caches costs.
    pub refill: Refill,
    /// Programs beside the service.
    pub background: Vec<Background>,
}

impl Machine {
    /// The machine where every switch finds the caches without a working set of so many bytes. What that costs is settled
    /// here, once, so that playing it looks nothing up.
    pub fn refilling(mut self, working_set: u64) -> Machine {
        let (Scheduler::Shares(kernel) | Scheduler::Slices(kernel)) = &mut self.processor.scheduler;
        kernel.refill = self.refill.of(working_set);
        self
    }
}

/// A program beside the service, with threads that always want a vCPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Background {
    /// Such as `browser`.
    pub name: String,
    /// How many.
    pub threads: u32,
    /// Their weight; that of a nice value of 0 is 1.
    pub weight: f64,
    /// The only vCPU they run on, where they are pinned to one; numbered from 0.
    pub pin: Option<u16>,
}

/// The parts of a start, each a number of nanoseconds.
#[derive(Clone, Debug)]
pub struct Startup {
    /// From the launch until the instance runs, which is also when it is billed from and comes into service.
    pub provision: Dist,
    /// From running until the operating system is up.
    pub boot: Dist,
    /// What a script does then, one step after another; none where the app is in the image.
    pub user_data: Vec<UserDataStep>,
    /// From starting the app until it answers.
    pub app: Dist,
}

impl Startup {
    /// The most steps that user data may have.
    pub const MOST_STEPS: usize = 64;

    /// Nanoseconds from a launch until the app answers, on average.
    pub fn mean(&self) -> f64 {
        let script: f64 = self.user_data.iter().map(|step| step.takes.mean()).sum();
        self.provision.mean() + self.boot.mean() + script + self.app.mean()
    }
}

/// A step of the script that an instance runs at its first boot.
#[derive(Clone, Debug)]
pub struct UserDataStep {
    /// Such as `npm install`.
    pub name: String,
    /// Nanoseconds that it takes, whether it succeeds or not.
    pub takes: Dist,
    /// The chance that it fails, 0 to 1. Then the script ends, and the app is not started.
    pub fails: f64,
}

/// Who tells an Auto Scaling group that an instance is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// EC2 status checks alone: an instance that does not run is unhealthy.
    Ec2,
    /// The target group's health as well, after the grace period.
    Elb,
}

/// Something that changes a group's desired capacity.
#[derive(Clone, Debug)]
pub enum Scaling {
    /// Somebody sets the desired capacity by hand.
    Manual {
        /// When.
        at: Time,
        /// The desired capacity from then on, between the group's minimum and maximum.
        desired: u32,
        /// It is refused while a scaling activity is under way or a cooldown runs.
        honor_cooldown: bool,
    },
    /// A scheduled action.
    Scheduled(ScheduledAction),
    /// A target tracking policy.
    TargetTracking(TargetTracking),
    /// A predictive scaling policy.
    Predictive(Predictive),
    /// The autoscaler of a managed instance group.
    Mig(Mig),
    /// The autoscale setting of a virtual machine scale set.
    Vmss(Vmss),
    /// A policy of one's own, which no scenario can state; see `docs/adding-a-policy.md`.
    Custom(Arc<dyn Policy>),
    /// A step scaling policy.
    Step(StepScaling),
    /// A simple scaling policy.
    Simple(SimpleScaling),
    /// A HorizontalPodAutoscaler, which has a clock of its own.
    Hpa(Box<PodAutoscaler>),
    /// A ScaledObject of KEDA, which has two.
    Keda(Box<ScaledObject>),
}

impl Scaling {
    /// What is asked once a minute; `None` where somebody or a clock sets the size.
    pub fn policy(&self) -> Option<&dyn Policy> {
        match self {
            Scaling::TargetTracking(policy) => Some(policy),
            Scaling::Predictive(policy) => Some(policy),
            Scaling::Mig(policy) => Some(policy),
            Scaling::Vmss(policy) => Some(policy),
            Scaling::Custom(policy) => Some(policy.as_ref()),
            Scaling::Step(policy) => Some(policy),
            Scaling::Simple(policy) => Some(policy),
            Scaling::Manual { .. } | Scaling::Scheduled(_) | Scaling::Hpa(_) | Scaling::Keda(_) => None,
        }
    }

    /// The HPA of a group, its own or the one that KEDA made; `None` where there is none.
    pub fn pod_autoscaler(&self) -> Option<&PodAutoscaler> {
        match self {
            Scaling::Hpa(autoscaler) => Some(autoscaler),
            Scaling::Keda(object) => Some(&object.autoscaler),
            _ => None,
        }
    }
}
