//! What the simulated proxies write of their requests: the rows that a learner reads.
//!
//! The columns are those of the production log that training reads (features as the policy saw them, propensity,
//! endpoint, outcome, latency), kept in memory. Rejected: writing real segments (Arrow and Parquet would be most of the
//! simulation's time, and the parity of segment and row is tested where segments are written).

use tailcast_features::{FEATURE_COUNT, OutcomeKind, Row};

/// One finished request.
#[derive(Debug, Clone, Copy)]
pub struct SimRow {
    /// Arrival, nanoseconds of simulated time.
    pub arrived: u64,
    /// Tenant number.
    pub tenant: u32,
    /// Route number.
    pub route: u16,
    /// Server number.
    pub server: u16,
    /// Propensity of the choice.
    pub propensity: f32,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Latency, natural log of milliseconds.
    pub ln_ms: f32,
}

/// Rows in the order in which the requests ended; over capacity the oldest half goes.
#[derive(Debug, Clone)]
pub struct SimLog {
    pub(crate) rows: Vec<SimRow>,
    pub(crate) features: Vec<Row>,
    capacity: usize,
}

impl SimLog {
    /// Room for so many rows.
    pub fn new(capacity: usize) -> Self {
        Self { rows: Vec::new(), features: Vec::new(), capacity: capacity.max(2) }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn push(&mut self, row: SimRow, features: &Row) {
        if self.rows.len() >= self.capacity {
            let old = self.capacity / 2;
            self.rows.drain(..old);
            self.features.drain(..old);
        }
        self.rows.push(row);
        self.features.push(*features);
    }

    pub(crate) fn append(&mut self, other: &Self) {
        for (row, features) in other.rows.iter().zip(&other.features) {
            self.push(*row, features);
        }
    }

    /// The rows in order of arrival as two logs: the older ones, and the newest `share` of them.
    pub(crate) fn split_newest(&self, share: f64) -> (Self, Self) {
        let order = self.order();
        let newest = (order.len() as f64 * share) as usize;
        let part = |numbers: &[u32]| {
            let mut log = Self::new(numbers.len());
            numbers.iter().for_each(|i| log.push(self.rows[*i as usize], &self.features[*i as usize]));
            log
        };
        let (older, newest) = order.split_at(order.len() - newest);
        (part(older), part(newest))
    }

    fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        order.sort_by_key(|i| self.rows[*i as usize].arrived);
        order
    }

    /// Rows in order of arrival, as columns.
    pub(crate) fn columns(&self) -> (Vec<SimRow>, Vec<Vec<f32>>) {
        let order = self.order();
        let rows = order.iter().map(|i| self.rows[*i as usize]).collect();
        let column = |feature: usize| order.iter().map(|i| self.features[*i as usize][feature]).collect();
        (rows, (0..FEATURE_COUNT).map(column).collect())
    }
}
