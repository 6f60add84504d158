//! The online correction: how far the loaded model's forecasts are off right now, per endpoint, per (tenant, endpoint)
//! and per (route, endpoint).
//!
//! A model is refitted every minutes; a brown-out starts in a second. Between refits the residual
//! ln(actual) − ln(forecast median) is tracked with a memory of some tens of requests and added to the forecast.
//!
//! Latencies are wild: one exponential service time has a standard deviation of 1.3 log units, so the mean of twenty
//! still wanders by 0.3, and a rule that takes the lowest of many scores follows whoever was lucky. So a level departs
//! from its parent (pairs → endpoint → pool) only by what is *significant*: the deviation m with standard error s counts
//! as `m·(1 − 4·s²/m²)₊`, the positive-part James-Stein form, which is zero within two standard errors and nearly all
//! of m well beyond. The pool's own mean is taken out: what all endpoints have in common changes no choice. Rejected:
//! shrinking by counts alone. In the simulation of pairs that costs 20 % of p99 against no correction at all, and this
//! form none, while both follow a brown-out.

use tailcast_features::Tick;
use tailcast_features::decay::{DecayedMean, Memory};
use tailcast_features::each_lane;
use tailcast_features::lanes::{LANES, Loop, MeanLanes, run};
use tailcast_features::pairs::Pairs;

/// Memory of the pool's residual and of the spread around the endpoints' means.
const POOL_MEMORY: Memory = Memory { half_life_secs: 30.0, max_requests: 500.0 };

/// Memory of an endpoint's residual.
const ENDPOINT_MEMORY: Memory = Memory { half_life_secs: 5.0, max_requests: 30.0 };

/// Memory of a pair's residual: slower, pairs see fewer requests.
const PAIR_MEMORY: Memory = Memory { half_life_secs: 60.0, max_requests: 20.0 };

/// Memory of a route's residual on an endpoint: a brown-out shows in it too, so it must be gone a minute after the last
/// request that saw one, when nobody goes there to find out.
const ROUTE_MEMORY: Memory = Memory { half_life_secs: 15.0, max_requests: 20.0 };

/// Squared number of standard errors below which a deviation is chance.
const SIGNIFICANCE: f32 = 4.0;

/// Variance of a residual before any is known: that of an exponential service time, π²/6.
const PRIOR_VARIANCE: f32 = 1.645;

/// Pairs of tenants and endpoints remembered.
const TENANT_PAIRS: usize = 8_192;

/// Pairs of routes and endpoints remembered: there are fewer routes.
const ROUTE_PAIRS: usize = 4_096;

/// Largest correction, log units: a factor of 20. Beyond that it is not a correction but a broken model, and
/// bounded arithmetic keeps one absurd latency from hiding an endpoint for minutes.
const MAX_CORRECTION: f32 = 3.0;

/// Residuals of one pool on one core, by slot.
#[derive(Debug)]
pub struct Corrections {
    pool: DecayedMean,
    squares: DecayedMean,
    endpoints: Vec<MeanLanes>,
    tenants: Pairs,
    routes: Pairs,
}

impl Corrections {
    /// No corrections of a pool of so many endpoints.
    pub fn new(endpoints: usize) -> Self {
        Self {
            pool: DecayedMean::default(),
            squares: DecayedMean::default(),
            endpoints: vec![MeanLanes::default(); endpoints.div_ceil(LANES)],
            tenants: Pairs::new(TENANT_PAIRS),
            routes: Pairs::new(ROUTE_PAIRS),
        }
    }

    /// Follows a change of a pool that had `old_count` endpoints: `old_slots[slot]` is where the endpoint that is now in
    /// `slot` was. Endpoints that leave take their corrections along.
    pub fn remap(&mut self, old_slots: &[Option<usize>], old_count: usize) {
        self.tenants.remap(old_slots, old_count);
        self.routes.remap(old_slots, old_count);
        let old = std::mem::take(&mut self.endpoints);
        self.endpoints = vec![MeanLanes::default(); old_slots.len().div_ceil(LANES)];
        for (slot, from) in old_slots.iter().enumerate() {
            if let Some(from) = from {
                let known = old.get(from / LANES).map(|block| block.get(from % LANES)).unwrap_or_default();
                self.endpoints[slot / LANES].set(slot % LANES, known);
            }
        }
    }

    /// Adds a residual of the endpoint in `slot`, log units.
    pub fn observe(&mut self, slot: usize, tenant: u64, route: u64, residual: f32, now: Tick) {
        let Some(block) = self.endpoints.get_mut(slot / LANES) else { return };
        let residual = residual.clamp(-MAX_CORRECTION, MAX_CORRECTION);
        let own = block.get(slot % LANES);
        if own.is_known() {
            let deviation = residual - own.mean();
            self.squares.observe(deviation * deviation, now, POOL_MEMORY);
        }
        block.observe(slot % LANES, residual, now, ENDPOINT_MEMORY);
        self.pool.observe(residual, now, POOL_MEMORY);
        self.tenants.observe(tenant, slot, residual, now, PAIR_MEMORY);
        self.routes.observe(route, slot, residual, now, ROUTE_MEMORY);
    }

    /// Writes what to add to the forecasts of a request of `tenant` and `route` on each of `slots` (ascending), log units; 0
    /// where nothing is known. `out` is rounded up to whole blocks of [`LANES`].
    pub fn fill(&self, tenant: u64, route: u64, slots: &[usize], now: Tick, out: &mut Vec<[f32; LANES]>) {
        out.resize(slots.len().div_ceil(LANES), [0.0; LANES]);
        let pool = if self.pool.is_known() { self.pool.mean() } else { 0.0 };
        let variance = self.squares.shrunk(PRIOR_VARIANCE, 20.0, now, POOL_MEMORY);
        run(Fill { known: self, tenant, route, slots, now, pool, chance: SIGNIFICANCE * variance, out });
    }
}

/// The corrections of one request: a loop over blocks of candidates.
struct Fill<'a> {
    known: &'a Corrections,
    tenant: u64,
    route: u64,
    slots: &'a [usize],
    now: Tick,
    pool: f32,
    /// Square of a deviation of one residual that is still chance.
    chance: f32,
    out: &'a mut [[f32; LANES]],
}

impl Loop for Fill<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { known, slots, now, pool, chance, .. } = self;
        for (out, slots) in self.out.iter_mut().zip(slots.chunks(LANES)) {
            let mut scratch = [None; 3];
            let [endpoints, routes, tenants] = &mut scratch;
            let endpoints = MeanLanes::read(slots, endpoints, |number| known.endpoints.get(number));
            let routes = known.routes.read(self.route, slots, routes);
            let tenants = known.tenants.read(self.tenant, slots, tenants);
            let own = beyond(endpoints, &[pool; LANES], chance, now, ENDPOINT_MEMORY);
            let of_route = beyond(routes, &each_lane!(|i| pool + own[i]), chance, now, ROUTE_MEMORY);
            // What the route explains is not explained once more by the tenant.
            let parents = each_lane!(|i| pool + own[i] + of_route[i]);
            let of_tenant = beyond(tenants, &parents, chance, now, PAIR_MEMORY);
            let sum: [f32; LANES] = each_lane!(|i| own[i] + of_route[i] + of_tenant[i]);
            *out = each_lane!(|i| sum[i].clamp(-MAX_CORRECTION, MAX_CORRECTION));
        }
    }
}

/// The part of a level's deviation from its parent that is not chance; 0 where nothing is known.
#[inline(always)]
fn beyond(level: &MeanLanes, parent: &[f32; LANES], chance: f32, now: Tick, memory: Memory) -> [f32; LANES] {
    let (means, known, weights) = (level.stored(), level.most_weights(), level.weights(now, memory));
    each_lane!(|i| {
        let deviation = means[i] - parent[i];
        let square = deviation * deviation;
        let significant = deviation * (1.0 - chance / (weights[i] * square)).max(0.0);
        // With no evidence, and where the deviation was chance even before the evidence decayed.
        if square * known[i] > chance { significant } else { 0.0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: u64 = 5;

    fn get(corrections: &Corrections, slot: usize, tenant: u64, route: u64, now: Tick) -> f32 {
        let mut out = Vec::new();
        corrections.fill(tenant, route, &[slot], now, &mut out);
        out[0][0]
    }

    /// Residuals of an endpoint that is as forecast: spread evenly over ±1.5.
    fn calm(corrections: &mut Corrections, endpoint: usize, tenant: u64, shift: f32, count: u32, now: Tick) {
        for i in 0..count {
            let spread = ((i as f32 * 0.618_034).fract() - 0.5) * 3.0;
            corrections.observe(endpoint, tenant, ROUTE, shift + spread, now);
        }
    }

    #[test]
    fn a_brown_out_is_felt_within_tens_of_requests_and_forgotten_in_a_minute() {
        let mut corrections = Corrections::new(100);
        for endpoint in 2..12 {
            calm(&mut corrections, endpoint, 7, 0.0, 60, Tick::ZERO);
        }
        calm(&mut corrections, 1, 7, 5f32.ln(), 20, Tick::ZERO);
        assert!(
            get(&corrections, 1, 999, ROUTE, Tick::ZERO) > 0.9,
            "ln 5 = 1.61, seen {}",
            get(&corrections, 1, 999, ROUTE, Tick::ZERO)
        );
        assert_eq!(get(&corrections, 99, 999, ROUTE, Tick::ZERO), 0.0);
        assert!(get(&corrections, 1, 999, ROUTE, Tick::from_secs_f64(60.0)) < 0.1);
    }

    #[test]
    fn luck_is_no_evidence() {
        let mut corrections = Corrections::new(100);
        for endpoint in 0..10 {
            calm(&mut corrections, endpoint, 7, 0.0, 60, Tick::ZERO);
        }
        corrections.observe(3, 8, ROUTE, -1.5, Tick::ZERO);
        assert_eq!(get(&corrections, 3, 8, ROUTE, Tick::ZERO), 0.0);
        for endpoint in 0..10 {
            assert!(get(&corrections, endpoint, 7, ROUTE, Tick::ZERO).abs() < 0.1);
        }
    }

    #[test]
    fn what_all_endpoints_have_in_common_is_no_correction() {
        let mut corrections = Corrections::new(100);
        for _ in 0..20 {
            for endpoint in 0..10 {
                calm(&mut corrections, endpoint, 7, 1.0, 3, Tick::ZERO);
            }
        }
        assert!((0..10).all(|endpoint| get(&corrections, endpoint, 7, ROUTE, Tick::ZERO).abs() < 0.2));
    }

    #[test]
    fn a_pair_goes_its_own_way_with_evidence() {
        let mut corrections = Corrections::new(100);
        for _ in 0..20 {
            calm(&mut corrections, 1, 7, -1.0, 2, Tick::ZERO);
            calm(&mut corrections, 1, 8, 1.0, 2, Tick::ZERO);
        }
        assert!(get(&corrections, 1, 7, ROUTE, Tick::ZERO) < -0.4);
        assert!(get(&corrections, 1, 8, ROUTE, Tick::ZERO) > 0.4);
    }

    #[test]
    fn an_absurd_latency_is_bounded() {
        let mut corrections = Corrections::new(100);
        for _ in 0..50 {
            corrections.observe(1, 7, ROUTE, 1e30, Tick::ZERO);
            corrections.observe(2, 7, ROUTE, -1e30, Tick::ZERO);
            corrections.observe(3, 7, ROUTE, 0.0, Tick::ZERO);
        }
        assert!(get(&corrections, 1, 7, ROUTE, Tick::ZERO) <= MAX_CORRECTION);
    }

    #[test]
    fn an_endpoint_is_corrected_alike_alone_and_among_all_and_keeps_it_in_another_slot() {
        let mut corrections = Corrections::new(40);
        for slot in 0..40 {
            calm(&mut corrections, slot, 7, (slot % 5) as f32 - 2.0, 30, Tick::ZERO);
        }
        let all: Vec<usize> = (0..40).collect();
        let (now, mut out) = (Tick::from_secs_f64(1.0), Vec::new());
        corrections.fill(7, ROUTE, &all, now, &mut out);
        assert!(out.as_flattened().iter().any(|correction| correction.abs() > 0.5));
        let alone: Vec<f32> = all.iter().map(|slot| get(&corrections, *slot, 7, ROUTE, now)).collect();
        assert_eq!(alone, out.as_flattened()[..40]);
        let turned: Vec<Option<usize>> = (0..40).rev().map(Some).collect();
        corrections.remap(&turned, 40);
        for slot in 0..40 {
            assert_eq!(get(&corrections, slot, 7, ROUTE, now), alone[39 - slot]);
        }
    }
}
