//! Weighted round robin by goodput over utilisation, as Google ran it before Prequal (NSDI'24, §2) and as gRPC ships it
//! (proposal A58 `weighted_round_robin`): weight = queries a second over utilisation, smoothed, renewed every second,
//! served by earliest deadline first from random starts.

use super::Polled;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Nanoseconds between weight updates: gRPC's default of 1 s.
pub(crate) const PERIOD: u64 = 1_000_000_000;

/// Weight of a new value in the smoothing: about five seconds of memory.
const NEW: f64 = 0.2;

/// Weights outside of this ratio of the mean are pulled in, as gRPC's static stride scheduler does (0.1 and 10).
const CLAMP: f64 = 10.0;

/// Round robin by weight.
#[derive(Debug)]
pub(crate) struct WeightedRoundRobin {
    weights: Vec<f64>,
    deadlines: Vec<f64>,
    now: f64,
    started: bool,
}

impl WeightedRoundRobin {
    pub(crate) fn new(servers: usize) -> Self {
        Self { weights: vec![1.0; servers], deadlines: vec![0.0; servers], now: 0.0, started: false }
    }

    pub(crate) fn set_servers(&mut self, servers: usize) {
        // gRPC: an endpoint without statistics has the mean weight.
        let mean = self.weights.iter().sum::<f64>() / self.weights.len().max(1) as f64;
        self.weights.resize(servers, mean);
        self.deadlines.resize(servers, self.now);
    }

    pub(crate) fn polled(&mut self, servers: &[Polled], rng: &mut Pcg64Mcg) {
        let usable = |polled: &Polled| polled.goodput > 0.0 && polled.utilisation > 0.0;
        let fresh: Vec<f64> = servers.iter().filter(|p| usable(p)).map(|p| p.goodput / p.utilisation).collect();
        if fresh.is_empty() {
            return;
        }
        let mean = fresh.iter().sum::<f64>() / fresh.len() as f64;
        for (weight, polled) in self.weights.iter_mut().zip(servers) {
            if usable(polled) {
                let ratio = (polled.goodput / polled.utilisation / mean).clamp(1.0 / CLAMP, CLAMP);
                *weight = if self.started { *weight + NEW * (ratio - *weight) } else { ratio };
            }
        }
        if !self.started {
            self.started = true;
            for deadline in &mut self.deadlines {
                *deadline = self.now + rng.random::<f64>();
            }
        }
    }

    pub(crate) fn choose(&mut self) -> usize {
        let mut first = 0;
        for i in 1..self.deadlines.len() {
            if self.deadlines[i] < self.deadlines[first] {
                first = i;
            }
        }
        self.now = self.deadlines[first].max(self.now);
        self.deadlines[first] = self.now + 1.0 / self.weights[first].max(1e-9);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::stream;

    #[test]
    fn turns_follow_goodput_over_utilisation() {
        let mut peer = WeightedRoundRobin::new(2);
        let polled = |utilisation: f64| Polled { rif: 1, goodput: 100.0, utilisation };
        for _ in 0..50 {
            peer.polled(&[polled(0.9), polled(0.3)], &mut stream(1, 1));
        }
        let mut turns = [0.0; 2];
        for _ in 0..4_000 {
            turns[peer.choose()] += 1.0;
        }
        assert!((turns[1] / turns[0] - 3.0f64).abs() < 0.1, "{turns:?}");
    }
}
