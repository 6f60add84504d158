//! The registry: a directory of immutable, numbered models with their reports, and three pointers into it.
//!
//! ```text
//! models/000007/{model.tailcast, record.json, report.json}   written once
//! states/000004/{champion, previous, shadow, change.json}    links to models, written once
//! current → states/000004                                     the one thing that changes
//! champion → current/champion                                 and previous, shadow: what a proxy is pointed at
//! ```
//!
//! A change of pointers writes a new state and turns `current` to it with one rename, so no reader and no crash sees
//! a new champion with an old previous. `champion` and its like are links that never change: a proxy whose
//! `model` path is `registry/champion` sees another file there when `current` is turned, and takes it up.
//!
//! Writers hold a lock; readers hold nothing. Rejected: three pointers, each a file of its own (a crash between
//! two of them would lose the way back), and a database (a proxy would need it to start).

mod durable;
mod entry;
pub mod error;
mod lock;
mod pointers;

pub use entry::{Entry, MODEL_FILE, REPORT_FILE, Record};
pub use error::RegistryError;
pub use lock::Owner;
pub use pointers::{Change, Pointer, Pointers};

use crate::gate::Verdict;
use durable::{Content, failed};
use entry::RECORD_FILE;
use lock::Lock;
use std::fs;
use std::path::{Path, PathBuf};
use tailcast_model::Model;

/// Marks a directory as a registry, and says in which layout.
const MARKER: &str = "REGISTRY";

/// The marker's text.
const LAYOUT: &str = "tailcast registry, layout 1\n";

const MODELS: &str = "models";
const STATES: &str = "states";
const CURRENT: &str = "current";

/// States that are kept: enough to see how a day went.
const KEPT_STATES: usize = 100;

/// A registry, to read from.
#[derive(Debug, Clone)]
pub struct Registry {
    root: PathBuf,
}

/// What is published.
#[derive(Debug)]
pub struct Publication<'a> {
    /// The model.
    pub model: &'a Model,
    /// The training report as JSON.
    pub report: &'a [u8],
    /// Number of the champion that it was set beside.
    pub against: Option<u64>,
    /// Arrival of the last row that it was fitted or calibrated on, microseconds since the Unix epoch.
    pub fitted_until_us: i64,
    /// What the gate said.
    pub verdict: Verdict,
}

impl Registry {
    /// Opens a registry.
    ///
    /// # Errors
    /// There is none, or it is of another layout.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        let marker = root.join(MARKER);
        let foreign = |found: String| Err(RegistryError::Foreign { path: root.to_owned(), found });
        match fs::read_to_string(&marker) {
            Ok(text) if text == LAYOUT => Ok(Self { root: root.to_owned() }),
            Ok(text) => foreign(format!("{MARKER} says {:?}", text.trim_end())),
            Err(_) if root.is_dir() => foreign(format!("it has no file {MARKER}")),
            Err(_) => foreign("there is no such directory".to_owned()),
        }
    }

    /// Opens a registry; makes one where the directory is empty or absent.
    ///
    /// # Errors
    /// The directory holds something else, or cannot be made.
    pub fn create(root: &Path) -> Result<Self, RegistryError> {
        fs::create_dir_all(root).map_err(failed("create", root))?;
        if !root.join(MARKER).exists() {
            for entry in fs::read_dir(root).map_err(failed("read", root))? {
                let name = entry.map_err(failed("read", root))?.file_name().to_string_lossy().into_owned();
                if !(name.starts_with('.') || name == MARKER) {
                    return Err(RegistryError::Foreign { path: root.to_owned(), found: format!("it holds {name:?}") });
                }
            }
            durable::file(root, MARKER, LAYOUT.as_bytes())?;
        }
        let registry = Self::open(root)?;
        // Each of these may be missing where the first trainer was killed while it made them.
        for name in [MODELS, STATES] {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(failed("create", &path))?;
        }
        for pointer in Pointer::ALL {
            if fs::symlink_metadata(root.join(pointer.name())).is_err() {
                let made = durable::link(root, pointer.name(), &Path::new(CURRENT).join(pointer.name()));
                // Two that make the same registry stand in each other's way; either's link is right.
                if fs::symlink_metadata(root.join(pointer.name())).is_err() {
                    made?;
                }
            }
        }
        Ok(registry)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the model of a pointer is found, now and after every change; there is no file where it points at none.
    pub fn path_of(&self, pointer: Pointer) -> PathBuf {
        self.root.join(pointer.name())
    }

    /// All models, by rising number.
    ///
    /// # Errors
    /// A directory or a record cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        let mut entries = Vec::new();
        for number in numbers(&self.root.join(MODELS))? {
            match self.read_entry(number) {
                Ok(entry) => entries.push(entry),
                // Pruned since the directory was listed.
                Err(RegistryError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// The model of this number.
    ///
    /// # Errors
    /// There is none; the message says which there are.
    pub fn entry(&self, number: u64) -> Result<Entry, RegistryError> {
        let known = numbers(&self.root.join(MODELS))?;
        if known.contains(&number) {
            return self.read_entry(number);
        }
        let known = match (known.first(), known.last()) {
            (Some(first), Some(last)) => format!("{} models, {first} to {last}", known.len()),
            _ => "no models".to_owned(),
        };
        Err(RegistryError::Unknown { path: self.root.clone(), number, known })
    }

    fn read_entry(&self, number: u64) -> Result<Entry, RegistryError> {
        let directory = self.root.join(MODELS).join(name_of(number));
        let path = directory.join(RECORD_FILE);
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        let record = serde_json::from_slice(&bytes).map_err(|source| RegistryError::Json { path, source })?;
        Ok(Entry { record, directory })
    }

    /// Loads the model of this number.
    ///
    /// # Errors
    /// There is none, or its file is not what was published.
    pub fn model(&self, number: u64) -> Result<Model, RegistryError> {
        let path = self.entry(number)?.model_path();
        Model::load(path).map_err(|source| RegistryError::Model { number, source })
    }

    /// Where the pointers point.
    ///
    /// # Errors
    /// The current state cannot be read.
    pub fn pointers(&self) -> Result<Pointers, RegistryError> {
        pointers::read(&self.root.join(CURRENT))
    }

    /// The kept changes of the pointers, the latest last.
    ///
    /// # Errors
    /// A state cannot be read.
    pub fn changes(&self) -> Result<Vec<Change>, RegistryError> {
        let states = self.root.join(STATES);
        numbers(&states)?.into_iter().map(|number| pointers::change(&states.join(name_of(number)))).collect()
    }

    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// Somebody else holds it; the message says who and since when.
    pub fn lock(&self, owner: &Owner) -> Result<Locked<'_>, RegistryError> {
        let lock = Lock::take(&self.root, owner)?;
        [self.root.clone(), self.root.join(MODELS), self.root.join(STATES)]
            .iter()
            .try_for_each(|p| durable::sweep(p))?;
        Ok(Locked { registry: self, owner: owner.clone(), _lock: lock })
    }
}

/// A registry whose lock is held: nobody else changes it until this is dropped.
#[derive(Debug)]
pub struct Locked<'a> {
    registry: &'a Registry,
    owner: Owner,
    _lock: Lock,
}

impl Locked<'_> {
    /// Adds a model under the next number. No pointer changes.
    ///
    /// # Errors
    /// The disk does not allow it; the registry is then as before.
    pub fn publish(&self, publication: Publication<'_>) -> Result<Entry, RegistryError> {
        let models = self.registry.root.join(MODELS);
        let number = numbers(&models)?.last().map_or(1, |last| last + 1);
        let parts = publication.model.parts();
        let record = Record {
            number,
            model_id: publication.model.id().to_owned(),
            sha256: publication.model.checksum().to_owned(),
            published_unix_secs: self.owner.unix_secs,
            against: publication.against,
            rows: parts.rows,
            from_us: parts.window.from_us,
            fitted_until_us: publication.fitted_until_us,
            verdict: publication.verdict,
        };
        let name = name_of(number);
        let text = json(&record, &models.join(&name))?;
        let content = [
            (MODEL_FILE, Content::File(&publication.model.to_bytes())),
            (REPORT_FILE, Content::File(publication.report)),
            (RECORD_FILE, Content::File(&text)),
        ];
        durable::directory(&models, &name, &content)?;
        Ok(Entry { record, directory: models.join(name) })
    }

    /// Makes a model the champion; the champion before becomes `previous`. Nothing changes where it is already.
    ///
    /// # Errors
    /// There is no such model, its file is damaged, or the disk does not allow the change.
    pub fn promote(&self, number: u64, why: &str) -> Result<Pointers, RegistryError> {
        // A damaged file must be found now, and not by every proxy.
        self.registry.model(number)?;
        let now = self.registry.pointers()?;
        if now.champion == Some(number) {
            return Ok(now);
        }
        let shadow = now.shadow.filter(|shadow| *shadow != number);
        self.turn(Pointers { champion: Some(number), previous: now.champion, shadow }, why)
    }

    /// Makes `previous` the champion again. The champion that is taken back becomes the shadow, so that it is still
    /// measured, and there is no previous any more: taking back twice must not bring the bad one back.
    ///
    /// # Errors
    /// There is no previous model, its file is damaged, or the disk does not allow the change.
    pub fn take_back(&self, why: &str) -> Result<Pointers, RegistryError> {
        let now = self.registry.pointers()?;
        let Some(previous) = now.previous else {
            let reason = if now.champion.is_some() { "there is no previous model" } else { "there is no champion yet" };
            return Err(RegistryError::NoWayBack { path: self.registry.root.clone(), reason });
        };
        self.registry.model(previous)?;
        self.turn(Pointers { champion: Some(previous), previous: None, shadow: now.champion }, why)
    }

    /// Makes a model the shadow, which is scored beside the champion and never used; `None` for no model.
    ///
    /// # Errors
    /// There is no such model, its file is damaged, or the disk does not allow the change.
    pub fn set_shadow(&self, number: Option<u64>, why: &str) -> Result<Pointers, RegistryError> {
        number.map(|number| self.registry.model(number)).transpose()?;
        self.turn(Pointers { shadow: number, ..self.registry.pointers()? }, why)
    }

    /// Removes the oldest models beyond `keep`, never one that a pointer names; how many were removed.
    ///
    /// # Errors
    /// A directory cannot be removed.
    pub fn prune(&self, keep: usize) -> Result<usize, RegistryError> {
        let models = self.registry.root.join(MODELS);
        let (all, pointers) = (numbers(&models)?, self.registry.pointers()?);
        // The newest stays in any case: its number must not be given again.
        let beyond = all.len().saturating_sub(keep.max(1));
        let gone: Vec<u64> = all.into_iter().take(beyond).filter(|number| !pointers.names(*number)).collect();
        gone.iter().try_for_each(|number| durable::remove(&models, &name_of(*number)))?;
        Ok(gone.len())
    }

    fn turn(&self, to: Pointers, why: &str) -> Result<Pointers, RegistryError> {
        let root = &self.registry.root;
        let states = root.join(STATES);
        let number = numbers(&states)?.last().map_or(1, |last| last + 1);
        let name = name_of(number);
        let change = Change {
            pointers: to,
            why: why.to_owned(),
            by: self.owner.purpose.clone(),
            unix_secs: self.owner.unix_secs,
        };
        let text = json(&change, &states.join(&name))?;
        let mut content = vec![(pointers::CHANGE_FILE, Content::File(&text))];
        for pointer in Pointer::ALL {
            if let Some(number) = to.of(pointer) {
                let link = Path::new("../..").join(MODELS).join(name_of(number)).join(MODEL_FILE);
                content.push((pointer.name(), Content::Link(link)));
            }
        }
        durable::directory(&states, &name, &content)?;
        durable::link(root, CURRENT, &Path::new(STATES).join(&name))?;
        let old = numbers(&states)?;
        let beyond = old.len().saturating_sub(KEPT_STATES);
        old.iter().take(beyond).try_for_each(|number| durable::remove(&states, &name_of(*number)))?;
        Ok(to)
    }
}

fn json(value: &impl serde::Serialize, path: &Path) -> Result<Vec<u8>, RegistryError> {
    serde_json::to_vec_pretty(value).map_err(|source| RegistryError::Json { path: path.to_owned(), source })
}

/// Directory of a number: six digits sort as they should for a model a minute over two years.
fn name_of(number: u64) -> String {
    format!("{number:06}")
}

/// Numbers of the directories in `parent`, rising; everything else in it is none of ours. A parent that is missing holds
/// none: the first trainer may have been killed before it made it.
fn numbers(parent: &Path) -> Result<Vec<u64>, RegistryError> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(parent) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(numbers),
        entries => entries.map_err(failed("read", parent))?,
    };
    for entry in entries {
        let name = entry.map_err(failed("read", parent))?.file_name();
        let number = name.to_str().filter(|name| !name.starts_with('+')).and_then(|name| name.parse::<u64>().ok());
        numbers.extend(number.filter(|number| name_of(*number).as_str() == name));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
