//! Takes up a model file, and tells when a file has changed.
//!
//! A file is validated in full before one pointer is swapped; a bad one changes nothing but a counter and a log
//! line, and is tried again only when it changes. The file is polled: `inotify` does not see changes on network
//! and overlay file systems, and one `stat` in 250 ms costs nothing.

use crate::error::ProxyError;
use crate::metrics::Metrics;
use crate::snapshot::Shared;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tailcast_model::Model;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode: metadata.ino() })
    }
}

/// Decides when a changed file is worth loading: when it looked the same twice in a row, and only once.
#[derive(Debug, Default)]
pub(crate) struct FileWatch {
    handled: Option<Stamp>,
    last: Option<Stamp>,
}

impl FileWatch {
    /// A watch of a file that was loaded, or refused, in this state.
    pub(crate) fn handled(stamp: Option<Stamp>) -> Self {
        Self { handled: stamp, last: stamp }
    }

    /// True where the file should be loaded now. A file that is gone is no news: the model in use stays.
    pub(crate) fn look(&mut self, seen: Option<Stamp>) -> bool {
        let is_settled = seen == self.last;
        self.last = seen;
        let is_new = seen.is_some() && seen != self.handled;
        if is_new && is_settled {
            self.handled = seen;
        }
        is_new && is_settled
    }
}

/// Loads models into the snapshot.
#[derive(Debug, Clone)]
pub(crate) struct ModelLoader {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
}

impl ModelLoader {
    pub(crate) fn new(shared: Arc<Shared>, metrics: Arc<Metrics>) -> Self {
        Self { shared, metrics }
    }

    /// Validates the file and swaps it in; its id. After an error the model before is still in use.
    pub(crate) fn load(&self, path: &Path) -> Result<String, ProxyError> {
        match Model::load(path) {
            Ok(model) => {
                let model = Arc::new(model);
                let id = model.id().to_string();
                self.shared.change(|new| new.model = Some(Arc::clone(&model)));
                self.metrics.model.loads.add(1);
                tracing::info!(path = %path.display(), model = id, "model loaded");
                Ok(id)
            }
            Err(error) => {
                self.metrics.model.refusals.add(1);
                tracing::error!(path = %path.display(), %error, "model refused, the one before stays in use");
                Err(ProxyError::Model { path: path.to_owned(), reason: error.to_string() })
            }
        }
    }
}

/// The first load. A file that is missing or bad does not keep the proxy from serving.
pub(crate) fn first_load(path: &Path, loader: &ModelLoader) -> FileWatch {
    // The state before the load: a change during it is seen as a change.
    let stamp = Stamp::of(path);
    match stamp {
        Some(_) => drop(loader.load(path)),
        None => tracing::warn!(path = %path.display(), "no model yet, predictive pools score by peak-EWMA"),
    }
    FileWatch::handled(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(bytes: u64) -> Option<Stamp> {
        Some(Stamp { modified: None, bytes, inode: 1 })
    }

    #[test]
    fn a_file_is_loaded_once_when_it_has_stopped_changing() {
        let mut watch = FileWatch::handled(stamp(1));
        let seen = [stamp(1), stamp(2), stamp(3), stamp(3), stamp(3)];
        assert_eq!(seen.map(|stamp| watch.look(stamp)), [false, false, false, true, false]);
    }

    #[test]
    fn a_refused_file_is_tried_again_when_it_changes_and_a_missing_one_is_no_news() {
        let mut watch = FileWatch::handled(None);
        assert_eq!([None, stamp(1), stamp(1)].map(|stamp| watch.look(stamp)), [false, false, true]);
        assert_eq!([None, None, stamp(1), stamp(1)].map(|stamp| watch.look(stamp)), [false; 4]);
        assert_eq!([stamp(2), stamp(2)].map(|stamp| watch.look(stamp)), [false, true]);
    }
}
