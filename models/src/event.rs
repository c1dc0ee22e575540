//! What can happen: the one event enum of the world, and the references it carries. Read this first.

use crate::plan::{BalancerId, GroupId, NodePoolId, QueueId, TrafficId};

/// A reference into a [`Slab`]: a slot and the generation it was handed out in. Once the slot is freed the
/// reference is stale, and an event that still carries it is dropped by its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ref {
    /// The slot.
    pub slot: u32,
    generation: u32,
}

impl Ref {
    /// Refers to nothing, in any slab.
    pub const NONE: Ref = Ref { slot: u32::MAX, generation: 0 };
    /// Stands for the queue that a consumer has its job from, where another request would be that waits for an answer.
    pub const JOB: Ref = Ref { slot: u32::MAX, generation: 1 };
}

/// Everything that can happen to a [`System`](crate::system::System).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A source sends its next request.
    Arrival(TrafficId),
    /// A machine has to be looked at: a thread has had its CPU time, or its slice is over.
    Cpu(u32),
    /// A request's wait step is over.
    WaitOver(Ref),
    /// A request's wait step has failed.
    WaitFailed(Ref),
    /// A source's clients have waited long enough, as far as they still wait.
    Timeout(TrafficId),
    /// A client's backoff is over: it tries again.
    Retry(Ref),
    /// A balancer stops waiting for a connection to a target.
    NoConnection(Ref),
    /// A balancer has waited as long as its idle timeout, as far as it still waits.
    Idle(BalancerId),

    /// A message through one of a source's open sessions.
    Message(TrafficId),
    /// A session comes to its end.
    SessionOver(Ref),
    /// A client whose connection was lost connects again.
    Reconnect(Ref),
    /// A room of a source has waited long enough.
    RoomStart(TrafficId, Ref),
    /// A room of a source comes to its end.
    RoomOver(TrafficId, Ref),
    /// A client has waited long enough for an answer to send another attempt beside it.
    Hedge(Ref),
    /// A request is at its balancer.
    Reaches(Ref),
    /// No packet of a request came through, and who sent it gives up.
    Unreached(Ref),
    /// The connection of a source that idles longest has idled long enough.
    ConnectionIdle(TrafficId),

    /// Something happens at a queue by itself: a visibility timeout ends, somebody is missed, a message expires.
    Queue(QueueId),
    /// A request is done with its GPU.
    GpuOver(Ref),
    /// Iterations of an instance's inference engine are over.
    Engine(u32),
    /// A job's try has taken as long as it may, where it still waits for tokens.
    GenerationTimeout(Ref),
    /// The client of a job asks whether it is done.
    Ask(Ref),
    /// The news of a job reaches its client.
    News(Ref),
    /// A request's answer was held back for as long as it may.
    HeldLongEnough(Ref),

    /// An instance reaches the next stage of its life.
    Stage(Ref),
    /// What an instance waits for in its lifecycle state is over: a hook, or a delay in standby.
    Lifecycle(Ref),
    /// An instance in a group's warm pool, by its number, has been set up.
    Pooled(GroupId, u32),
    /// Somebody does something with single instances: the action's index.
    InstanceAction(GroupId, u16),
    /// Processes of a group are suspended or resumed: the suspension's index.
    Suspension(GroupId, u16),
    /// The next step of a Spot instance's interruption is due.
    Spot(Ref),
    /// A pool of a group takes Spot instances back.
    PoolInterrupted(GroupId, u16),
    /// A pool of a group gives Spot instances again.
    PoolReturns(GroupId, u16),
    /// A target is due for a health check.
    Check(Ref),
    /// A health check has taken as long as it may.
    CheckTimeout(Ref),
    /// A scheduled action or a manual change of a group: its policy's index, and which of its times.
    Schedule(GroupId, u16, u32),
    /// An incident of the plan begins.
    Incident(u16),
    /// An incident is over.
    IncidentOver(u16),
    /// A release of the plan begins.
    Release(u16),
    /// Somebody looks at a release that is in progress; stale unless that is its generation.
    ReleaseGoesOn(u16, u32),
    /// A process that died is started, or its app is up, or has died again.
    Process(Ref, u16),

    /// Something of pods and nodes is due.
    Cluster(Due),

    /// The control plane's minute: metric periods close, alarms are evaluated, groups check health.
    Minute,
    /// Ten seconds are over, in which high-resolution alarms are evaluated.
    TenSeconds,
    /// An interval of the recorded series ends.
    Row,
    /// A window of an objective ends.
    Window(u16),
    /// Measurement begins.
    WarmUpOver,
}

/// What can be due in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// metrics-server measures.
    Measure,
    /// The HPA of a group is looked at.
    Sync(GroupId),
    /// KEDA polls the triggers of a group.
    Poll(GroupId),
    /// Who adds and removes the nodes of a pool looks around.
    Scan(NodePoolId),
    /// Karpenter has waited for more pods to come.
    Batch(NodePoolId),
    /// A node reaches the next stage of its life.
    Node(NodePoolId, u32),
}

/// A vector with reusable slots, whose references go stale when their slot is freed.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    live: bool,
    value: T,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// How many live values there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `value` into a free slot.
    #[inline]
    pub fn insert(&mut self, value: T) -> Ref {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.live = true;
            entry.value = value;
            return Ref { slot, generation: entry.generation };
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, live: true, value });
        Ref { slot, generation: 0 }
    }

    /// Frees a slot; references to it are stale from now on.
    #[inline]
    pub fn free(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        debug_assert!(entry.live, "a slot is freed once");
        entry.live = false;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
    }

    /// The slot of a reference, unless it is stale.
    #[inline]
    pub fn live(&self, reference: Ref) -> Option<u32> {
        let entry = self.slots.get(reference.slot as usize)?;
        (entry.live && entry.generation == reference.generation).then_some(reference.slot)
    }

    /// The reference to what is in `slot` now.
    #[inline]
    pub fn reference(&self, slot: u32) -> Ref {
        Ref { slot, generation: self.slots[slot as usize].generation }
    }

    /// Live slots and their values, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.slots).filter(|(_, slot)| slot.live).map(|(i, slot)| (i, &slot.value))
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    #[inline]
    fn index(&self, slot: u32) -> &T {
        &self.slots[slot as usize].value
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut T {
        &mut self.slots[slot as usize].value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event>() <= 16, "{}", size_of::<Event>());
    }

    #[test]
    fn references_go_stale() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        slab.free(first.slot);
        let second = slab.insert('b');
        assert_eq!((first.slot, slab.live(first)), (second.slot, None));
        assert_eq!(slab.live(second), Some(second.slot));
        assert_eq!(slab.live(Ref::NONE), None);
        assert_eq!(slab.len(), 1);
    }
}
