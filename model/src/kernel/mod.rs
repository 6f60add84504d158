//! The innermost loops of a forecast: one entrance for whichever kernel the machine has.
//!
//! | module | is |
//! | --- | --- |
//! | `scalar` | the reference: plain Rust over 16-bit leaves, any machine |
//! | `avx2` | 32 candidates at a time, x86-64 since 2013 |
//! | `avx512` | 16 or 64 candidates at a time, x86-64 with AVX-512 VBMI |
//! | `float` | forests that cannot be quantised: f32 leaves |
//!
//! Leaves are integers in one unit for the whole forest (see [`crate::quantised`]), and integer sums do not depend on
//! the order of the additions: every kernel gives the bits of `scalar`, which a test holds. Chosen at run time, once.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod float;
mod scalar;

use crate::forecast::MAX_QUANTILES;
use crate::forest::Forest;
use crate::quantised::Quantised;
use std::sync::OnceLock;

/// Candidates of one block: a 512-bit register of bytes.
pub const BLOCK: usize = 64;

/// Bins of one feature for all candidates of a block.
pub(crate) type Column = [u8; BLOCK];

/// Sums of leaves, `[quantile][candidate]`.
pub(crate) type Sums = [[i32; BLOCK]; MAX_QUANTILES];

/// Which code adds up the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust.
    Scalar,
    /// 256-bit registers.
    Avx2,
    /// 512-bit registers with byte permutations over 64 entries (VBMI).
    Avx512,
}

impl Kernel {
    /// All of them, the plainest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The name in benchmarks and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// True where this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The best that this machine has.
    pub fn best() -> Self {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        *BEST.get_or_init(|| Self::ALL.into_iter().rev().find(|kernel| kernel.is_available()).unwrap_or(Self::Scalar))
    }

    /// Sums of leaves of the first `quantiles` and the first `count` candidates of a block; what is in the others' places afterwards has no
    /// meaning. A kernel that the machine lacks is replaced by the reference.
    pub(crate) fn sums(self, quantised: &Quantised, quantiles: usize, bins: &[Column], count: usize, sums: &mut Sums) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if avx2::is_available() => avx2::sums(quantised, quantiles, bins, count, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if avx512::is_available() => avx512::sums(quantised, quantiles, bins, count, sums),
            _ => scalar::sums(quantised, quantiles, bins, count, sums),
        }
    }
}

/// Forecasts one candidate; `out` holds one value for each quantile.
pub fn predict_bins(forest: &Forest, bins: &[u8], out: &mut [f32]) {
    match forest.quantised() {
        Some(quantised) => scalar::predict_bins(quantised, &forest.parts().base, bins, out),
        None => float::predict_bins(forest, bins, out),
    }
}

/// Forecasts `count` candidates at once with the best kernel of this machine. `bins` is column-major,
/// `bins[feature · stride + candidate]`, and `out` likewise, `out[quantile · stride + candidate]`.
///
/// # Panics
/// Where `count` is above `stride`, or a slice is too short for its layout.
pub fn predict_batch(forest: &Forest, bins: &[u8], stride: usize, count: usize, out: &mut [f32]) {
    predict_batch_with(Kernel::best(), forest, usize::MAX, bins, stride, count, out);
}

/// [`predict_batch`] with a given kernel, of the first `quantiles` only: who reads the median alone need not pay for the tail.
///
/// # Panics
/// As [`predict_batch`].
pub fn predict_batch_with(
    kernel: Kernel,
    forest: &Forest,
    quantiles: usize,
    bins: &[u8],
    stride: usize,
    count: usize,
    out: &mut [f32],
) {
    assert!(count <= stride, "{count} candidates do not fit a stride of {stride}");
    let Some(quantised) = forest.quantised() else { return float::predict_batch(forest, bins, stride, count, out) };
    let quantiles = quantiles.min(quantised.quantiles());
    let mut sums: Sums = [[0; BLOCK]; MAX_QUANTILES];
    let mut block: Vec<Column> = Vec::new();
    for start in (0..count).step_by(BLOCK) {
        let here = BLOCK.min(count - start);
        let columns: &[Column] = if stride == BLOCK {
            bins.as_chunks().0
        } else {
            block.resize(forest.feature_count(), [0; BLOCK]);
            for feature in forest.used_features() {
                let feature = usize::from(*feature);
                block[feature][..here].copy_from_slice(&bins[feature * stride + start..][..here]);
            }
            &block
        };
        kernel.sums(quantised, quantiles, columns, here, &mut sums);
        for (quantile, base) in forest.parts().base.iter().enumerate().take(quantiles) {
            let values = &mut out[quantile * stride + start..][..here];
            for (value, sum) in values.iter_mut().zip(&sums[quantile]) {
                *value = base + *sum as f32 * quantised.unit();
            }
        }
    }
}

#[cfg(test)]
mod tests;
