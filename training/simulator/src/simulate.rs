//! All runs of a scenario: cells x policies x seeds, with the models that the learned rows need.

use crate::engine::{RunPlan, RunResult, run};
use crate::error::SimError;
use crate::learn::{self, Learned};
use crate::marks::Metric;
use crate::policy::{DEFAULT, Part, Policy};
use crate::report::{CellReport, ContestReport, PolicyReport, SeedFigures, SimulationReport, Training};
use crate::scenario::{Cell, Scenario};
use std::sync::Arc;
use std::time::Instant;
use tailcast_balance::BalancerOptions;

/// What is simulated of a scenario.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// Rows of the report.
    pub policies: Vec<Policy>,
    /// Seeds 1 to this.
    pub seeds: u64,
    /// Adds a row without each part of the predictive rule.
    pub ablation: bool,
    /// Only cells whose label contains this.
    pub only: Option<String>,
    /// Options of the production balancer; the policy in them is ignored.
    pub balancer: BalancerOptions,
}

impl Default for SimulateOptions {
    fn default() -> Self {
        Self {
            policies: DEFAULT.to_vec(),
            seeds: 10,
            ablation: false,
            only: None,
            balancer: BalancerOptions::default(),
        }
    }
}

/// What a simulation says while it goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A model is being learned for a cell.
    Learning {
        /// Label of the cell.
        cell: String,
    },
    /// A row of a cell is done.
    Row {
        /// Label of the cell.
        cell: String,
        /// Name of the policy.
        policy: String,
        /// 99th percentile over the seeds, milliseconds.
        p99_ms: f64,
    },
}

/// Simulates a scenario.
///
/// # Errors
/// The trace is missing, or a model cannot be fitted.
pub fn simulate(
    scenario: &Scenario,
    options: &SimulateOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<SimulationReport, SimError> {
    let started = Instant::now();
    let mut policies = options.policies.clone();
    if options.ablation {
        policies.extend(Part::ALL.map(Policy::Without));
    }
    let mut cells = Vec::new();
    for cell in scenario.cells() {
        let label = cell.label();
        if options.only.as_ref().is_some_and(|only| !label.contains(only.as_str())) {
            continue;
        }
        cells.push(simulate_cell(scenario, cell, &policies, options, progress)?);
    }
    let mut report = SimulationReport {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seeds: options.seeds,
        cells,
        wall_secs: 0.0,
    };
    for cell in &mut report.cells {
        cell.judge(&scenario.marks);
    }
    report.wall_secs = started.elapsed().as_secs_f64();
    Ok(report)
}

fn simulate_cell(
    scenario: &Scenario,
    cell: Cell,
    policies: &[Policy],
    options: &SimulateOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<CellReport, SimError> {
    let label = cell.label();
    let mut models = Models { scenario, cell, options, learned: Vec::new() };
    let by_second = scenario.marks.iter().any(|mark| mark.metric == Metric::Recovery);
    let mut rows = Vec::new();
    for policy in policies {
        if policy.is_learned() && models.learned(*policy).is_none() {
            progress(Progress::Learning { cell: label.clone() });
            models.learn(*policy)?;
        }
        let mut figures = Vec::new();
        for seed in 1..=options.seeds {
            figures.push(run_seed(scenario, cell, *policy, options, models.learned(*policy), seed, by_second)?);
        }
        let row = PolicyReport::new(policy.name(), policy.is_peer(), scenario, figures);
        progress(Progress::Row { cell: label.clone(), policy: row.policy.clone(), p99_ms: row.p99_ms.mean });
        rows.push(row);
    }
    Ok(CellReport {
        cell,
        label,
        training: models.reports(),
        rows,
        marks: Vec::new(),
        change_second: scenario.change_second(),
        has_admission: scenario.admission.is_some(),
    })
}

fn run_seed(
    scenario: &Scenario,
    cell: Cell,
    policy: Policy,
    options: &SimulateOptions,
    learned: Option<&Learned>,
    seed: u64,
    by_second: bool,
) -> Result<SeedFigures, SimError> {
    let online = scenario.training.retrain_every_secs > 0.0 && policy.is_learned();
    let plan = RunPlan {
        scenario,
        cell,
        policy,
        base: options.balancer.clone(),
        seed,
        model: learned.map(|learned| Arc::clone(&learned.model)),
        log_rows: if online { scenario.training.max_rows } else { 0 },
        mix: Vec::new(),
        by_second,
    };
    let started = Instant::now();
    let mut contests = Vec::new();
    let mut champion = plan.model.clone();
    let result: RunResult = run(&plan, &mut |log| {
        let number = contests.len() as u64 + 1;
        let at_secs = number as f64 * scenario.training.retrain_every_secs;
        let (learned, serving) = (learned?, champion.as_ref()?);
        // Where there is too little to fit there is no challenger, and the champion stays.
        let found = learn::challenge(scenario, &learned.log, log, serving, number);
        let (contest, model) = ContestReport::of(at_secs, found);
        contests.push(contest);
        champion = model.clone().or(champion.take());
        model
    })?;
    Ok(SeedFigures::new(&result, contests, started.elapsed().as_secs_f64()))
}

/// Models of one cell, learned when a row first needs them, by the row that teaches them.
struct Models<'a> {
    scenario: &'a Scenario,
    cell: Cell,
    options: &'a SimulateOptions,
    learned: Vec<(Policy, Learned)>,
}

impl Models<'_> {
    fn learn(&mut self, policy: Policy) -> Result<(), SimError> {
        let teacher = policy.taught_by();
        let learned = learn::learn(self.scenario, self.cell, &self.options.balancer, teacher)?;
        self.learned.push((teacher, learned));
        Ok(())
    }

    /// The model of a row; `None` for rows without one.
    fn learned(&self, policy: Policy) -> Option<&Learned> {
        let teacher = policy.is_learned().then(|| policy.taught_by())?;
        self.learned.iter().find(|(known, _)| *known == teacher).map(|(_, learned)| learned)
    }

    fn reports(&self) -> Vec<Training> {
        self.learned
            .iter()
            .map(|(teacher, learned)| Training {
                policy: teacher.name(),
                rows: learned.log.len(),
                secs: learned.secs,
                trees: learned.model.parts().tree_count(),
                top_features: learned.top.clone(),
            })
            .collect()
    }
}
