//! The small tables behind the report's figures: reliability, losses by round, dependence on in-flight, residuals.
//!
//! All but the losses are of the test slice. Numbers and no pictures, so that any renderer can draw them.

use crate::dataset::Dataset;
use crate::forecast::{Forecasts, weighted_quantile};
use crate::split::stratified;
use crate::trees::RoundLoss;
use serde::Serialize;
use tailcast_features::{Row, index};
use tailcast_model::{Forecast, Model};

/// Parts of the forecast's range.
const DECILES: usize = 10;

/// Bins of the residuals over time at most: more than a figure has room for would only be noise.
const MAX_BINS: usize = 200;

/// Rows that a bin of residuals needs, so that its p95 is more than one row's accident.
const MIN_BIN_ROWS: usize = 20;

/// Rows over which the dependence on in-flight is averaged.
const DEPENDENCE_ROWS: usize = 400;

/// In-flight counts at which it is shown at most.
const DEPENDENCE_POINTS: usize = 40;

/// Everything that the report draws.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plots {
    /// One curve a quantile.
    pub reliability: Vec<Reliability>,
    /// Losses of the run that chose the number of rounds.
    pub rounds: Vec<RoundPoint>,
    /// How the forecast depends on in-flight.
    pub in_flight: Vec<InFlightPoint>,
    /// Residuals of the median over time.
    pub residuals: Vec<ResidualPoint>,
}

/// Reliability of one quantile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// The quantile level, which is the coverage that is right.
    pub level: f32,
    /// One point for each tenth of the rows, by rising forecast.
    pub points: Vec<ReliabilityPoint>,
}

/// One tenth of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityPoint {
    /// Median forecast, milliseconds.
    pub forecast_ms: f64,
    /// Share of rows at or below their forecast.
    pub coverage_ratio: f64,
    /// Rows.
    pub rows: usize,
}

/// Losses after one round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RoundPoint {
    /// Number of the round, from 1.
    pub round: usize,
    /// Mean pinball loss on the rows that it was fitted on, natural log of milliseconds.
    pub train_loss: f64,
    /// The same on the later rows that choose when to stop; `None` where there were none.
    pub validation_loss: Option<f64>,
}

/// The forecast at one in-flight count, all else as it was: the geometric mean over a sample of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InFlightPoint {
    /// Requests in flight.
    pub in_flight: f32,
    /// Milliseconds, one for each quantile level.
    pub forecast_ms: Vec<f64>,
}

/// Residuals `y − f₅₀` in one bin of time, natural log of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResidualPoint {
    /// Middle of the bin, seconds since the first row of the test slice.
    pub t_secs: f64,
    /// Median residual.
    pub median: f64,
    /// 95th percentile of the residuals.
    pub p95: f64,
    /// Rows.
    pub rows: usize,
}

impl Plots {
    pub(super) fn new(served: &Forecasts, test: &Dataset, rounds: &[RoundLoss], model: &Model) -> Self {
        let round = |(i, loss): (usize, &RoundLoss)| RoundPoint {
            round: i + 1,
            train_loss: loss.train,
            validation_loss: loss.validation,
        };
        Self {
            reliability: reliability(served, test.labels()),
            rounds: rounds.iter().enumerate().map(round).collect(),
            in_flight: dependence(model, test),
            residuals: residuals(served, test),
        }
    }
}

fn reliability(served: &Forecasts, labels: &[f32]) -> Vec<Reliability> {
    let curve = |level: usize| {
        let column = served.column(level);
        let mut order: Vec<usize> = (0..column.len()).collect();
        order.sort_by(|a, b| column[*a].total_cmp(&column[*b]));
        let points = (0..DECILES)
            .map(|part| &order[part * order.len() / DECILES..(part + 1) * order.len() / DECILES])
            .filter(|rows| !rows.is_empty())
            .map(|rows| ReliabilityPoint {
                forecast_ms: f64::from(column[rows[rows.len() / 2]]).exp(),
                coverage_ratio: rows.iter().filter(|row| labels[**row] <= column[**row]).count() as f64
                    / rows.len() as f64,
                rows: rows.len(),
            })
            .collect();
        Reliability { level: served.levels()[level], points }
    };
    (0..served.levels().len()).map(curve).collect()
}

/// Partial dependence (Friedman 2001): the forecast of the same rows with another in-flight count.
fn dependence(model: &Model, test: &Dataset) -> Vec<InFlightPoint> {
    let seen = test.feature(index::IN_FLIGHT).iter().copied().filter(|value| value.is_finite());
    let most = seen.fold(f32::NEG_INFINITY, f32::max);
    if !most.is_finite() {
        return Vec::new();
    }
    let rows: Vec<(Row, u16)> = stratified(test.len(), DEPENDENCE_ROWS, 0)
        .into_iter()
        .map(|row| {
            let tenant = test.names().tenants.name(test.tenant[row]);
            (test.row(row), model.group_of(tailcast_features::hash::hash_name(tenant)))
        })
        .collect();
    let step = (most / DEPENDENCE_POINTS as f32).ceil().max(1.0);
    (0..=DEPENDENCE_POINTS)
        .map(|point| point as f32 * step)
        .take_while(|in_flight| *in_flight <= most.max(1.0))
        .map(|in_flight| {
            let mut sums = vec![0.0f64; model.quantiles().len()];
            for (row, group) in &rows {
                let mut changed = *row;
                changed[index::IN_FLIGHT] = in_flight;
                let forecast: Forecast = model.forecast(&changed, *group);
                sums.iter_mut().zip(forecast.ln_ms()).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let forecast_ms = sums.iter().map(|sum| (sum / rows.len().max(1) as f64).exp()).collect();
            InFlightPoint { in_flight, forecast_ms }
        })
        .collect()
}

/// Bins of equal time; a bin of too few rows is joined to the next.
fn residuals(served: &Forecasts, test: &Dataset) -> Vec<ResidualPoint> {
    let Some(median) = served.levels().iter().position(|level| *level >= 0.5) else { return Vec::new() };
    let (Some(first), Some(last)) = (test.arrivals_us().first(), test.arrivals_us().last()) else {
        return Vec::new();
    };
    let width = (last.abs_diff(*first) / MAX_BINS as u64).max(1);
    let bin_of = |row: usize| test.arrivals_us()[row].abs_diff(*first) / width;
    let mut points = Vec::new();
    let mut start = 0;
    for end in 1..=test.len() {
        let closed = end == test.len() || (bin_of(end) != bin_of(start) && end - start >= MIN_BIN_ROWS);
        if closed {
            let residual = |row: usize| (test.label[row] - served.column(median)[row], 1.0);
            let mut values: Vec<(f32, f64)> = (start..end).map(residual).collect();
            let middle =
                (test.arrivals_us()[start].abs_diff(*first) + test.arrivals_us()[end - 1].abs_diff(*first)) / 2;
            points.push(ResidualPoint {
                t_secs: middle as f64 / 1e6,
                median: f64::from(weighted_quantile(&mut values, 0.5)),
                p95: f64::from(weighted_quantile(&mut values, 0.95)),
                rows: values.len(),
            });
            start = end;
        }
    }
    points
}
