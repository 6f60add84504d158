"""Asserts on the summary of `tailcast demo --quick --json`: the loop completed, and the model paid."""

import json
import sys

# The mark that the demo has to keep: p99 under `predictive` at most 0.6 of that under `round_robin`.
MAX_P99_RATIO = 0.6
ARM = {"requests", "errors", "p50_ms", "p90_ms", "p99_ms", "p999_ms"}

written, printed = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:3])
problems = []
if written != printed:
    problems.append("summary.json and standard output differ")
for arm in ("round_robin", "predictive"):
    missing = ARM - written[arm].keys()
    if missing:
        problems.append(f"{arm} lacks {sorted(missing)}")
    if written[arm]["requests"] < 1000:
        problems.append(f"{arm} has only {written[arm]['requests']} requests")
    if written[arm]["errors"] != 0:
        problems.append(f"{arm} has {written[arm]['errors']} errors")
ratio = written["p99_ratio"]
if not ratio["low"] <= ratio["value"] <= ratio["high"]:
    problems.append(f"the interval {ratio} does not hold its value")
if ratio["value"] > MAX_P99_RATIO:
    problems.append(f"p99 ratio {ratio['value']:.3f} is above {MAX_P99_RATIO}")
if written["hot_load"]["failed_requests"] != 0:
    problems.append(f"{written['hot_load']['failed_requests']} requests failed around the swap of the model")
losses = written["model"]["baselines"]
if not losses or written["model"]["loss"] > min(losses.values()):
    problems.append(f"the model's loss {written['model']['loss']} does not beat the baselines {losses}")
if problems:
    sys.exit("demo: " + "; ".join(problems))
print(
    f"demo: p99 ratio {ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}], "
    f"loss {written['model']['loss']:.4f}, coverage {written['model']['coverage']:.3f}, "
    f"{written['elapsed_secs']:.0f} s"
)
