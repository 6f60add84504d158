//! What can change while requests flow: the topology, policies and the model, as one immutable snapshot behind one pointer.
//!
//! A worker compares one counter before each decision and looks at the snapshot only when it moved. Rejected: the
//! pointer alone (a guard and a comparison of every field each time), and messages to the workers (a worker that is
//! busy would take up a model late and out of order).

use crate::topology::Topology;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tailcast_balance::PolicyKind;
use tailcast_model::Model;

/// One state of everything that can change.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Pools, endpoints and rules.
    pub(crate) topology: Arc<Topology>,
    /// Policy of each pool, in the order of the topology.
    pub(crate) policies: Vec<PolicyKind>,
    /// The model in use.
    pub(crate) model: Option<Arc<Model>>,
}

/// The current snapshot, shared by all threads.
#[derive(Debug)]
pub(crate) struct Shared {
    generation: AtomicU64,
    current: ArcSwap<Snapshot>,
}

impl Shared {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self { generation: AtomicU64::new(0), current: ArcSwap::from_pointee(snapshot) }
    }

    /// Moves with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the snapshot by what `edit` makes of it. `edit` may run more than once under contention.
    pub(crate) fn change(&self, edit: impl Fn(&mut Snapshot)) {
        self.current.rcu(|old| {
            let mut new = Snapshot::clone(old);
            edit(&mut new);
            new
        });
        // After the swap: who sees the new count sees the new snapshot.
        self.generation.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn changes_of_many_threads_are_all_there_and_move_the_generation() {
        let topology = Arc::new(crate::topology::tests::topology("'127.0.0.1:9'"));
        let shared =
            Arc::new(Shared::new(Snapshot { topology, policies: vec![PolicyKind::RoundRobin; 8], model: None }));
        std::thread::scope(|scope| {
            for pool in 0..8 {
                let shared = Arc::clone(&shared);
                scope.spawn(move || shared.change(|new| new.policies[pool] = PolicyKind::Random));
            }
        });
        assert_eq!(shared.generation(), 8);
        assert!(shared.current().policies.iter().all(|policy| *policy == PolicyKind::Random));
    }
}
