//! The command line of `tailcast model import`.

use super::examples::MODEL_IMPORT_EXAMPLES;
use clap::Args;
use std::path::PathBuf;
use tailcast_training::import::ModelFile;

/// `tailcast model import`.
#[derive(Debug, Args)]
#[command(after_help = MODEL_IMPORT_EXAMPLES)]
pub struct ModelImportArgs {
    /// LightGBM text model of one quantile; repeat it for more. =LEVEL where the model was not trained with
    /// objective=quantile.
    #[arg(long, value_name = "FILE[=LEVEL]", required_unless_present = "xgboost", conflicts_with = "xgboost")]
    pub lightgbm: Vec<ModelFile>,
    /// XGBoost JSON model of one quantile or of several; repeat it for more. =LEVEL where the model was not trained with
    /// objective=reg:quantileerror.
    #[arg(long, value_name = "FILE[=LEVEL]")]
    pub xgboost: Vec<ModelFile>,
    /// Where to write the model.
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,
    /// Directory of log segments that the proxy wrote: learn a shift of each quantile from them, and judge the model beside
    /// the baselines on the newest.
    #[arg(long, value_name = "DIR")]
    pub calibrate: Option<PathBuf>,
    /// With --calibrate: write the model even if it loses to a baseline.
    #[arg(long, requires = "calibrate")]
    pub force: bool,
    /// Print what was imported as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}
