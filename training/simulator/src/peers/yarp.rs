//! YARP's two choices: the lower of two random servers by the requests in flight that a poll every 500 ms saw.
//!
//! Source: the row "YARP Po2C" of the Prequal paper (NSDI'24, §5.2), after Microsoft's YARP reverse proxy.

use super::Polled;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Nanoseconds between polls: 500 ms, as published.
pub(crate) const PERIOD: u64 = 500_000_000;

/// Two choices by polled load.
#[derive(Debug)]
pub(crate) struct Yarp {
    rif: Vec<u32>,
}

impl Yarp {
    pub(crate) fn new(servers: usize) -> Self {
        Self { rif: vec![0; servers] }
    }

    pub(crate) fn set_servers(&mut self, servers: usize) {
        self.rif.resize(servers, 0);
    }

    pub(crate) fn polled(&mut self, servers: &[Polled]) {
        for (rif, polled) in self.rif.iter_mut().zip(servers) {
            *rif = polled.rif;
        }
    }

    pub(crate) fn choose(&self, rng: &mut Pcg64Mcg) -> usize {
        let count = self.rif.len();
        if count < 2 {
            return 0;
        }
        let first = rng.random_range(0..count);
        let second = (first + rng.random_range(1..count)) % count;
        if self.rif[second] < self.rif[first] { second } else { first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::stream;

    #[test]
    fn the_lower_polled_load_of_two_wins() {
        let mut peer = Yarp::new(2);
        peer.polled(&[Polled { rif: 5, ..Polled::default() }, Polled { rif: 1, ..Polled::default() }]);
        let mut rng = stream(1, 1);
        assert!((0..50).all(|_| peer.choose(&mut rng) == 1));
    }
}
