//! Which nodes are not needed: those whose pods have room elsewhere.

use super::scheduler::{Scheduling, place};
use super::{Resources, Room};

/// A node with its pods, for the question whether it can go.
#[derive(Clone, Debug, PartialEq)]
pub struct Occupied {
    /// Its room.
    pub room: Room,
    /// What each of its pods asks for; those that are leaving anyway are not among them.
    pub pods: Vec<Resources>,
    /// It may be looked at: it is up, and nothing speaks against its going.
    pub candidate: bool,
    /// It is up, and takes pods.
    pub takes: bool,
}

/// For each node whether it is not needed: it is a candidate, its utilisation is below `threshold`, and its pods have room on
/// others. Empty ones are looked at first, as both autoscalers do, and then the oldest. One that is not needed takes no pods of those after it, nor do the places of its own
/// pods count twice. So all that are not needed can go together.
pub fn unneeded(nodes: &[Occupied], threshold: f64) -> Vec<bool> {
    let mut rooms: Vec<Option<Room>> = nodes.iter().map(|node| node.takes.then_some(node.room)).collect();
    let mut took = vec![false; nodes.len()];
    let mut found = vec![false; nodes.len()];
    let empty = nodes.iter().enumerate().filter(|(_, node)| node.pods.is_empty());
    let others = nodes.iter().enumerate().filter(|(_, node)| !node.pods.is_empty());
    for (index, node) in empty.chain(others) {
        let used = node.room.allocatable - node.room.free;
        // One that others' pods are to move to is needed.
        if !node.candidate || took[index] || used.share_of(node.room.allocatable) >= threshold {
            continue;
        }
        let mut trial = rooms.clone();
        trial[index] = None;
        let moved: Option<Vec<usize>> = node.pods.iter().map(|&pod| move_one(&mut trial, pod)).collect();
        if let Some(moved) = moved {
            found[index] = true;
            rooms = trial;
            moved.into_iter().for_each(|to| took[to] = true);
        }
    }
    found
}

/// Finds a place for a pod and takes it.
fn move_one(rooms: &mut [Option<Room>], pod: Resources) -> Option<usize> {
    let to = place(rooms.iter().copied(), pod, Scheduling::LeastAllocated)?;
    if let Some(room) = &mut rooms[to] {
        room.free -= pod;
    }
    Some(to)
}
