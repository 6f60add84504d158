//! Tenant classes: what a tenant may have of a pool. Named tenants have the class that names them, all others the default.

use std::collections::HashMap;
use std::time::Duration;

/// Levels of priority, 0 the most urgent. Four are what operators can tell apart: interactive, normal, batch, scavenger.
pub const PRIORITIES: usize = 4;

/// What each tenant of a class may have.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantClass {
    /// Share of a full pool relative to other tenants that wait, above 0.
    pub weight: f32,
    /// Who goes first in a full pool, 0 (first) to 3.
    pub priority: u8,
    /// Most requests a second; `None` for any.
    pub rate: Option<Rate>,
    /// Most requests in the proxy at a time, waiting ones included; `None` for any.
    pub max_in_flight: Option<u32>,
    /// Time from arrival after which an answer is of no use; `None` for any.
    pub deadline: Option<Duration>,
}

impl Default for TenantClass {
    fn default() -> Self {
        Self { weight: 1.0, priority: 1, rate: None, max_in_flight: None, deadline: None }
    }
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens a second, above 0.
    pub per_second: f64,
    /// Tokens that may be saved up, at least 1.
    pub burst: f64,
}

/// Which tenant has which class.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// The first is the default.
    classes: Vec<TenantClass>,
    /// Hash of a tenant's name ▸ (number of the tenant, index of its class).
    named: HashMap<u64, (u32, u16)>,
}

impl Default for Classes {
    fn default() -> Self {
        Self::new(TenantClass::default())
    }
}

impl Classes {
    /// One class for all.
    pub fn new(default: TenantClass) -> Self {
        Self { classes: vec![default], named: HashMap::new() }
    }

    /// Adds a class for tenants, by the hashes of their names. A tenant that was named before keeps its class.
    pub fn add(&mut self, class: TenantClass, tenants: impl IntoIterator<Item = u64>) {
        let index = u16::try_from(self.classes.len()).unwrap_or(u16::MAX);
        self.classes.push(class);
        for tenant in tenants {
            let number = u32::try_from(self.named.len()).unwrap_or(u32::MAX);
            self.named.entry(tenant).or_insert((number, index));
        }
    }

    /// Tenants that are named.
    pub fn named(&self) -> usize {
        self.named.len()
    }

    /// The tenant's number among the named ones (`None` for others), and the index of its class.
    pub fn find(&self, tenant: u64) -> (Option<u32>, usize) {
        self.named.get(&tenant).map_or((None, 0), |(number, class)| (Some(*number), usize::from(*class)))
    }

    /// The class of an index; the default where there is none.
    pub fn class(&self, index: usize) -> &TenantClass {
        // There is always a default.
        self.classes.get(index).unwrap_or(&self.classes[0])
    }

    /// The smallest weight: what a round of the fair queue is measured in.
    pub(super) fn smallest_weight(&self) -> f32 {
        self.classes.iter().map(|class| class.weight).fold(f32::INFINITY, f32::min)
    }

    /// True where some class limits its tenants themselves.
    pub(super) fn any_own_limit(&self) -> bool {
        self.classes.iter().any(|class| class.rate.is_some() || class.max_in_flight.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_tenant_has_its_class_and_all_others_the_default() {
        let mut classes = Classes::default();
        classes.add(TenantClass { weight: 4.0, ..TenantClass::default() }, [7, 8]);
        classes.add(TenantClass { weight: 9.0, ..TenantClass::default() }, [8, 9]);
        assert_eq!(classes.find(7), (Some(0), 1));
        assert_eq!(classes.find(8), (Some(1), 1), "the first to name it");
        assert_eq!(classes.find(9), (Some(2), 2));
        assert_eq!(classes.find(1), (None, 0));
        assert_eq!((classes.class(2).weight, classes.class(99).weight), (9.0, 1.0));
    }
}
