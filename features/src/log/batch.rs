//! Rows to Arrow: one builder a column, filled by one core, finished into a `RecordBatch`.

use super::{LogRow, columns};
use crate::schema::FEATURE_COUNT;
use arrow::array::{
    ArrayRef, Float32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder, UInt8Builder, UInt16Builder,
    UInt64Builder,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Builders for one batch of log rows.
#[derive(Debug)]
pub struct LogBatch {
    arrival: Int64Builder,
    request_id: UInt64Builder,
    pool: StringBuilder,
    tenant: StringBuilder,
    route: StringBuilder,
    method: StringBuilder,
    policy: StringBuilder,
    reason: StringBuilder,
    model: StringBuilder,
    endpoint: StringBuilder,
    propensity: Float32Builder,
    epsilon: Float32Builder,
    candidates: ListBuilder<UInt64Builder>,
    candidate_propensities: ListBuilder<Float32Builder>,
    candidate_scores: ListBuilder<Float32Builder>,
    candidate_features: ListBuilder<Float32Builder>,
    outcome: StringBuilder,
    status: UInt16Builder,
    latency: UInt64Builder,
    first_byte: UInt64Builder,
    request_bytes: UInt64Builder,
    response_bytes: UInt64Builder,
    attempts: UInt8Builder,
    features: [Float32Builder; FEATURE_COUNT],
    rows: usize,
}

impl LogBatch {
    /// Builders with room for `capacity` rows.
    pub fn with_capacity(capacity: usize) -> Self {
        // Names are short; arrow grows the byte buffers by doubling where a guess was low.
        let string = || StringBuilder::with_capacity(capacity, capacity * 12);
        let float = || Float32Builder::with_capacity(capacity);
        let number = || UInt64Builder::with_capacity(capacity);
        Self {
            arrival: Int64Builder::with_capacity(capacity),
            request_id: number(),
            pool: string(),
            tenant: string(),
            route: string(),
            method: string(),
            policy: string(),
            reason: string(),
            model: string(),
            endpoint: string(),
            propensity: float(),
            epsilon: float(),
            candidates: ListBuilder::new(number()),
            candidate_propensities: ListBuilder::new(float()),
            candidate_scores: ListBuilder::new(float()),
            candidate_features: ListBuilder::new(Float32Builder::new()),
            outcome: string(),
            status: UInt16Builder::with_capacity(capacity),
            latency: number(),
            first_byte: number(),
            request_bytes: number(),
            response_bytes: number(),
            attempts: UInt8Builder::with_capacity(capacity),
            features: std::array::from_fn(|_| float()),
            rows: 0,
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True where no row was added since the last [`LogBatch::finish`].
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row.
    pub fn append(&mut self, row: &LogRow<'_>) {
        self.arrival.append_value(row.arrival_us);
        self.request_id.append_value(row.request_id);
        self.pool.append_value(row.pool);
        self.tenant.append_value(row.tenant);
        self.route.append_value(row.route);
        self.method.append_value(row.method);
        self.policy.append_value(row.policy);
        self.reason.append_value(row.reason);
        self.model.append_value(row.model);
        self.endpoint.append_value(row.endpoint);
        self.propensity.append_value(row.propensity);
        self.epsilon.append_value(row.epsilon);
        for candidate in row.candidates {
            self.candidates.values().append_value(candidate.endpoint);
            self.candidate_propensities.values().append_value(candidate.propensity);
            self.candidate_scores.values().append_value(candidate.score);
        }
        self.candidates.append(true);
        self.candidate_propensities.append(true);
        self.candidate_scores.append(true);
        if let Some(rows) = row.candidate_features {
            for features in rows {
                self.candidate_features.values().append_slice(features);
            }
        }
        self.candidate_features.append(row.candidate_features.is_some());
        self.outcome.append_value(row.outcome.name());
        self.status.append_value(row.status);
        self.latency.append_value(row.latency_us);
        self.first_byte.append_value(row.first_byte_us);
        self.request_bytes.append_value(row.request_bytes);
        self.response_bytes.append_value(row.response_bytes);
        self.attempts.append_value(row.attempts);
        for (builder, value) in self.features.iter_mut().zip(row.features) {
            builder.append_value(*value);
        }
        self.rows += 1;
    }

    /// The rows as a batch; the builders are empty afterwards and keep their room.
    ///
    /// # Errors
    /// Only where the columns disagree with [`columns::schema`], which the tests exclude.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.arrival.finish()),
            Arc::new(self.request_id.finish()),
            Arc::new(self.pool.finish()),
            Arc::new(self.tenant.finish()),
            Arc::new(self.route.finish()),
            Arc::new(self.method.finish()),
            Arc::new(self.policy.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.model.finish()),
            Arc::new(self.endpoint.finish()),
            Arc::new(self.propensity.finish()),
            Arc::new(self.epsilon.finish()),
            Arc::new(self.candidates.finish()),
            Arc::new(self.candidate_propensities.finish()),
            Arc::new(self.candidate_scores.finish()),
            Arc::new(self.candidate_features.finish()),
            Arc::new(self.outcome.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.latency.finish()),
            Arc::new(self.first_byte.finish()),
            Arc::new(self.request_bytes.finish()),
            Arc::new(self.response_bytes.finish()),
            Arc::new(self.attempts.finish()),
        ];
        for builder in &mut self.features {
            arrays.push(Arc::new(builder.finish()));
        }
        RecordBatch::try_new(columns::schema(), arrays)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::LoggedCandidate;
    use super::*;
    use crate::outcome::OutcomeKind;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float32Type, UInt64Type};

    fn append(batch: &mut LogBatch, tenant: &str, with_candidates: bool) {
        let mut features = [f32::NAN; FEATURE_COUNT];
        features[crate::index::IN_FLIGHT] = 7.0;
        let rows = [features, features];
        batch.append(&LogRow {
            arrival_us: 1,
            request_id: 2,
            pool: "p",
            tenant,
            route: "/r",
            method: "GET",
            policy: "round_robin",
            reason: "rotation",
            model: "",
            endpoint: "e",
            propensity: 0.5,
            epsilon: 0.0,
            candidates: &[
                LoggedCandidate { endpoint: 11, propensity: 0.5, score: f32::NAN },
                LoggedCandidate { endpoint: 12, propensity: 0.5, score: f32::NAN },
            ],
            features: &features,
            candidate_features: with_candidates.then_some(&rows[..]),
            outcome: OutcomeKind::Success,
            status: 200,
            latency_us: 1234,
            first_byte_us: 1000,
            request_bytes: 0,
            response_bytes: 100,
            attempts: 1,
        });
    }

    #[test]
    fn a_batch_has_every_column_of_the_schema_and_the_builders_start_anew() {
        let mut batch = LogBatch::with_capacity(4);
        append(&mut batch, "acme", true);
        append(&mut batch, "globex", false);
        assert_eq!(batch.len(), 2);
        let first = batch.finish().unwrap();
        assert_eq!(first.num_rows(), 2);
        assert!(batch.is_empty());
        let tenants = first.column_by_name(columns::column::TENANT).unwrap().as_string::<i32>();
        assert_eq!(tenants.value(1), "globex");
        let in_flight = first.column_by_name("f_in_flight").unwrap().as_primitive::<Float32Type>();
        assert_eq!(in_flight.value(0), 7.0);
        let candidates = first.column_by_name(columns::column::CANDIDATES).unwrap().as_list::<i32>();
        assert_eq!(candidates.value(0).as_primitive::<UInt64Type>().values(), &[11, 12]);
        let sampled = first.column_by_name(columns::column::CANDIDATE_FEATURES).unwrap().as_list::<i32>();
        assert!(sampled.is_null(1));
        assert_eq!(sampled.value(0).len(), 2 * FEATURE_COUNT);
        append(&mut batch, "initech", false);
        assert_eq!(batch.finish().unwrap().num_rows(), 1);
    }
}
