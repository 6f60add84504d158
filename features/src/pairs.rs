//! Decayed means of pairs (tenant, endpoint) or (route, endpoint) in bounded memory, an owner's pairs beside each other.
//!
//! A decision asks for one owner's pairs with all of its candidates. So the endpoints of a pool are cut into blocks of
//! sixteen neighbours, and what is looked up is the (owner, block): one look-up and one read of neighbouring cache lines
//! where single pairs took a look-up, and with cold caches two misses, for each candidate.
//!
//! Pairs are kept by *slot*, so the pool's endpoints must be followed ([`Pairs::remap`]): an endpoint that leaves takes its
//! pairs along. In a pool of thousands an owner whose requests are scattered takes a block for each of its pairs; the
//! table is bounded in blocks and the owners that were quiet longest go first, as anywhere ([`crate::table`]).
//!
//! Rejected: one array over all endpoints for each owner. At ten thousand endpoints it would be a quarter of a megabyte a
//! tenant, of which a sample of nine candidates touches almost nothing.

use crate::decay::Memory;
use crate::hash::mix;
use crate::lanes::{LANES, MeanLanes};
use crate::table::Table;
use crate::tick::Tick;

/// Pairs of one owner with sixteen neighbouring endpoints.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Block {
    pairs: MeanLanes,
    owner: u64,
    number: usize,
}

/// Pairs that a block is expected to hold, for sizing: half of its places.
const PAIRS_A_BLOCK: usize = LANES / 2;

/// The pairs of one kind.
#[derive(Debug, Clone)]
pub struct Pairs {
    blocks: Table<Block>,
}

impl Pairs {
    /// Room for about `capacity` pairs.
    pub fn new(capacity: usize) -> Self {
        Self { blocks: Table::new(capacity.div_ceil(PAIRS_A_BLOCK)) }
    }

    /// The pairs of `owner` with the endpoints of block `number`: those of the slots from `number · LANES` on.
    #[inline]
    pub fn block(&self, owner: u64, number: usize) -> Option<&MeanLanes> {
        self.blocks.get(key(owner, number)).map(|block| &block.pairs)
    }

    /// The pairs of `owner` with the endpoints in these slots, in ascending order and at most [`LANES`]; see
    /// [`MeanLanes::read`].
    #[inline(always)]
    pub fn read<'a>(&'a self, owner: u64, slots: &[usize], scratch: &'a mut Option<MeanLanes>) -> &'a MeanLanes {
        MeanLanes::read(slots, scratch, |number| self.block(owner, number))
    }

    /// Adds a value to the pair of `owner` with the endpoint in `slot`.
    pub fn observe(&mut self, owner: u64, slot: usize, value: f32, now: Tick, memory: Memory) {
        let number = slot / LANES;
        let block = self.blocks.touch(key(owner, number), now);
        (block.owner, block.number) = (owner, number);
        block.pairs.observe(slot % LANES, value, now, memory);
    }

    /// Follows a change of a pool that had `old_count` endpoints: `old_slots[slot]` is where the endpoint that is now in
    /// `slot` was before.
    pub fn remap(&mut self, old_slots: &[Option<usize>], old_count: usize) {
        let same = old_slots.len() == old_count && old_slots.iter().enumerate().all(|(new, old)| *old == Some(new));
        if same {
            return;
        }
        let before = std::mem::replace(&mut self.blocks, Table::new(0));
        let mut new_slots: Vec<Option<usize>> = Vec::new();
        for (new, old) in old_slots.iter().enumerate() {
            if let Some(old) = *old {
                new_slots.resize(new_slots.len().max(old + 1), None);
                new_slots[old] = Some(new);
            }
        }
        self.blocks = Table::new(before.capacity());
        for block in before.values() {
            for lane in 0..LANES {
                let pair = block.pairs.get(lane);
                let slot = new_slots.get(block.number * LANES + lane).copied().flatten();
                if let Some(slot) = slot.filter(|_| pair.is_known()) {
                    let target = self.blocks.touch(key(block.owner, slot / LANES), pair.last());
                    (target.owner, target.number) = (block.owner, slot / LANES);
                    target.pairs.set(slot % LANES, pair);
                }
            }
        }
    }
}

fn key(owner: u64, number: usize) -> u64 {
    mix(owner, number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decay::DecayedMean;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const MEMORY: Memory = Memory { half_life_secs: 60.0, max_requests: 20.0 };

    fn mean(pairs: &Pairs, owner: u64, slot: usize) -> f32 {
        pairs.read(owner, &[slot], &mut None).means()[0]
    }

    #[test]
    fn a_million_owners_stay_within_the_capacity() {
        let mut pairs = Pairs::new(1_000);
        for owner in 0..100_000 {
            pairs.observe(owner, 3, 1.0, Tick::from_nanos(owner), MEMORY);
        }
        assert!(pairs.blocks.len() <= pairs.blocks.capacity());
        assert_eq!(pairs.blocks.capacity(), 128);
        assert_eq!(mean(&pairs, 99_999, 3), 1.0);
        assert!(mean(&pairs, 0, 3).is_nan());
    }

    proptest! {
        #[test]
        fn a_pair_is_found_in_its_block_and_among_any_slots(
            seen in prop::collection::vec((0u64..4, 0usize..40, -3.0f32..3.0), 1..80)
        ) {
            let mut pairs = Pairs::new(4_096);
            let mut alone = HashMap::new();
            for (owner, slot, value) in seen {
                pairs.observe(owner, slot, value, Tick::ZERO, MEMORY);
                alone.entry((owner, slot)).or_insert_with(DecayedMean::default).observe(value, Tick::ZERO, MEMORY);
            }
            let slots: Vec<usize> = (0..40).step_by(3).collect();
            for owner in 0..4 {
                let mut scratch = None;
                let gathered = pairs.read(owner, &slots, &mut scratch).means();
                for (lane, slot) in slots.iter().enumerate() {
                    let expected = alone.get(&(owner, *slot)).map(DecayedMean::mean);
                    prop_assert_eq!(Some(gathered[lane]).filter(|mean| !mean.is_nan()), expected);
                    let block = pairs.block(owner, slot / LANES).map(|block| block.means()[slot % LANES]);
                    prop_assert_eq!(block.filter(|mean| !mean.is_nan()), expected);
                }
            }
        }

        #[test]
        fn endpoints_keep_their_pairs_when_their_slots_change_and_take_them_along_when_they_leave(
            order in Just((0..24usize).collect::<Vec<_>>()).prop_shuffle(), stay in 1usize..24
        ) {
            let mut pairs = Pairs::new(4_096);
            for slot in 0..24 {
                pairs.observe(7, slot, slot as f32, Tick::ZERO, MEMORY);
            }
            let mut old_slots: Vec<Option<usize>> = order[..stay].iter().copied().map(Some).collect();
            old_slots.push(None);
            pairs.remap(&old_slots, 24);
            for (slot, old) in old_slots.iter().enumerate() {
                prop_assert_eq!(Some(mean(&pairs, 7, slot)).filter(|mean| !mean.is_nan()), old.map(|old| old as f32));
            }
            prop_assert!(mean(&pairs, 7, stay + 1).is_nan());
        }
    }
}
