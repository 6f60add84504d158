//! What a reader sees after every change, after a crash in the middle of one, and beside a second writer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::judge::Score;
use std::process::{Command, Stdio};
use std::time::Duration;
use tailcast_model::ModelParts;
use tailcast_model::forest::{Forest, ForestParts};

/// Names the registry to the child process that is killed.
const CHILD_REGISTRY: &str = "TAILCAST_TEST_REGISTRY";

fn model(base: f32) -> Model {
    let borders = vec![Vec::new(); tailcast_features::FEATURE_COUNT];
    let forest = Forest::new(ForestParts { borders, base: vec![base], trees: Vec::new() }).unwrap();
    Model::new(ModelParts::new(vec![0.5], forest)).unwrap()
}

fn verdict(passed: bool) -> Verdict {
    let challenger = Score { name: "challenger".into(), pinball: vec![0.1], mean_pinball: 0.1, coverage: vec![0.5] };
    let reasons = if passed { Vec::new() } else { vec!["its loss is higher".to_owned()] };
    Verdict {
        passed,
        reasons,
        rows: 100,
        challenger: Some(challenger),
        champion: None,
        groups: Vec::new(),
        decision_us: 1.0,
    }
}

fn publish(locked: &Locked<'_>, model: &Model, passed: bool) -> Entry {
    let publication = Publication { model, report: b"{}", against: None, fitted_until_us: 7, verdict: verdict(passed) };
    locked.publish(publication).unwrap()
}

fn owner() -> Owner {
    Owner::this_process("a test", 1_700_000_000)
}

/// Whole as a reader sees it: every model loads and is what its record says, every pointer names a model.
fn assert_valid(registry: &Registry) {
    for entry in registry.entries().unwrap() {
        let model = registry.model(entry.record.number).unwrap();
        assert_eq!(model.checksum(), entry.record.sha256);
        assert!(entry.report_path().exists());
    }
    let pointers = registry.pointers().unwrap();
    for pointer in Pointer::ALL {
        let through_link = Model::load(registry.path_of(pointer));
        match pointers.of(pointer) {
            Some(number) => assert_eq!(through_link.unwrap().id(), registry.entry(number).unwrap().record.model_id),
            None => assert!(through_link.is_err()),
        }
    }
}

#[test]
fn models_are_numbered_and_pointers_move_together() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::create(&directory.path().join("deep/registry")).unwrap();
    assert_eq!(registry.pointers().unwrap(), Pointers::default());
    let locked = registry.lock(&owner()).unwrap();
    for (number, passed) in [(1, true), (2, true), (3, false)] {
        assert_eq!(publish(&locked, &model(number as f32), passed).record.number, number);
        if passed {
            locked.promote(number, "better").unwrap();
        }
    }
    assert_valid(&registry);
    assert_eq!(registry.pointers().unwrap(), Pointers { champion: Some(2), previous: Some(1), shadow: None });
    assert_eq!(registry.entries().unwrap()[2].record.verdict.reasons, ["its loss is higher"]);
    locked.set_shadow(Some(3), "to be watched").unwrap();
    assert_eq!(locked.promote(2, "again").unwrap().previous, Some(1), "no change is no way back lost");
    let back = locked.take_back("p99 rose").unwrap();
    assert_eq!(back, Pointers { champion: Some(1), previous: None, shadow: Some(2) });
    assert_valid(&registry);
    let reasons: Vec<String> = registry.changes().unwrap().into_iter().map(|change| change.why).collect();
    assert_eq!(reasons, ["better", "better", "to be watched", "p99 rose"]);
    let twice = locked.take_back("again").unwrap_err().to_string();
    assert!(twice.contains("no previous model"), "{twice}");
}

#[test]
fn the_path_of_the_champion_is_another_file_after_a_promotion() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::create(directory.path()).unwrap();
    let locked = registry.lock(&owner()).unwrap();
    let path = registry.path_of(Pointer::Champion);
    let mut inodes = Vec::new();
    for number in 1..=3 {
        publish(&locked, &model(number as f32), true);
        locked.promote(number, "better").unwrap();
        inodes.push(fs::metadata(&path).unwrap().ino());
    }
    locked.take_back("worse").unwrap();
    inodes.push(fs::metadata(&path).unwrap().ino());
    assert!(inodes[0] != inodes[1] && inodes[1] != inodes[2] && inodes[3] == inodes[1], "{inodes:?}");
}

#[test]
fn a_damaged_or_unknown_model_is_never_promoted() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::create(directory.path()).unwrap();
    let locked = registry.lock(&owner()).unwrap();
    publish(&locked, &model(1.0), true);
    let broken = publish(&locked, &model(2.0), true);
    locked.promote(1, "first").unwrap();
    let mut bytes = fs::read(broken.model_path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(broken.model_path(), bytes).unwrap();
    assert!(locked.promote(2, "better").unwrap_err().to_string().starts_with("model 2: "));
    let unknown = locked.promote(9, "better").unwrap_err().to_string();
    assert!(unknown.contains("no model 9") && unknown.contains("2 models, 1 to 2"), "{unknown}");
    assert_eq!(registry.pointers().unwrap().champion, Some(1));
}

#[test]
fn old_models_are_removed_and_those_that_are_pointed_at_stay() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::create(directory.path()).unwrap();
    let locked = registry.lock(&owner()).unwrap();
    for number in 1..=6 {
        publish(&locked, &model(number as f32), true);
    }
    locked.promote(1, "first").unwrap();
    locked.promote(3, "better").unwrap();
    assert_eq!(locked.prune(2).unwrap(), 2);
    let left: Vec<u64> = registry.entries().unwrap().iter().map(|entry| entry.record.number).collect();
    assert_eq!(left, [1, 3, 5, 6]);
    assert_eq!(publish(&locked, &model(9.0), true).record.number, 7, "numbers are not used again");
    assert_valid(&registry);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("photo.jpg"), b"x").unwrap();
    let refused = Registry::create(directory.path()).unwrap_err().to_string();
    assert!(refused.contains("photo.jpg"), "{refused}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(Registry::open(directory.path()).unwrap_err().to_string().contains("it has no file REGISTRY"));
    assert!(Registry::open(&directory.path().join("none")).unwrap_err().to_string().contains("no such directory"));
    fs::write(directory.path().join(MARKER), "tailcast registry, layout 9\n").unwrap();
    assert!(Registry::open(directory.path()).unwrap_err().to_string().contains("layout 9"));
}

#[test]
fn two_writers_at_once_lose_no_model_and_share_no_number() {
    let directory = tempfile::tempdir().unwrap();
    Registry::create(directory.path()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let root = directory.path();
            scope.spawn(move || {
                let registry = Registry::open(root).unwrap();
                for turn in 0..10 {
                    let locked = loop {
                        match registry.lock(&owner()) {
                            Ok(locked) => break locked,
                            Err(RegistryError::Locked { .. }) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    };
                    let entry = publish(&locked, &model((writer * 100 + turn) as f32), true);
                    locked.promote(entry.record.number, "better").unwrap();
                }
            });
        }
    });
    let registry = Registry::open(directory.path()).unwrap();
    assert_valid(&registry);
    assert_eq!(registry.entries().unwrap().len(), 20);
    assert_eq!(registry.pointers().unwrap(), Pointers { champion: Some(20), previous: Some(19), shadow: None });
}

/// Publishes, promotes, prunes and takes back until it is killed. Runs only as the child of the test below.
#[test]
#[ignore = "the child process of a_writer_that_is_killed_at_any_moment_leaves_a_valid_registry"]
fn changes_a_registry_until_it_is_killed() {
    let Some(root) = std::env::var_os(CHILD_REGISTRY) else { return };
    for turn in 0u32.. {
        let registry = Registry::create(Path::new(&root)).unwrap();
        let locked = registry.lock(&owner()).unwrap();
        let number = publish(&locked, &model(turn as f32), true).record.number;
        locked.promote(number, "better").unwrap();
        if turn % 3 == 2 {
            locked.take_back("worse").unwrap();
        }
        locked.prune(4).unwrap();
    }
}

#[test]
fn a_writer_that_is_killed_at_any_moment_leaves_a_valid_registry() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("registry");
    let mut last = 0;
    for round in 0..60u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "registry::tests::changes_a_registry_until_it_is_killed", "--ignored"])
            .env(CHILD_REGISTRY, &root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Moments spread over the life of a change, which is a few milliseconds, start of the process included.
        std::thread::sleep(Duration::from_micros(1_000 + 617 * (round * 7 % 60)));
        child.kill().unwrap();
        child.wait().unwrap();
        let Ok(registry) = Registry::open(&root) else { continue };
        let registry = Registry::create(registry.root()).unwrap();
        assert_valid(&registry);
        let highest = registry.entries().unwrap().last().map_or(0, |entry| entry.record.number);
        assert!(highest >= last, "a published model is gone");
        last = highest;
        // The lock died with its holder, and what it left unfinished is swept.
        let _locked = registry.lock(&owner()).unwrap();
        for parent in [root.clone(), root.join(MODELS), root.join(STATES)] {
            let litter = fs::read_dir(parent)
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
            assert_eq!(litter.count(), 0);
        }
    }
    assert!(last > 10, "only {last} models were published in all rounds: the kills came too early to test anything");
}

#[test]
fn a_registry_whose_making_was_cut_short_is_empty_and_is_finished_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(MARKER), LAYOUT).unwrap();
    let registry = Registry::open(directory.path()).unwrap();
    assert!(registry.entries().unwrap().is_empty() && registry.changes().unwrap().is_empty());
    assert_eq!(registry.pointers().unwrap(), Pointers::default());
    let registry = Registry::create(directory.path()).unwrap();
    publish(&registry.lock(&owner()).unwrap(), &model(1.0), true);
    assert_eq!(registry.entries().unwrap().len(), 1);
}
