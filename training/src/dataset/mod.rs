//! The training matrix: one column a feature, and beside it everything else that is learned from.
//!
//! Column-major, since the tree trainer, the baselines and the checks all walk one feature over many rows.
//! Rows are in the order of arrival, which is what the split relies on. Names are interned once. Rejected:
//! handing the polars table on to every stage: its types would then be the interface of the whole crate.

mod from_log;

pub use from_log::dataset_from_log;

use crate::sample;
use std::collections::HashMap;
use std::sync::Arc;
use tailcast_features::{FEATURE_COUNT, OutcomeKind, Row};

/// Names to dense numbers and back.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

impl Names {
    /// The number of `name`, new where it was not seen before.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let (name, id): (Arc<str>, u32) = (name.into(), self.names.len() as u32);
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    /// The name of a number; empty where there is none.
    pub fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("", |name| name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True where nothing was interned.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

/// Where the propensities come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propensities {
    /// Exact, logged by the policy that decided.
    Logged,
    /// Estimated from each endpoint's recent share: another balancer decided, and did not say how.
    Estimated,
}

/// One candidate of a logged decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Stable hash of the endpoint's name.
    pub endpoint: u64,
    /// Probability that it was chosen.
    pub propensity: f32,
}

/// What a row is made of.
#[derive(Debug, Clone, Copy)]
pub struct DatasetRow<'a> {
    /// Arrival, microseconds since the Unix epoch.
    pub arrival_us: i64,
    /// Pool name.
    pub pool: &'a str,
    /// Tenant name.
    pub tenant: &'a str,
    /// Route template.
    pub route: &'a str,
    /// Policy name.
    pub policy: &'a str,
    /// Chosen endpoint.
    pub endpoint: &'a str,
    /// Propensity of the chosen endpoint.
    pub propensity: f32,
    /// How the request ended.
    pub outcome: OutcomeKind,
    /// Latency as natural log of milliseconds.
    pub ln_ms: f32,
}

/// Rows in the order of arrival. All vectors are of the same length, which only this module changes.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub(crate) features: Vec<Vec<f32>>,
    pub(crate) label: Vec<f32>,
    pub(crate) weight: Vec<f32>,
    /// Rows of the log that each row stands for, relative to the others.
    pub(crate) stands_for: Vec<f32>,
    pub(crate) outcome: Vec<OutcomeKind>,
    pub(crate) arrival_us: Vec<i64>,
    pub(crate) propensity: Vec<f32>,
    pub(crate) pool: Vec<u32>,
    pub(crate) tenant: Vec<u32>,
    pub(crate) route: Vec<u32>,
    pub(crate) policy: Vec<u32>,
    pub(crate) endpoint: Vec<u32>,
    pub(crate) candidates: Vec<Arc<[Candidate]>>,
    pub(crate) candidate_rows: Vec<Option<Arc<[Row]>>>,
    pub(crate) names: Arc<DatasetNames>,
    pub(crate) propensities: Propensities,
    /// Where the log was split that this is a sample of: last arrivals of the train and of the calibration part.
    pub(crate) ends_us: Option<[i64; 2]>,
}

/// The names behind the numbers of a [`Dataset`].
#[derive(Debug, Clone, Default)]
pub struct DatasetNames {
    /// Pools.
    pub pools: Names,
    /// Tenants.
    pub tenants: Names,
    /// Routes.
    pub routes: Names,
    /// Policies.
    pub policies: Names,
    /// Endpoints.
    pub endpoints: Names,
}

impl Dataset {
    /// No rows yet, with room for `capacity`.
    pub fn with_capacity(capacity: usize, propensities: Propensities) -> Self {
        Self {
            features: (0..FEATURE_COUNT).map(|_| Vec::with_capacity(capacity)).collect(),
            label: Vec::with_capacity(capacity),
            weight: Vec::with_capacity(capacity),
            stands_for: Vec::with_capacity(capacity),
            outcome: Vec::with_capacity(capacity),
            arrival_us: Vec::with_capacity(capacity),
            propensity: Vec::with_capacity(capacity),
            pool: Vec::with_capacity(capacity),
            tenant: Vec::with_capacity(capacity),
            route: Vec::with_capacity(capacity),
            policy: Vec::with_capacity(capacity),
            endpoint: Vec::with_capacity(capacity),
            candidates: Vec::with_capacity(capacity),
            candidate_rows: Vec::with_capacity(capacity),
            names: Arc::default(),
            propensities,
            ends_us: None,
        }
    }

    /// Adds a row; call [`Dataset::sorted`] after the last where they did not come in order of arrival.
    pub fn push(
        &mut self,
        row: &DatasetRow<'_>,
        features: &Row,
        candidates: Arc<[Candidate]>,
        candidate_rows: Option<Arc<[Row]>>,
    ) {
        for (column, value) in self.features.iter_mut().zip(features) {
            column.push(*value);
        }
        self.push_beside(row, candidates, candidate_rows);
    }

    /// Adds all of a row but its features.
    fn push_beside(&mut self, row: &DatasetRow<'_>, candidates: Arc<[Candidate]>, candidate_rows: Option<Arc<[Row]>>) {
        let names = Arc::make_mut(&mut self.names);
        self.pool.push(names.pools.intern(row.pool));
        self.tenant.push(names.tenants.intern(row.tenant));
        self.route.push(names.routes.intern(row.route));
        self.policy.push(names.policies.intern(row.policy));
        self.endpoint.push(names.endpoints.intern(row.endpoint));
        self.label.push(row.ln_ms);
        // An error says nothing of latency: it stays for the error head and weighs nothing elsewhere.
        let teaches = row.outcome.is_latency_evidence() || row.outcome.is_censored();
        self.weight.push(f32::from(u8::from(teaches)));
        self.stands_for.push(1.0);
        self.outcome.push(row.outcome);
        self.arrival_us.push(row.arrival_us);
        self.propensity.push(row.propensity);
        self.candidates.push(candidates);
        self.candidate_rows.push(candidate_rows);
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.label.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.label.is_empty()
    }

    /// The names behind the numbers.
    pub fn names(&self) -> &DatasetNames {
        &self.names
    }

    /// Where the propensities come from.
    pub fn propensities(&self) -> Propensities {
        self.propensities
    }

    /// One feature over all rows.
    pub fn feature(&self, index: usize) -> &[f32] {
        self.features.get(index).map_or(&[], Vec::as_slice)
    }

    /// Labels: natural log of milliseconds; of a censored row the least that it can have been.
    pub fn labels(&self) -> &[f32] {
        &self.label
    }

    /// Arrivals, microseconds since the Unix epoch, ascending.
    pub fn arrivals_us(&self) -> &[i64] {
        &self.arrival_us
    }

    /// The feature row at `index`; all missing where there is none.
    pub fn row(&self, index: usize) -> Row {
        std::array::from_fn(|feature| self.features[feature].get(index).copied().unwrap_or(f32::NAN))
    }

    /// True where the latency of the row is what the work took.
    pub(crate) fn is_evidence(&self, row: usize) -> bool {
        self.outcome.get(row).is_some_and(|outcome| outcome.is_latency_evidence())
    }

    /// The rows whose latency is what the work took.
    pub fn evidence(&self) -> Self {
        let rows: Vec<usize> = (0..self.len()).filter(|row| self.is_evidence(*row)).collect();
        self.take(&rows)
    }

    /// The rows of these numbers, in their order; numbers out of range are left out.
    pub fn take(&self, rows: &[usize]) -> Self {
        fn gather<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().filter_map(|row| values.get(*row).cloned()).collect()
        }
        Self {
            features: self.features.iter().map(|column| gather(column, rows)).collect(),
            label: gather(&self.label, rows),
            weight: gather(&self.weight, rows),
            stands_for: gather(&self.stands_for, rows),
            outcome: gather(&self.outcome, rows),
            arrival_us: gather(&self.arrival_us, rows),
            propensity: gather(&self.propensity, rows),
            pool: gather(&self.pool, rows),
            tenant: gather(&self.tenant, rows),
            route: gather(&self.route, rows),
            policy: gather(&self.policy, rows),
            endpoint: gather(&self.endpoint, rows),
            candidates: gather(&self.candidates, rows),
            candidate_rows: gather(&self.candidate_rows, rows),
            names: Arc::clone(&self.names),
            propensities: self.propensities,
            ends_us: self.ends_us,
        }
    }

    /// The rows that arrived after this moment, microseconds since the Unix epoch.
    pub fn since(&self, after_us: i64) -> Self {
        let rows: Vec<usize> = (0..self.len()).filter(|row| self.arrival_us[*row] > after_us).collect();
        self.take(&rows)
    }

    /// These rows and then those of `other`, whose names may be numbered otherwise.
    pub(crate) fn followed_by(mut self, other: &Self) -> Self {
        let them = other.names();
        for row in 0..other.len() {
            let logged = DatasetRow {
                arrival_us: other.arrival_us[row],
                pool: them.pools.name(other.pool[row]),
                tenant: them.tenants.name(other.tenant[row]),
                route: them.routes.name(other.route[row]),
                policy: them.policies.name(other.policy[row]),
                endpoint: them.endpoints.name(other.endpoint[row]),
                propensity: other.propensity[row],
                outcome: other.outcome[row],
                ln_ms: other.label[row],
            };
            self.push(&logged, &other.row(row), Arc::clone(&other.candidates[row]), other.candidate_rows[row].clone());
        }
        self
    }

    /// The rows in order of arrival; equal arrivals keep their order.
    pub fn sorted(self) -> Self {
        if self.arrival_us.is_sorted() {
            return self;
        }
        let mut rows: Vec<usize> = (0..self.len()).collect();
        rows.sort_by_key(|row| self.arrival_us[*row]);
        self.take(&rows)
    }

    /// At most about `max_rows` rows, the rare among them; see `sample`.
    pub fn sampled(self, max_rows: usize, seed: u64) -> Self {
        if self.len() <= max_rows {
            return self;
        }
        let load = &self.features[tailcast_features::index::IN_FLIGHT];
        let stratum = |row: usize| (self.tenant[row], self.endpoint[row], sample::load(load[row]));
        let strata: Vec<sample::Stratum> = (0..self.len()).map(stratum).collect();
        let order: Vec<u32> = (0..self.len() as u32).collect();
        let plan = sample::plan(&self.arrival_us, &order, &strata, max_rows, seed);
        self.take(&plan.rows).weighted(&plan)
    }

    /// The rows of a plan, weighted as it says.
    pub(crate) fn weighted(mut self, plan: &sample::Plan) -> Self {
        self.stands_for.clone_from(&plan.weights);
        self.weight.iter_mut().zip(&plan.weights).for_each(|(weight, times)| *weight *= times);
        self.ends_us = Some(plan.ends_us);
        self
    }

    /// Rows that each stand for as many: of a balanced sample those that a walk in steps of the largest weight meets, so
    /// that what knows no weights is not misled. All rows where all weigh the same.
    pub(crate) fn even(&self) -> Self {
        let largest = self.stands_for.iter().copied().fold(0.0f32, f32::max);
        if self.stands_for.iter().all(|weight| *weight == largest) {
            return self.clone();
        }
        let (step, mut walked) = (f64::from(largest), f64::from(largest) / 2.0);
        let met = |row: &usize| {
            walked += f64::from(self.stands_for[*row]);
            let is_met = walked >= step;
            walked -= if is_met { step } else { 0.0 };
            is_met
        };
        let rows: Vec<usize> = (0..self.len()).filter(met).collect();
        self.take(&rows)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
