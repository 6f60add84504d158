//! `tailcast model`: what a model file holds, and whether a proxy would take it.

use crate::args::ModelArgs;
use crate::table::layout;
use crate::training_report::{level, moment};
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use tailcast_model::{Model, artefact};

/// Features that `inspect` names.
const TOP_FEATURES: usize = 12;

/// What `inspect --json` prints.
#[derive(Debug, Serialize)]
struct Inspection {
    id: String,
    sha256: String,
    format_version: u32,
    library_version: String,
    schema_hash: String,
    bytes: u64,
    created_unix_secs: u64,
    parent: Option<String>,
    quantiles: Vec<f32>,
    trees: usize,
    /// The library, where the trees were imported.
    trained_by: Option<&'static str>,
    tenant_groups: usize,
    tenants: usize,
    bandit_endpoints: usize,
    rows: u64,
    window_from_us: i64,
    window_until_us: i64,
    metrics: BTreeMap<String, f64>,
    top_features: Vec<(&'static str, f32)>,
}

/// What `verify --json` prints.
#[derive(Debug, Serialize)]
struct Verdict {
    valid: bool,
    id: Option<String>,
    reason: Option<String>,
}

pub(super) fn inspect(args: &ModelArgs) -> anyhow::Result<()> {
    let model = Model::load(&args.file).with_context(|| args.file.display().to_string())?;
    let found = Inspection::of(&model);
    if args.json { super::print_json(&found) } else { super::print(&found.text()) }
}

pub(super) fn verify(args: &ModelArgs) -> anyhow::Result<ExitCode> {
    let loaded = Model::load(&args.file);
    let verdict = Verdict {
        valid: loaded.is_ok(),
        id: loaded.as_ref().ok().map(|model| model.id().to_owned()),
        reason: loaded.as_ref().err().map(ToString::to_string),
    };
    if args.json {
        super::print_json(&verdict)?;
    } else if let Some(id) = &verdict.id {
        super::print(&format!(
            "ok: {} is model {id}; checksum, schema, shapes, numbers and canary rows agree\n",
            args.file.display()
        ))?;
    }
    match verdict.reason {
        None => Ok(ExitCode::SUCCESS),
        Some(reason) => {
            eprintln!("error: {}: refused: {reason}", args.file.display());
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Inspection {
    fn of(model: &Model) -> Self {
        let parts = model.parts();
        Self {
            id: model.id().to_owned(),
            sha256: model.checksum().to_owned(),
            format_version: artefact::format_version(parts),
            library_version: parts.library_version.clone(),
            schema_hash: format!("{:016x}", tailcast_features::schema_hash()),
            bytes: model.to_bytes().len() as u64,
            created_unix_secs: parts.created_unix_secs,
            parent: parts.parent.clone(),
            quantiles: parts.quantiles.clone(),
            trees: parts.tree_count(),
            trained_by: parts.ensemble.as_ref().map(|ensemble| ensemble.parts().trainer.name()),
            tenant_groups: parts.groups.count,
            tenants: parts.groups.tenants.len(),
            bandit_endpoints: parts.bandit.endpoints.len(),
            rows: parts.rows,
            window_from_us: parts.window.from_us,
            window_until_us: parts.window.until_us,
            metrics: parts.metrics.clone(),
            top_features: model.importance().into_iter().take(TOP_FEATURES).collect(),
        }
    }

    /// Of an imported model its file does not say on what it was trained.
    fn training(&self) -> (&'static str, String) {
        let window =
            || format!("{} rows, {} to {}", self.rows, moment(self.window_from_us), moment(self.window_until_us));
        match self.trained_by {
            Some(library) => ("trained by", library.to_owned()),
            None => ("trained on", window()),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let created = i64::try_from(self.created_unix_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let quantiles: Vec<String> = self.quantiles.iter().map(|one| level(*one)).collect();
        for (name, value) in [
            ("model", self.id.clone()),
            ("sha256", self.sha256.clone()),
            (
                "file",
                format!("{} bytes, format {}, written by {}", self.bytes, self.format_version, self.library_version),
            ),
            ("schema", self.schema_hash.clone()),
            ("created", moment(created)),
            ("parent", self.parent.clone().unwrap_or_else(|| "none".to_owned())),
            ("forecasts", format!("{} of log-latency by {} trees", quantiles.join(", "), self.trees)),
            self.training(),
            ("tenants", format!("{} known, in {} groups", self.tenants, self.tenant_groups)),
            ("bandit", format!("weights for {} endpoints", self.bandit_endpoints)),
        ] {
            let _ = writeln!(text, "{name:<11} {value}");
        }
        let share = |(name, share): &(&str, f32)| vec![(*name).to_owned(), format!("{:.1} %", share * 100.0)];
        let features: Vec<Vec<String>> = self.top_features.iter().map(share).collect();
        let metrics: Vec<Vec<String>> =
            self.metrics.iter().map(|(name, value)| vec![name.clone(), format!("{value:.4}")]).collect();
        let _ = write!(
            text,
            "\n{}\n{}",
            layout(&["metric", "value"], &metrics),
            layout(&["feature", "share of gain"], &features)
        );
        text
    }
}
