//! Latencies in bins of equal ratio: constant memory, quantiles to a quarter of a percent.
//!
//! Rejected: keeping every latency and sorting (exact, but tens of megabytes a run, and the marks are ratios of a
//! few percent), and a sketch (the bounds of latency are known here, so fixed bins are simpler and exact in rank).

/// Width of a bin, natural log: 0.5 %.
const WIDTH: f64 = 0.005;

/// Lower end, milliseconds: below the shortest service of any scenario.
const LOWEST_MS: f64 = 0.01;

/// Bins: up to about 220 s.
const BINS: usize = 3_400;

/// A histogram of latencies in milliseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    bins: Vec<u32>,
    count: u64,
    sum_ms: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0; BINS], count: 0, sum_ms: 0.0 }
    }
}

impl Histogram {
    /// Adds a latency in milliseconds.
    pub fn add(&mut self, ms: f64) {
        let bin = ((ms.max(LOWEST_MS) / LOWEST_MS).ln() / WIDTH) as usize;
        self.bins[bin.min(BINS - 1)] += 1;
        self.count += 1;
        self.sum_ms += ms;
    }

    /// Latencies added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean in milliseconds; NaN without latencies.
    pub fn mean_ms(&self) -> f64 {
        self.sum_ms / self.count as f64
    }

    /// The quantile at `level` in milliseconds, in the middle of its bin; NaN without latencies.
    pub fn quantile_ms(&self, level: f64) -> f64 {
        let rank = (self.count as f64 * level).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bin, count) in self.bins.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return LOWEST_MS * ((bin as f64 + 0.5) * WIDTH).exp();
            }
        }
        f64::NAN
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            *bin += more;
        }
        self.count += other.count;
        self.sum_ms += other.sum_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_half_a_percent() {
        let mut histogram = Histogram::default();
        for i in 1..=10_000 {
            histogram.add(f64::from(i) * 0.1);
        }
        for level in [0.5, 0.9, 0.99, 0.999] {
            let error = histogram.quantile_ms(level) / (1_000.0 * level) - 1.0;
            assert!(error.abs() < 0.005, "{level}: {error}");
        }
        assert!((histogram.mean_ms() - 500.05).abs() < 1e-6);
        assert!(Histogram::default().quantile_ms(0.5).is_nan());
    }

    #[test]
    fn extreme_latencies_fall_into_the_end_bins() {
        let mut histogram = Histogram::default();
        histogram.add(0.0);
        histogram.add(1e12);
        assert_eq!(histogram.count(), 2);
    }
}
