//! Pods on nodes, as pure functions: where a pod is put, how many nodes pods need that have no place, and which nodes can go.
//!
//! * [`Resources`]: what pods ask for, and nodes have.
//! * [`scheduler`]: which node a pod goes to.
//! * [`packing`]: how many nodes are missing.
//! * [`scale_down`]: which nodes are not needed.
//!
//! Requests decide all of this, and use decides nothing: a cluster can be full and idle. Who is asked when is in
//! [`crate::system`].

pub mod packing;
pub mod scale_down;
pub mod scheduler;

use std::fmt;
use std::ops::{AddAssign, Sub, SubAssign};

pub use scheduler::Scheduling;

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a vCPU.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
}

impl Resources {
    /// True where `self` has room for `wanted`.
    pub fn hold(self, wanted: Resources) -> bool {
        wanted.cpu <= self.cpu && wanted.memory <= self.memory
    }

    /// The larger of its two shares of `all`: 0 to 1. A node's utilisation, as autoscalers see it.
    pub fn share_of(self, all: Resources) -> f64 {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        share(self.cpu, all.cpu).max(share(self.memory, all.memory))
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Resources) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
    }
}

impl Sub for Resources {
    type Output = Resources;
    fn sub(self, other: Resources) -> Resources {
        Resources {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }
}

impl SubAssign for Resources {
    fn sub_assign(&mut self, other: Resources) {
        *self = *self - other;
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}m CPU and {} MiB", self.cpu, self.memory.div_ceil(1 << 20))
    }
}

/// A node as a scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What pods may ask for in all: the machine, less what the system keeps.
    pub allocatable: Resources,
    /// What is left of it.
    pub free: Resources,
}

impl Room {
    /// A node without pods.
    pub fn empty(allocatable: Resources) -> Room {
        Room { allocatable, free: allocatable }
    }
}

/// The nodes of a start: for each pod the index of its node, and how many nodes there are. There are at least `min`, and one
/// more wherever a pod finds no room.
pub fn nodes_at_start(
    min: u32,
    pods: &[(Resources, Scheduling)],
    allocatable: Resources,
) -> (Vec<usize>, usize) {
    let mut rooms = vec![Room::empty(allocatable); min as usize];
    let mut places = Vec::with_capacity(pods.len());
    for &(pod, scheduling) in pods {
        let found = scheduler::place(rooms.iter().copied().map(Some), pod, scheduling);
        let place = found.unwrap_or_else(|| {
            rooms.push(Room::empty(allocatable));
            rooms.len() - 1
        });
        rooms[place].free -= pod;
        places.push(place);
    }
    (places, rooms.len())
}
