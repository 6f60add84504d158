//! The gate: whether a challenger may replace the champion, and if not, why.
//!
//! Both models forecast the newest slice as a proxy would, on rows that neither was fitted or calibrated on. The
//! challenger passes if
//! 1. its mean pinball loss is below the champion's, or, where there is no champion, below every baseline's;
//! 2. the coverage of each quantile is within bounds;
//! 3. no tenant group with rows enough to tell loses more than a twentieth, or is promised a tail that it does not get;
//! 4. a decision takes no longer than the budget.
//!
//! All four are checked, whatever the first says, so that the verdict names everything that is wrong. Rejected: a
//! significance test on the loss (of two models that cannot be told apart either may serve, and the newer one knows
//! the newer traffic), and cross-validated losses (what counts is the next hour).

use crate::calibrate::MIN_GROUP_ROWS;
use crate::dataset::Dataset;
use crate::forecast::{Forecasts, coverage, mean_pinball};
use crate::judge::{Judgement, Score};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tailcast_features::hash::hash_name;
use tailcast_features::{Columns, Row};
use tailcast_model::{DecisionForecasts, Model};

/// Rows that both models must be new to: below that the 99th percentile's loss is an accident.
pub const MIN_ROWS: usize = 50;

/// Parts of the slice, in order of time, whose coverage says how far chance alone moves it: failures come together,
/// so rows are not independent and a binomial error is too small.
const BATCHES: usize = 20;

/// Standard errors that chance is allowed: one in seven hundred good models would be refused.
const CHANCE: f64 = 3.0;

/// Candidates of a timed decision: what the proxy scores by default.
const CANDIDATES: usize = 8;

/// Decisions between two readings of the clock, which then cost nothing.
const DECISIONS: usize = 64;

/// Readings of the clock; the shortest counts, since a busy machine only ever adds.
const READINGS: usize = 15;

/// What the gate asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateRules {
    /// How far the coverage of p99 may be off, beyond chance. Another quantile may be off by as many standard
    /// deviations of a single row.
    pub coverage_off: f64,
    /// Most that a tenant group's loss may be, over the champion's.
    pub group_ratio: f64,
    /// How far the coverage of a tenant group's highest quantile may be below what it says, beyond chance.
    pub group_coverage_off: f64,
    /// Longest that a forecast of eight candidates, as they are and with one request more, may take, microseconds.
    pub decision_us: f64,
}

impl Default for GateRules {
    fn default() -> Self {
        Self {
            coverage_off: 0.005,
            group_ratio: 1.05,
            group_coverage_off: 0.015,
            // Three quantiles of a hundred trees take a tenth of it with the portable kernel.
            decision_us: 20.0,
        }
    }
}

/// One tenant group of the challenger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupLoss {
    /// Number of the group.
    pub group: u16,
    /// Its rows in the slice.
    pub rows: usize,
    /// Mean pinball loss of the challenger.
    pub challenger: f64,
    /// The same of the champion.
    pub champion: f64,
    /// Share of its rows at or below the challenger's highest quantile.
    pub coverage_ratio: f64,
}

/// What the gate found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// True where the challenger may serve.
    pub passed: bool,
    /// Everything that speaks against it, in words; empty where it passed.
    pub reasons: Vec<String>,
    /// Rows that both were judged on.
    pub rows: usize,
    /// Loss and coverage of the challenger; none where there are too few rows.
    pub challenger: Option<Score>,
    /// The same of the champion, if there is one.
    pub champion: Option<Score>,
    /// The tenant groups with rows enough to tell.
    pub groups: Vec<GroupLoss>,
    /// Microseconds that the challenger takes for a decision of eight candidates.
    pub decision_us: f64,
}

/// What is set beside each other.
#[derive(Debug)]
pub struct Contest<'a> {
    /// Rows with a whole latency, in order of arrival, that neither model was fitted on.
    pub rows: &'a Dataset,
    /// The new model.
    pub challenger: &'a Model,
    /// The model that serves.
    pub champion: Option<&'a Model>,
    /// The challenger against the baselines.
    pub judgement: &'a Judgement,
}

impl Contest<'_> {
    /// Decides. `clock` tells a time that only goes forward.
    pub fn decide(&self, rules: &GateRules, clock: &dyn Fn() -> Duration) -> Verdict {
        let decision_us = decision_us(self.challenger, self.rows, clock);
        let mut verdict = Verdict {
            passed: false,
            reasons: Vec::new(),
            rows: self.rows.len(),
            challenger: None,
            champion: None,
            groups: Vec::new(),
            decision_us,
        };
        if verdict.rows < MIN_ROWS {
            let few = format!("{} rows are new to both models, at least {MIN_ROWS} are needed", verdict.rows);
            verdict.reasons.push(few);
        } else {
            self.judge(rules, &mut verdict);
        }
        if !at_most(decision_us, rules.decision_us) {
            let budget = rules.decision_us;
            verdict.reasons.push(format!("a decision takes {decision_us:.1} us, at most {budget} us are allowed"));
        }
        verdict.passed = verdict.reasons.is_empty();
        verdict
    }

    /// Loss, coverage and groups.
    fn judge(&self, rules: &GateRules, verdict: &mut Verdict) {
        let labels = self.rows.labels();
        let levels = self.challenger.quantiles();
        let ours = forecasts(self.challenger, self.rows, levels);
        let theirs = self.champion.map(|champion| forecasts(champion, self.rows, levels));
        let challenger = Score::new("challenger", &ours, labels);
        verdict.champion = theirs.as_ref().map(|theirs| Score::new("champion", theirs, labels));
        verdict.reasons.extend(self.loss_reason(&challenger, verdict.champion.as_ref()));
        verdict.challenger = Some(challenger);
        verdict.reasons.extend(coverage_reasons(&ours, labels, rules));
        // A first model is judged by group too: its losses stand beside themselves.
        verdict.groups = self.groups(&ours, theirs.as_ref().unwrap_or(&ours));
        let ratio = rules.group_ratio;
        let worse = verdict.groups.iter().filter(|group| !at_most(group.challenger, ratio * group.champion));
        verdict.reasons.extend(worse.map(|group| {
            let GroupLoss { group, rows, challenger, champion, .. } = group;
            format!(
                "tenant group {group} has a loss of {challenger:.4} on {rows} rows, the champion {champion:.4}; at \
                 most {ratio} times that is allowed"
            )
        }));
        let right = f64::from(levels.last().copied().unwrap_or(0.0));
        verdict.reasons.extend(verdict.groups.iter().filter_map(|group| {
            let binomial = (VARIANCES * right * (1.0 - right) / group.rows as f64).sqrt();
            let least = right - rules.group_coverage_off - CHANCE * binomial;
            (group.coverage_ratio < least).then(|| {
                format!(
                    "tenant group {} has {:.2} % of its {} rows at or below p{}, at least {:.2} % are asked for",
                    group.group,
                    group.coverage_ratio * 100.0,
                    group.rows,
                    (right * 1e4).round() / 1e2,
                    least * 100.0
                )
            })
        }));
    }

    fn loss_reason(&self, challenger: &Score, champion: Option<&Score>) -> Option<String> {
        let ours = challenger.mean_pinball;
        match champion {
            Some(champion) if ours < champion.mean_pinball => None,
            Some(champion) => {
                Some(format!("its loss is {ours:.5}, not below the champion's {:.5}", champion.mean_pinball))
            }
            None => self.judgement.gate(false).err().map(|error| error.to_string()),
        }
    }

    fn groups(&self, ours: &Forecasts, theirs: &Forecasts) -> Vec<GroupLoss> {
        let mut rows_of = vec![Vec::new(); self.challenger.parts().groups.count];
        for (row, group) in groups(self.challenger, self.rows).into_iter().enumerate() {
            if let Some(rows) = rows_of.get_mut(usize::from(group)) {
                rows.push(row);
            }
        }
        let labels = self.rows.labels();
        let pick = |values: &[f32], rows: &[usize]| rows.iter().map(|row| values[*row]).collect::<Vec<f32>>();
        let tail = ours.column(ours.levels().len().saturating_sub(1));
        let loss = |forecasts: &Forecasts, rows: &[usize]| {
            let of = |level: usize| {
                mean_pinball(forecasts.levels()[level], &pick(labels, rows), &pick(forecasts.column(level), rows))
            };
            (0..forecasts.levels().len()).map(of).sum::<f64>() / forecasts.levels().len().max(1) as f64
        };
        (0u16..)
            .zip(rows_of)
            .filter(|(_, rows)| rows.len() >= MIN_GROUP_ROWS)
            .map(|(group, rows)| GroupLoss {
                group,
                rows: rows.len(),
                challenger: loss(ours, &rows),
                champion: loss(theirs, &rows),
                coverage_ratio: coverage(&pick(labels, &rows), &pick(tail, &rows)),
            })
            .collect()
    }
}

/// False also for what is no number, which is within no limit.
fn at_most(value: f64, limit: f64) -> bool {
    value <= limit
}

fn groups(model: &Model, rows: &Dataset) -> Vec<u16> {
    let of_tenant: Vec<u16> = rows.names().tenants.iter().map(|name| model.group_of(hash_name(name))).collect();
    rows.tenant.iter().map(|tenant| of_tenant.get(*tenant as usize).copied().unwrap_or(0)).collect()
}

/// What a proxy with this model would forecast for these rows at these levels: calibrated, then corrected.
pub fn forecasts(model: &Model, rows: &Dataset, levels: &[f32]) -> Forecasts {
    let endpoints: Vec<u64> = rows.names().endpoints.iter().map(hash_name).collect();
    let mut values = vec![vec![0.0f32; rows.len()]; levels.len()];
    for (row, group) in groups(model, rows).into_iter().enumerate() {
        let forecast = model.forecast(&rows.row(row), group);
        let endpoint = endpoints.get(rows.endpoint[row] as usize).copied().unwrap_or(0);
        let correction = model.bandit_correction(group, endpoint);
        for (column, level) in values.iter_mut().zip(levels) {
            column[row] = model.at_level(&forecast, *level) + correction;
        }
    }
    Forecasts::new(levels, values)
}

/// What is wrong with the coverage of these forecasts, in words.
pub(crate) fn coverage_reasons(forecasts: &Forecasts, labels: &[f32], rules: &GateRules) -> Vec<String> {
    let spread = |level: f64| (level * (1.0 - level)).sqrt();
    let reason = |(at, level): (usize, &f32)| {
        let right = f64::from(*level);
        let column = forecasts.column(at);
        let found = coverage(labels, column);
        let allowed = rules.coverage_off * spread(right) / spread(0.99) + CHANCE * chance(labels, column, right);
        let off = (found - right).abs();
        (!at_most(off, allowed)).then(|| {
            format!(
                "{:.2} % of the rows are at or below p{}, which is {:.2} points off; {:.2} are allowed",
                found * 100.0,
                (right * 1e4).round() / 1e2,
                off * 100.0,
                allowed * 100.0
            )
        })
    };
    forecasts.levels().iter().enumerate().filter_map(reason).collect()
}

/// Variances that a coverage has: that of the slice itself, and that of the shifts, which were learned on as many rows
/// or, where a bandit is kept, on half as many.
const VARIANCES: f64 = 3.0;

/// Standard error of a coverage: from the binomial variance, or that of batch means where it is larger.
fn chance(labels: &[f32], forecasts: &[f32], level: f64) -> f64 {
    let rows = labels.len().max(1);
    let binomial = level * (1.0 - level) / rows as f64;
    let length = rows.div_ceil(BATCHES);
    let batches: Vec<f64> =
        labels.chunks(length).zip(forecasts.chunks(length)).map(|(labels, f)| coverage(labels, f)).collect();
    let n = batches.len() as f64;
    let mean = batches.iter().sum::<f64>() / n;
    let between = batches.iter().map(|batch| (batch - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0) / n;
    (VARIANCES * binomial.max(between)).sqrt()
}

/// Microseconds of one decision over eight candidates; 0 without rows.
fn decision_us(model: &Model, rows: &Dataset, clock: &dyn Fn() -> Duration) -> f64 {
    let candidates: Vec<Row> = (0..rows.len().min(CANDIDATES)).map(|row| rows.row(row)).collect();
    let mut columns = Columns::default();
    columns.fill(&candidates);
    let mut forecasts = DecisionForecasts::default();
    let mut shortest = Duration::MAX;
    for _ in 0..READINGS {
        let start = clock();
        for _ in 0..DECISIONS {
            model.forecast_decision(usize::MAX, &columns, 0, &mut forecasts);
            std::hint::black_box(&forecasts);
        }
        shortest = shortest.min(clock().saturating_sub(start));
    }
    shortest.as_secs_f64() * 1e6 / DECISIONS as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;
    use tailcast_features::index;
    use tailcast_model::forest::{ForestParts, Split, Tree};
    use tailcast_model::{Forest, ModelParts};

    const LEVELS: [f32; 3] = [0.5, 0.95, 0.99];

    /// Uniform latencies in ln ms: 0 to 1 on tenant "a", 1 to 2 on tenant "b", which the route cost tells.
    fn rows(count: usize) -> Dataset {
        let mut random = Pcg64Mcg::seed_from_u64(3);
        let mut number = 0;
        testing::dataset(count, |row| {
            number += 1;
            let is_b = number % 2 == 0;
            row.tenant = if is_b { "b" } else { "a" };
            row.ln_ms = random.random::<f32>() + f32::from(u8::from(is_b));
            testing::features(&[(index::ROUTE_COST, f32::from(u8::from(is_b)))])
        })
    }

    /// Forecasts a tenant's quantiles, off by these shifts.
    fn model(shift_a: f32, shift_b: f32) -> Model {
        let mut borders = vec![Vec::new(); tailcast_features::FEATURE_COUNT];
        borders[index::ROUTE_COST] = vec![0.5];
        let splits = vec![Split { feature: index::ROUTE_COST as u16, bin: 1 }];
        let leaves = LEVELS.map(|_| shift_a).into_iter().chain(LEVELS.map(|_| 1.0 + shift_b)).collect();
        let forest =
            Forest::new(ForestParts { borders, base: LEVELS.to_vec(), trees: vec![Tree { splits, leaves }] }).unwrap();
        let mut parts = ModelParts::new(LEVELS.to_vec(), forest);
        let mut tenants = vec![(hash_name("a"), 0), (hash_name("b"), 1)];
        tenants.sort_unstable();
        parts.groups = tailcast_model::groups::TenantGroups {
            tenants,
            count: 2,
            centroids: vec![vec![0.0; 4]; 2],
            default_group: 0,
        };
        parts.calibration = tailcast_model::calibration::Calibration::zero(2, LEVELS.len());
        Model::new(parts).unwrap()
    }

    fn judgement(wins: bool) -> Judgement {
        let labels = [1.0f32, 2.0];
        let score = |name: &str, off: f32| {
            Score::new(name, &Forecasts::repeated(&[0.5], &labels.map(|label| label + off)), &labels)
        };
        Judgement::new(&[0.5], 2, score("tailcast", 0.1), vec![score("linear", if wins { 0.2 } else { 0.0 })])
    }

    fn decide(rows: &Dataset, challenger: &Model, champion: Option<&Model>, wins: bool) -> Verdict {
        let judgement = judgement(wins);
        let contest = Contest { rows, challenger, champion, judgement: &judgement };
        contest.decide(&GateRules::default(), &|| Duration::ZERO)
    }

    #[test]
    fn a_better_model_passes_and_the_same_model_does_not() {
        let rows = rows(4_000);
        let (good, worse) = (model(0.0, 0.0), model(0.1, 0.1));
        let verdict = decide(&rows, &good, Some(&worse), false);
        assert!(verdict.passed, "{:?}", verdict.reasons);
        assert_eq!((verdict.rows, verdict.groups.len()), (4_000, 2));
        let same = decide(&rows, &good, Some(&good), true);
        assert!(!same.passed && same.reasons.len() == 1 && same.reasons[0].contains("not below"), "{:?}", same.reasons);
    }

    #[test]
    fn a_first_model_must_beat_the_baselines() {
        let rows = rows(1_000);
        assert!(decide(&rows, &model(0.0, 0.0), None, true).passed);
        let refused = decide(&rows, &model(0.0, 0.0), None, false);
        assert!(refused.reasons[0].contains("linear"), "{:?}", refused.reasons);
    }

    #[test]
    fn coverage_out_of_bounds_is_named_with_how_far_it_is_off() {
        let verdict = decide(&rows(4_000), &model(0.1, 0.1), None, true);
        assert!(!verdict.passed);
        assert!(verdict.reasons.iter().all(|reason| reason.contains("points off")), "{:?}", verdict.reasons);
        assert!(verdict.reasons[0].contains("p50"), "{:?}", verdict.reasons);
        // Of few rows chance may take more away.
        assert!(decide(&rows(100), &model(0.02, 0.02), None, true).passed);
    }

    #[test]
    fn one_group_that_loses_is_enough_though_all_together_win() {
        let rows = rows(8_000);
        // Right in total: group a gains more than b loses.
        let verdict = decide(&rows, &model(0.0, -0.1), Some(&model(0.4, 0.0)), true);
        let loss = |score: &Option<Score>| score.as_ref().unwrap().mean_pinball;
        assert!(loss(&verdict.challenger) < loss(&verdict.champion));
        let group: Vec<&String> =
            verdict.reasons.iter().filter(|reason| reason.contains("group 1 has a loss")).collect();
        assert_eq!(group.len(), 1, "{:?}", verdict.reasons);
    }

    #[test]
    fn a_group_that_is_promised_too_short_a_tail_is_enough_though_its_loss_is_no_worse() {
        let rows = rows(8_000);
        // The first model: nobody's loss to compare with. Group b's quantiles are all a tenth too low, a's as much too high.
        let verdict = decide(&rows, &model(0.1, -0.1), None, true);
        let named: Vec<&String> =
            verdict.reasons.iter().filter(|reason| reason.contains("tenant group 1 has")).collect();
        assert_eq!(named.len(), 1, "{:?}", verdict.reasons);
        assert!(named[0].contains("at or below p99"), "{named:?}");
        assert!(!verdict.reasons.iter().any(|reason| reason.contains("tenant group 0")), "{:?}", verdict.reasons);
    }

    #[test]
    fn a_slow_model_and_too_few_rows_are_refused() {
        let ticks = std::cell::Cell::new(0u32);
        let clock = || {
            ticks.set(ticks.get() + 1);
            Duration::from_millis(10) * ticks.get()
        };
        let (rows, judgement, challenger) = (rows(40), judgement(true), model(0.0, 0.0));
        let contest = Contest { rows: &rows, challenger: &challenger, champion: None, judgement: &judgement };
        let verdict = contest.decide(&GateRules::default(), &clock);
        assert_eq!(verdict.decision_us, 156.25);
        assert!(verdict.reasons.iter().any(|reason| reason.contains("156.2 us")), "{:?}", verdict.reasons);
        assert!(verdict.reasons.iter().any(|reason| reason.starts_with("40 rows")), "{:?}", verdict.reasons);
    }
}
