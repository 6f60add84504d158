//! What the documents name exists.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of all functions in the Rust files under a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                functions(&path, names);
            }
        } else if name.ends_with(".rs") {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let declared = line.split_once("fn ").map(|(_, rest)| rest);
                names.extend(declared.map(|rest| rest.split(['(', '<']).next().unwrap_or("").to_owned()));
            }
        }
    }
}

#[test]
fn every_test_that_the_table_of_failures_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut known = BTreeSet::new();
    for folder in ["features", "model", "proxy", "training", "cli", "tests"] {
        functions(&root.join(folder), &mut known);
    }
    let text = fs::read_to_string(root.join("docs/failures.md")).unwrap();
    let rows =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what") && !line.starts_with("| ---"));
    let mut tested = 0;
    for row in rows {
        let proof = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let named: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test proves {row}");
        for name in named {
            assert!(known.contains(name), "there is no test {name}");
            tested += 1;
        }
    }
    assert!(tested > 30, "{tested}");
}
