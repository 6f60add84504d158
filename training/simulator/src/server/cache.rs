//! What a server has at hand: the tenants it served last, least recently used out first.

/// An LRU set of tenants.
#[derive(Debug, Clone)]
pub(crate) struct TenantCache {
    capacity: usize,
    /// Most recent last. Tens of entries: a scan is faster than a map and its links.
    recent: Vec<u32>,
}

impl TenantCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, recent: Vec::with_capacity(capacity) }
    }

    pub(crate) fn holds(&self, tenant: u32) -> bool {
        self.recent.contains(&tenant)
    }

    /// Uses the tenant's data; true where it was there.
    pub(crate) fn touch(&mut self, tenant: u32) -> bool {
        let hit = match self.recent.iter().rposition(|known| *known == tenant) {
            Some(place) => {
                self.recent.remove(place);
                true
            }
            None => {
                if self.recent.len() >= self.capacity && !self.recent.is_empty() {
                    self.recent.remove(0);
                }
                false
            }
        };
        self.recent.push(tenant);
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut cache = TenantCache::new(2);
        assert!(!cache.touch(1) && !cache.touch(2) && cache.touch(1));
        assert!(!cache.touch(3));
        assert!(cache.holds(1) && cache.holds(3) && !cache.holds(2));
    }
}
