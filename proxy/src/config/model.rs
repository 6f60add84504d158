//! Which models are followed, and by what they are judged in service.

use std::path::{Path, PathBuf};

/// The model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Where it comes from.
    pub source: ModelSource,
    /// True where a changed file is loaded.
    pub watch: bool,
    /// How it is judged in service.
    pub judge: JudgeConfig,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// An artefact.
    File(PathBuf),
    /// The directory of a registry, whose `champion` serves, and whose `previous` and `shadow` are judged beside it.
    Registry(PathBuf),
}

impl ModelSource {
    /// The artefact that serves.
    pub fn champion(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Registry(directory) => directory.join("champion"),
        }
    }

    /// The one that would serve if the champion were taken back; of a single file it is the one that served before.
    pub fn previous(&self) -> Option<PathBuf> {
        self.registry().map(|directory| directory.join("previous"))
    }

    /// The one that is only scored.
    pub fn shadow(&self) -> Option<PathBuf> {
        self.registry().map(|directory| directory.join("shadow"))
    }

    fn registry(&self) -> Option<&Path> {
        match self {
            Self::File(_) => None,
            Self::Registry(directory) => Some(directory),
        }
    }
}

/// How models are judged in service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgeConfig {
    /// Share of the requests that the model routes by which it is judged; those of the control always are.
    pub share: f64,
    /// Whether a model that does harm stops serving by itself.
    pub take_back: bool,
    /// By how much the share of slow requests may be larger than the control's before that is harm.
    pub worse_by_ratio: f64,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        // One in twenty is five times the control: more would not make the difference of the arms any surer.
        Self { share: 0.05, take_back: true, worse_by_ratio: 0.01 }
    }
}
