//! What is counted of run queues.

/// What was counted, and where the time went, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Switches because a thread had nothing left to do.
    pub voluntary: u64,
    /// Switches because a thread's slice was over or another went first.
    pub involuntary: u64,
    /// Threads that went on at another vCPU than before.
    pub migrations: u64,
    /// Time that runnable threads waited for a vCPU.
    pub waited: f64,
    /// vCPU time that went into switching and moving.
    pub switching: f64,
    /// Work done, in nanoseconds of an otherwise idle vCPU.
    pub work: f64,
}

impl Counts {
    /// What was counted since `before`.
    pub fn since(&self, before: &Counts) -> Counts {
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

impl std::ops::AddAssign for Counts {
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
