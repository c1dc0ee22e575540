//! What a machine's CPUs are: how many, how fast, and how much of them may be used.

use sim_core::Span;

/// The virtual CPUs of a machine and the operating system that shares them out.
///
/// Speeds are relative to one otherwise idle vCPU, which is what CPU demands of a scenario are measured on.
#[derive(Clone, Debug, PartialEq)]
pub struct Processor {
    /// Virtual CPUs: what the operating system sees.
    pub vcpus: u32,
    /// Hardware threads of a core: 1, or 2 where a vCPU is a hyper-thread.
    pub threads_per_core: u32,
    /// What two busy threads of one core do together, of what one does alone: 1.0 to 2.0, usually 1.2 to 1.3.
    pub smt_gain: f64,
    /// Speed by the number of busy cores, the first for one: frequency falls as more cores work. Beyond the last entry
    /// it stays; empty means always 1.
    pub turbo: Vec<f64>,
    /// The share of time that the hypervisor gives to others, 0 to less than 1.
    pub steal: f64,
    /// A limit on CPU time, as a container has.
    pub quota: Option<Quota>,
    /// CPU credits, as burstable machines have.
    pub credits: Option<Credits>,
    /// How the operating system shares the vCPUs out.
    pub scheduler: Scheduler,
}

/// What two hyper-threads of a core do together, of what one does alone, where nobody measured it (range 1.0 to 1.6).
pub const SMT_GAIN: f64 = 1.25;

/// A cgroup CPU quota: after `cpus × period` of CPU time within a period everything stands still until the next one
/// (kernel.org, `sched-bwc`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// vCPUs that may be used on average over a period; above zero.
    pub cpus: f64,
    /// The length of a period; 100 ms unless somebody changed it.
    pub period: Span,
}

/// CPU credits: one is a vCPU for a minute (EC2 guide, "Burstable performance instances").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Credits {
    /// vCPUs' worth of credits earned all the time, over all vCPUs: the baseline.
    pub baseline: f64,
    /// Credits at launch.
    pub launch: f64,
    /// The most credits that can be held: a day's earning.
    pub most: f64,
    /// Without credits go on at full speed, and pay for it.
    pub unlimited: bool,
    /// The price of a vCPU-hour beyond what was earned.
    pub surplus_price: f64,
}

/// How the operating system shares the vCPUs out among runnable threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheduler {
    /// Time slices so short that everybody runs at once: weighted processor sharing, with the cost of switches as lost
    /// capacity. Exact in mean, and many times cheaper to play.
    Shares(Kernel),
    /// Run queues, slices, switches, migrations, one by one.
    Slices(Kernel),
}

/// The parameters of an operating system's scheduler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kernel {
    /// How the next thread is picked.
    pub policy: Policy,
    /// The timer tick, at which a slice that is over is noticed.
    pub tick: Span,
    /// The slice a thread asks for; `None` is the kernel's own, which grows with the number of vCPUs.
    pub slice: Option<Span>,
    /// The direct cost of switching to another thread.
    pub switch: Span,
    /// Refilling caches after a switch or a migration, once for each: what [`Refill`](super::Refill) says of the working set.
    pub refill: Span,
    /// Moving a thread to another vCPU, beside the refill.
    pub migration: Span,
    /// From waking a thread up to its first instruction on a vCPU that idles: an interrupt from another vCPU, and the way
    /// out of idling. 5 µs on bare metal; 22 to 34 µs were measured in a nested virtual machine.
    pub wakeup: Span,
}

/// How the next thread of a run queue is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Earliest eligible virtual deadline first, Linux 6.6 and later.
    Eevdf,
    /// Completely fair scheduling, Linux 2.6.23 to 6.5.
    Cfs,
}

impl Kernel {
    /// Linux as most distributions ship it: EEVDF, 250 ticks a second; costs as measured on cloud machines.
    pub const LINUX: Kernel = Kernel {
        policy: Policy::Eevdf,
        tick: Span::from_millis(4),
        slice: None,
        switch: Span::from_micros(2),
        refill: Span::ZERO,
        migration: Span::from_micros(5),
        wakeup: Span::from_micros(5),
    };

    /// Slices and costs of zero: the limit in which everybody runs at once.
    pub const IDEAL: Kernel = Kernel {
        switch: Span::ZERO,
        refill: Span::ZERO,
        migration: Span::ZERO,
        wakeup: Span::ZERO,
        ..Kernel::LINUX
    };

    /// The slice a thread asks for on so many vCPUs: 0.70 ms × (1 + log2 of at most 8) (commit 2ae891b82695). CFS has a
    /// minimum granularity of 0.75 ms × the same.
    pub fn base_slice(&self, vcpus: u32) -> Span {
        let factor = 1 + u64::from(vcpus.clamp(1, 8).ilog2());
        let unit = match self.policy {
            Policy::Eevdf => Span::from_micros(700),
            Policy::Cfs => Span::from_micros(750),
        };
        self.slice.unwrap_or(unit.saturating_mul(factor))
    }

    /// How long a thread runs while others wait: slices end at ticks.
    pub fn quantum(&self, vcpus: u32) -> Span {
        let (base, tick) = (self.base_slice(vcpus), self.tick.as_nanos());
        if tick == 0 { base } else { Span::from_nanos(base.as_nanos().div_ceil(tick).max(1) * tick) }
    }

    /// The share of a busy vCPU's time that goes into switching.
    pub fn overhead(&self, vcpus: u32) -> f64 {
        let cost = (self.switch + self.refill).as_nanos() as f64;
        cost / (cost + self.quantum(vcpus).as_nanos() as f64)
    }
}

impl Processor {
    /// So many vCPUs, each a core of its own, always at the same speed, shared without cost.
    pub fn plain(vcpus: u32) -> Processor {
        Processor {
            vcpus,
            threads_per_core: 1,
            smt_gain: 1.0,
            turbo: Vec::new(),
            steal: 0.0,
            quota: None,
            credits: None,
            scheduler: Scheduler::Shares(Kernel::IDEAL),
        }
    }

    /// The operating system's parameters.
    pub fn kernel(&self) -> &Kernel {
        let (Scheduler::Shares(kernel) | Scheduler::Slices(kernel)) = &self.scheduler;
        kernel
    }

    /// Physical cores.
    pub fn cores(&self) -> u32 {
        self.vcpus.div_ceil(self.threads_per_core.max(1))
    }

    /// What `busy` vCPUs do together, of what one does alone. Cores are filled before their second threads are.
    pub fn speed(&self, busy: u32) -> f64 {
        let busy = busy.min(self.vcpus);
        let cores = busy.min(self.cores());
        let doubled = f64::from(busy - cores);
        (f64::from(cores) + doubled * (self.smt_gain - 1.0)) * self.clock(cores) * (1.0 - self.steal)
    }

    /// True where all vCPUs may always be used: neither a quota nor credits run out.
    pub fn is_unlimited(&self) -> bool {
        self.quota.is_none() && self.credits.is_none()
    }

    /// vCPUs that may be used: what utilisation is a share of. A container's CPU metric is about what it was given.
    pub fn allotted(&self) -> f64 {
        self.quota.map_or(f64::INFINITY, |quota| quota.cpus).min(f64::from(self.vcpus))
    }

    /// What all vCPUs do together over a long time: SMT, frequency, steal, quota and baseline considered.
    pub fn capacity(&self) -> f64 {
        self.capacity_of(self.vcpus)
    }

    /// What so many threads that always want a vCPU do together over a long time.
    pub fn capacity_of(&self, threads: u32) -> f64 {
        let threads = threads.clamp(1, self.vcpus);
        let quota = self.quota.map_or(f64::INFINITY, |quota| quota.cpus);
        let standard = self.credits.filter(|credits| !credits.unlimited);
        let baseline = standard.map_or(f64::INFINITY, |credits| credits.baseline);
        let wanted = f64::from(threads);
        self.speed(threads) * quota.min(baseline).min(wanted) / wanted
    }

    /// The speed of a core while so many of them are busy.
    fn clock(&self, cores: u32) -> f64 {
        let at = (cores.max(1) as usize - 1).min(self.turbo.len().saturating_sub(1));
        self.turbo.get(at).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hyper_threads_are_one_core_and_a_quarter() {
        let smt = Processor { threads_per_core: 2, smt_gain: 1.25, ..Processor::plain(4) };
        assert_eq!([0, 1, 2, 3, 4, 9].map(|busy| smt.speed(busy)), [0.0, 1.0, 2.0, 2.25, 2.5, 2.5]);
    }

    #[test]
    fn frequency_falls_as_cores_wake_up() {
        let turbo = Processor { turbo: vec![1.0, 0.9], ..Processor::plain(4) };
        assert_eq!([1, 2, 4].map(|busy| turbo.speed(busy)), [1.0, 1.8, 3.6]);
    }

    #[test]
    fn limits_lower_what_lasts() {
        let quota = Some(Quota { cpus: 0.5, period: Span::from_millis(100) });
        assert_eq!(Processor { quota, ..Processor::plain(2) }.capacity(), 0.5);
        let stolen = Processor { steal: 0.1, ..Processor::plain(2) };
        assert_eq!(stolen.capacity(), 1.8);
    }

    #[test]
    fn slices_end_at_ticks() {
        let linux = Kernel::LINUX;
        assert_eq!([1, 2, 4, 64].map(|n| linux.base_slice(n).as_nanos() / 1000), [700, 1400, 2100, 2800]);
        assert_eq!(linux.quantum(2), Span::from_millis(4));
        let thousand = Kernel { tick: Span::from_millis(1), ..linux };
        assert_eq!([1, 2, 4, 8].map(|n| thousand.quantum(n).as_nanos() / 1_000_000), [1, 2, 3, 3]);
        assert!((linux.overhead(2) - 2.0 / 4002.0).abs() < 1e-9);
    }
}
