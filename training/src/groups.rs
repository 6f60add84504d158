//! Tenant groups: k-means (linfa) over what a tenant's traffic looks like.
//!
//! Calibration and the bandit need rows: a tenant with fifty requests has no 99th percentile of its own, but its
//! group has. Four numbers describe a tenant: mean log-latency, log of its request rate, mean log of its body
//! sizes, share of writes. Rejected: groups by name or by configuration (they say who pays, not how traffic
//! behaves), and clustering rows instead of tenants (one tenant must have one group).

use crate::dataset::Dataset;
use crate::error::TrainError;
use linfa::dataset::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use tailcast_features::index;

/// Groups at most: each needs some hundred calibration rows, and a demo's log has a thousand.
pub const MAX_GROUPS: usize = 4;

/// Numbers in a profile.
const PROFILE: usize = 4;

/// What a tenant's traffic looks like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TenantProfile {
    /// Mean natural log of latency in milliseconds.
    pub mean_ln_ms: f64,
    /// Natural log of requests a second.
    pub ln_rate: f64,
    /// Mean of `ln(1 + bytes)` of the bodies.
    pub mean_ln_bytes: f64,
    /// Share of writes.
    pub write_ratio: f64,
}

/// One group, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Tenants in the group.
    pub tenants: usize,
    /// Train rows of the group.
    pub rows: usize,
    /// Names of a few of its tenants.
    pub examples: Vec<String>,
    /// The mean profile of its tenants.
    pub profile: TenantProfile,
}

/// The group of every tenant.
#[derive(Debug, Clone)]
pub struct TenantGroups {
    /// Group of each tenant, by its number in the data set.
    pub of_tenant: Vec<u32>,
    /// What each group is, in rising order of mean log-latency.
    pub groups: Vec<GroupReport>,
    /// The group of a tenant that was never seen: the one with the most rows.
    pub default_group: u32,
}

impl TenantGroups {
    /// Groups the tenants of the train slice.
    ///
    /// # Errors
    /// linfa refuses the profiles.
    pub fn fit(train: &Dataset) -> Result<Self, TrainError> {
        let (tenants, profiles, rows) = profiles(train);
        let assigned = cluster(&profiles)?;
        let mut of_tenant = vec![u32::MAX; train.names().tenants.len()];
        for (tenant, group) in tenants.iter().zip(&assigned) {
            of_tenant[*tenant] = *group;
        }
        let count = assigned.iter().max().map_or(1, |last| *last as usize + 1);
        let groups: Vec<GroupReport> = (0..count as u32)
            .map(|group| {
                let members: Vec<usize> = (0..tenants.len()).filter(|i| assigned[*i] == group).collect();
                GroupReport {
                    tenants: members.len(),
                    rows: members.iter().map(|i| rows[*i]).sum(),
                    examples: members
                        .iter()
                        .take(3)
                        .map(|i| train.names().tenants.name(tenants[*i] as u32).to_owned())
                        .collect(),
                    profile: mean_profile(&members.iter().map(|i| profiles[*i]).collect::<Vec<_>>()),
                }
            })
            .collect();
        let default_group = (0..count).max_by_key(|group| groups[*group].rows).unwrap_or(0) as u32;
        // Tenants that first appear after the train slice are as unknown as those of tomorrow.
        of_tenant.iter_mut().filter(|group| **group == u32::MAX).for_each(|group| *group = default_group);
        Ok(Self { of_tenant, groups, default_group })
    }

    /// The group of every row.
    pub fn of_rows(&self, dataset: &Dataset) -> Vec<u32> {
        let of = |tenant: &u32| self.of_tenant.get(*tenant as usize).copied().unwrap_or(self.default_group);
        dataset.tenant.iter().map(of).collect()
    }
}

/// Tenants with evidence, their profiles and their rows.
fn profiles(train: &Dataset) -> (Vec<usize>, Vec<[f64; PROFILE]>, Vec<usize>) {
    let arrivals = train.arrivals_us();
    let span = arrivals.last().zip(arrivals.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
    let seconds = (span as f64 / 1e6).max(1.0);
    let mut sums = vec![([0.0f64; PROFILE], 0usize, 0usize); train.names().tenants.len()];
    for row in 0..train.len() {
        let Some((sum, count, sized)) = sums.get_mut(train.tenant[row] as usize) else { continue };
        sum[0] += f64::from(train.label[row]);
        let size = train.features[index::REQUEST_SIZE][row];
        if size.is_finite() {
            sum[2] += f64::from(size);
            *sized += 1;
        }
        sum[3] += f64::from(train.features[index::METHOD_WRITE][row].max(0.0));
        *count += 1;
    }
    let mut known = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, (sum, count, sized)) in sums.into_iter().enumerate().filter(|(_, (_, count, _))| *count > 0) {
        let n = count as f64;
        known.0.push(tenant);
        known.1.push([sum[0] / n, (n / seconds).ln(), sum[2] / sized.max(1) as f64, sum[3] / n]);
        known.2.push(count);
    }
    known
}

fn mean_profile(profiles: &[[f64; PROFILE]]) -> TenantProfile {
    let mean = |i: usize| profiles.iter().map(|profile| profile[i]).sum::<f64>() / profiles.len().max(1) as f64;
    TenantProfile { mean_ln_ms: mean(0), ln_rate: mean(1), mean_ln_bytes: mean(2), write_ratio: mean(3) }
}

/// The group of each profile, groups numbered by rising mean log-latency.
fn cluster(profiles: &[[f64; PROFILE]]) -> Result<Vec<u32>, TrainError> {
    let points = standardised(profiles);
    let starts = farthest_first(&points, MAX_GROUPS);
    if starts.len() < 2 {
        return Ok(vec![0; profiles.len()]);
    }
    let matrix = |rows: &[usize]| Array2::from_shape_fn((rows.len(), PROFILE), |(row, i)| points[rows[row]][i]);
    let all: Vec<usize> = (0..points.len()).collect();
    let observations = DatasetBase::from(matrix(&all));
    // Started from the farthest points and not by chance: the same tenants always give the same groups.
    let model = KMeans::params(starts.len())
        .init_method(KMeansInit::Precomputed(matrix(&starts)))
        .n_runs(1)
        .fit(&observations)
        .map_err(|error| TrainError::Fit { what: "tenant groups", reason: error.to_string() })?;
    let raw: Vec<usize> = model.predict(observations.records()).to_vec();
    Ok(renumbered(&raw, profiles))
}

fn standardised(profiles: &[[f64; PROFILE]]) -> Vec<[f64; PROFILE]> {
    let n = profiles.len().max(1) as f64;
    let mut points = profiles.to_vec();
    for i in 0..PROFILE {
        let mean = profiles.iter().map(|profile| profile[i]).sum::<f64>() / n;
        let spread = (profiles.iter().map(|profile| (profile[i] - mean).powi(2)).sum::<f64>() / n).sqrt();
        for point in &mut points {
            point[i] = if spread > 1e-9 { (point[i] - mean) / spread } else { 0.0 };
        }
    }
    points
}

/// Up to `count` distinct points, each as far as possible from those before it (Gonzalez 1985).
fn farthest_first(points: &[[f64; PROFILE]], count: usize) -> Vec<usize> {
    let distance = |a: usize, b: usize| -> f64 { (0..PROFILE).map(|i| (points[a][i] - points[b][i]).powi(2)).sum() };
    let mut chosen: Vec<usize> = if points.is_empty() { Vec::new() } else { vec![0] };
    while chosen.len() < count {
        let nearest = |point: usize| chosen.iter().map(|start| distance(point, *start)).fold(f64::MAX, f64::min);
        match (0..points.len()).map(|point| (point, nearest(point))).max_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((point, far)) if far > 1e-9 => chosen.push(point),
            _ => break,
        }
    }
    chosen
}

fn renumbered(raw: &[usize], profiles: &[[f64; PROFILE]]) -> Vec<u32> {
    let mut used: Vec<usize> = raw.to_vec();
    used.sort_unstable();
    used.dedup();
    let mean = |group: usize| {
        let members: Vec<f64> =
            raw.iter().zip(profiles).filter(|(g, _)| **g == group).map(|(_, profile)| profile[0]).collect();
        members.iter().sum::<f64>() / members.len().max(1) as f64
    };
    used.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)));
    raw.iter().map(|group| used.iter().position(|known| known == group).unwrap_or(0) as u32).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn two_kinds_of_tenants_are_told_apart_and_numbered_by_latency() {
        let profiles: Vec<[f64; PROFILE]> = (0..12)
            .map(|i| {
                let jitter = f64::from(i) * 0.01;
                if i % 2 == 0 { [4.0 + jitter, 1.0, 2.0, 0.9] } else { [1.0 + jitter, 3.0, 0.0, 0.1] }
            })
            .collect();
        let groups = cluster(&profiles).unwrap();
        let slow: Vec<u32> = groups.iter().step_by(2).copied().collect();
        let fast: Vec<u32> = groups.iter().skip(1).step_by(2).copied().collect();
        assert!(fast.iter().max() < slow.iter().min(), "{groups:?}");
        assert_eq!(groups, cluster(&profiles).unwrap());
    }

    #[test]
    fn equal_tenants_are_one_group_and_none_are_none() {
        assert_eq!(cluster(&[[1.0; PROFILE]; 5]).unwrap(), vec![0; 5]);
        assert!(cluster(&[]).unwrap().is_empty());
        assert_eq!(cluster(&[[1.0; PROFILE]]).unwrap(), vec![0]);
    }
}
