//! A forest compiled for decisions: all candidates of one request, each as it is and with one request more in flight.
//!
//! Three things make it cheaper than as many rows, and change no bit of a forecast:
//!
//! - Candidates come feature by feature ([`Columns`]), so sixteen are binned at a time and nothing is transposed.
//! - Only borders that some tree asks for are counted (`asked.rs`): a trained forest asks a feature some twenty questions, not
//!   two hundred.
//! - Trees that do not ask for the requests in flight say the same of a candidate with one request more. They are summed
//!   once, the others twice. Leaves are integers, so sums may be split.
//!
//! Rejected: bins kept with an endpoint's state and replaced when it changes. With the first two, binning is a tenth of a
//! decision; keeping bins would tie the feature store to a model and its reloads.

#![allow(unsafe_code, reason = "calls of functions that need a processor feature, after it was found")]

mod asked;
mod forecasts;

pub use forecasts::DecisionForecasts;

use crate::calibration::Calibration;
use crate::forest::{Forest, Split};
use crate::kernel::{BLOCK, Column, Kernel, Sums};
use crate::quantised::Quantised;
use asked::{Asked, Feature};
#[cfg(target_arch = "x86_64")]
use asked::{Search, search};
use tailcast_features::columns::{Columns, FIRST_OWN, Lane};
use tailcast_features::lanes::{LANES, Loop, run};
use tailcast_features::{each_lane, index};

/// Blocks of lanes in a block of the kernels.
const CHUNKS: usize = BLOCK / LANES;

/// A quantised forest, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DecisionForest {
    asked: Asked,
    /// Trees that ask for the requests in flight.
    loaded: Quantised,
    /// The others.
    rest: Quantised,
    base: Vec<f32>,
}

/// Which quantiles are wanted, and for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) depth: usize,
    pub(crate) group: u16,
    pub(crate) calibration: &'a Calibration,
    pub(crate) kernel: Kernel,
}

impl DecisionForest {
    /// `None` where the forest is not quantised.
    pub(crate) fn new(forest: &Forest) -> Option<Self> {
        let quantised = forest.quantised()?;
        let asked = Asked::new(forest);
        let is_loaded = |tree: usize| {
            let splits = forest.parts().trees.get(tree).map_or(&[][..], |tree| &tree.splits);
            splits.iter().any(|split| usize::from(split.feature) == index::IN_FLIGHT)
        };
        let question = |split: Split| asked.question(split);
        Some(Self {
            loaded: quantised.select(is_loaded, question),
            rest: quantised.select(|tree| !is_loaded(tree), question),
            asked,
            base: forest.parts().base.clone(),
        })
    }

    /// Forecasts the candidates of a decision.
    pub(crate) fn forecast(&self, wanted: Wanted<'_>, candidates: &Columns, out: &mut DecisionForecasts) {
        let depth = wanted.depth.min(self.base.len());
        out.reset(candidates.len(), depth, self.asked.len());
        run(ShareBins { asked: &self.asked, shared: candidates.shared(), columns: &mut out.columns });
        for block in 0..candidates.len().div_ceil(BLOCK) {
            let count = BLOCK.min(candidates.len() - block * BLOCK);
            let lanes = candidates.blocks().skip(block * CHUNKS).take(CHUNKS);
            self.block(wanted.kernel, depth, count, lanes, out);
            let read = Read { forest: self, wanted, depth, block, busier_at: busier_at(count), out };
            run(read);
        }
    }

    /// Sums the trees of up to a block of candidates.
    fn block<'a>(
        &self,
        kernel: Kernel,
        depth: usize,
        count: usize,
        lanes: impl Iterator<Item = &'a Lane>,
        out: &mut DecisionForecasts,
    ) {
        let busier_at = busier_at(count);
        let busier = &mut out.busier_bins;
        Bin { asked: &self.asked, busier_at, columns: &mut out.columns, busier }.run(kernel, lanes);
        kernel.sums(&self.rest, depth, &out.columns, count, &mut out.rest);
        let beside = if busier_at < BLOCK { busier_at + count } else { count };
        kernel.sums(&self.loaded, depth, &out.columns, beside, &mut out.loaded);
        if busier_at == BLOCK
            && let Some(position) = self.asked.position(index::IN_FLIGHT)
        {
            out.columns[position] = out.busier_bins;
            kernel.sums(&self.loaded, depth, &out.columns, count, &mut out.loaded_busier);
        }
    }
}

/// Where in a block the candidates with one request more lie beside those as they are; at its end where there is no room.
fn busier_at(count: usize) -> usize {
    match count {
        0..=8 => 8,
        9..=16 => 16,
        17..=32 => 32,
        _ => BLOCK,
    }
}

/// Bins of what all candidates have in common.
struct ShareBins<'a> {
    asked: &'a Asked,
    shared: &'a [f32],
    columns: &'a mut [Column],
}

impl Loop for ShareBins<'_> {
    #[inline(always)]
    fn run(self) {
        for (feature, column) in self.asked.features().zip(self.columns) {
            if let Some(value) = self.shared.get(feature.feature) {
                *column = [feature.bin(*value); BLOCK];
            }
        }
    }
}

/// Bins of the candidates of one block.
struct Bin<'a> {
    asked: &'a Asked,
    busier_at: usize,
    columns: &'a mut [Column],
    busier: &'a mut Column,
}

impl Bin<'_> {
    /// One loop, compiled around each processor's way to bin sixteen values.
    fn run<'a>(self, kernel: Kernel, lanes: impl Iterator<Item = &'a Lane>) {
        match kernel {
            // SAFETY: a kernel is only taken where the machine has its features.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if kernel.is_available() => unsafe { self.run_avx512(lanes) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 if kernel.is_available() => unsafe { self.run_avx2(lanes) },
            _ => self.run_with(lanes, Feature::bins),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn run_avx512<'a>(mut self, lanes: impl Iterator<Item = &'a Lane>) {
        let (fours, rest) = self.asked.searches().as_chunks::<4>();
        for (chunk, lanes) in lanes.enumerate() {
            let at = chunk * LANES;
            for four in fours {
                let counts =
                    search(four, [&lanes[four[0].own], &lanes[four[1].own], &lanes[four[2].own], &lanes[four[3].own]]);
                for (one, counts) in four.iter().zip(&counts) {
                    self.put(one, at, counts, lanes);
                }
            }
            for one in rest {
                let [counts] = search(std::array::from_ref(one), [&lanes[one.own]]);
                self.put(one, at, &counts, lanes);
            }
        }
    }

    /// Adds what one search tree found to the bins of its feature.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    fn put(&mut self, one: &Search, at: usize, counts: &[u8; LANES], lanes: &Lane) {
        let is_load = one.own == index::IN_FLIGHT - FIRST_OWN;
        let column = &mut self.columns[one.position];
        let mut bins = *counts;
        if !one.is_first {
            bins.iter_mut().zip(&column[at..at + LANES]).for_each(|(bin, before)| *bin += before);
        }
        let mut busier = bins;
        if is_load {
            [busier] = search(std::array::from_ref(one), [&each_lane!(|i| lanes[one.own][i] + 1.0)]);
            if !one.is_first {
                let before = match self.busier_at {
                    BLOCK => &self.busier[at..at + LANES],
                    8 => &column[8..8 + LANES],
                    beside => &column[beside + at..beside + at + LANES],
                };
                busier.iter_mut().zip(before).for_each(|(bin, before)| *bin += before);
            }
        }
        column[at..at + LANES].copy_from_slice(&bins);
        self.put_busier(one.position, at, is_load, &busier);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2<'a>(self, lanes: impl Iterator<Item = &'a Lane>) {
        self.run_with(lanes, |feature, values| feature.bins_avx2(values));
    }

    /// Writes bins with one request more in flight to where they belong.
    #[inline(always)]
    fn put_busier(&mut self, position: usize, at: usize, is_load: bool, busier: &[u8; LANES]) {
        let column = &mut self.columns[position];
        match self.busier_at {
            8 => column[8..16].copy_from_slice(&busier[..8]),
            BLOCK if is_load => self.busier[at..at + LANES].copy_from_slice(busier),
            BLOCK => {}
            beside => column[beside + at..beside + at + LANES].copy_from_slice(busier),
        }
    }

    #[inline(always)]
    fn run_with<'a>(
        mut self,
        lanes: impl Iterator<Item = &'a Lane>,
        bins_of: impl Fn(&Feature, &[f32; LANES]) -> [u8; LANES],
    ) {
        for (chunk, lanes) in lanes.enumerate() {
            let at = chunk * LANES;
            for (position, feature) in self.asked.features().enumerate() {
                let Some(values) = feature.feature.checked_sub(FIRST_OWN).and_then(|own| lanes.get(own)) else {
                    continue;
                };
                let bins = bins_of(feature, values);
                let is_load = feature.feature == index::IN_FLIGHT;
                let busier = if is_load { bins_of(feature, &each_lane!(|i| values[i] + 1.0)) } else { bins };
                self.columns[position][at..at + LANES].copy_from_slice(&bins);
                self.put_busier(position, at, is_load, &busier);
            }
        }
    }
}

/// Sums of one block to calibrated quantiles.
struct Read<'a> {
    forest: &'a DecisionForest,
    wanted: Wanted<'a>,
    depth: usize,
    block: usize,
    busier_at: usize,
    out: &'a mut DecisionForecasts,
}

impl Loop for Read<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { forest, wanted, out, busier_at, .. } = self;
        let unit = forest.rest.unit();
        for quantile in 0..self.depth {
            let offset = wanted.calibration.offset(forest.base.len(), wanted.group, quantile);
            let base = forest.base[quantile];
            let value = |rest: i32, loaded: i32| (base + (rest + loaded) as f32 * unit) + offset;
            let rest = &out.rest[quantile];
            let loaded = &out.loaded[quantile];
            let beside: &[i32] = if busier_at < BLOCK { &loaded[busier_at..] } else { &out.loaded_busier[quantile] };
            let (below, here) = out.now.split_at_mut(quantile);
            let below = below.last().map(|below| &below[self.block * BLOCK..][..BLOCK]);
            let values = &mut here[0][self.block * BLOCK..][..BLOCK];
            write(values, below, rest.iter().zip(loaded).map(|(rest, loaded)| value(*rest, *loaded)));
            let (below, here) = out.busier.split_at_mut(quantile);
            let below = below.last().map(|below| &below[self.block * BLOCK..][..BLOCK]);
            let values = &mut here[0][self.block * BLOCK..][..BLOCK];
            write(values, below, rest.iter().zip(beside).map(|(rest, loaded)| value(*rest, *loaded)));
        }
    }
}

/// Writes one quantile, lifted to the one below it.
#[inline(always)]
fn write(out: &mut [f32], below: Option<&[f32]>, values: impl Iterator<Item = f32>) {
    match below {
        None => out.iter_mut().zip(values).for_each(|(out, value)| *out = value),
        Some(below) => {
            out.iter_mut().zip(below).zip(values).for_each(|((out, below), value)| *out = value.max(*below));
        }
    }
}

/// Sums of a block that nobody has written yet.
pub(crate) const NO_SUMS: Sums = [[0; BLOCK]; crate::forecast::MAX_QUANTILES];
