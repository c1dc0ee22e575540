//! What is counted of run queues.

use std::ops::{AddAssign, Sub};

/// What was counted, and where the time went, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Switches because a thread had nothing left to do.
    pub voluntary: u64,
    /// Switches because a thread's slice was over or another went first.
    pub involuntary: u64,
    /// Threads that went on at another vCPU than before.
    pub migrations: u64,
    /// Time that runnable threads waited for a vCPU, or for the one they were given to come out of idling.
    pub waited: f64,
    /// vCPU time that went into switching and moving.
    pub switching: f64,
    /// Work done, in nanoseconds of an otherwise idle vCPU.
    pub work: f64,
}

/// What was counted of a machine's vCPUs and of those who ran on them: the same, told twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// By vCPU. Waiting and migrations count for the one that a thread came to in the end.
    pub vcpus: Vec<Counts>,
    /// By process: a switch counts for who is switched away from, and its cost for who comes.
    pub processes: Vec<Counts>,
    /// Of all that never end.
    pub background: Counts,
}

impl Tally {
    /// All of it.
    pub fn total(&self) -> Counts {
        sum(&self.vcpus)
    }

    /// What was counted since `before`.
    #[must_use]
    pub fn since(mut self, before: &Tally) -> Tally {
        for (now, before) in [(&mut self.vcpus, &before.vcpus), (&mut self.processes, &before.processes)] {
            now.iter_mut().zip(before).for_each(|(now, before)| *now = *now - *before);
        }
        self.background = self.background - before.background;
        self
    }

    /// Adds those of another machine.
    pub fn add(&mut self, other: &Tally) {
        for (own, other) in [(&mut self.vcpus, &other.vcpus), (&mut self.processes, &other.processes)] {
            own.resize(own.len().max(other.len()), Counts::default());
            own.iter_mut().zip(other).for_each(|(own, other)| *own += *other);
        }
        self.background += other.background;
    }
}

/// The sum of some.
pub fn sum<'a>(counts: impl IntoIterator<Item = &'a Counts>) -> Counts {
    counts.into_iter().fold(Counts::default(), |mut sum, counts| {
        sum += *counts;
        sum
    })
}

impl Sub for Counts {
    type Output = Counts;
    fn sub(self, before: Counts) -> Counts {
        Counts {
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
            migrations: self.migrations - before.migrations,
            waited: self.waited - before.waited,
            switching: self.switching - before.switching,
            work: self.work - before.work,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        let Counts { voluntary, involuntary, migrations, waited, switching, work } = other;
        self.voluntary += voluntary;
        self.involuntary += involuntary;
        self.migrations += migrations;
        self.waited += waited;
        self.switching += switching;
        self.work += work;
    }
}
