//! How long a policy needs to come back to the oracle's tail after a change.

/// A second is good where its p99 is at most this times the oracle's.
const NEAR: f64 = 1.3;

/// Seconds in a row that must be good: a single one is luck.
const STEADY: usize = 3;

/// Seconds from `from` until [`STEADY`] good seconds begin; the length of the rest where they never do. The oracle's
/// tail is its median second from `from` on, since a single second of it is noisy itself.
pub(super) fn seconds(own: &[f64], oracle: &[f64], from: usize) -> f64 {
    let mut calm: Vec<f64> = oracle.iter().skip(from).copied().filter(|p99| p99.is_finite()).collect();
    calm.sort_by(f64::total_cmp);
    let Some(bound) = calm.get(calm.len() / 2).map(|median| median * NEAR) else { return f64::NAN };
    let own = own.get(from..).unwrap_or(&[]);
    let good = |second: &f64| *second <= bound;
    own.windows(STEADY).position(|window| window.iter().all(good)).unwrap_or(own.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_is_the_first_of_three_good_seconds() {
        let oracle = [10.0; 8];
        let own = [10.0, 90.0, 40.0, 12.0, 40.0, 12.0, 12.5, 11.0];
        assert_eq!(seconds(&own, &oracle, 1), 4.0);
        assert_eq!(seconds(&[90.0; 8], &oracle, 1), 7.0);
    }
}
