//! Additive corrections of the forest's quantiles, one for each tenant group and quantile.
//!
//! In log units a shift is a factor. After the shift each quantile is lifted to the one below it, so that a
//! forecast never crosses. Rejected: folding the shift of the only group into the leaves. It would save an
//! addition, and the artefact could no longer say what was learned and what was calibrated.

use crate::artefact::error::ArtefactError;
use crate::forecast::Forecast;

/// Shifts in natural log of milliseconds, `[group][quantile]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibration {
    /// All shifts, group by group; as many as groups times quantiles.
    pub offsets: Vec<f32>,
}

impl Calibration {
    /// No shift for any of `groups` groups.
    pub fn zero(groups: usize, quantiles: usize) -> Self {
        Self { offsets: vec![0.0; groups * quantiles] }
    }

    pub(crate) fn validate(&self, groups: usize, quantiles: usize) -> Result<(), ArtefactError> {
        let shape = vec![groups, quantiles];
        ArtefactError::check_len("calibration.offsets", self.offsets.len(), shape)?;
        ArtefactError::check_finite("calibration.offsets", &self.offsets)
    }

    /// The shift of one quantile of a model with so many; 0 for a group that does not exist.
    #[inline]
    pub(crate) fn offset(&self, quantiles: usize, group: u16, quantile: usize) -> f32 {
        self.offsets.get(usize::from(group) * quantiles + quantile).copied().unwrap_or(0.0)
    }

    /// Shifts a forecast, of the first quantiles of a model with so many; a group that does not exist shifts nothing.
    pub(crate) fn apply(&self, forecast: &mut Forecast, quantiles: usize, group: u16) {
        let start = usize::from(group) * quantiles;
        for (value, offset) in forecast.ln_ms[..forecast.n].iter_mut().zip(self.offsets.get(start..).unwrap_or(&[])) {
            *value += offset;
        }
        forecast.uncross();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn each_group_has_its_own_shift_and_the_result_never_crosses() {
        let calibration = Calibration { offsets: vec![0.0, 0.5, 1.0, -2.0] };
        let raw = Forecast { ln_ms: [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], n: 2 };
        let shifted = |group: u16| {
            let mut forecast = raw;
            calibration.apply(&mut forecast, 2, group);
            forecast.ln_ms().to_vec()
        };
        assert_eq!(shifted(0), [1.0, 2.5]);
        assert_eq!(shifted(1), [2.0, 2.0], "0.0 would be below the median");
        assert_eq!(shifted(2), [1.0, 2.0], "no such group");
    }

    #[test]
    fn wrong_shapes_and_values_are_refused() {
        let refusal = |offsets: Vec<f32>| Calibration { offsets }.validate(2, 2).unwrap_err().to_string();
        assert!(refusal(vec![0.0; 3]).contains("calibration.offsets"));
        assert!(refusal(vec![0.0, 0.0, f32::NAN, 0.0]).contains("at 2"));
        assert!(Calibration::zero(2, 2).validate(2, 2).is_ok());
    }
}
