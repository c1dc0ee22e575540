//! How many nodes are missing for pods that have no place: first fit, the largest first, as both autoscalers estimate it.

use super::Resources;

/// How many more nodes of a kind the pods need, and how many pods fit on none. `upcoming` is what is free on nodes that are on
/// their way; at most `most` nodes are added.
pub fn missing(
    pods: &[Resources],
    upcoming: &[Resources],
    allocatable: Resources,
    most: usize,
) -> (usize, usize) {
    let mut sorted = pods.to_vec();
    // By the larger share of a node; equal ones in the order they came.
    sorted.sort_by(|a, b| b.share_of(allocatable).total_cmp(&a.share_of(allocatable)));
    let mut bins = upcoming.to_vec();
    let mut unplaced = 0;
    for pod in sorted {
        if let Some(bin) = bins.iter_mut().find(|free| free.hold(pod)) {
            *bin -= pod;
        } else if bins.len() - upcoming.len() < most && allocatable.hold(pod) {
            bins.push(allocatable - pod);
        } else {
            unplaced += 1;
        }
    }
    (bins.len() - upcoming.len(), unplaced)
}
