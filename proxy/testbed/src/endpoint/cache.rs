//! The least-recently-used cache of tenants. A list, because it holds tens of entries.

/// Tenants in order of use, the latest last.
#[derive(Debug, Default)]
pub(super) struct TenantCache {
    tenants: Vec<String>,
}

impl TenantCache {
    /// Uses a tenant's data: true where it was there; brings it in where it was not.
    pub(super) fn touch(&mut self, tenant: &str, capacity: usize) -> bool {
        let found = self.tenants.iter().position(|known| known == tenant);
        let entry = match found {
            Some(position) => self.tenants.remove(position),
            None => tenant.to_owned(),
        };
        self.tenants.push(entry);
        if self.tenants.len() > capacity {
            self.tenants.remove(0);
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_tenant_goes_first() {
        let mut cache = TenantCache::default();
        assert!(!cache.touch("a", 2));
        assert!(!cache.touch("b", 2));
        assert!(cache.touch("a", 2));
        assert!(!cache.touch("c", 2), "c is new and pushes b out");
        assert!(cache.touch("a", 2));
        assert!(!cache.touch("b", 2));
    }

    #[test]
    fn a_cache_without_room_never_hits() {
        let mut cache = TenantCache::default();
        assert!(!cache.touch("a", 0));
        assert!(!cache.touch("a", 0));
    }
}
