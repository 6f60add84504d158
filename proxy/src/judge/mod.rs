//! Judges the models in force on live requests, away from their path.
//!
//! A share of requests, and every one of the control, leaves a [`Sample`] when it ends: the features that the policy
//! saw, and how long it took. One thread scores the champion, the model before it and the shadow on each, without any
//! of that being used for routing, and sets the requests that the champion routed beside those of the control. Where
//! the champion's are worse, it is taken back ([`crate::lineup`]).
//!
//! | file | is |
//! | --- | --- |
//! | `sample` | what a worker hands over of a request that ended |
//! | `tally` | pinball loss and coverage of one model over the newest samples |
//! | `trial` | one pool's requests by the model beside those of its control |
//! | `detector` | when a difference is no accident |
//!
//! Nothing here reads a clock or touches a socket. Rejected: scoring the shadow where requests are decided (twice the
//! cost of a decision, for something that nobody waits for), and judging the champion by its coverage alone (a surge that
//! no model has seen spoils the forecasts of a model that still routes better than the control).

mod detector;
mod sample;
mod tally;
mod trial;

pub(crate) use sample::{Sample, Sampler};
pub use trial::{Arms, Harm};

use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use tailcast_model::Model;
use tally::Tally;
use trial::Trial;

/// What a model is to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It routes.
    Champion,
    /// It routed before, and would again if the champion were taken back.
    Previous,
    /// It is scored and never used.
    Shadow,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Champion, Self::Previous, Self::Shadow];

    /// As in labels of metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Previous => "previous",
            Self::Shadow => "shadow",
        }
    }
}

/// How a model did on the newest samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveScore {
    /// What it is.
    pub role: Role,
    /// Its id.
    pub model: String,
    /// Samples that it was scored on.
    pub rows: u64,
    /// Its quantiles, in rising order.
    pub quantiles: Vec<LiveQuantile>,
}

/// One quantile of a model on the newest samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LiveQuantile {
    /// Level, 0 to 1.
    pub level: f32,
    /// Mean pinball loss in natural log of milliseconds; `None` before the first sample.
    pub pinball: Option<f64>,
    /// Share of requests at or below the forecast; `None` before the first sample.
    pub coverage_ratio: Option<f64>,
}

#[derive(Debug)]
struct Judged {
    model: Arc<Model>,
    tally: Tally,
}

/// Scores of the models, and one trial a pool of the one that routes.
#[derive(Debug)]
pub(crate) struct Judge {
    worse_by: f64,
    models: [Option<Judged>; Role::ALL.len()],
    /// By the stable hash of the pool's name: as many as the configuration has.
    trials: HashMap<u64, Trial>,
}

impl Judge {
    /// A judge to whom a share of slow requests that is larger by less than `worse_by` is no harm.
    pub(crate) fn new(worse_by: f64) -> Self {
        Self { worse_by, models: [None, None, None], trials: HashMap::new() }
    }

    /// Puts a model into a role. The same one again changes nothing; a new champion's trials begin anew.
    pub(crate) fn set(&mut self, role: Role, model: Option<Arc<Model>>) {
        let slot = &mut self.models[role as usize];
        let known = slot.as_ref().map(|judged| judged.model.checksum());
        if known == model.as_ref().map(|model| model.checksum()) {
            return;
        }
        *slot = model.map(|model| Judged { tally: Tally::new(model.quantiles().len()), model });
        if role == Role::Champion {
            self.trials.clear();
        }
    }

    /// The model in a role.
    pub(crate) fn model(&self, role: Role) -> Option<&Arc<Model>> {
        self.models[role as usize].as_ref().map(|judged| &judged.model)
    }

    /// Takes in a request that ended; the harm that is certain by it, if any. What another model routed is no evidence.
    pub(crate) fn observe(&mut self, sample: &Sample) -> Option<Harm> {
        let champion = self.model(Role::Champion)?;
        if champion.id() != &*sample.model {
            return None;
        }
        let forecast = champion.forecast(&sample.row, champion.group_of(sample.tenant));
        let tail = forecast.ln_ms().last().copied().unwrap_or(f32::NAN);
        if sample.is_answered() {
            for judged in self.models.iter_mut().flatten() {
                let forecast = judged.model.forecast(&sample.row, judged.model.group_of(sample.tenant));
                judged.tally.add(judged.model.quantiles(), forecast.ln_ms(), sample.ln_ms);
            }
        }
        let trial = self.trials.entry(sample.pool).or_insert_with(|| Trial::new(self.worse_by, sample.at));
        trial.add(sample, tail)
    }

    /// How each model does.
    pub(crate) fn scores(&self) -> Vec<LiveScore> {
        let scored =
            Role::ALL.into_iter().zip(&self.models).filter_map(|(role, judged)| Some((role, judged.as_ref()?)));
        let score = |(role, judged): (Role, &Judged)| LiveScore {
            role,
            model: judged.model.id().to_owned(),
            rows: judged.tally.rows(),
            quantiles: judged.tally.quantiles(judged.model.quantiles()),
        };
        scored.map(score).collect()
    }

    /// Both arms of each pool, by the stable hash of its name.
    pub(crate) fn arms(&self) -> Vec<(u64, Arms)> {
        let mut arms: Vec<_> = self.trials.iter().map(|(pool, trial)| (*pool, trial.arms())).collect();
        arms.sort_unstable_by_key(|(pool, _)| *pool);
        arms
    }
}

#[cfg(test)]
mod tests;
