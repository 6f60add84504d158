//! `tailcast model list`, `promote` and `rollback`: a registry by hand.

use crate::args::{ListArgs, PromoteArgs, RollbackArgs};
use crate::table::layout;
use crate::training_report::moment;
use anyhow::Context;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};
use tailcast_training::gate::Verdict;
use tailcast_training::promotion::Promotion;
use tailcast_training::registry::{Change, Owner, Pointer, Pointers, Record, Registry};

/// What became of a model in a registry.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Published {
    /// Its number.
    pub(super) number: u64,
    /// True where it is the champion now.
    pub(super) promoted: bool,
    /// Where the registry points since.
    pub(super) pointers: Pointers,
    /// What the gate said.
    pub(super) verdict: Verdict,
}

/// What `list --json` prints.
#[derive(Debug, Serialize)]
struct Listing {
    pointers: Pointers,
    models: Vec<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Change>>,
}

impl Published {
    pub(super) fn of(promotion: &Promotion) -> Self {
        let record = &promotion.entry.record;
        Self {
            number: record.number,
            promoted: promotion.promoted,
            pointers: promotion.pointers,
            verdict: record.verdict.clone(),
        }
    }

    /// One line.
    pub(super) fn text(&self) -> String {
        let number = self.number;
        match (self.promoted, self.verdict.passed) {
            (true, true) => format!("model {number} passed the gate and is the champion"),
            (true, false) => {
                format!("model {number} is the champion though the gate says: {}", self.verdict.reasons.join("; "))
            }
            (false, _) => format!("model {number} is kept and not promoted: {}", self.verdict.reasons.join("; ")),
        }
    }
}

/// Now, seconds since the Unix epoch.
pub(super) fn unix_secs() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs())
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let registry = Registry::open(&args.registry)?;
    let models: Vec<Record> = registry.entries()?.into_iter().map(|entry| entry.record).collect();
    let changes = args.changes.then(|| registry.changes()).transpose()?;
    let listing = Listing { pointers: registry.pointers()?, models, changes };
    if args.json { super::print_json(&listing) } else { super::print(&text(&listing)) }
}

pub(super) fn promote(args: &PromoteArgs) -> anyhow::Result<()> {
    let registry = Registry::open(&args.registry)?;
    let locked = registry.lock(&Owner::this_process("tailcast model promote", unix_secs()?))?;
    let pointers = if args.shadow {
        locked.set_shadow(Some(args.number), &args.why)?
    } else {
        locked.promote(args.number, &args.why)?
    };
    super::print(&(words(&pointers) + "\n"))
}

pub(super) fn rollback(args: &RollbackArgs) -> anyhow::Result<()> {
    let registry = Registry::open(&args.registry)?;
    let locked = registry.lock(&Owner::this_process("tailcast model rollback", unix_secs()?))?;
    let pointers = locked.take_back(&args.why)?;
    super::print(&(words(&pointers) + "\n"))
}

fn words(pointers: &Pointers) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let all = Pointer::ALL.map(|pointer| format!("{} {}", pointer.name(), number(pointers.of(pointer))));
    all.join(", ")
}

fn text(listing: &Listing) -> String {
    let loss = |loss: Option<f64>| loss.map_or_else(|| "–".to_owned(), |loss| format!("{loss:.4}"));
    let at = |unix_secs: u64| moment(i64::try_from(unix_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000));
    let row = |record: &Record| {
        let roles = Pointer::ALL.into_iter().filter(|role| listing.pointers.of(*role) == Some(record.number));
        let verdict = &record.verdict;
        vec![
            record.number.to_string(),
            record.model_id.clone(),
            at(record.published_unix_secs),
            record.rows.to_string(),
            loss(verdict.challenger.as_ref().map(|score| score.mean_pinball)),
            loss(verdict.champion.as_ref().map(|score| score.mean_pinball)),
            roles.map(Pointer::name).collect::<Vec<_>>().join(" "),
            if verdict.passed { "passed".to_owned() } else { verdict.reasons.join("; ") },
        ]
    };
    let header = ["number", "model", "published", "rows", "loss", "champion's", "is", "gate"];
    let mut text = layout(&header, &listing.models.iter().map(row).collect::<Vec<_>>());
    if let Some(changes) = &listing.changes {
        let row = |change: &Change| {
            vec![at(change.unix_secs), words(&change.pointers), change.by.clone(), change.why.clone()]
        };
        text.push('\n');
        text.push_str(&layout(&["changed", "to", "by", "why"], &changes.iter().map(row).collect::<Vec<_>>()));
    }
    text
}
