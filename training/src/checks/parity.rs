//! Train/serve parity: what a log row says of its request, and what the `features` crate says today, to the bit.
//!
//! A slice of the rows is replayed. Only what a log row holds in full can be: the features of the request alone. Those
//! that remember earlier requests depend on when each of them ended to the nanosecond and on which worker had it,
//! which no log holds; that the same events give the same rows is the feature store's own test. Rejected: comparing
//! the others within a tolerance, which a subtle change of meaning would pass.

use crate::error::TrainError;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use tailcast_features::log::column;
use tailcast_features::store::{EndpointFacts, FeatureStore, Load, RequestFacts, StoreLimits};
use tailcast_features::{FEATURE_COUNT, FEATURES, Tick, index};

/// Rows that are replayed at most: a change of meaning shows in every row.
const ROWS: usize = 10_000;

/// The features that a row's request alone decides.
const REPLAYED: [usize; 3] = [index::METHOD_WRITE, index::DAY_SIN, index::DAY_COS];

/// What the replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parity {
    /// Rows replayed.
    pub rows: usize,
    /// Features compared, by name.
    pub features: Vec<String>,
    /// Rows where one of them differs.
    pub unequal: usize,
    /// One of those rows.
    pub sample: Option<String>,
}

/// Replays rows spread over the table.
pub(super) fn replay(frame: &DataFrame) -> Result<Parity, TrainError> {
    let arrivals = frame.column(column::ARRIVAL)?.i64()?.cont_slice()?;
    let text = |name: &str| frame.column(name)?.str();
    let (tenants, routes, methods) = (text(column::TENANT)?, text(column::ROUTE)?, text(column::METHOD)?);
    let logged: Vec<&[f32]> = REPLAYED
        .iter()
        .map(|feature| {
            let name = format!("{}{}", column::FEATURE_PREFIX, FEATURES[*feature].name);
            Ok(frame.column(&name)?.f32()?.cont_slice()?)
        })
        .collect::<Result<_, TrainError>>()?;
    let store = FeatureStore::new(&[] as &[EndpointFacts], StoreLimits::default(), Tick::ZERO);
    let count = frame.height().min(ROWS);
    let features = REPLAYED.iter().map(|feature| FEATURES[*feature].name.to_owned()).collect();
    let mut parity = Parity { rows: count, features, ..Parity::default() };
    for at in 0..count {
        let row = (at as u128 * frame.height() as u128 / count as u128) as usize;
        let of = |column: &StringChunked| column.get(row).unwrap_or("").to_owned();
        let method = of(methods);
        let facts = RequestFacts::new(&of(tenants), &of(routes), &method, None, arrivals[row]);
        let mut replayed = [f32::NAN; FEATURE_COUNT];
        store.row(&store.view(&facts, Tick::ZERO), 0, Load::default(), Tick::ZERO, &mut replayed);
        // A feature that was not logged cannot differ; how many are missing is another check's.
        let differs = REPLAYED
            .iter()
            .zip(&logged)
            .find(|(feature, logged)| !logged[row].is_nan() && logged[row].to_bits() != replayed[**feature].to_bits());
        if let Some((feature, logged)) = differs {
            parity.unequal += 1;
            let name = FEATURES[*feature].name;
            parity.sample.get_or_insert_with(|| {
                format!(
                    "{method} at {} us: {name} was logged as {:?}, is {:?} now",
                    arrivals[row], logged[row], replayed[*feature]
                )
            });
        }
    }
    Ok(parity)
}
