//! Validated tenant classes: what a tenant may have, and of which pools.

use tailcast_balance::admission::Classes;

/// All tenant classes; the first is that of tenants whom none names.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantClasses {
    pub(super) classes: Classes,
    /// In the order of the classes' indices, as the two that follow.
    pub(super) names: Vec<String>,
    /// Indices of the pools that tenants may use; `None` for any.
    pub(super) pools: Vec<Option<Vec<usize>>>,
    /// Names of tenants, for the summary.
    pub(super) tenants: Vec<Vec<String>>,
}

impl Default for TenantClasses {
    fn default() -> Self {
        Self {
            classes: Classes::default(),
            names: vec![Self::DEFAULT.to_owned()],
            pools: vec![None],
            tenants: vec![Vec::new()],
        }
    }
}

impl TenantClasses {
    /// Name of the class of tenants whom none names, where the file has none for them.
    pub const DEFAULT: &'static str = "default";

    /// As admission uses them.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Name of the class of a tenant, by the hash of the tenant's name.
    pub fn name_of(&self, tenant: u64) -> &str {
        let (_, index) = self.classes.find(tenant);
        self.names.get(index).map_or(Self::DEFAULT, String::as_str)
    }

    /// True where a tenant may use a pool.
    pub fn may_use(&self, tenant: u64, pool: usize) -> bool {
        if self.pools.iter().all(Option::is_none) {
            return true;
        }
        let (_, index) = self.classes.find(tenant);
        self.pools.get(index).and_then(Option::as_ref).is_none_or(|pools| pools.contains(&pool))
    }
}
