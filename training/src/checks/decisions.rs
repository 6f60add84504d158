//! Checks on the decision: without exact propensities a row says nothing of what another choice would have done.

use super::Check;
use crate::error::TrainError;
use crate::load::Lists;
use polars::prelude::*;
use tailcast_features::hash::hash_name;
use tailcast_features::log::column;

/// Propensities are f32 sums over at most some hundred candidates: off by less than this, or wrong.
const TOLERANCE: f32 = 1e-3;

/// The checks on propensities and candidates, in the order in which they run.
pub(super) fn checks(frame: &DataFrame) -> Result<Vec<Check>, TrainError> {
    let height = frame.height();
    let endpoints = frame.column(column::ENDPOINT)?.str()?;
    let chosen = frame.column(column::PROPENSITY)?.f32()?.cont_slice()?;
    let candidates = Lists::new(frame, column::CANDIDATES)?;
    let shares = Lists::new(frame, column::CANDIDATE_PROPENSITIES)?;
    let (all_names, all_values) = (candidates.u64s()?, shares.f32s()?);
    let mut out_of_range = vec![false; height];
    let mut not_one = vec![false; height];
    let mut not_among = vec![false; height];
    let mut disagree = vec![false; height];
    for row in 0..height {
        let propensity = chosen[row];
        out_of_range[row] = !(propensity > 0.0 && propensity <= 1.0 + TOLERANCE);
        let names = all_names.get(candidates.range(row)).unwrap_or(&[]);
        let values = all_values.get(shares.range(row)).unwrap_or(&[]);
        let sum: f32 = values.iter().sum();
        let in_range = values.iter().all(|value| (0.0..=1.0 + TOLERANCE).contains(value));
        not_one[row] = names.len() != values.len() || !in_range || (sum - 1.0).abs() > TOLERANCE;
        let key = hash_name(endpoints.get(row).unwrap_or(""));
        match names.iter().position(|name| *name == key) {
            None => not_among[row] = true,
            Some(position) => {
                let logged = values.get(position).copied().unwrap_or(f32::NAN);
                disagree[row] = (logged - propensity).abs() > TOLERANCE;
            }
        }
    }
    let check = |name, reason: &str, fails| Check { name, reason: reason.to_owned(), fails };
    Ok(vec![
        check("propensity_range", "the chosen endpoint's propensity is outside (0, 1]", out_of_range),
        check("not_a_candidate", "the chosen endpoint is not among the candidates", not_among),
        check("propensity_sum", "the candidates' propensities are not in [0, 1] or do not sum to 1", not_one),
        check("propensity_differs", "the chosen endpoint's propensity is not its propensity as a candidate", disagree),
    ])
}
