//! The pipeline as a whole: wins where there is structure, says so where there is none, refuses what cannot teach.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::dataset::testing::{learnable_log, stream_bytes};
use crate::ope::{ModelRule, Target, evaluate};
use arrow::array::RecordBatch;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::OnceLock;
use tailcast_datasets::{Trace, TraceRow};
use tailcast_features::hash::hash_name;

fn log_directory(batches: &[RecordBatch]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.arrow"), stream_bytes(batches)).unwrap();
    directory
}

fn source(directory: &tempfile::TempDir) -> Source {
    Source::Log(directory.path().to_owned())
}

fn run(source: Source, options: &TrainOptions) -> Result<Trained, TrainError> {
    train(source, options, &mut |_| {})
}

/// One model of a learnable log of ten thousand rows, for the tests that only look at it.
fn learnt() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let directory = log_directory(&[learnable_log(10_000, 1)]);
        run(source(&directory), &TrainOptions { seed: 7, ..TrainOptions::default() }).unwrap()
    })
}

/// A trace whose latencies are `ms(random)`, on the endpoints in turn.
fn trace(rows: usize, endpoints: usize, mut each: impl FnMut(&mut Pcg64Mcg) -> (f64, u16)) -> Trace {
    let mut random = Pcg64Mcg::seed_from_u64(5);
    let row = |number: usize| {
        let (ms, status) = each(&mut random);
        TraceRow {
            arrival_us: number as i64 * 20_000,
            tenant: "t".into(),
            route: "/r".into(),
            method: "GET".into(),
            request_bytes: None,
            response_bytes: None,
            endpoint: Some(format!("e{}", number % endpoints).into()),
            status: Some(status),
            latency_us: Some((ms * 1e3) as u64),
        }
    };
    Trace::new((0..rows).map(row).collect())
}

#[test]
fn a_log_with_structure_beats_every_baseline_and_is_calibrated() {
    let report = &learnt().report;
    report.gate().unwrap();
    let best = report.judgement.best_baseline().unwrap().mean_pinball;
    assert!(report.judgement.champion.mean_pinball < 0.95 * best, "{} {best}", report.judgement.champion.mean_pinball);
    assert!((report.p99_coverage() - 0.99).abs() < 0.01, "{}", report.p99_coverage());
    let top: Vec<&str> = report.top_features.iter().take(5).map(|(name, _)| name.as_str()).collect();
    assert!(top.contains(&"route_cost") || top.contains(&"route_endpoint_residual"), "{top:?}");
    assert!(report.top_features.iter().map(|(_, share)| share).sum::<f32>() > 0.999);
    assert_eq!(report.rows, report.quality.as_ref().unwrap().kept);
    assert_eq!(report.split.train.rows + report.split.calibration.rows + report.split.test.rows, report.rows);
    assert!(report.errors.failures > 20 && report.groups.iter().map(|group| group.tenants).sum::<usize>() == 6);
}

#[test]
fn the_model_carries_what_the_report_says_and_survives_its_file() {
    let Trained { model, report, .. } = learnt();
    let again = Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(again.id(), report.model_id);
    let parts = again.parts();
    // Numbers in the file's JSON may lose their last bit.
    let close = |name: &str, value: f64| assert!((parts.metrics[name] - value).abs() < 1e-12, "{name}");
    close("pinball", report.judgement.champion.mean_pinball);
    close("coverage_p99", report.p99_coverage());
    assert_eq!(parts.metrics["beats_baselines"], 1.0);
    assert!(parts.metrics.contains_key("baseline_linear_pinball"), "{:?}", parts.metrics);
    assert_eq!(parts.rows as usize, report.rows);
    assert!(parts.window.from_us < parts.window.until_us && parts.canary_rows.len() == 32);
    assert_eq!(parts.bandit.endpoints.len(), 4);
    assert_eq!(parts.groups.tenants.len(), 6);
    assert_eq!(report.trees, parts.forest.tree_count());
}

#[test]
fn what_is_judged_is_what_is_served() {
    let directory = log_directory(&[learnable_log(10_000, 1)]);
    let (rows, _) = dataset(source(&directory)).unwrap();
    let test = Split::by_time(&rows).test.evidence();
    let Trained { model, report, .. } = learnt();
    let mut columns = vec![Vec::new(); 3];
    for row in 0..test.len() {
        let group = model.group_of(hash_name(test.names().tenants.name(test.tenant[row])));
        let endpoint = hash_name(test.names().endpoints.name(test.endpoint[row]));
        let correction = model.bandit_correction(group, endpoint);
        let forecast = model.forecast(&test.row(row), group);
        columns.iter_mut().zip(forecast.ln_ms()).for_each(|(column, value)| column.push(value + correction));
    }
    let served = Score::new("tailcast", &Forecasts::new(model.quantiles(), columns), test.labels());
    assert_eq!(served, report.judgement.champion);
    let by_gate = crate::gate::forecasts(model, &learnt().newest, model.quantiles());
    assert_eq!(Score::new("tailcast", &by_gate, learnt().newest.labels()), served);
}

#[test]
fn the_same_seed_gives_the_same_model_for_any_number_of_threads() {
    let directory = log_directory(&[learnable_log(2_000, 2)]);
    let id = |seed: u64, threads: usize| {
        let options = TrainOptions { seed, threads, rounds: 30, ..TrainOptions::default() };
        run(source(&directory), &options).unwrap().report.model_id
    };
    assert_eq!(id(1, 1), id(1, 3));
    assert_ne!(id(1, 1), id(2, 1));
}

#[test]
fn more_in_flight_never_lowers_a_forecast_and_levels_never_cross() {
    let Trained { model, report, .. } = learnt();
    let points = &report.plots.in_flight;
    assert!(points.len() > 10 && points[0].in_flight == 0.0);
    for pair in points.windows(2) {
        assert!(pair[0].forecast_ms.iter().zip(&pair[1].forecast_ms).all(|(low, high)| low <= high), "{pair:?}");
    }
    assert!(points.last().unwrap().forecast_ms[0] > 1.3 * points[0].forecast_ms[0], "the queue was learned");
    assert!(points.iter().all(|point| point.forecast_ms.is_sorted()));
    assert_eq!(model.quantiles(), [0.5, 0.95, 0.99]);
}

#[test]
fn the_plots_are_small_and_agree_with_the_report() {
    let report = &learnt().report;
    let plots = &report.plots;
    for (curve, coverage) in plots.reliability.iter().zip(&report.coverage) {
        assert_eq!(curve.level, coverage.level);
        let seen: Vec<f64> = curve.points.iter().map(|point| point.coverage_ratio).collect();
        assert_eq!(seen, coverage.deciles);
        assert!(curve.points.windows(2).all(|pair| pair[0].forecast_ms <= pair[1].forecast_ms));
    }
    assert!(plots.residuals.len() <= 200 && plots.residuals.len() > 20);
    assert_eq!(plots.residuals.iter().map(|point| point.rows).sum::<usize>(), report.judgement.rows);
    assert!(plots.residuals.iter().all(|point| point.median <= point.p95));
    assert!(!plots.rounds.is_empty() && plots.rounds.iter().all(|round| round.validation_loss.is_some()));
    let json = serde_json::to_string(report).unwrap();
    assert!(json.len() < 100_000, "{} bytes", json.len());
}

#[test]
fn progress_tells_stages_in_order_and_rounds_that_only_go_up() {
    let directory = log_directory(&[learnable_log(1_000, 3)]);
    let mut seen = Vec::new();
    let options = TrainOptions { rounds: 20, ..TrainOptions::default() };
    let trained = train(source(&directory), &options, &mut |progress| seen.push(progress)).unwrap();
    let stages: Vec<&str> =
        seen.iter().filter_map(|event| if let Progress::Stage(name) = event { Some(*name) } else { None }).collect();
    let timed: Vec<&str> = trained.report.stage_secs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(stages, timed);
    let rounds: Vec<(usize, usize)> = seen
        .iter()
        .filter_map(|event| if let Progress::Round { done, total, .. } = event { Some((*done, *total)) } else { None })
        .collect();
    assert!(rounds.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(rounds.iter().all(|(done, total)| done <= total && *total == 7 * 20));
}

#[test]
fn pure_noise_is_not_claimed_as_knowledge() {
    // Every endpoint alike and nothing to know: whoever wins, wins by nothing, and the report has the losses.
    let trained = run(
        Source::Trace(trace(3_000, 3, |random| (1.0 + random.random::<f64>() * 50.0, 200))),
        &TrainOptions::default(),
    )
    .unwrap();
    let report = trained.report;
    let best = report.judgement.best_baseline().unwrap().mean_pinball;
    assert!((report.judgement.champion.mean_pinball / best - 1.0).abs() < 0.05);
    assert_eq!(report.gate().is_ok(), report.judgement.wins);
    assert!(!report.bandit.kept, "{}", report.bandit.verdict);
}

#[test]
fn sources_that_cannot_teach_are_refused_with_what_is_needed() {
    let refusal = |source: Source| run(source, &TrainOptions::default()).unwrap_err().to_string();
    let empty = tempfile::tempdir().unwrap();
    assert!(refusal(source(&empty)).contains("no usable log segment"));
    assert!(refusal(source(&log_directory(&[learnable_log(30, 1)]))).contains("at least 400 are needed"));
    let one = refusal(Source::Trace(trace(1_000, 1, |_| (5.0, 200))));
    assert!(one.contains("\"e0\"") && one.contains("at least 2 endpoints"), "{one}");
    let failures = refusal(Source::Trace(trace(1_000, 3, |_| (5.0, 503))));
    assert!(failures.contains("0 usable rows") && failures.contains("only successful rows"), "{failures}");
    let instant = Trace::new(
        trace(1_000, 2, |_| (5.0, 200)).into_rows().into_iter().map(|row| TraceRow { arrival_us: 7, ..row }).collect(),
    );
    assert!(refusal(Source::Trace(instant)).contains("calibration slice"));
    assert!(refusal(Source::Trace(Trace::default())).contains("trace of 0 rows"));
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let refusal = |options: TrainOptions| run(Source::Trace(Trace::default()), &options).unwrap_err().to_string();
    assert!(refusal(TrainOptions { rounds: 0, ..TrainOptions::default() }).contains("rounds = 0"));
    assert!(refusal(TrainOptions { max_rows: 10, ..TrainOptions::default() }).contains("max_rows = 10"));
}

#[test]
fn a_sample_of_the_rows_is_spread_over_all_of_the_time() {
    let directory = log_directory(&[learnable_log(6_000, 4)]);
    let options =
        TrainOptions { max_rows: 2_000, rounds: 20, parent: Some("ab".repeat(32)), ..TrainOptions::default() };
    let trained = run(source(&directory), &options).unwrap();
    assert!((1_980..=2_000).contains(&trained.report.rows), "{}", trained.report.rows);
    let window = trained.model.parts().window;
    assert!(window.until_us - window.from_us > 29_900_000, "5 ms a row over 6000 rows");
    assert_eq!(trained.model.parts().parent, Some("ab".repeat(32)));
}

#[test]
fn the_trained_models_routing_is_estimated_to_be_faster_than_chance() {
    let directory = log_directory(&[learnable_log(8_000, 9)]);
    let (rows, _) = dataset(source(&directory)).unwrap();
    let model = &learnt().model;
    let targets = [Target::Logging, Target::of_model(model, ModelRule::default())];
    let evaluation = evaluate(&rows, &targets, 100.0).unwrap();
    let [logging, routed] = [0, 1].map(|i| evaluation.targets[i].mean_ms_snips);
    assert!(routed.high < 0.8 * logging.value, "{routed:?} against {logging:?}");
    assert!(evaluation.targets[1].target.contains(model.id()));
    assert!(evaluation.targets[1].effective_rows > 100.0);
}

#[test]
fn a_warm_start_goes_on_from_the_champion_and_is_no_worse_on_the_next_rows() {
    let directory = log_directory(&[learnable_log(10_000, 21)]);
    let options = TrainOptions { seed: 7, ..TrainOptions::default() };
    let warm = TrainOptions { warm_start: Some(learnt().model.clone()), ..options.clone() };
    let (cold, warm) = (run(source(&directory), &options).unwrap(), run(source(&directory), &warm).unwrap());
    assert!(warm.report.setting.contains(learnt().model.id()), "{}", warm.report.setting);
    let [cold, warm] = [&cold, &warm].map(|trained| trained.report.judgement.champion.mean_pinball);
    assert!(warm < 1.02 * cold, "{warm} against {cold}");
}

#[test]
fn a_tenant_that_sends_absurd_latencies_does_not_move_the_others_forecasts() {
    let model = |batch: RecordBatch| {
        let options = TrainOptions { seed: 7, ..TrainOptions::default() };
        run(source(&log_directory(&[batch])), &options).unwrap()
    };
    let batch = learnable_log(100_000, 31);
    let (clean, spoilt, without) =
        (model(batch.clone()), model(poisoned(&batch, "stark")), model(without(&batch, "stark")));
    let quality = spoilt.report.quality.as_ref().unwrap();
    assert_eq!(quality.quarantined.len(), 1, "{:?}", quality.quarantined);
    assert!(quality.warnings().iter().any(|warning| warning.contains("\"stark\"")), "{:?}", quality.warnings());
    let rows = &clean.newest;
    let [clean, spoilt, without] =
        [&clean, &spoilt, &without].map(|one| crate::gate::forecasts(&one.model, rows, one.model.quantiles()));
    let mut moved = Vec::new();
    for tenant in ["acme", "globex", "initech", "umbrella", "hooli"] {
        let of: Vec<usize> =
            (0..rows.len()).filter(|row| rows.names().tenants.name(rows.tenant[*row]) == tenant).collect();
        for level in 0..3 {
            let mean = |of_model: &Forecasts| {
                of.iter().map(|row| f64::from(of_model.column(level)[*row])).sum::<f64>() / of.len() as f64
            };
            // Of so heavy a tail a group's 99th percentile is known to a fifth only, and the group is smaller by the
            // tenant: there the forecasts are held to those of a log in which the tenant never was.
            let other = if level < 2 { &clean } else { &without };
            moved.push((tenant, level, (mean(&spoilt) - mean(other)).exp()));
        }
    }
    assert!(moved.iter().all(|(_, _, factor)| (factor - 1.0).abs() < 0.05), "{moved:.3?}");
}

/// The log without the rows of one tenant.
fn without(batch: &RecordBatch, tenant: &str) -> RecordBatch {
    use arrow::array::{AsArray, BooleanArray};
    let at = batch.schema().index_of(tailcast_features::log::column::TENANT).unwrap();
    let stays: BooleanArray =
        batch.column(at).as_string::<i32>().iter().map(|name| Some(name != Some(tenant))).collect();
    arrow::compute::filter_record_batch(batch, &stays).unwrap()
}

/// The log with all latencies of one tenant at almost an hour.
fn poisoned(batch: &RecordBatch, tenant: &str) -> RecordBatch {
    use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
    use arrow::datatypes::UInt64Type;
    use tailcast_features::log::column;
    let schema = batch.schema();
    let at = schema.index_of(column::LATENCY).unwrap();
    let names = batch.column(schema.index_of(column::TENANT).unwrap()).as_string::<i32>();
    let latencies = batch.column(at).as_primitive::<UInt64Type>();
    let spoilt = |row: usize| if names.value(row) == tenant { 3_500_000_000 } else { latencies.value(row) };
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[at] = std::sync::Arc::new((0..names.len()).map(spoilt).collect::<UInt64Array>());
    RecordBatch::try_new(schema, columns).unwrap()
}
