//! Column names, types and the versioned Arrow schema of a log segment.

use crate::schema::{FEATURES, schema_hash};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Version of the columns around the features; the features have their own hash.
pub const LOG_VERSION: u32 = 1;

/// Column names and metadata keys.
pub mod column {
    /// Arrival, microseconds since the Unix epoch.
    pub const ARRIVAL: &str = "arrival_us";
    /// Request number.
    pub const REQUEST_ID: &str = "request_id";
    /// Pool name.
    pub const POOL: &str = "pool";
    /// Tenant name.
    pub const TENANT: &str = "tenant";
    /// Route template.
    pub const ROUTE: &str = "route";
    /// HTTP method.
    pub const METHOD: &str = "method";
    /// Policy name.
    pub const POLICY: &str = "policy";
    /// Reason of the decision.
    pub const REASON: &str = "reason";
    /// Model id.
    pub const MODEL: &str = "model";
    /// Chosen endpoint.
    pub const ENDPOINT: &str = "endpoint";
    /// Propensity of the chosen endpoint.
    pub const PROPENSITY: &str = "propensity";
    /// Exploration share.
    pub const EPSILON: &str = "epsilon";
    /// Hashes of the candidates.
    pub const CANDIDATES: &str = "candidates";
    /// Propensities of the candidates.
    pub const CANDIDATE_PROPENSITIES: &str = "candidate_propensities";
    /// Scores of the candidates.
    pub const CANDIDATE_SCORES: &str = "candidate_scores";
    /// Features of all candidates, row after row; null where not sampled.
    pub const CANDIDATE_FEATURES: &str = "candidate_features";
    /// How the request ended.
    pub const OUTCOME: &str = "outcome";
    /// HTTP status.
    pub const STATUS: &str = "status";
    /// Latency to the last byte, microseconds.
    pub const LATENCY: &str = "latency_us";
    /// Latency to the first byte, microseconds.
    pub const FIRST_BYTE: &str = "first_byte_us";
    /// Request body bytes.
    pub const REQUEST_BYTES: &str = "request_bytes";
    /// Response body bytes.
    pub const RESPONSE_BYTES: &str = "response_bytes";
    /// Attempts.
    pub const ATTEMPTS: &str = "attempts";
    /// Prefix of feature columns: `f_in_flight` and so on.
    pub const FEATURE_PREFIX: &str = "f_";
    /// Metadata key of the feature schema's hash, 16 hex digits.
    pub const META_SCHEMA_HASH: &str = "tailcast.schema_hash";
    /// Metadata key of [`super::LOG_VERSION`].
    pub const META_LOG_VERSION: &str = "tailcast.log_version";
}

fn list(name: &str, item: DataType, nullable: bool) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("item", item, true))), nullable)
}

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| {
        let required = |name: &str, kind: DataType| Field::new(name, kind, false);
        let mut fields = vec![
            required(column::ARRIVAL, DataType::Int64),
            required(column::REQUEST_ID, DataType::UInt64),
            required(column::POOL, DataType::Utf8),
            required(column::TENANT, DataType::Utf8),
            required(column::ROUTE, DataType::Utf8),
            required(column::METHOD, DataType::Utf8),
            required(column::POLICY, DataType::Utf8),
            required(column::REASON, DataType::Utf8),
            required(column::MODEL, DataType::Utf8),
            required(column::ENDPOINT, DataType::Utf8),
            required(column::PROPENSITY, DataType::Float32),
            required(column::EPSILON, DataType::Float32),
            list(column::CANDIDATES, DataType::UInt64, false),
            list(column::CANDIDATE_PROPENSITIES, DataType::Float32, false),
            list(column::CANDIDATE_SCORES, DataType::Float32, false),
            list(column::CANDIDATE_FEATURES, DataType::Float32, true),
            required(column::OUTCOME, DataType::Utf8),
            required(column::STATUS, DataType::UInt16),
            required(column::LATENCY, DataType::UInt64),
            required(column::FIRST_BYTE, DataType::UInt64),
            required(column::REQUEST_BYTES, DataType::UInt64),
            required(column::RESPONSE_BYTES, DataType::UInt64),
            required(column::ATTEMPTS, DataType::UInt8),
        ];
        fields.extend(FEATURES.iter().map(|feature| {
            Field::new(format!("{}{}", column::FEATURE_PREFIX, feature.name), DataType::Float32, false)
        }));
        let metadata = HashMap::from([
            (column::META_SCHEMA_HASH.to_owned(), format!("{:016x}", schema_hash())),
            (column::META_LOG_VERSION.to_owned(), LOG_VERSION.to_string()),
        ]);
        Arc::new(Schema::new_with_metadata(fields, metadata))
    });

/// The schema of every segment that this version writes.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}
