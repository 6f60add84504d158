//! The dependency graph as cargo sees it.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::Command;

/// Normal (not dev, not build) dependencies of every package, by name.
#[derive(Debug)]
pub struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Asks `cargo metadata` for the resolved graph.
    ///
    /// # Errors
    /// Where cargo cannot be run or does not print JSON.
    pub fn load() -> io::Result<Self> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .current_dir(crate::traces::root())
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).map_err(io::Error::other)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names: BTreeMap<String, String> =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let name = |id: &str| names.get(id).cloned().unwrap_or_default();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let from = edges.entry(name(&text(&node["id"]))).or_default();
            for dependency in list(&node["deps"]) {
                let is_normal = list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
                if is_normal {
                    from.insert(name(&text(&dependency["pkg"])));
                }
            }
        }
        Ok(Self { edges })
    }

    /// Everything that `package` depends on, directly or not.
    pub fn closure(&self, package: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![package.to_owned()];
        while let Some(next) = open.pop() {
            for dependency in self.edges.get(&next).into_iter().flatten() {
                if seen.insert(dependency.clone()) {
                    open.push(dependency.clone());
                }
            }
        }
        seen
    }

    /// True where the graph knows the package.
    pub fn has(&self, package: &str) -> bool {
        self.edges.contains_key(package)
    }
}

/// What is really built for `package`, by name, as `cargo tree` prints it. `cargo metadata` also lists optional
/// dependencies that only a weak feature mentions (of polars: its cloud readers, and with them an HTTP client).
///
/// # Errors
/// Where cargo cannot be run.
pub fn built(package: &str) -> io::Result<BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--offline", "--locked"])
        .current_dir(crate::traces::root())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}
