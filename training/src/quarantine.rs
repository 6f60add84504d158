//! Rows that one tenant would poison the others' forecasts with.
//!
//! A tenant can send requests that take an hour, by mistake or by intent. The pinball loss does not care how large an
//! outlier is, but it counts them, and a fortieth of the rows moves a 99th percentile. So rows are absurd that lie far
//! beyond what is usual, where usual is the median *over tenants* of the tenants' own median and 90th percentile: one
//! vote a tenant, whatever it sends. Of a tenant whose share of such rows is out of line with the others' they are left
//! out, and said. Absurd rows that come from everywhere are no poison but a bad day, and stay.
//!
//! A tenant that is honestly so slow loses rows and not service: it is forecast from its features, which know its cost.
//! Rejected: clipping labels (the count is what poisons), and leaving out every outlier (the tail is what is learned).

use crate::dataset::Dataset;
use serde::{Deserialize, Serialize};

/// Beyond the median by this many times the way from the median to the 90th percentile: of an exponential tail one row in a
/// hundred thousand, and of a tenant ten times slower than the others one in a thousand.
const SPREADS: f32 = 7.0;

/// And at least by this, natural log units: a twentyfold latency is no noise.
const LEAST: f32 = 3.0;

/// And at most by this: no service's usual latencies span four decades.
const MOST: f32 = 9.2;

/// Share of a tenant's rows that is out of line: ten times what the 99.9th percentile may leave out.
const SHARE: f64 = 0.01;

/// And at least so many times the median share of the tenants.
const TIMES: f64 = 5.0;

/// Rows that a tenant needs for a vote.
const MIN_ROWS: usize = 20;

/// Tenants that are needed for there to be a usual.
const MIN_TENANTS: usize = 3;

/// A tenant whose absurd rows were left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Name of the tenant.
    pub tenant: String,
    /// Its rows.
    pub rows: usize,
    /// Those left out.
    pub absurd: usize,
    /// What a latency had to be above, milliseconds.
    pub bound_ms: f64,
}

/// The rows without those of poisoning tenants, and the tenants.
pub(crate) fn quarantine(dataset: Dataset) -> (Dataset, Vec<Quarantined>) {
    let mut labels: Vec<Vec<f32>> = vec![Vec::new(); dataset.names().tenants.len()];
    for row in (0..dataset.len()).filter(|row| dataset.is_evidence(*row) || dataset.outcome[*row].is_censored()) {
        labels[dataset.tenant[row] as usize].push(dataset.label[row]);
    }
    let votes: Vec<&mut Vec<f32>> = labels.iter_mut().filter(|labels| labels.len() >= MIN_ROWS).collect();
    if votes.len() < MIN_TENANTS {
        return (dataset, Vec::new());
    }
    let (medians, nineties): (Vec<f32>, Vec<f32>) =
        votes.into_iter().map(|labels| (quantile(labels, 0.5), quantile(labels, 0.9))).unzip();
    let (centre, upper) = (median(medians), median(nineties));
    let bound = centre + (SPREADS * (upper - centre)).clamp(LEAST, MOST);
    let absurd: Vec<usize> = labels.iter().map(|of| of.iter().filter(|label| **label > bound).count()).collect();
    let shares: Vec<f64> =
        absurd.iter().zip(&labels).map(|(absurd, of)| *absurd as f64 / of.len().max(1) as f64).collect();
    let with_vote = shares.iter().zip(&labels).filter(|(_, of)| of.len() >= MIN_ROWS);
    let usual = median(with_vote.map(|(share, _)| *share as f32).collect());
    let limit = SHARE.max(TIMES * f64::from(usual));
    let is_out: Vec<bool> = shares.iter().map(|share| *share > limit).collect();
    if !is_out.contains(&true) {
        return (dataset, Vec::new());
    }
    let found = (0..labels.len())
        .filter(|tenant| is_out[*tenant])
        .map(|tenant| Quarantined {
            tenant: dataset.names().tenants.name(tenant as u32).to_owned(),
            rows: labels[tenant].len(),
            absurd: absurd[tenant],
            bound_ms: f64::from(bound).exp(),
        })
        .collect();
    let stays = |row: &usize| !(is_out[dataset.tenant[*row] as usize] && dataset.label[*row] > bound);
    let kept: Vec<usize> = (0..dataset.len()).filter(stays).collect();
    (dataset.take(&kept), found)
}

/// The value of rank `⌈level·n⌉`.
fn quantile(values: &mut [f32], level: f64) -> f32 {
    let rank = ((level * values.len() as f64).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    if rank < values.len() { *values.select_nth_unstable_by(rank, f32::total_cmp).1 } else { f32::NAN }
}

fn median(mut values: Vec<f32>) -> f32 {
    quantile(&mut values, 0.5)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    const TENANTS: [&str; 5] = ["a", "b", "c", "d", "e"];

    /// Five tenants with exponential tails; `spoil` may change a label.
    fn dataset(spoil: impl Fn(usize, &str, f32) -> f32) -> Dataset {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let mut number = 0;
        testing::dataset(5_000, |row| {
            row.tenant = TENANTS[number % 5];
            row.ln_ms = spoil(number, row.tenant, 2.0 - 0.5 * (1.0 - random.random::<f32>()).ln());
            number += 1;
            testing::features(&[])
        })
    }

    #[test]
    fn a_tenant_with_absurd_latencies_loses_those_rows_and_is_named() {
        let (kept, found) =
            quarantine(dataset(|number, tenant, ln| if tenant == "c" && number % 2 == 0 { 15.0 } else { ln }));
        assert_eq!(kept.len(), 4_500);
        assert_eq!((found.len(), found[0].tenant.as_str(), found[0].absurd), (1, "c", 500));
        assert!(found[0].bound_ms > 100.0 && found[0].bound_ms < 1e6);
    }

    #[test]
    fn a_tail_and_a_bad_day_of_all_stay() {
        let sound = quarantine(dataset(|_, _, ln| ln));
        assert_eq!((sound.0.len(), sound.1.len()), (5_000, 0));
        let bad_day = quarantine(dataset(|number, _, ln| if number % 20 < 5 { ln + 9.0 } else { ln }));
        assert_eq!(bad_day.1.len(), 0);
        let slow = quarantine(dataset(|_, tenant, ln| if tenant == "c" { ln + 2.5 } else { ln }));
        assert_eq!(slow.1.len(), 0, "twelve times slower is a tenant of its own kind");
    }

    #[test]
    fn two_tenants_have_no_usual() {
        let (kept, found) = quarantine(testing::dataset(1_000, |row| {
            row.ln_ms = 20.0;
            testing::features(&[])
        }));
        assert!(found.is_empty() && kept.len() == 1_000);
    }
}
