//! How many connections one address may have, over all workers.
//!
//! A lock, but one that is taken only where the limit is configured, and then once when a connection begins and once
//! when it ends; requests never see it. Rejected: a count for each worker, which allows an address as many times the
//! limit as there are workers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by address.
#[derive(Debug, Default)]
pub(crate) struct AddressCounts(Mutex<HashMap<IpAddr, u32>>);

/// One connection of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressToken {
    counts: Arc<AddressCounts>,
    address: IpAddr,
}

impl AddressCounts {
    /// Counts a connection; `None` where the address has `limit` already.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<AddressToken> {
        let address = address.to_canonical();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(AddressToken { counts: Arc::clone(self), address })
    }
}

impl Drop for AddressToken {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_limit_and_nothing_is_remembered_of_those_that_left() {
        let counts = Arc::new(AddressCounts::default());
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = counts.take(a, 2);
        let second = counts.take("::ffff:10.0.0.1".parse().unwrap_or(a), 2);
        assert!(first.is_some() && second.is_some() && counts.take(a, 2).is_none());
        assert!(counts.take(b, 2).is_some());
        drop(first);
        assert!(counts.take(a, 2).is_some());
        drop(second);
        assert!(counts.0.lock().is_ok_and(|counts| counts.is_empty()));
    }
}
