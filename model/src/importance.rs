//! Which features the trees gained from: for reports only, never read by a forecast.
//!
//! The gain of a feature is the sum over its splits of what the split took off the training objective, divided by
//! the sum over all features. Rejected: permutation importance (needs the data, which the artefact does not carry).

use tailcast_features::FEATURES;

/// The features with a gain, the largest first, as shares that sum to 1; empty where there is no gain at all.
pub fn ranked(gains: &[f32]) -> Vec<(&'static str, f32)> {
    let total: f32 = gains.iter().sum();
    let mut ranked: Vec<(&'static str, f32)> = FEATURES
        .iter()
        .zip(gains)
        .filter(|(_, gain)| **gain > 0.0)
        .map(|(feature, gain)| (feature.name, gain / total))
        .collect();
    // Stable: features of equal gain stay in the order of the schema.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_become_shares_in_falling_order_and_zeros_are_left_out() {
        let ranked = ranked(&[1.0, 0.0, 3.0]);
        assert_eq!(ranked, [(FEATURES[2].name, 0.75), (FEATURES[0].name, 0.25)]);
    }

    #[test]
    fn a_forest_without_gain_has_no_ranking() {
        assert_eq!(ranked(&[0.0; 4]), []);
        assert_eq!(ranked(&[]), []);
    }
}
