//! Assignors: which member of a group has which partition.

use super::partition::NOBODY;

/// `RangeAssignor`, for one topic: members in order have equal runs of partitions; the first ones have one more each while the
/// division leaves a rest.
///
/// The member of each partition, of `members` in order. `NOBODY` where there are no members.
pub fn range(partitions: usize, members: &[u32]) -> Vec<u32> {
    let Some(each) = partitions.checked_div(members.len()) else { return vec![NOBODY; partitions] };
    let more = partitions % members.len();
    let runs = members.iter().enumerate().map(|(index, &member)| (member, each + usize::from(index < more)));
    runs.flat_map(|(member, count)| std::iter::repeat_n(member, count)).collect()
}

/// The sticky assignment (`AbstractStickyAssignor`, members with equal subscriptions): as even as [`range`], and of all even
/// ones one that moves few partitions.
///
/// Members keep what they own up to their share. The larger shares go to those, in order, that own so much already; what is
/// then free goes to those below theirs.
pub fn sticky(owners: &[u32], members: &[u32]) -> Vec<u32> {
    let mut target = vec![NOBODY; owners.len()];
    let Some(least) = owners.len().checked_div(members.len()) else { return target };
    let mut larger = owners.len() % members.len();
    let mut shares = Vec::with_capacity(members.len());
    for &member in members {
        let owned = owners.iter().filter(|&&owner| owner == member).count();
        let share = least + usize::from(owned > least && larger > 0);
        larger -= share - least;
        shares.push(share);
    }
    for share in &mut shares {
        if larger > 0 && *share == least {
            *share += 1;
            larger -= 1;
        }
    }
    for (&member, share) in members.iter().zip(&mut shares) {
        for (_, to) in owners.iter().zip(&mut target).filter(|(owner, _)| **owner == member).take(*share) {
            *to = member;
            *share -= 1;
        }
    }
    let mut below = members.iter().zip(shares).flat_map(|(&member, left)| std::iter::repeat_n(member, left));
    for to in target.iter_mut().filter(|to| **to == NOBODY) {
        *to = below.next().unwrap_or(NOBODY);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_gives_equal_runs_and_the_rest_to_the_first_members() {
        assert_eq!(range(7, &[4, 5, 9]), [4, 4, 4, 5, 5, 9, 9]);
        assert_eq!(range(2, &[1, 2, 3]), [1, 2], "the third member is idle");
        assert_eq!(range(2, &[]), [NOBODY, NOBODY]);
    }

    #[test]
    fn sticky_moves_as_few_partitions_as_make_it_even() {
        let two = sticky(&[NOBODY; 6], &[1, 2]);
        assert_eq!(two, [1, 1, 1, 2, 2, 2]);
        let three = sticky(&two, &[1, 2, 3]);
        assert_eq!(three, [1, 1, 3, 2, 2, 3], "one each from those that have three");
        let back = sticky(&[1, 1, NOBODY, NOBODY, NOBODY, NOBODY], &[1, 3]);
        assert_eq!(back, [1, 1, 1, 3, 3, 3]);
    }

    #[test]
    fn who_owns_more_keeps_the_larger_share() {
        assert_eq!(sticky(&[1, 2, 2], &[1, 2]), [1, 2, 2]);
        assert_eq!(sticky(&[2, 2, 2, 2, NOBODY], &[1, 2]), [2, 2, 2, 1, 1]);
    }

    #[test]
    fn every_assignment_is_even_and_complete() {
        let mut owners = vec![NOBODY; 13];
        for members in [
            &[1, 2, 3][..],
            &[1, 2, 3, 4, 5],
            &[2, 5],
            &[2, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18],
            &[9],
        ] {
            owners = sticky(&owners, members);
            let counts: Vec<usize> =
                members.iter().map(|member| owners.iter().filter(|&owner| owner == member).count()).collect();
            assert_eq!(counts.iter().sum::<usize>(), 13);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }
}
