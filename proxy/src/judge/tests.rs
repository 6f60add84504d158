//! The judge on made-up requests: what it finds, how fast, and what it leaves alone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tailcast_features::{FEATURE_COUNT, OutcomeKind, Tick};
use tailcast_model::forest::ForestParts;
use tailcast_model::{Forest, ModelParts};

/// A model that forecasts the same for every request.
fn model(p50: f32, p99: f32) -> Arc<Model> {
    let forest = ForestParts { borders: vec![Vec::new(); FEATURE_COUNT], base: vec![p50, p99], trees: Vec::new() };
    Arc::new(Model::new(ModelParts::new(vec![0.5, 0.99], Forest::new(forest).unwrap())).unwrap())
}

/// Requests of one pool, 100 a second in each arm. Their log-latency is uniform on [0, 1] plus what `treat` adds for the
/// model's.
struct Traffic {
    random: Pcg64Mcg,
    count: u64,
    model: Arc<str>,
}

impl Traffic {
    fn of(model: &Model, seed: u64) -> Self {
        Self { random: Pcg64Mcg::seed_from_u64(seed), count: 0, model: model.id().into() }
    }

    fn next(&mut self, treat: impl Fn(f32) -> (f32, OutcomeKind)) -> Sample {
        self.count += 1;
        let ln_ms: f32 = self.random.random();
        let is_treated = self.random.random_bool(0.5);
        let (ln_ms, kind) = if is_treated { treat(ln_ms) } else { (ln_ms, OutcomeKind::Success) };
        let at = Tick::from_secs_f64(self.count as f64 / 200.0);
        let row = [f32::NAN; FEATURE_COUNT];
        Sample { at, pool: 7, tenant: 1, is_treated, model: Arc::clone(&self.model), kind, ln_ms, row }
    }

    /// Seconds until the judge is certain of harm.
    fn harm(&mut self, judge: &mut Judge, secs: u64, treat: impl Fn(f32) -> (f32, OutcomeKind)) -> Option<(u64, Harm)> {
        (0..secs * 200).find_map(|number| Some((number / 200, judge.observe(&self.next(&treat))?)))
    }
}

fn answered(ln_ms: f32) -> (f32, OutcomeKind) {
    (ln_ms, OutcomeKind::Success)
}

fn judge(champion: &Arc<Model>) -> Judge {
    let mut judge = Judge::new(0.01);
    judge.set(Role::Champion, Some(Arc::clone(champion)));
    judge
}

#[test]
fn a_model_that_is_as_good_as_the_control_is_left_alone_and_its_coverage_is_shown() {
    let champion = model(0.5, 0.99);
    let mut judge = judge(&champion);
    judge.set(Role::Shadow, Some(model(0.25, 2.0)));
    let found = Traffic::of(&champion, 1).harm(&mut judge, 600, answered);
    assert_eq!(found, None);
    let scores = judge.scores();
    assert_eq!(scores.iter().map(|score| score.role).collect::<Vec<_>>(), [Role::Champion, Role::Shadow]);
    let coverage = |score: usize, level: usize| scores[score].quantiles[level].coverage_ratio.unwrap();
    assert!((coverage(0, 0) - 0.5).abs() < 0.03 && (coverage(0, 1) - 0.99).abs() < 0.01, "{scores:?}");
    assert!((coverage(1, 0) - 0.25).abs() < 0.03 && (coverage(1, 1) - 1.0).abs() < 1e-9, "{scores:?}");
    let loss = |score: usize| scores[score].quantiles[0].pinball.unwrap();
    assert!(loss(0) < loss(1), "the shadow is worse: {scores:?}");
    let arms = judge.arms()[0].1;
    assert!(arms.blocks > 1_000 && (arms.treated_slow_ratio - arms.control_slow_ratio).abs() < 0.01, "{arms:?}");
}

#[test]
fn slow_failing_and_overconfident_models_are_found_within_seconds() {
    let champion = model(0.5, 0.99);
    // Beyond the control's tail, and within what the model promised.
    let modest = model(0.5, 2.0);
    let slower = |ln_ms: f32| answered(ln_ms + 0.7);
    let (secs, harm) = Traffic::of(&modest, 2).harm(&mut judge(&modest), 60, slower).unwrap();
    assert!(harm == Harm::Slow && secs < 10, "{secs} s, {harm:?}");
    let failing = |ln_ms: f32| (ln_ms, if ln_ms < 0.5 { OutcomeKind::ServerError } else { OutcomeKind::Success });
    let (secs, harm) = Traffic::of(&champion, 3).harm(&mut judge(&champion), 60, failing).unwrap();
    // A failure is slow, and beyond any forecast.
    assert!(Harm::ALL.contains(&harm) && secs < 15, "{secs} s, {harm:?}");
    // Requests that the control's tail hides, but not the model's own: it promised 0.5.
    let promised = model(0.2, 0.5);
    let longer = |ln_ms: f32| answered(0.45 + ln_ms / 2.0);
    let (secs, harm) = Traffic::of(&promised, 4).harm(&mut judge(&promised), 60, longer).unwrap();
    assert!(harm == Harm::Coverage && secs < 20, "{secs} s, {harm:?}");
}

#[test]
fn what_hits_both_arms_and_what_clients_do_is_no_harm() {
    let champion = model(0.5, 0.99);
    let mut judge = judge(&champion);
    let mut traffic = Traffic::of(&champion, 5);
    // A surge: every request of both arms takes e times as long, far beyond the forecast.
    for _ in 0..60 * 200 {
        let mut sample = traffic.next(answered);
        sample.ln_ms += 1.0;
        assert_eq!(judge.observe(&sample), None);
    }
    let aborted = |ln_ms: f32| (ln_ms + 5.0, if ln_ms > 0.5 { OutcomeKind::ClientAbort } else { OutcomeKind::Success });
    let shorter = |ln_ms: f32| if ln_ms > 0.5 { aborted(ln_ms) } else { answered(ln_ms) };
    assert_eq!(traffic.harm(&mut judge, 60, shorter), None);
}

#[test]
fn requests_of_another_model_are_no_evidence_and_a_new_champion_begins_with_a_clean_record() {
    let (champion, other) = (model(0.5, 0.99), model(0.4, 0.99));
    let mut judge = judge(&champion);
    let slower = |ln_ms: f32| answered(ln_ms + 2.0);
    assert_eq!(Traffic::of(&other, 6).harm(&mut judge, 60, slower), None);
    assert_eq!(judge.scores()[0].rows, 0);
    Traffic::of(&champion, 7).harm(&mut judge, 5, answered);
    assert!(judge.arms()[0].1.blocks > 0);
    judge.set(Role::Champion, Some(Arc::clone(&champion)));
    assert!(judge.arms()[0].1.blocks > 0, "the same model again is no new champion");
    judge.set(Role::Champion, Some(other));
    assert!(judge.arms().is_empty() && judge.scores()[0].rows == 0);
}
