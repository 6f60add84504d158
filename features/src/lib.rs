//! The one definition of every feature, of the state it is computed from, and of the log it is written to.
//!
//! The proxy, the trainer and the simulator all compute features through this crate, so a model is served
//! exactly what it was trained on. It is pure: time is an argument ([`Tick`]), nothing here opens a socket,
//! spawns a task or reads a clock.
//!
//! | module | is |
//! | --- | --- |
//! | [`schema`] | the ordered list of features, their units, the hash |
//! | [`store`] | the online feature store: endpoint, tenant, route and pair state, and the rows made from it |
//! | [`log`] | the log: one row a request, to and from Arrow |
//! | [`outcome`] | how a request ended, and what of it is evidence of latency |
//! | [`route`] | raw path to route template |
//! | [`columns`] | the features of all candidates of one decision, feature by feature |
//! | [`approx`], [`lanes`] | logarithm and power of two, inlined; sixteen candidates side by side |
//! | [`decay`], [`table`], [`pairs`] | decayed statistics, the bounded table, decayed means of pairs |
//! | [`hash`], [`tick`] | the stable hash, time |

pub mod approx;
pub mod columns;
pub mod decay;
pub mod hash;
pub mod lanes;
pub mod log;
pub mod outcome;
pub mod pairs;
pub mod route;
pub mod schema;
pub mod store;
pub mod table;
pub mod tick;

pub use columns::Columns;
pub use outcome::{Outcome, OutcomeKind};
pub use schema::{FEATURE_COUNT, FEATURES, Row, index, schema_hash};
pub use store::{EndpointFacts, FeatureStore, RequestFacts, RequestView};
pub use tick::Tick;
