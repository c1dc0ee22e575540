//! What was measured, as it stands in `validation.json`: enough to fit and judge again without measuring.

use serde::{Deserialize, Serialize};

/// The version of the form below.
pub const VERSION: u32 = 1;

/// Everything that was measured on a machine in one go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// The version of this form.
    pub version: u32,
    /// The day, UTC.
    pub date: String,
    /// How much was measured: quick, default or thorough.
    pub effort: String,
    /// What the order of the runs was shuffled with.
    pub seed: u64,
    /// The machine.
    pub machine: Facts,
    /// Jobs side by side and one after another, in the order in which they ran.
    pub batches: Vec<Batch>,
    /// Two threads that pass a byte to and fro, in several forms.
    pub hops: Vec<Hop>,
    /// Two threads that walk over memory in turn.
    pub refills: Vec<Refill>,
}

/// What is known about the machine without measuring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Operating system and kind of processor, as Rust calls them.
    pub system: String,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The processor's name.
    pub processor: Option<String>,
    /// vCPUs that this program may use.
    pub vcpus: u32,
    /// Hardware threads of a core, where the kernel says.
    pub threads_per_core: Option<u32>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The slice that the kernel gives to a thread, in nanoseconds.
    pub slice: Option<u64>,
    /// Jobs could be pinned to vCPUs.
    pub pinning: bool,
    /// What this system does not tell, and what that means.
    pub missing: Vec<String>,
}

/// Threads of one process, or a process each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Threads.
    Threads,
    /// Processes.
    Processes,
}

/// How the jobs of a batch follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// All at once.
    Together,
    /// Each when the one before is done.
    InTurn,
}

/// Which vCPUs the jobs of a batch may run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Any.
    Anywhere,
    /// One each, in turn.
    Dealt,
    /// All on the first.
    OnOne,
}

/// What a batch is for. What is fitted is never judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model's parameters come from it.
    Fit,
    /// The model has to predict it.
    Judge,
}

/// What is run: k equal jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Setup {
    /// Where they may run.
    pub place: Place,
    /// All at once or in turn.
    pub order: Order,
    /// How many jobs.
    pub jobs: u32,
    /// Threads or processes.
    pub form: Form,
    /// Iterations of each job.
    pub iterations: u64,
    /// What it is for.
    pub role: Role,
}

/// A setup, run once, with a lone job directly before and directly after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// What was run.
    pub setup: Setup,
    /// One job alone, before and after.
    pub calibrations: [Calibration; 2],
    /// The jobs, in the order of their numbers.
    pub jobs: Vec<Job>,
    /// The share of the machine that programs other than the jobs used meanwhile.
    pub others: Option<f64>,
    /// The share of the machine that the hypervisor withheld meanwhile.
    pub steal: Option<f64>,
}

/// One job that had the machine for itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Its iterations.
    pub iterations: u64,
    /// Nanoseconds that it took: on the vCPU where the kernel says, else by the clock.
    pub nanos: u64,
}

/// One job of a batch. Instants are nanoseconds since the common start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// When it began.
    pub begun: u64,
    /// When it was done.
    pub finished: u64,
    /// What the kernel counted for it.
    #[serde(flatten)]
    pub counters: Counters,
    /// Times that it stood still for longer than a quarter of a millisecond.
    pub gaps: u64,
    /// The median of those, in nanoseconds.
    pub gap: Option<u64>,
    /// The median of how long it ran between two of them, in nanoseconds.
    pub run: Option<u64>,
    /// It was told to stop before it was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// What a kernel counts for a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Nanoseconds on a vCPU.
    pub on_cpu: Option<u64>,
    /// Nanoseconds runnable and waiting for a vCPU.
    pub delay: Option<u64>,
    /// Turns on a vCPU.
    pub turns: Option<u64>,
    /// Switches because it waited for something.
    pub voluntary: Option<u64>,
    /// Switches because it had to give way.
    pub involuntary: Option<u64>,
}

/// A byte passed between two threads and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// Where the threads ran.
    pub place: HopPlace,
    /// Nanoseconds from one thread to the other, one entry a repetition.
    pub nanos: Vec<f64>,
}

/// Where the two threads of a [`Hop`] run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HopPlace {
    /// One thread alone that writes a byte and reads it: no switch.
    Alone,
    /// Both on one vCPU.
    SameVcpu,
    /// On two vCPUs.
    OtherVcpu,
    /// Wherever the kernel puts them.
    Anywhere,
}

/// What it costs to come back to a working set after another thread has walked over its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refill {
    /// Bytes of each thread's working set.
    pub bytes: u64,
    /// Nanoseconds of switching and refilling, one entry a repetition.
    pub nanos: Vec<f64>,
    /// Both threads were pinned to one vCPU.
    pub pinned: bool,
}

impl Calibration {
    /// Nanoseconds of one iteration.
    pub fn per_iteration(&self) -> f64 {
        self.nanos as f64 / self.iterations.max(1) as f64
    }
}

impl Batch {
    /// Nanoseconds of one iteration by the lone jobs around it.
    pub fn per_iteration(&self) -> f64 {
        self.calibrations.iter().map(Calibration::per_iteration).sum::<f64>() / 2.0
    }

    /// When the last job was done, in nanoseconds.
    pub fn makespan(&self) -> f64 {
        self.jobs.iter().map(|job| job.finished).max().unwrap_or(0) as f64
    }

    /// When the first was.
    pub fn first(&self) -> f64 {
        self.jobs.iter().map(|job| job.finished).min().unwrap_or(0) as f64
    }

    /// When they were on average.
    pub fn mean(&self) -> f64 {
        mean(self.jobs.iter().map(|job| job.finished as f64)).unwrap_or(0.0)
    }

    /// Switches of a job because it had to give way; `None` where the kernel does not count them.
    pub fn involuntary(&self) -> Option<f64> {
        let counted: Option<Vec<u64>> = self.jobs.iter().map(|job| job.counters.involuntary).collect();
        mean(counted?.into_iter().map(|count| count as f64))
    }
}

/// The mean of what there is.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The median of what there is.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

impl Job {
    /// Nanoseconds that it ran: from its beginning to its end, without the time that it waited for a vCPU.
    ///
    /// For a job that has a vCPU for itself. Time on the vCPU as the kernel counts it includes getting ready.
    pub fn ran(&self) -> u64 {
        (self.finished - self.begun.min(self.finished)).saturating_sub(self.counters.delay.unwrap_or(0))
    }
}
