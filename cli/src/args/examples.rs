//! The examples at the end of the help texts.

pub(super) const EXAMPLES: &str = "\
Start here:
  tailcast demo                          the whole loop in a minute and a half
  tailcast check --config tailcast.toml  is the configuration right?
  tailcast run --config tailcast.toml    the proxy

Every command has examples behind --help.";

pub(super) const DEMO_EXAMPLES: &str = "\
Examples:
  tailcast demo
  tailcast demo --quick --json --out demo-out > summary.json

Then open report.html in the output directory.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  tailcast run --config tailcast.toml
  tailcast run --config tailcast.toml --model model.tailcast --policy predictive

A model file that changes is validated and loaded without a restart; one that is refused changes nothing.";

pub(super) const CHECK_EXAMPLES: &str = "\
Example:
  tailcast check --config deploy/tailcast.example.toml

Exits with 1 and names file, line, key and allowed values where something is wrong.";

pub(super) const TRAIN_EXAMPLES: &str = "\
Examples:
  tailcast train --log tailcast-data/log --out model.tailcast
  tailcast train --log tailcast-data/log --out model.tailcast --report training.html
  tailcast train --log tailcast-data/log --registry models
  tailcast train --log tailcast-data/log --registry models --follow --every 30s
  tailcast replay import --format haproxy haproxy.log trace.parquet
  tailcast train --trace trace.parquet --out model.tailcast";

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  tailcast replay --trace demo --to http://127.0.0.1:8080 --duration 10
  tailcast replay --trace trace.parquet --to http://127.0.0.1:8080 --speed 2
  tailcast replay import --format clf access.log.gz trace.parquet

Open loop: every request is sent at its time, whatever became of the others, and its latency counts from that time.";

pub(super) const IMPORT_EXAMPLES: &str = "\
Examples:
  tailcast replay import --format clf access.log.gz trace.parquet
  tailcast replay import --format csv --map 'arrival=ts:ms,route=path,latency=ms' log.csv trace.parquet
  zcat elb.log.gz | tailcast replay import --format elb - trace.parquet

A line that cannot be read is counted and sampled into the reject file; it never ends the import.";

pub(super) const LIVE_EXAMPLES: &str = "\
Examples:
  tailcast eval live --to http://127.0.0.1:8080 --admin http://127.0.0.1:8081 --trace trace.parquet
  tailcast eval live --config tailcast.toml --model model.tailcast --report ab.html
  tailcast eval live --from-log tailcast-data/log --control round_robin --treatment predictive --block 10";

pub(super) const OPE_EXAMPLES: &str = "\
Examples:
  tailcast eval ope --log tailcast-data/log --model model.tailcast
  tailcast eval ope --trace trace.parquet --model model.tailcast --threshold-ms 250";

pub(super) const MODEL_EXAMPLES: &str = "\
Examples:
  tailcast model inspect model.tailcast
  tailcast model verify model.tailcast && cp model.tailcast /srv/tailcast/";

pub(super) const MODEL_IMPORT_EXAMPLES: &str = "\
Examples:
  tailcast model import --lightgbm p50.txt --lightgbm p95.txt --lightgbm p99.txt --out model.tailcast
  tailcast model import --xgboost model.json --out model.tailcast --calibrate tailcast-data/log
  tailcast model import --xgboost median.json=0.5 --xgboost tail.json --out model.tailcast

LightGBM: objective quantile, regression or regression_l1, save_model(\"p99.txt\").
XGBoost: objective reg:quantileerror, reg:squarederror or reg:absoluteerror, save_model(\"model.json\").";

pub(super) const REGISTRY_EXAMPLES: &str = "\
Examples:
  tailcast model list models
  tailcast model promote models 12 --why 'before the sale'
  tailcast model rollback models --why 'p99 rose'

A proxy whose model path is models/champion takes up every change within half a second.";

pub(super) const SIMULATE_EXAMPLES: &str = "\
Examples:
  tailcast eval simulate tests/scenarios/a2_pairs.toml
  tailcast eval simulate tests/scenarios/a8_sinkhole.toml --policies peak_ewma,predictive --seeds 5
  tailcast eval simulate tests/scenarios/a4_heterogeneous.toml --ablation --json > ablation.json";
