//! The instances of all groups, and a census of each group that stands for as long as none of its instances changes.

use std::ops::{Index, IndexMut};

use super::census::Census;
use super::instance::Instance;
use crate::event::{Ref, Slab};
use crate::plan::GroupId;

/// All instances, by slot.
///
/// Whoever takes hold of one by its slot may change anything of it, so the census of its group is dropped there and then: nobody
/// has to remember to say what he changed. Only what happens per request goes by [`at_work`](Instances::at_work) instead.
#[derive(Clone, Debug)]
pub struct Instances {
    all: Slab<Instance>,
    /// By group; `None` from a change on, until somebody counts again.
    censuses: Vec<Option<Census>>,
}

impl Instances {
    /// So many groups without any.
    pub fn new(groups: usize) -> Instances {
        Instances { all: Slab::default(), censuses: vec![None; groups] }
    }

    /// An instance whose machine and server work on requests. What a census counts does not change by that, and whoever changes
    /// it all the same is found out wherever assertions are on.
    #[inline]
    pub fn at_work(&mut self, slot: u32) -> &mut Instance {
        &mut self.all[slot]
    }

    /// The census of a group; `None` where one of its instances has changed since it was taken.
    pub fn census(&self, group: GroupId) -> Option<&Census> {
        self.censuses[group.index()].as_ref()
    }

    /// A census of a group as it stands now.
    pub fn keep(&mut self, group: GroupId, census: Census) {
        self.censuses[group.index()] = Some(census);
    }

    /// A new instance.
    pub fn insert(&mut self, instance: Instance) -> Ref {
        self.censuses[instance.group.index()] = None;
        self.all.insert(instance)
    }

    /// An instance is no more.
    pub fn free(&mut self, slot: u32) {
        self.censuses[self.all[slot].group.index()] = None;
        self.all.free(slot);
    }

    /// The slot of a reference, unless it is stale.
    #[inline]
    pub fn live(&self, reference: Ref) -> Option<u32> {
        self.all.live(reference)
    }

    /// The reference to what is in a slot now.
    #[inline]
    pub fn reference(&self, slot: u32) -> Ref {
        self.all.reference(slot)
    }

    /// All instances, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Instance)> {
        self.all.iter()
    }
}

impl Index<u32> for Instances {
    type Output = Instance;

    #[inline]
    fn index(&self, slot: u32) -> &Instance {
        &self.all[slot]
    }
}

impl IndexMut<u32> for Instances {
    #[inline(never)] // the control plane's way; the code of those who go it stays out of that of requests
    fn index_mut(&mut self, slot: u32) -> &mut Instance {
        let instance = &mut self.all[slot];
        self.censuses[instance.group.index()] = None;
        instance
    }
}
