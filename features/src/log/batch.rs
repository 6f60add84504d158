//! Rows to Arrow: plain columns, filled by one core, turned into a `RecordBatch` without a copy.
//!
//! `Vec`s and not arrow's builders: a row has some eighty values, none of which is ever null, and a builder keeps the
//! books of nulls for each. The features lie row after row while they come in, one copy a row, and are turned into columns
//! when the batch is made.

use super::{LogRow, LoggedCandidate, columns};
use crate::schema::{FEATURE_COUNT, Row};
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanBufferBuilder, ListArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Field, Float32Type, Int64Type, UInt8Type, UInt16Type, UInt64Type};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Columns for one batch of log rows.
#[derive(Debug)]
pub struct LogBatch {
    arrival: Vec<i64>,
    request_id: Vec<u64>,
    pool: Text,
    tenant: Text,
    route: Text,
    method: Text,
    policy: Text,
    reason: Text,
    model: Text,
    endpoint: Text,
    propensity: Vec<f32>,
    epsilon: Vec<f32>,
    candidate_ends: Vec<i32>,
    candidates: Vec<LoggedCandidate>,
    /// Ends in values, not in rows of features.
    sampled_ends: Vec<i32>,
    sampled: Vec<f32>,
    is_sampled: BooleanBufferBuilder,
    outcome: Text,
    status: Vec<u16>,
    latency: Vec<u64>,
    first_byte: Vec<u64>,
    request_bytes: Vec<u64>,
    response_bytes: Vec<u64>,
    attempts: Vec<u8>,
    features: Vec<Row>,
}

/// A column of strings: their bytes, and where each ends.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl Text {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(end(self.bytes.len()));
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = offsets(&mut self.ends);
        Ok(Arc::new(StringArray::try_new(offsets, take(&mut self.bytes).into(), None)?))
    }
}

/// A position as Arrow stores it. A batch is handed over each second, long before it has 2 GiB; should one grow so large, it
/// is refused by arrow's checks.
fn end(position: usize) -> i32 {
    i32::try_from(position).unwrap_or(i32::MAX)
}

/// What is in a column, with as much room as it had left in its place.
fn take<T>(column: &mut Vec<T>) -> Vec<T> {
    let room = column.len();
    std::mem::replace(column, Vec::with_capacity(room))
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(offsets.into())
}

fn numbers<T: ArrowPrimitiveType>(column: &mut Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(take(column)), None))
}

fn list<T: ArrowPrimitiveType>(
    offsets: &OffsetBuffer<i32>,
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let item = Arc::new(Field::new("item", T::DATA_TYPE, true));
    let values = Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), None));
    Ok(Arc::new(ListArray::try_new(item, offsets.clone(), values, nulls)?))
}

impl LogBatch {
    /// Columns with room for `capacity` rows.
    pub fn with_capacity(capacity: usize) -> Self {
        // Names are short; the bytes grow by doubling where a guess was low.
        let text = || Text { bytes: Vec::with_capacity(capacity * 12), ends: Vec::with_capacity(capacity) };
        Self {
            arrival: Vec::with_capacity(capacity),
            request_id: Vec::with_capacity(capacity),
            pool: text(),
            tenant: text(),
            route: text(),
            method: text(),
            policy: text(),
            reason: text(),
            model: text(),
            endpoint: text(),
            propensity: Vec::with_capacity(capacity),
            epsilon: Vec::with_capacity(capacity),
            candidate_ends: Vec::with_capacity(capacity),
            candidates: Vec::new(),
            sampled_ends: Vec::with_capacity(capacity),
            sampled: Vec::new(),
            is_sampled: BooleanBufferBuilder::new(capacity),
            outcome: text(),
            status: Vec::with_capacity(capacity),
            latency: Vec::with_capacity(capacity),
            first_byte: Vec::with_capacity(capacity),
            request_bytes: Vec::with_capacity(capacity),
            response_bytes: Vec::with_capacity(capacity),
            attempts: Vec::with_capacity(capacity),
            features: Vec::with_capacity(capacity),
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// True where no row was added since the last [`LogBatch::finish`].
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Adds a row.
    pub fn append(&mut self, row: &LogRow<'_>) {
        self.arrival.push(row.arrival_us);
        self.request_id.push(row.request_id);
        self.pool.push(row.pool);
        self.tenant.push(row.tenant);
        self.route.push(row.route);
        self.method.push(row.method);
        self.policy.push(row.policy);
        self.reason.push(row.reason);
        self.model.push(row.model);
        self.endpoint.push(row.endpoint);
        self.propensity.push(row.propensity);
        self.epsilon.push(row.epsilon);
        self.candidates.extend_from_slice(row.candidates);
        self.candidate_ends.push(end(self.candidates.len()));
        if let Some(rows) = row.candidate_features {
            self.sampled.extend_from_slice(rows.as_flattened());
        }
        self.sampled_ends.push(end(self.sampled.len()));
        self.is_sampled.append(row.candidate_features.is_some());
        self.outcome.push(row.outcome.name());
        self.status.push(row.status);
        self.latency.push(row.latency_us);
        self.first_byte.push(row.first_byte_us);
        self.request_bytes.push(row.request_bytes);
        self.response_bytes.push(row.response_bytes);
        self.attempts.push(row.attempts);
        self.features.push(*row.features);
    }

    /// The rows as a batch; the columns are empty afterwards and keep their room.
    ///
    /// # Errors
    /// Where the columns disagree with [`columns::schema`], which the tests exclude, or a column has over 2 GiB.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let candidates = take(&mut self.candidates);
        let candidate_ends = offsets(&mut self.candidate_ends);
        let sampled_ends = offsets(&mut self.sampled_ends);
        let sampled = NullBuffer::new(self.is_sampled.finish());
        let mut arrays: Vec<ArrayRef> = vec![
            numbers::<Int64Type>(&mut self.arrival),
            numbers::<UInt64Type>(&mut self.request_id),
            self.pool.finish()?,
            self.tenant.finish()?,
            self.route.finish()?,
            self.method.finish()?,
            self.policy.finish()?,
            self.reason.finish()?,
            self.model.finish()?,
            self.endpoint.finish()?,
            numbers::<Float32Type>(&mut self.propensity),
            numbers::<Float32Type>(&mut self.epsilon),
            list::<UInt64Type>(&candidate_ends, candidates.iter().map(|one| one.endpoint).collect(), None)?,
            list::<Float32Type>(&candidate_ends, candidates.iter().map(|one| one.propensity).collect(), None)?,
            list::<Float32Type>(&candidate_ends, candidates.iter().map(|one| one.score).collect(), None)?,
            list::<Float32Type>(&sampled_ends, take(&mut self.sampled), Some(sampled))?,
            self.outcome.finish()?,
            numbers::<UInt16Type>(&mut self.status),
            numbers::<UInt64Type>(&mut self.latency),
            numbers::<UInt64Type>(&mut self.first_byte),
            numbers::<UInt64Type>(&mut self.request_bytes),
            numbers::<UInt64Type>(&mut self.response_bytes),
            numbers::<UInt8Type>(&mut self.attempts),
        ];
        let rows = take(&mut self.features);
        for feature in 0..FEATURE_COUNT {
            arrays.push(numbers::<Float32Type>(&mut rows.iter().map(|row| row[feature]).collect()));
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
