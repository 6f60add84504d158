//! Tenant groups: which calibration and which bandit weights a tenant gets.
//!
//! A tenant with few rows has no tail of its own, its group has. Known tenants are looked up by the stable hash
//! of their name; for the others there are a default group and the groups' centroids in profile space. Rejected:
//! names in the artefact (tenant names may be secrets, and a hash is a fixed eight bytes).

use crate::artefact::error::ArtefactError;

/// Groups a model may have: each needs hundreds of rows of its own, and dozens are already many.
pub const MAX_GROUPS: usize = 256;

/// The group of each tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantGroups {
    /// Stable hash of the tenant's name and its group, ascending by hash.
    pub tenants: Vec<(u64, u16)>,
    /// Groups there are, at least one.
    pub count: usize,
    /// Centroids in profile space, `[group][dimension]`, all of the same length, which may be zero.
    pub centroids: Vec<Vec<f32>>,
    /// Group of a tenant that the model does not know.
    pub default_group: u16,
}

impl Default for TenantGroups {
    fn default() -> Self {
        Self { tenants: Vec::new(), count: 1, centroids: vec![Vec::new()], default_group: 0 }
    }
}

impl TenantGroups {
    /// The group of the tenant with this hash.
    pub fn group_of(&self, tenant: u64) -> u16 {
        let found = self.tenants.binary_search_by_key(&tenant, |(hash, _)| *hash);
        found.ok().and_then(|at| self.tenants.get(at)).map_or(self.default_group, |(_, group)| *group)
    }

    /// The group whose centroid is nearest to a profile (Euclidean); the default group where there is none to
    /// compare with or the profile is not finite.
    pub fn nearest(&self, profile: &[f32]) -> u16 {
        let mut best = (f32::INFINITY, self.default_group);
        for (group, centroid) in self.centroids.iter().enumerate().filter(|(_, centroid)| !centroid.is_empty()) {
            let distance: f32 = centroid.iter().zip(profile).map(|(a, b)| (a - b) * (a - b)).sum();
            if centroid.len() == profile.len() && distance < best.0 {
                best = (distance, group as u16);
            }
        }
        best.1
    }

    /// Dimensions of the profile space.
    pub(crate) fn dimensions(&self) -> usize {
        self.centroids.first().map_or(0, Vec::len)
    }

    pub(crate) fn validate(&self) -> Result<(), ArtefactError> {
        if self.count == 0 || self.count > MAX_GROUPS {
            return Err(ArtefactError::out_of_range("groups.count", 0, self.count, 1, MAX_GROUPS));
        }
        let last = self.count - 1;
        ArtefactError::check_index("groups.default_group", 0, usize::from(self.default_group), last)?;
        for (at, (_, group)) in self.tenants.iter().enumerate() {
            ArtefactError::check_index("groups.tenants", at, usize::from(*group), last)?;
        }
        ArtefactError::check_ascending("groups.tenants", self.tenants.iter().map(|(hash, _)| *hash))?;
        ArtefactError::check_len("groups.centroids", self.centroids.len(), vec![self.count])?;
        for centroid in &self.centroids {
            ArtefactError::check_len("groups.centroids", centroid.len(), vec![self.dimensions()])?;
            ArtefactError::check_finite("groups.centroids", centroid)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn groups() -> TenantGroups {
        TenantGroups {
            tenants: vec![(3, 1), (7, 0), (u64::MAX, 2)],
            count: 3,
            centroids: vec![vec![0.0, 0.0], vec![1.0, 0.0], vec![5.0, 5.0]],
            default_group: 2,
        }
    }

    #[test]
    fn a_known_tenant_has_its_group_and_an_unknown_one_the_default() {
        assert_eq!([3, 7, u64::MAX, 4, 0].map(|hash| groups().group_of(hash)), [1, 0, 2, 2, 2]);
        assert_eq!(TenantGroups::default().group_of(9), 0);
    }

    #[test]
    fn a_profile_goes_to_the_nearest_centroid() {
        assert_eq!(groups().nearest(&[0.9, 0.1]), 1);
        assert_eq!(groups().nearest(&[4.0, 9.0]), 2);
        for strange in [&[f32::NAN, 0.0][..], &[0.0], &[]] {
            assert_eq!(groups().nearest(strange), 2, "{strange:?}");
        }
    }

    #[test]
    fn wrong_groups_are_refused() {
        assert!(groups().validate().is_ok() && TenantGroups::default().validate().is_ok());
        let refusal = |change: fn(&mut TenantGroups)| {
            let mut groups = groups();
            change(&mut groups);
            groups.validate().unwrap_err().to_string()
        };
        assert!(refusal(|g| g.default_group = 3).contains("groups.default_group"));
        assert!(refusal(|g| g.tenants[1].1 = 9).contains("groups.tenants"));
        assert!(refusal(|g| g.tenants[1].0 = 3).contains("ascending"));
        assert!(refusal(|g| g.centroids[2][0] = f32::INFINITY).contains("groups.centroids"));
        assert!(refusal(|g| g.centroids[2].truncate(1)).contains("groups.centroids"));
        assert!(refusal(|g| g.count = 0).contains("groups.count"));
        assert!(refusal(|g| g.count = 2).contains("groups"));
    }
}
