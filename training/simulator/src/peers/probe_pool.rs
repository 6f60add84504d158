//! Prequal's pool of probe answers: bounded, aged, reused a little, and thinned by one a query.
//!
//! Source: Wydrowski, Kleinberg, Rumble, Archer, "Load is not what you should balance: Introducing Prequal", NSDI'24,
//! §4: pool of 16, age limit 1 s, r_probe = 3, r_remove = 1 alternating the oldest and the worst, reuse budget
//! max(1, (1+δ)/((1−m/n)·r_probe − r_remove)) with δ = 1, rounded at random; a dispatch raises the RIF of the pooled
//! answer of that replica by one.

use super::ProbeAnswer;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Answers kept at most.
pub(crate) const POOL: usize = 16;
/// Probes a query.
pub(crate) const PROBES: usize = 3;
/// Answers removed a query.
const REMOVALS: f64 = 1.0;
/// δ: how much more often probes are used than they arrive.
const DELTA: f64 = 1.0;
/// Answers older than this are dropped, nanoseconds.
const MAX_AGE: u64 = 1_000_000_000;
/// Answers needed to choose by; with fewer a random replica is taken.
const MIN_OCCUPANCY: usize = 2;
/// Recent answers whose RIF make the distribution of RIF: a few times the pool, so that it follows a ramp.
const RIF_WINDOW: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pooled {
    pub(crate) answer: ProbeAnswer,
    uses_left: u32,
}

/// The pool and the recent distribution of RIF.
#[derive(Debug)]
pub(crate) struct ProbePool {
    pub(crate) pooled: Vec<Pooled>,
    capacity: usize,
    reuse: f64,
    rifs: Vec<u32>,
    next_rif: usize,
    remove_worst: bool,
}

impl ProbePool {
    /// A pool for so many replicas. With fewer than 32 replicas 16 answers would be nearly all of them and the reuse
    /// formula has no positive denominator, so the pool is half of the replicas there.
    pub(crate) fn new(servers: usize) -> Self {
        let capacity = POOL.min((servers / 2).max(MIN_OCCUPANCY));
        let share = capacity as f64 / servers.max(1) as f64;
        let net = (1.0 - share) * PROBES as f64 - REMOVALS;
        let reuse = if net > 0.0 { ((1.0 + DELTA) / net).max(1.0) } else { f64::from(u16::MAX) };
        Self {
            pooled: Vec::with_capacity(capacity + 1),
            capacity,
            reuse,
            rifs: Vec::new(),
            next_rif: 0,
            remove_worst: false,
        }
    }

    /// Takes in an answer; over capacity the oldest goes. A newer answer replaces the replica's older one.
    pub(crate) fn add(&mut self, answer: ProbeAnswer, rng: &mut Pcg64Mcg) {
        if self.rifs.len() < RIF_WINDOW {
            self.rifs.push(answer.rif);
        } else {
            self.rifs[self.next_rif] = answer.rif;
            self.next_rif = (self.next_rif + 1) % RIF_WINDOW;
        }
        let fraction = self.reuse.fract();
        let uses_left = self.reuse as u32 + u32::from(rng.random::<f64>() < fraction);
        self.pooled.retain(|known| known.answer.server != answer.server);
        self.pooled.push(Pooled { answer, uses_left });
        if self.pooled.len() > self.capacity {
            self.remove_oldest();
        }
    }

    /// The RIF above which an answer is hot: the quantile of the recent distribution.
    pub(crate) fn hot_above(&self, quantile: f32) -> u32 {
        let mut sorted = [0u32; RIF_WINDOW];
        let count = self.rifs.len();
        sorted[..count].copy_from_slice(&self.rifs);
        match count {
            0 => u32::MAX,
            // Q_RIF = 1: nobody is hot; the latency alone decides.
            _ if quantile >= 1.0 => u32::MAX,
            _ => {
                let rank = ((count - 1) as f32 * quantile) as usize;
                *sorted[..count].select_nth_unstable(rank).1
            }
        }
    }

    /// Drops what is too old; true where enough is left to choose by.
    pub(crate) fn is_usable(&mut self, now: u64) -> bool {
        self.pooled.retain(|pooled| now.saturating_sub(pooled.answer.at) <= MAX_AGE);
        self.pooled.len() >= MIN_OCCUPANCY
    }

    /// Notes that the answer at `index` was chosen, then thins the pool; `badness` orders answers, higher is worse.
    pub(crate) fn used<K: PartialOrd>(&mut self, index: usize, badness: impl Fn(&Pooled) -> K) {
        if let Some(pooled) = self.pooled.get_mut(index) {
            pooled.answer.rif += 1;
            pooled.uses_left = pooled.uses_left.saturating_sub(1);
        }
        self.pooled.retain(|pooled| pooled.uses_left > 0);
        if self.remove_worst {
            let mut worst = 0;
            for i in 1..self.pooled.len() {
                if badness(&self.pooled[i]) > badness(&self.pooled[worst]) {
                    worst = i;
                }
            }
            if !self.pooled.is_empty() {
                self.pooled.swap_remove(worst);
            }
        } else {
            self.remove_oldest();
        }
        self.remove_worst = !self.remove_worst;
    }

    fn remove_oldest(&mut self) {
        if let Some((oldest, _)) = self.pooled.iter().enumerate().min_by_key(|(_, pooled)| pooled.answer.at) {
            self.pooled.swap_remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::stream;

    fn answer(server: u16, rif: u32, latency_ms: f32, at: u64) -> ProbeAnswer {
        ProbeAnswer { server, rif, latency_ms, at }
    }

    #[test]
    fn the_published_reuse_budget_for_a_hundred_replicas() {
        let pool = ProbePool::new(100);
        assert!((pool.reuse - 2.0 / (0.84 * 3.0 - 1.0)).abs() < 1e-9);
        assert_eq!(pool.capacity, 16);
    }

    #[test]
    fn answers_age_out_and_removals_alternate() {
        let mut rng = stream(1, 1);
        let mut pool = ProbePool::new(100);
        for server in 0..4 {
            pool.add(answer(server, u32::from(server), 1.0, u64::from(server)), &mut rng);
        }
        assert!(pool.is_usable(10));
        // The first removal takes the oldest, the second the worst (here the highest RIF).
        pool.used(usize::MAX, |pooled| pooled.answer.rif);
        assert!(pool.pooled.iter().all(|pooled| pooled.answer.server != 0));
        pool.used(usize::MAX, |pooled| pooled.answer.rif);
        assert!(pool.pooled.iter().all(|pooled| pooled.answer.server != 3));
        assert!(!pool.is_usable(2 * MAX_AGE));
    }

    #[test]
    fn a_dispatch_counts_in_the_pooled_rif() {
        let mut rng = stream(1, 1);
        let mut pool = ProbePool::new(20);
        for server in 0..5 {
            pool.add(answer(server, 2, 1.0, 5), &mut rng);
        }
        pool.used(4, |pooled| pooled.answer.rif);
        assert!(pool.pooled.iter().any(|pooled| pooled.answer.rif == 3));
    }
}
