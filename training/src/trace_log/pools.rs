//! Which endpoints of a trace are one pool: those that have ever served a common route.
//!
//! A trace of a router in front of many services names endpoints and no pools. Endpoints that serve the same
//! route could have served each other's requests, so they are joined (union-find over routes). A pool is called
//! after its first endpoint. Rejected: pools by the names of the endpoints (`web-1`, `web-2`): a convention of
//! some recorders, and silently wrong for the others.

use std::collections::HashMap;

/// The pools of a trace.
pub(super) struct Pools {
    places: HashMap<String, (usize, usize)>,
    members: Vec<Vec<String>>,
}

impl Pools {
    /// Joins the endpoints of (route, endpoint) pairs; pools and slots are in order of first sight.
    pub(super) fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut names: Vec<&str> = Vec::new();
        let mut parents: Vec<usize> = Vec::new();
        let mut first_of_route: HashMap<&str, usize> = HashMap::new();
        for (route, endpoint) in pairs {
            let number = *numbers.entry(endpoint).or_insert_with(|| {
                names.push(endpoint);
                parents.push(parents.len());
                parents.len() - 1
            });
            let first = *first_of_route.entry(route).or_insert(number);
            let (a, b) = (root(&mut parents, first), root(&mut parents, number));
            // The smaller number stays the root: a pool keeps the name of its first endpoint.
            parents[a.max(b)] = a.min(b);
        }
        let mut pool_of_root: HashMap<usize, usize> = HashMap::new();
        let mut pools = Self { places: HashMap::new(), members: Vec::new() };
        for (number, name) in names.into_iter().enumerate() {
            let root = root(&mut parents, number);
            let pool = *pool_of_root.entry(root).or_insert_with(|| {
                pools.members.push(Vec::new());
                pools.members.len() - 1
            });
            pools.places.insert(name.to_owned(), (pool, pools.members[pool].len()));
            pools.members[pool].push(name.to_owned());
        }
        pools
    }

    /// Pools.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Endpoints of all pools.
    pub(super) fn endpoint_count(&self) -> usize {
        self.places.len()
    }

    /// Pool and slot of an endpoint.
    pub(super) fn place(&self, endpoint: &str) -> Option<(usize, usize)> {
        self.places.get(endpoint).copied()
    }

    /// The endpoints of a pool in slot order.
    pub(super) fn endpoints(&self, pool: usize) -> &[String] {
        self.members.get(pool).map_or(&[], Vec::as_slice)
    }

    /// The name of a pool.
    pub(super) fn name(&self, pool: usize) -> &str {
        self.endpoints(pool).first().map_or("", String::as_str)
    }
}

fn root(parents: &mut [usize], mut number: usize) -> usize {
    while parents[number] != number {
        parents[number] = parents[parents[number]];
        number = parents[number];
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_joined_through_common_routes_also_over_a_third() {
        let pairs = [("/a", "x"), ("/b", "y"), ("/c", "z"), ("/a", "w"), ("/b", "w")];
        let pools = Pools::of(pairs.into_iter());
        assert_eq!(pools.len(), 2);
        assert_eq!(pools.endpoints(0), ["x", "y", "w"]);
        assert_eq!(pools.name(1), "z");
        assert_eq!(pools.place("w"), Some((0, 2)));
        assert_eq!(pools.place("unknown"), None);
        assert_eq!(pools.endpoint_count(), 4);
    }
}
