//! A table of bounded size for tenants and pairs: set-associative, like a processor's cache.
//!
//! A million distinct tenant names must cost bounded memory, and a look-up must not allocate or rehash. Each
//! key maps to one set of eight slots; a new key takes a free slot of its set or evicts the one that was
//! touched longest ago. Rejected: a hash map with a global LRU list (two more pointers an entry and a write on
//! every read), and a hash map that is swept now and then (a pause on the hot path).

use crate::tick::Tick;

/// Slots a set. Eight 64-bit keys are one cache line.
const WAYS: usize = 8;

/// Key of an empty slot. A real key that equals it is moved by one (see [`Table::key`]).
const EMPTY: u64 = 0;

/// A bounded map from 64-bit hashes to values.
#[derive(Debug, Clone)]
pub struct Table<V> {
    keys: Vec<u64>,
    touched: Vec<Tick>,
    values: Vec<V>,
    mask: usize,
    evictions: u64,
}

impl<V: Default + Clone> Table<V> {
    /// A table of at least `capacity` entries, rounded up to a power of two of whole sets.
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).next_power_of_two();
        Self {
            keys: vec![EMPTY; sets * WAYS],
            touched: vec![Tick::ZERO; sets * WAYS],
            values: vec![V::default(); sets * WAYS],
            mask: sets - 1,
            evictions: 0,
        }
    }

    fn key(key: u64) -> u64 {
        key.max(1)
    }

    #[inline]
    fn set_of(&self, key: u64) -> usize {
        // The low bits of FNV-1a are weaker than the high ones: fold before masking.
        ((key ^ (key >> 32)) as usize & self.mask) * WAYS
    }

    /// The value of `key`, if it is in the table.
    #[inline]
    pub fn get(&self, key: u64) -> Option<&V> {
        let key = Self::key(key);
        let start = self.set_of(key);
        // All ways are compared at once: where a key lies cannot be guessed.
        let keys = self.keys.get(start..start + WAYS)?;
        let found = keys.iter().enumerate().fold(0u32, |found, (way, known)| found | u32::from(*known == key) << way);
        if found == 0 { None } else { self.values.get(start + found.trailing_zeros() as usize) }
    }

    /// The value of `key`, made by default (over the least recently touched of its set) where it is new.
    pub fn touch(&mut self, key: u64, now: Tick) -> &mut V {
        let key = Self::key(key);
        let start = self.set_of(key);
        let mut victim = start;
        for slot in start..start + WAYS {
            if self.keys[slot] == key {
                self.touched[slot] = now;
                return &mut self.values[slot];
            }
            if self.keys[victim] != EMPTY && (self.keys[slot] == EMPTY || self.touched[slot] < self.touched[victim]) {
                victim = slot;
            }
        }
        if self.keys[victim] != EMPTY {
            self.evictions += 1;
        }
        self.keys[victim] = key;
        self.touched[victim] = now;
        self.values[victim] = V::default();
        &mut self.values[victim]
    }

    /// The values in use.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.keys.iter().zip(&self.values).filter(|(key, _)| **key != EMPTY).map(|(_, value)| value)
    }

    /// Entries in use.
    pub fn len(&self) -> usize {
        self.keys.iter().filter(|key| **key != EMPTY).count()
    }

    /// True where nothing was ever put in.
    pub fn is_empty(&self) -> bool {
        self.keys.iter().all(|key| *key == EMPTY)
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.keys.len()
    }

    /// Entries that were pushed out by newer ones.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;
    use proptest::prelude::*;

    #[test]
    fn a_million_names_stay_within_the_capacity() {
        let mut table: Table<u32> = Table::new(1_000);
        for i in 0..1_000_000u64 {
            *table.touch(mix(i, 7), Tick::from_nanos(i)) += 1;
        }
        assert!(table.len() <= table.capacity());
        assert_eq!(table.capacity(), 1_024);
        assert_eq!(table.evictions() as usize, 1_000_000 - table.len());
    }

    #[test]
    fn the_least_recently_touched_goes_first() {
        let mut table: Table<u32> = Table::new(WAYS);
        for key in 1..=WAYS as u64 {
            *table.touch(key, Tick::from_nanos(key)) = key as u32;
        }
        table.touch(1, Tick::from_nanos(100));
        table.touch(99, Tick::from_nanos(101));
        assert_eq!(table.get(1), Some(&1));
        assert_eq!(table.get(2), None);
    }

    proptest! {
        #[test]
        fn what_was_touched_last_is_found(keys in prop::collection::vec(any::<u64>(), 1..300)) {
            let mut table: Table<u64> = Table::new(64);
            for (i, key) in keys.iter().enumerate() {
                *table.touch(*key, Tick::from_nanos(i as u64)) = *key;
                prop_assert_eq!(table.get(*key), Some(key));
            }
        }
    }
}
