//! Candidates side by side: loops over sixteen of them, compiled for the widest registers that the machine has.
//!
//! What differs between candidates of one decision is computed for [`LANES`] at a time. Such a loop is plain Rust without
//! branches; the compiler turns it into one register of AVX-512, two of AVX2 or four of SSE2. Which of them runs is decided
//! once, at run time ([`run`]), so the loop itself needs no intrinsics and the results are the same to the bit: the
//! operations and their order are the same, and Rust never contracts a product and a sum.
//!
//! Rejected: `std::simd` (not stable) and a crate of vector types (`wide`, `pulp`): the loops are few and the compiler
//! vectorises all of them.
#![allow(unsafe_code, reason = "calls of functions that need a processor feature, after it was found")]

use crate::decay::{DecayedMean, Memory};
use crate::tick::Tick;

/// Candidates side by side: sixteen f32 are one register of AVX-512 and one cache line.
pub const LANES: usize = 16;

/// An array whose place `i` holds an expression of `i`, as [`std::array::from_fn`] makes it.
///
/// A plain loop, because what is inside must become part of the function around it: a closure that is handed on may stay a
/// function of its own, and that is not compiled for the wide registers.
#[macro_export]
macro_rules! each_lane {
    (|$i:ident| $value:expr) => {{
        let mut lanes = [0.0f32; _];
        for $i in 0..lanes.len() {
            lanes[$i] = $value;
        }
        lanes
    }};
}

/// The block of slots that these ascending slots are the beginning of, without a gap; `None` where they are not.
#[inline(always)]
pub fn block_of(slots: &[usize]) -> Option<usize> {
    let (first, last) = (*slots.first()?, *slots.last()?);
    (first % LANES == 0 && last - first + 1 == slots.len()).then_some(first / LANES)
}

/// A loop over lanes. Its `run` is to be `#[inline(always)]`: only then it is compiled for each kind of processor.
pub trait Loop {
    /// Runs it.
    fn run(self);
}

/// Runs a loop, compiled for this machine.
#[inline]
pub fn run(work: impl Loop) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512dq") && has!("avx512bw") && has!("avx512vl") {
            // SAFETY: the features were found.
            return unsafe { avx512(work) };
        }
        if has!("avx2") {
            // SAFETY: the feature was found.
            return unsafe { avx2(work) };
        }
    }
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
fn avx512(work: impl Loop) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(work: impl Loop) {
    work.run();
}

/// Decayed means of neighbouring endpoints.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct MeanLanes<const N: usize = LANES> {
    mean: [f32; N],
    weight: [f32; N],
    at: [Tick; N],
}

impl<const N: usize> Default for MeanLanes<N> {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl MeanLanes {
    /// The means of the endpoints in `slots` (ascending, at most [`LANES`]) from blocks by slot: a block itself where the
    /// slots are one, else copied to `scratch`.
    #[inline(always)]
    pub fn read<'a>(
        slots: &[usize],
        scratch: &'a mut Option<MeanLanes>,
        block: impl Fn(usize) -> Option<&'a MeanLanes>,
    ) -> &'a MeanLanes {
        match block_of(slots) {
            Some(number) => block(number).unwrap_or(&Self::UNKNOWN),
            None => scratch.insert(Self::gather(slots, block)),
        }
    }

    #[inline(never)]
    fn gather<'a>(slots: &[usize], block: impl Fn(usize) -> Option<&'a MeanLanes>) -> MeanLanes {
        let mut gathered = Self::UNKNOWN;
        let mut number = usize::MAX;
        let mut here = None;
        for (lane, slot) in slots.iter().enumerate() {
            if slot / LANES != number {
                number = slot / LANES;
                here = block(number);
            }
            if let Some(means) = here {
                gathered.set(lane, means.get(slot % LANES));
            }
        }
        gathered
    }
}

impl<const N: usize> MeanLanes<N> {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { mean: [0.0; N], weight: [0.0; N], at: [Tick::ZERO; N] };

    /// The means before any evidence: NaN in each lane.
    #[inline(always)]
    pub fn means(&self) -> [f32; N] {
        each_lane!(|i| if self.weight[i] > 0.0 { self.mean[i] } else { f32::NAN })
    }

    /// The means as they are stored: 0 where nothing is known.
    #[inline(always)]
    pub fn stored(&self) -> &[f32; N] {
        &self.mean
    }

    /// The evidence when the last value came in; 0 where nothing is known.
    #[inline(always)]
    pub fn most_weights(&self) -> &[f32; N] {
        &self.weight
    }

    /// The evidence left, in requests.
    #[inline(always)]
    pub fn weights(&self, now: Tick, memory: Memory) -> [f32; N] {
        // Two loops: one that mixes 64 and 32 bits would run at half the width.
        let ages: [f32; N] = each_lane!(|i| now.secs_since(self.at[i]));
        each_lane!(|i| self.weight[i] * memory.kept(ages[i]))
    }

    /// Milliseconds since the last value.
    #[inline(always)]
    pub fn idle_ms(&self, now: Tick) -> [f32; N] {
        each_lane!(|i| now.millis_since(self.at[i]))
    }

    /// One of them; nothing known beyond the last.
    #[inline]
    pub fn get(&self, lane: usize) -> DecayedMean {
        if lane >= N {
            return DecayedMean::default();
        }
        DecayedMean::from_parts(self.mean[lane], self.weight[lane], self.at[lane])
    }

    /// Replaces one of them.
    #[inline]
    pub fn set(&mut self, lane: usize, mean: DecayedMean) {
        if lane < N {
            (self.mean[lane], self.weight[lane], self.at[lane]) = mean.parts();
        }
    }

    /// Adds a value to one of them.
    pub fn observe(&mut self, lane: usize, value: f32, now: Tick, memory: Memory) {
        let mut mean = self.get(lane);
        mean.observe(value, now, memory);
        self.set(lane, mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMORY: Memory = Memory { half_life_secs: 3.0, max_requests: 50.0 };

    struct Weights<'a>(&'a MeanLanes, Tick, &'a mut [f32; LANES]);

    impl Loop for Weights<'_> {
        #[inline(always)]
        fn run(self) {
            *self.2 = self.0.weights(self.1, MEMORY);
        }
    }

    proptest! {
        /// What the log holds and what training replays is the same, whichever processor decided.
        #[test]
        fn lanes_give_the_bits_of_each_mean_alone(
            values in prop::collection::vec((0usize..LANES, -5.0f32..5.0, 0u64..10_000_000_000), 0..60), later in 0u64..1_000_000_000_000
        ) {
            let mut lanes: MeanLanes = MeanLanes::default();
            let mut alone = [DecayedMean::default(); LANES];
            let mut now = Tick::ZERO;
            for (lane, value, gap) in values {
                now = Tick::from_nanos(now.nanos() + gap);
                lanes.observe(lane, value, now, MEMORY);
                alone[lane].observe(value, now, MEMORY);
            }
            let now = Tick::from_nanos(now.nanos() + later);
            let mut weights = [0.0; LANES];
            run(Weights(&lanes, now, &mut weights));
            for (lane, mean) in alone.iter().enumerate() {
                prop_assert_eq!(weights[lane].to_bits(), mean.weight(now, MEMORY).to_bits());
                prop_assert_eq!(lanes.means()[lane].to_bits(), mean.mean().to_bits());
            }
        }
    }
}
