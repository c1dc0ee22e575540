//! Which node a pod goes to: of those that have room for its requests, the one with the best score
//! (kube-scheduler, `NodeResourcesFit`).

use super::{Resources, Room};

/// How nodes are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// The emptiest is best: pods are spread. The default.
    LeastAllocated,
    /// The fullest is best: pods are packed, and nodes become empty.
    MostAllocated,
}

/// The node for a pod, by its index; `None` where no node has room. Of equals the first, which is the oldest; the real scheduler
/// draws among them.
pub fn place(
    rooms: impl IntoIterator<Item = Option<Room>>,
    pod: Resources,
    scheduling: Scheduling,
) -> Option<usize> {
    let fits = rooms.into_iter().enumerate().filter_map(|(index, room)| Some((index, room?)));
    let fits = fits.filter(|(_, room)| room.free.hold(pod));
    let mut best: Option<(usize, u64)> = None;
    for (index, room) in fits {
        let score = score(room, pod, scheduling);
        if best.is_none_or(|(_, highest)| score > highest) {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

/// 0 to 100: the mean of what would be left of CPU and memory, or of what would be asked for, in whole percent.
fn score(room: Room, pod: Resources, scheduling: Scheduling) -> u64 {
    let left = room.free - pod;
    let of = |left: u64, all: u64| {
        let part = if scheduling == Scheduling::LeastAllocated { left } else { all.saturating_sub(left) };
        u64::try_from(u128::from(part) * 100 / u128::from(all.max(1))).unwrap_or(0)
    };
    (of(left.cpu, room.allocatable.cpu) + of(left.memory, room.allocatable.memory)) / 2
}
