//! Which server finishes next: a tournament over the servers.
//!
//! Every arrival and departure changes the next finish of one server. A general event heap would keep the outdated
//! events and skip them later; with one leaf a server, an update is log₂(servers) comparisons and nothing is stale.

/// Smallest of a fixed number of times.
#[derive(Debug)]
pub(crate) struct Tournament {
    /// `tree[1]` is the winner; leaves start at `leaves`. Each entry is (time, leaf).
    tree: Vec<(u64, u32)>,
    leaves: usize,
}

impl Tournament {
    pub(crate) fn new(count: usize) -> Self {
        let leaves = count.next_power_of_two().max(2);
        let tree = (0..2 * leaves).map(|i| (u64::MAX, i.saturating_sub(leaves) as u32)).collect();
        Self { tree, leaves }
    }

    /// The earliest time and whose it is.
    pub(crate) fn first(&self) -> (u64, usize) {
        let (time, leaf) = self.tree[1];
        (time, leaf as usize)
    }

    pub(crate) fn set(&mut self, leaf: usize, time: u64) {
        let mut node = self.leaves + leaf;
        self.tree[node] = (time, leaf as u32);
        while node > 1 {
            let (left, right) = (self.tree[node & !1], self.tree[node | 1]);
            node /= 2;
            self.tree[node] = if right.0 < left.0 { right } else { left };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_the_smallest(updates in prop::collection::vec((0usize..13, 0u64..100), 1..200)) {
            let mut tournament = Tournament::new(13);
            let mut plain = [u64::MAX; 13];
            for (leaf, time) in updates {
                tournament.set(leaf, time);
                plain[leaf] = time;
                let (first, at) = tournament.first();
                prop_assert_eq!(first, *plain.iter().min().unwrap_or(&0));
                prop_assert_eq!(plain[at], first);
            }
        }
    }
}
