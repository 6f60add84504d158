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
        let packages: BTreeMap<String, Value> =
            list(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let id = text(&node["id"]);
            let from = edges.entry(name(&id)).or_default();
            let unused = packages.get(&id).map(|package| unused_optional(package, &node)).unwrap_or_default();
            for dependency in list(&node["deps"]) {
                let is_normal = list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
                let to = name(&text(&dependency["pkg"]));
                if is_normal && !unused.contains(&to) {
                    from.insert(to);
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

/// Optional dependencies of a package that none of its active features asks for. `cargo metadata` lists them where a
/// weak feature (`name?/feature`) mentions them, although they are never built.
fn unused_optional(package: &Value, node: &Value) -> BTreeSet<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let active: Vec<String> = list(&node["features"]).iter().map(text).collect();
    let asked: Vec<String> =
        active.iter().flat_map(|feature| list(&package["features"][feature])).map(|item| text(&item)).collect();
    let optional = list(&package["dependencies"]).into_iter().filter(|dependency| dependency["optional"] == true);
    optional
        .map(|dependency| {
            let known_as = dependency["rename"].as_str().map_or_else(|| text(&dependency["name"]), str::to_owned);
            (text(&dependency["name"]), known_as)
        })
        .filter(|(_, known_as)| {
            let by_name = format!("dep:{known_as}");
            let by_feature = format!("{known_as}/");
            !active.contains(known_as) && !asked.iter().any(|item| *item == by_name || item.starts_with(&by_feature))
        })
        .map(|(name, _)| name)
        .collect()
}
