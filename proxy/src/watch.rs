//! The thread that follows what a configuration points at: its own file, files of endpoints, names.
//!
//! One thread polls all of it. A change is taken up when the file looked the same twice in a row, and a bad one is
//! refused, counted, and tried again only when it changes. Rejected: `inotify`, for the reasons in `reload`.

use crate::control::Control;
use crate::error::ProxyError;
use crate::reload::{FileWatch, Stamp};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often files are looked at: a change serves within half a second.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// The thread.
#[derive(Debug)]
pub(crate) struct FileWatcher {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl FileWatcher {
    /// Starts to follow.
    pub(crate) fn start(control: Arc<Control>) -> Result<Self, ProxyError> {
        let (stop, stopped) = mpsc::channel();
        let mut watch = Watch::new(&control);
        let thread = std::thread::Builder::new().name("tailcast-watch".into()).spawn(move || {
            while stopped.recv_timeout(POLL_EVERY) == Err(RecvTimeoutError::Timeout) {
                watch.look(&control);
            }
        });
        Ok(Self { stop, thread: thread.map_err(|source| ProxyError::Start { what: "the watcher of files", source })? })
    }

    /// Ends the thread.
    pub(crate) fn finish(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the watcher of files panicked");
        }
    }
}

struct Watch {
    config: FileWatch,
    files: HashMap<PathBuf, FileWatch>,
    resolved: Instant,
}

impl Watch {
    fn new(control: &Control) -> Self {
        let topology = control.topology();
        let config = FileWatch::handled(topology.config.source().and_then(Stamp::of));
        let files = topology.files().into_iter().map(|path| (path.to_owned(), FileWatch::handled(Stamp::of(path))));
        Self { config, files: files.collect(), resolved: Instant::now() }
    }

    fn look(&mut self, control: &Control) {
        let topology = control.topology();
        if topology.config.watch() && self.config.look(topology.config.source().and_then(Stamp::of)) {
            // A refusal was counted and logged.
            let _ = control.reread();
        }
        let files = topology.files();
        self.files.retain(|path, _| files.contains(&path.as_path()));
        let mut changed = Vec::new();
        for path in files {
            let stamp = Stamp::of(path);
            // A file that a reload brought was read by it.
            let watch = self.files.entry(path.to_owned()).or_insert_with(|| FileWatch::handled(stamp));
            if watch.look(stamp) {
                changed.push(path);
            }
        }
        let is_time = topology.has_names() && self.resolved.elapsed() >= topology.config.resolve();
        if is_time || !changed.is_empty() {
            self.resolved = Instant::now();
            refresh(control, &changed);
        }
    }
}

fn refresh(control: &Control, changed: &[&Path]) {
    let refreshed = control.refresh();
    let reload = &control.metrics.reload;
    match refreshed {
        Ok(true) => reload.reloads.add(1),
        Ok(false) => {}
        Err(error) => {
            reload.refusals.add(1);
            tracing::error!(%error, ?changed, "endpoints cannot be read again, those before stay in use");
        }
    }
}
