//! The thread that keeps the models: it takes up what files say, judges what serves, and takes back what harms.
//!
//! A model file is polled; of a registry also the model before and the shadow are followed. Samples of live requests go
//! to a [`Judge`], and where it is certain that the champion's requests do worse than the control's, the model before
//! serves instead, and peak-EWMA where there is none or it harms too. A model that was taken back stays so until the file
//! changes or somebody loads one by hand. The registry itself is not changed: each proxy decides on its own traffic, and
//! what a fleet should serve is its operator's and its trainer's affair.
//!
//! One thread for both: to take back is to load, and two threads that swap models would have to agree.

use crate::config::ModelConfig;
use crate::error::ProxyError;
use crate::judge::{Arms, Harm, Judge, LiveScore, Role, Sample};
use crate::metrics::Metrics;
use crate::reload::{FileWatch, ModelLoader, Stamp, first_load};
use crate::snapshot::Shared;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tailcast_features::hash::hash_name;
use tailcast_model::Model;

/// How often files are looked at. Together with the debounce a new model serves within half a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the judge says of the models, as `/status` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LineupStatus {
    /// How each model does on the newest samples.
    pub scores: Vec<LiveScore>,
    /// The champion's requests beside the control's, by pool.
    pub pools: Vec<PoolArms>,
    /// The model that was taken back, until another one is loaded.
    pub taken_back: Option<TakenBack>,
}

/// Both arms of a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolArms {
    /// The pool.
    pub pool: String,
    /// What was found there.
    #[serde(flatten)]
    pub arms: Arms,
}

/// A model that did harm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TakenBack {
    /// Its id.
    pub model: String,
    /// The pool where it did.
    pub pool: String,
    /// What it did.
    pub harm: Harm,
    /// Its requests there beside the control's.
    pub arms: Arms,
    /// The model that serves instead; `None` where it is peak-EWMA.
    pub instead: Option<String>,
}

/// The thread, and what it last said.
#[derive(Debug)]
pub(crate) struct Lineup {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    status: Arc<Mutex<LineupStatus>>,
}

impl Lineup {
    /// Loads the configured model where its file exists, then follows it. It also ends when all who send samples are gone.
    pub(crate) fn start(
        config: Option<&ModelConfig>,
        shared: Arc<Shared>,
        loader: ModelLoader,
        metrics: Arc<Metrics>,
        samples: Receiver<Sample>,
    ) -> Result<Self, ProxyError> {
        let judge = config.map(|config| config.judge).unwrap_or_default();
        let follow = |path: PathBuf| Followed { path, watch: FileWatch::default(), model: None };
        let mut keeper = Keeper {
            champion: config.map(|config| {
                let path = config.source.champion();
                let watch = first_load(&path, &loader);
                (path, watch, config.watch)
            }),
            previous: config.and_then(|config| config.source.previous()).map(follow),
            shadow: config.and_then(|config| config.source.shadow()).map(follow),
            before: None,
            taken_back: None,
            take_back: judge.take_back,
            judge: Judge::new(judge.worse_by_ratio),
            shared,
            loader,
            metrics,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let status = Arc::new(Mutex::new(LineupStatus::default()));
        let (stopped, said) = (Arc::clone(&stop), Arc::clone(&status));
        let thread = std::thread::Builder::new()
            .name("tailcast-model".into())
            .spawn(move || keeper.run(&samples, &stopped, &said))
            .map_err(|source| ProxyError::Start { what: "the keeper of models", source })?;
        Ok(Self { stop, thread, status })
    }

    /// What the thread last said.
    pub(crate) fn status(&self) -> Arc<Mutex<LineupStatus>> {
        Arc::clone(&self.status)
    }

    /// Ends the thread.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            tracing::error!("the keeper of models panicked");
        }
    }
}

/// A model that is followed and does not serve.
#[derive(Debug)]
struct Followed {
    path: PathBuf,
    watch: FileWatch,
    model: Option<Arc<Model>>,
}

impl Followed {
    /// Reads the file where it changed. A pointer that is gone is a role that nobody has; a file that cannot be read is
    /// none either, and no harm: it does not serve.
    fn look(&mut self) {
        let seen = Stamp::of(&self.path);
        if seen.is_none() {
            self.model = None;
            self.watch = FileWatch::default();
        } else if self.watch.look(seen) {
            self.model = match Model::load(&self.path) {
                Ok(model) => Some(Arc::new(model)),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "a model that does not serve cannot be read");
                    None
                }
            };
        }
    }
}

/// State of the thread.
#[derive(Debug)]
struct Keeper {
    /// The file of what serves, its state, and whether changes are taken up.
    champion: Option<(PathBuf, FileWatch, bool)>,
    previous: Option<Followed>,
    shadow: Option<Followed>,
    /// The model that served before, where no registry says.
    before: Option<Arc<Model>>,
    taken_back: Option<TakenBack>,
    take_back: bool,
    judge: Judge,
    shared: Arc<Shared>,
    loader: ModelLoader,
    metrics: Arc<Metrics>,
}

impl Keeper {
    fn run(&mut self, samples: &Receiver<Sample>, stop: &AtomicBool, status: &Mutex<LineupStatus>) {
        self.look();
        let mut looked = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let harm = match samples.recv_timeout(LOOK_EVERY.saturating_sub(looked.elapsed())) {
                Ok(sample) => self.judge.observe(&sample).map(|harm| (harm, sample.pool)),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Some((harm, pool)) = harm {
                self.harmed(harm, pool);
            }
            if harm.is_some() || looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look();
                let said = self.status();
                self.metrics.model.judged(&said);
                *status.lock().unwrap_or_else(PoisonError::into_inner) = said;
            }
        }
    }

    /// Follows the files, and whatever else changed the model: the admin listener loads by hand.
    fn look(&mut self) {
        if let Some((path, watch, true)) = &mut self.champion
            && watch.look(Stamp::of(path))
        {
            // A refusal was counted and logged.
            let _ = self.loader.load(path);
        }
        self.previous.iter_mut().chain(&mut self.shadow).for_each(Followed::look);
        let serving = self.shared.current().model.clone();
        let judged = self.judge.model(Role::Champion).cloned();
        if serving.as_ref().map(Arc::as_ptr) != judged.as_ref().map(Arc::as_ptr) {
            // Somebody loaded a model: it serves with a clean record.
            self.taken_back = None;
            self.before = judged;
            self.judge.set(Role::Champion, serving);
        }
        self.judge.set(Role::Previous, self.fallback());
        self.judge.set(Role::Shadow, self.shadow.as_ref().and_then(|shadow| shadow.model.clone()));
    }

    /// What would serve if the champion were taken back: never the same, and never what was taken back before.
    fn fallback(&self) -> Option<Arc<Model>> {
        let known = match &self.previous {
            Some(previous) => previous.model.as_ref(),
            None => self.before.as_ref(),
        };
        let champion = self.judge.model(Role::Champion).map(|model| model.id());
        let harmful = self.taken_back.as_ref().map(|taken| taken.model.as_str());
        known.filter(|model| Some(model.id()) != champion && Some(model.id()) != harmful).cloned()
    }

    /// The champion does worse than the control in a pool.
    fn harmed(&mut self, harm: Harm, pool: u64) {
        let Some(champion) = self.judge.model(Role::Champion).cloned() else { return };
        let arms =
            self.judge.arms().into_iter().find(|(key, _)| *key == pool).map(|(_, arms)| arms).unwrap_or_default();
        let pool = self.pool(pool);
        if !self.take_back {
            tracing::warn!(
                pool,
                model = champion.id(),
                harm = harm.name(),
                ?arms,
                "the model does worse than the control"
            );
            self.judge.set(Role::Champion, None);
            self.judge.set(Role::Champion, Some(champion));
            return;
        }
        let instead = self.fallback();
        // Unless another model was loaded while this one was judged.
        let is_serving = |model: &Option<Arc<Model>>| model.as_ref().is_some_and(|model| Arc::ptr_eq(model, &champion));
        self.shared.change(|new| {
            if is_serving(&new.model) {
                new.model.clone_from(&instead);
            }
        });
        let serving = self.shared.current().model.clone();
        if is_serving(&serving) {
            return;
        }
        self.metrics.model.taken_back(harm);
        let taken = TakenBack {
            model: champion.id().to_owned(),
            pool,
            harm,
            arms,
            instead: instead.as_ref().map(|model| model.id().to_owned()),
        };
        tracing::error!(
            pool = taken.pool,
            model = taken.model,
            harm = harm.name(),
            instead = taken.instead.as_deref().unwrap_or("peak_ewma"),
            ?arms,
            "model taken back: its requests do worse than the control's"
        );
        self.judge.set(Role::Champion, serving);
        self.before = None;
        self.taken_back = Some(taken);
    }

    /// The name of a pool in force.
    fn pool(&self, key: u64) -> String {
        let topology = Arc::clone(&self.shared.current().topology);
        let named = topology.pools.iter().map(|pool| pool.config.name()).find(|name| hash_name(name) == key);
        named.unwrap_or("a pool that is gone").to_owned()
    }

    fn status(&self) -> LineupStatus {
        LineupStatus {
            scores: self.judge.scores(),
            pools: self.judge.arms().into_iter().map(|(key, arms)| PoolArms { pool: self.pool(key), arms }).collect(),
            taken_back: self.taken_back.clone(),
        }
    }
}
