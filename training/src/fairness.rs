//! Whom a policy serves better, and whom worse: each tenant's own A/B, from a log that holds both arms.
//!
//! A policy can halve the p99 of all and still take from some: the mean over tenants hides whoever is small. So every tenant with
//! rows enough is tested by itself ([`crate::sequential`]), the others together; a tenant counts as served worse only where
//! its always-valid interval says so at 5 % over all tenants at once (Bonferroni: with a hundred tenants, five would be "worse" by
//! chance otherwise). Jain's index of what tenants gain (Jain, Chiu & Hawe 1984: `(Σx)²/(n·Σx²)`, 1 where all gain alike,
//! `1/n` where one gains all) is one number for the whole.
//!
//! Rejected: comparing tenants' latencies with each other (tenants ask for different work), and p99 alone (a tenant with a
//! thousand requests has ten beyond it).

use crate::dataset::Dataset;
use crate::sequential::{self, LiveTest};
use serde::{Deserialize, Serialize};

/// Tenants tested one by one, those with the most rows; the others are tested together.
pub const MAX_TENANTS: usize = 200;

/// One tenant under both policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantFairness {
    /// Name; `None` for all tenants that are too small to be tested by themselves.
    pub tenant: Option<String>,
    /// Tenants behind the row.
    pub tenants: usize,
    /// Its A/B.
    pub test: LiveTest,
    /// True where it is served worse, and that is no accident.
    pub is_worse: bool,
}

impl TenantFairness {
    /// Its latency under the control over that under the treatment, in the mean of logs: above 1 it gains.
    pub fn gain(&self) -> f64 {
        (-self.test.ln_latency.value).exp()
    }
}

/// All tenants under both policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// The tenants, whoever gains least first.
    pub tenants: Vec<TenantFairness>,
    /// Jain's index of the gains of those tested by themselves; NaN with fewer than two.
    pub jain_index: f64,
    /// How many are served worse, and that is no accident.
    pub worse: usize,
}

/// Jain's index of numbers that are not negative; NaN without any, or where all are 0.
pub fn jain_index(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    sum * sum / (values.len() as f64 * squares)
}

/// Tests each tenant of a log whose rows are in order of arrival, in blocks of at least `block_us` microseconds.
pub fn by_tenant(rows: &Dataset, control: &str, treatment: &str, block_us: i64) -> Fairness {
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); rows.names().tenants.len()];
    for (row, tenant) in rows.tenant.iter().enumerate() {
        if let Some(of_tenant) = rows_of.get_mut(*tenant as usize) {
            of_tenant.push(row);
        }
    }
    let mut order: Vec<usize> = (0..rows_of.len()).filter(|tenant| !rows_of[*tenant].is_empty()).collect();
    order.sort_by_key(|tenant| std::cmp::Reverse(rows_of[*tenant].len()));
    let (mut tenants, mut others, mut small) = (Vec::new(), Vec::new(), 0);
    let one = |name: Option<&str>, count: usize, of: &[usize]| -> Option<TenantFairness> {
        let own = rows.take(of);
        // Too few rows of an arm is no error here: the tenant goes to the others.
        let test = sequential::compare(&own, control, treatment, block_us).ok()?;
        Some(TenantFairness { tenant: name.map(str::to_owned), tenants: count, test, is_worse: false })
    };
    for (rank, tenant) in order.into_iter().enumerate() {
        let name = rows.names().tenants.name(tenant as u32);
        match (rank < MAX_TENANTS).then(|| one(Some(name), 1, &rows_of[tenant])).flatten() {
            Some(found) => tenants.push(found),
            None => {
                others.extend_from_slice(&rows_of[tenant]);
                small += 1;
            }
        }
    }
    let gains: Vec<f64> = tenants.iter().map(TenantFairness::gain).collect();
    let jain_index = if gains.len() < 2 { f64::NAN } else { jain_index(&gains) };
    others.sort_unstable();
    tenants.extend(one(None, small, &others));
    let level = 0.05 / tenants.len().max(1) as f64;
    for tenant in &mut tenants {
        let slower = |one: &sequential::Difference| one.value > 0.0 && one.p_value < level;
        tenant.is_worse = slower(&tenant.test.ln_latency) || slower(&tenant.test.slow_ratio);
    }
    tenants.sort_by(|a, b| a.gain().total_cmp(&b.gain()));
    let worse = tenants.iter().filter(|tenant| tenant.is_worse).count();
    Fairness { tenants, jain_index, worse }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Requests of two large tenants and many small ones, half of them by each policy. The treatment takes half of the time,
    /// but twice of it for "loses".
    fn log(rows: usize) -> Dataset {
        let names: Vec<String> = (0..50).map(|number| format!("small-{number}")).collect();
        let names: &'static [String] = Vec::leak(names);
        let mut random = Pcg64Mcg::seed_from_u64(5);
        let mut number = 0i64;
        testing::dataset(rows, |row| {
            number += 1;
            row.arrival_us = number * 10_000;
            row.tenant = match number % 4 {
                0 => "gains",
                1 => "loses",
                _ => &names[(number / 4 % 50) as usize],
            };
            let is_treated = random.random_bool(0.5);
            row.policy = if is_treated { "predictive" } else { "peak_ewma" };
            let factor = match (is_treated, row.tenant) {
                (false, _) => 1.0f32,
                (true, "loses") => 2.0,
                (true, _) => 0.5,
            };
            row.ln_ms = -(1.0 - random.random::<f32>()).ln() + factor.ln();
            testing::features(&[])
        })
    }

    #[test]
    fn whoever_loses_is_named_first_and_small_tenants_are_tested_together() {
        let found = by_tenant(&log(40_000), "peak_ewma", "predictive", 1_000_000);
        let names: Vec<Option<&str>> = found.tenants.iter().map(|one| one.tenant.as_deref()).collect();
        assert_eq!(names[0], Some("loses"));
        assert!(names.contains(&Some("gains")) && names.contains(&None));
        assert_eq!(found.worse, 1);
        assert!(found.tenants[0].is_worse && !found.tenants[1].is_worse);
        let others = found.tenants.iter().find(|one| one.tenant.is_none()).unwrap();
        assert_eq!(others.tenants, 50);
        assert!((others.gain() - 2.0).abs() < 0.2, "{}", others.gain());
        // Gains of 0.5 and 2: 2.5² / (2 · 4.25).
        assert!((found.jain_index - 0.735).abs() < 0.03, "{}", found.jain_index);
    }

    #[test]
    fn jain_is_one_where_all_gain_alike_and_one_over_n_where_one_gains_all() {
        assert_eq!(jain_index(&[3.0; 7]), 1.0);
        assert_eq!(jain_index(&[1.0, 0.0, 0.0, 0.0]), 0.25);
        assert!(jain_index(&[]).is_nan());
    }

    #[test]
    fn a_log_without_the_control_has_nobody_to_test() {
        let found = by_tenant(&log(400), "random", "predictive", 1_000_000);
        assert!(found.tenants.is_empty() && found.worse == 0 && found.jain_index.is_nan());
    }
}
