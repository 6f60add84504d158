//! Dependencies between crates go one way, and the proxy stays light.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use tailcast_tests::metadata::{Graph, built};

/// Prefixes of what may never be under a package.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("tailcast-features", &["hyper", "tokio", "polars", "linfa", "smartcore", "tailcast-"]),
    (
        "tailcast-model",
        &["hyper", "tokio", "polars", "linfa", "smartcore", "tailcast-balance", "tailcast-proxy", "tailcast-training"],
    ),
    ("tailcast-balance", &["hyper", "tokio", "polars", "linfa", "smartcore", "tailcast-proxy", "tailcast-training"]),
    ("tailcast-proxy", &["polars", "linfa", "smartcore", "ndarray", "tailcast-training", "tailcast-testbed"]),
    (
        "tailcast-testbed",
        &["polars", "linfa", "smartcore", "tailcast-proxy", "tailcast-balance", "tailcast-model", "tailcast-training"],
    ),
    ("tailcast-datasets", &["hyper", "tokio", "polars", "linfa", "smartcore"]),
    ("tailcast-training", &["tailcast-proxy", "tailcast-testbed"]),
    ("tailcast-simulator", &["tailcast-proxy", "tailcast-testbed"]),
];

#[test]
fn dependencies_go_one_way() {
    let graph = Graph::load().expect("cargo metadata");
    let mut broken = Vec::new();
    for (package, forbidden) in FORBIDDEN {
        assert!(graph.has(package), "{package} is not in the workspace");
        for dependency in graph.closure(package) {
            if forbidden.iter().any(|prefix| dependency.starts_with(prefix)) {
                broken.push(format!("{package} → {dependency}"));
            }
        }
    }
    assert!(broken.is_empty(), "forbidden dependencies: {broken:?}");
}

#[test]
fn training_and_simulation_open_no_socket() {
    for package in ["tailcast-training", "tailcast-simulator"] {
        let built = built(package).expect("cargo tree");
        assert!(built.contains("polars"), "{package}: the tree holds what is there");
        let servers: Vec<_> = built.iter().filter(|name| name.starts_with("hyper") || *name == "h2").collect();
        assert!(servers.is_empty(), "{package} is built with {servers:?}");
    }
}

#[test]
fn the_packages_that_the_project_is_built_on_are_all_in_use() {
    let graph = Graph::load().expect("cargo metadata");
    let all: BTreeSet<String> = graph.closure("tailcast");
    for package in [
        "tokio",
        "hyper",
        "linfa",
        "ndarray",
        "smartcore",
        "polars",
        "arrow",
        "parquet",
        "serde",
        "tracing",
        "rand_distr",
    ] {
        assert!(all.contains(package), "{package} is not a dependency of the binary");
    }
}

#[test]
fn the_rules_can_fail() {
    let graph = Graph::load().expect("cargo metadata");
    assert!(graph.closure("tailcast-proxy").contains("hyper"), "the closure finds what is there");
    assert!(graph.closure("tailcast-training").contains("polars"));
}
