//! From a trained model to a published one, and to the champion if the gate lets it.
//!
//! The champion is read, beaten and replaced under one lock: two trainers that finish together are judged one after
//! the other, the second against the first. Judging under the lock costs the other a second, which nobody waits for;
//! rejected is judging before and comparing again afterwards, which is the same with more ways to be wrong.

use crate::gate::{Contest, GateRules};
use crate::registry::{Entry, Owner, Pointers, Publication, Registry, RegistryError};
use crate::train::Trained;
use std::time::Duration;
use tailcast_model::Model;

/// Models that a registry keeps beside those that are pointed at: a day of one every quarter of an hour.
pub const KEPT_MODELS: usize = 100;

/// What became of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Promotion {
    /// The published model.
    pub entry: Entry,
    /// True where it is the champion now.
    pub promoted: bool,
    /// Where the registry points since.
    pub pointers: Pointers,
}

/// Publishes a model under the next number, with the gate's verdict, and promotes it where it passed or `force` is
/// set. `clock` tells a time that only goes forward.
///
/// # Errors
/// Somebody else holds the registry's lock, or the disk does not allow the change; the registry is then as before, or
/// holds the model without pointing at it.
pub fn publish(
    registry: &Registry,
    owner: &Owner,
    trained: &Trained,
    rules: &GateRules,
    force: bool,
    clock: &dyn Fn() -> Duration,
) -> Result<Promotion, RegistryError> {
    let locked = registry.lock(owner)?;
    let champion = Champion::of(registry)?;
    let newest = trained.newest.since(champion.fitted_until_us);
    let contest = Contest {
        rows: &newest,
        challenger: &trained.model,
        champion: champion.model.as_ref(),
        judgement: &trained.report.judgement,
    };
    let verdict = contest.decide(rules, clock);
    let passed = verdict.passed;
    let report = serde_json::to_vec(&trained.report)
        .map_err(|source| RegistryError::Json { path: registry.root().to_owned(), source })?;
    let entry = locked.publish(Publication {
        model: &trained.model,
        report: &report,
        against: champion.number,
        fitted_until_us: trained.report.split.calibration.until_us,
        verdict,
    })?;
    let promoted = passed || force;
    let pointers = if promoted {
        let why = match (passed, &champion.unreadable) {
            (_, Some(reason)) => format!("the champion before cannot be read: {reason}"),
            (true, None) => "passed the gate".to_owned(),
            (false, None) => format!("forced, though {}", entry.record.verdict.reasons.join("; ")),
        };
        locked.promote(entry.record.number, &why)?
    } else {
        registry.pointers()?
    };
    locked.prune(KEPT_MODELS)?;
    Ok(Promotion { entry, promoted, pointers })
}

/// What the new model is set beside.
struct Champion {
    number: Option<u64>,
    model: Option<Model>,
    /// Rows up to here taught it; none are where there is none.
    fitted_until_us: i64,
    /// Why its file cannot be read. It is then as if there were none: what cannot be read cannot serve either.
    unreadable: Option<String>,
}

impl Champion {
    fn of(registry: &Registry) -> Result<Self, RegistryError> {
        let none = Self { number: None, model: None, fitted_until_us: i64::MIN, unreadable: None };
        let Some(number) = registry.pointers()?.champion else { return Ok(none) };
        match (registry.model(number), registry.entry(number)) {
            (Ok(model), Ok(entry)) => Ok(Self {
                number: Some(number),
                model: Some(model),
                fitted_until_us: entry.record.fitted_until_us,
                unreadable: None,
            }),
            (Err(error), _) | (_, Err(error)) => {
                Ok(Self { number: Some(number), unreadable: Some(error.to_string()), ..none })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::dataset::testing::{learnable_log, stream_bytes};
    use crate::registry::Pointer;
    use crate::train::{Source, TrainOptions, train};

    fn trained(seed: u64, rows: usize, warm_start: Option<Model>) -> Trained {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.arrow"), stream_bytes(&[learnable_log(rows, seed)])).unwrap();
        let options = TrainOptions { seed, rounds: 40, warm_start, ..TrainOptions::default() };
        train(Source::Log(directory.path().to_owned()), &options, &mut |_| {}).unwrap()
    }

    fn put(registry: &Registry, trained: &Trained, force: bool) -> Promotion {
        let owner = Owner::this_process("a test", 1);
        publish(registry, &owner, trained, &GateRules::default(), force, &|| Duration::ZERO).unwrap()
    }

    #[test]
    fn the_first_model_is_promoted_the_same_again_is_kept_with_the_reason_and_a_better_one_replaces_it() {
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::create(directory.path()).unwrap();
        let small = trained(1, 1_500, None);
        let first = put(&registry, &small, false);
        assert!(first.promoted && first.entry.record.against.is_none(), "{:?}", first.entry.record.verdict.reasons);
        let again = put(&registry, &small, false);
        assert!(!again.promoted && again.pointers.champion == Some(1));
        assert!(again.entry.record.verdict.reasons[0].contains("not below"), "{:?}", again.entry.record.verdict);
        let large = trained(2, 12_000, Some(small.model.clone()));
        let better = put(&registry, &large, false);
        assert!(better.promoted, "{:?}", better.entry.record.verdict.reasons);
        assert_eq!((better.pointers.champion, better.pointers.previous), (Some(3), Some(1)));
        let stale = put(&registry, &small, false);
        assert!(stale.entry.record.verdict.reasons[0].starts_with("0 rows are new"), "{:?}", stale.entry.record);
        assert!(put(&registry, &small, true).promoted, "unless it is forced");
        assert!(registry.changes().unwrap().last().unwrap().why.starts_with("forced, though"));
    }

    #[test]
    fn a_champion_that_cannot_be_read_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::create(directory.path()).unwrap();
        let model = trained(3, 1_500, None);
        put(&registry, &model, false);
        std::fs::write(registry.entry(1).unwrap().model_path(), b"broken").unwrap();
        let next = put(&registry, &model, false);
        assert!(next.promoted, "{:?}", next.entry.record.verdict.reasons);
        assert!(registry.changes().unwrap()[1].why.contains("cannot be read"));
        assert_eq!(Model::load(registry.path_of(Pointer::Champion)).unwrap().id(), model.model.id());
    }
}
