#!/usr/bin/env python3
"""Off-policy estimates against `obp`, Vowpal Wabbit and sums written out here, on the decisions that

    tailcast eval ope … --json --rows rows.jsonl > found.json

wrote. Where the estimator is the same, it must agree to 1e-9 of its value. Vowpal Wabbit computes in single precision and
evaluates policies that choose one endpoint, so it is given the best candidate of each decision and held to 1e-4.
"""

import argparse
import functools
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import types

import numpy as np

TOLERANCE = 1e-9
SINGLE = 1e-4
TAU = 10.0


@functools.cache
def obp_estimators():
    """The estimators of obp 0.4.1. Its `__init__` files import PyTorch for policies that have nothing to do with
    them, so only the module is loaded, with a stand-in for the one name that its type hints need."""
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})
    sys.modules.setdefault("torch", torch)
    root = pathlib.Path(importlib.util.find_spec("obp").origin).parent
    for name in ["obp", "obp.ope"]:
        module = types.ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    from obp.ope import estimators

    return estimators


def by_obp(rows, cost, expected):
    """Every estimator of obp on these rows; `cost` and `expected` name the columns."""
    estimators = obp_estimators()
    most = max(len(row["propensities"]) for row in rows)
    pad = lambda values: list(values) + [0.0] * (most - len(values))
    action = np.array([row["chosen"] for row in rows])
    given = {
        "reward": np.array([row[cost] for row in rows]),
        "action": action,
        "pscore": np.array([row["propensities"][row["chosen"]] for row in rows]),
        "action_dist": np.array([pad(row["probabilities"]) for row in rows])[:, :, None],
        "position": np.zeros(len(rows), dtype=int),
        "estimated_rewards_by_reg_model": np.array([pad(row[expected]) for row in rows])[:, :, None],
    }
    without_model = {name: value for name, value in given.items() if not name.startswith("estimated")}
    of_model = {name: given[name] for name in ["action_dist", "estimated_rewards_by_reg_model", "position"]}
    return {
        "ips": estimators.InverseProbabilityWeighting().estimate_policy_value(**without_model),
        "snips": estimators.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**without_model),
        "dm": estimators.DirectMethod().estimate_policy_value(**of_model),
        "dr": estimators.DoublyRobust().estimate_policy_value(**given),
        "switch_dr": estimators.SwitchDoublyRobust(tau=TAU).estimate_policy_value(**given),
    }


def written_out(rows, cost, expected):
    """The same sums, as plainly as they can be written, with the half widths of the 95 % intervals."""
    n = len(rows)
    weights = [row["probabilities"][row["chosen"]] / row["propensities"][row["chosen"]] for row in rows]
    weighted = [weight * row[cost] for weight, row in zip(weights, rows)]
    total = math.fsum(weights)
    model = [math.fsum(p * q for p, q in zip(row["probabilities"], row[expected])) for row in rows]
    corrections = [weight * (row[cost] - row[expected][row["chosen"]]) for weight, row in zip(weights, rows)]
    robust = [v + c for v, c in zip(model, corrections)]
    switched = [v + (c if w <= TAU else 0.0) for v, c, w in zip(model, corrections, weights)]
    mean = lambda values: math.fsum(values) / n
    half = lambda values: 1.959963984540054 * math.sqrt(
        math.fsum((value - mean(values)) ** 2 for value in values) / (n * (n - 1))
    )
    snips = math.fsum(weighted) / total
    of_snips = math.sqrt(math.fsum((w * (row[cost] - snips)) ** 2 for w, row in zip(weights, rows))) / total
    return {
        "ips": (mean(weighted), half(weighted)),
        "snips": (snips, 1.959963984540054 * of_snips),
        "dm": (mean(model), half(model)),
        "dr": (mean(robust), half(robust)),
        "switch_dr": (mean(switched), half(switched)),
    }


def by_vw(rows, cost):
    """IPS of the policy that always takes its best candidate, by `vw --cb_type ips --eval`, and the same written out."""
    from vowpalwabbit import pyvw

    most = max(len(row["propensities"]) for row in rows)
    lines, sums = [], []
    for row in rows:
        best = int(np.argmax(row["probabilities"]))
        chosen, propensity = row["chosen"], row["propensities"][row["chosen"]]
        lines.append(f"{best + 1} {chosen + 1}:{row[cost]:.9g}:{propensity:.9g} | a")
        sums.append(row[cost] / propensity if chosen == best else 0.0)
    with tempfile.TemporaryDirectory() as directory:
        data = pathlib.Path(directory, "rows.vw")
        data.write_text("\n".join(lines) + "\n")
        vw = pyvw.Workspace(f"--cb {most} --cb_type ips --eval -d {data} --quiet")
        vw.finish()
        value = vw.get_sum_loss() / vw.get_weighted_examples()
    return value, math.fsum(sums) / len(sums)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, help="the tailcast binary")
    parser.add_argument("--model", required=True)
    parser.add_argument("--json", help="write the result here")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--log")
    source.add_argument("--trace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/rows.jsonl"
        source = ["--log", options.log] if options.log else ["--trace", options.trace]
        command = [options.binary, "eval", "ope", "--model", options.model, "--json", "--rows", path, *source]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["targets"][-1]
        rows = [json.loads(line) for line in open(path)]
    checks, failed = [], 0
    for name, cost, expected in [("mean_ms", "cost_ms", "expected_ms"), ("over_ratio", "over", "expected_over")]:
        plain, obp = written_out(rows, cost, expected), by_obp(rows, cost, expected)
        for estimator, (value, half) in plain.items():
            ours = found[f"{name}_{estimator}"]
            for against, right, got in [
                ("written out", value, ours["value"]),
                ("written out, half width", half, (ours["high"] - ours["low"]) / 2.0),
                ("obp", float(obp[estimator]), ours["value"]),
            ]:
                off = abs(got - right) / max(abs(right), 1e-300) if got != right else 0.0
                checks.append({"estimate": f"{name}_{estimator}", "against": against, "off": off, "good": off <= TOLERANCE})
        vw, plain_best = by_vw(rows, cost)
        off = abs(vw - plain_best) / max(abs(plain_best), 1e-300)
        checks.append({"estimate": f"{name}, best candidate, ips", "against": "vw", "off": off, "good": off <= SINGLE})
    for check in checks:
        failed += not check["good"]
        print(f"{'ok  ' if check['good'] else 'BAD '} {check['estimate']:<32} {check['against']:<24} off by {check['off']:.1e}")
    result = {"decisions": len(rows), "checks": checks, "worst": max(c["off"] for c in checks if c["against"] != "vw")}
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(rows)} decisions, {len(checks)} checks, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
