#!/usr/bin/env python3
"""Imported models against the libraries that trained them: the same rows, forecast by both, must agree.

Trains LightGBM and XGBoost in the variants that `tailcast model import` takes, on rows with the names of the schema; imports
each model with the command line, forecasts rows that no trainer saw (with missing values, zeros of both signs, values below
LightGBM's idea of zero, and values that lie exactly on thresholds), and compares. Quantiles are lifted where they cross before
they are compared, as a proxy does.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import lightgbm
import numpy as np
import xgboost

LEVELS = [0.5, 0.95, 0.99]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def schema():
    """Names of the features, in the order of a row."""
    with open(os.path.join(ROOT, "features", "src", "schema.rs")) as file:
        return re.findall(r'^    [A-Z0-9_]+, "(\w+)", "\w+", \w+, ', file.read(), re.MULTILINE)


NAMES = schema()


def draw(rows, seed, decimals=None):
    """Rows as a proxy logs them (counts, logs, ratios, flags, one value in twenty missing) and log-latency."""
    random = np.random.default_rng(seed)
    x = np.empty((rows, len(NAMES)), dtype=np.float32)
    for feature in range(len(NAMES)):
        kind = feature % 4
        if kind == 0:
            x[:, feature] = random.normal(3.0, 1.0, rows)
        elif kind == 1:
            x[:, feature] = random.poisson(2.0, rows)
        elif kind == 2:
            x[:, feature] = random.normal(0.0, 1.0, rows) * (random.random(rows) < 0.7)
        else:
            x[:, feature] = random.integers(0, 2, rows)
    if decimals is not None:
        x = np.round(x, decimals)
    clean = x.copy()
    x[random.random(x.shape) < 0.05] = np.nan
    y = (
        0.8 * clean[:, 0]
        + 0.5 * clean[:, 2] * clean[:, 3]
        + 0.2 * clean[:, NAMES.index("in_flight")]
        + 0.4 * np.isnan(x[:, 5])
        + (0.2 + 0.1 * clean[:, 1]) * random.exponential(1.0, rows)
    )
    return x, y.astype(np.float32)


def on_thresholds(x, thresholds, seed):
    """Puts a third of the values onto thresholds (and zeros, and almost zeros), where `<` and `<=` differ."""
    random = np.random.default_rng(seed)
    x = x.copy()
    for feature, values in thresholds.items():
        near = np.array([*values, 0.0, -0.0, 1e-35, -1e-36, 1e-30], dtype=np.float32)
        at = random.random(len(x)) < 1 / 3
        x[at, feature] = random.choice(near, int(at.sum()))
    return x


def shuffled(seed):
    """The names in another order than the schema's: they must be found by name."""
    return np.random.default_rng(seed).permutation(len(NAMES))


class LightGbm:
    def __init__(self, directory, x, y, levels, rounds, **params):
        order = shuffled(3)
        self.order, self.paths, self.models = order, [], []
        for level in levels:
            train = lightgbm.Dataset(x[:, order], y, feature_name=[NAMES[i] for i in order])
            options = {"objective": "quantile", "alpha": level, "verbose": -1, "seed": 1, "deterministic": True, **params}
            model = lightgbm.train(options, train, rounds)
            path = os.path.join(directory, f"p{level}.txt")
            model.save_model(path)
            self.models.append(model)
            self.paths.append(path if options["objective"] == "quantile" else f"{path}={level}")

    def arguments(self):
        return [word for path in self.paths for word in ("--lightgbm", path)]

    def predict(self, x):
        return np.stack([model.predict(x[:, self.order]) for model in self.models], axis=1).astype(np.float32)

    def thresholds(self):
        found = {}
        for path in self.paths:
            split = {}
            with open(path.rsplit("=", 1)[0]) as file:
                for line in file:
                    key, _, value = line.strip().partition("=")
                    split[key] = value.split()
                    if key == "threshold":
                        for feature, threshold in zip(split["split_feature"], split["threshold"]):
                            found.setdefault(int(self.order[int(feature)]), set()).add(np.float32(threshold))
        return {feature: sorted(values) for feature, values in found.items()}


class XgBoost:
    def __init__(self, directory, x, y, levels, rounds, **params):
        order = shuffled(4)
        self.order = order
        train = xgboost.DMatrix(x[:, order], y, feature_names=[NAMES[i] for i in order])
        options = {"objective": "reg:quantileerror", "seed": 1, **params}
        if options["objective"] == "reg:quantileerror":
            options["quantile_alpha"] = levels if len(levels) > 1 else levels[0]
        self.model = xgboost.train(options, train, rounds)
        self.path = os.path.join(directory, "model.json")
        self.model.save_model(self.path)
        self.level = "" if options["objective"] == "reg:quantileerror" else f"={levels[0]}"

    def arguments(self):
        return ["--xgboost", self.path + self.level]

    def predict(self, x):
        rows = xgboost.DMatrix(x[:, self.order], feature_names=[NAMES[i] for i in self.order])
        return self.model.predict(rows).reshape(len(x), -1).astype(np.float32)

    def thresholds(self):
        with open(self.path) as file:
            trees = json.load(file)["learner"]["gradient_booster"]["model"]["trees"]
        found = {}
        for tree in trees:
            for left, feature, value in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"]):
                if left != -1:
                    found.setdefault(int(self.order[feature]), set()).add(np.float32(value))
        return {feature: sorted(values) for feature, values in found.items()}


CASES = [
    ("LightGBM, three quantiles", LightGbm, LEVELS, {}),
    ("LightGBM, zero_as_missing", LightGbm, [0.95], {"zero_as_missing": True}),
    ("LightGBM, use_missing=false", LightGbm, [0.95], {"use_missing": False}),
    ("LightGBM, 255 leaves", LightGbm, [0.95], {"num_leaves": 255, "min_data_in_leaf": 5}),
    ("LightGBM, dart", LightGbm, [0.95], {"boosting": "dart"}),
    ("LightGBM, regression", LightGbm, [0.5], {"objective": "regression"}),
    ("LightGBM, regression_l1", LightGbm, [0.5], {"objective": "regression_l1"}),
    ("XGBoost, three quantiles", XgBoost, LEVELS, {}),
    ("XGBoost, one quantile", XgBoost, [0.99], {}),
    ("XGBoost, leaf-wise, 255 leaves", XgBoost, [0.95], {"grow_policy": "lossguide", "max_leaves": 255, "max_depth": 0}),
    ("XGBoost, random forest of 4 a round", XgBoost, [0.95], {"num_parallel_tree": 4, "subsample": 0.5}),
    ("XGBoost, squarederror", XgBoost, [0.5], {"objective": "reg:squarederror"}),
    ("XGBoost, absoluteerror", XgBoost, [0.5], {"objective": "reg:absoluteerror"}),
]


def compare(options, directory, name, kind, levels, params):
    x, y = draw(options.rows, 1)
    library = kind(directory, x, y, levels, options.rounds, **params)
    model = os.path.join(directory, "model.tailcast")
    subprocess.run([options.binary, "model", "import", *library.arguments(), "--out", model], check=True, capture_output=True)
    test = on_thresholds(draw(options.test, 2)[0], library.thresholds(), 5)
    rows, out = os.path.join(directory, "rows.f32"), os.path.join(directory, "out.f32")
    test.astype("<f4").tofile(rows)
    subprocess.run([options.example, model, rows, out], check=True)
    ours = np.fromfile(out, dtype="<f4").reshape(len(test), len(levels))
    theirs = np.maximum.accumulate(library.predict(test), axis=1)
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    return {
        "case": name,
        "rows": len(test),
        "quantiles": levels,
        "largest_difference": float(difference.max()),
        "equal_to_the_bit": float((ours == theirs).mean()),
        "artefact_bytes": os.path.getsize(model),
    }


def write_fixture(directory):
    """A few small trees and what the libraries predict with them: what the tests of the import hold, without Python."""
    x, y = draw(2000, 7, decimals=2)
    os.makedirs(directory, exist_ok=True)
    # Of the 99th percentile a few small trees say nothing.
    levels = [0.5, 0.9]
    found = {"made_by": f"benches/learning/import.py --fixture, LightGBM {lightgbm.__version__}, XGBoost {xgboost.__version__}"}
    small = [("lightgbm", LightGbm(directory, x, y, levels, 4, num_leaves=6)), ("xgboost", XgBoost(directory, x, y, levels, 3, max_depth=2, learning_rate=1.0))]
    thresholds = {}
    for _, library in small:
        for feature, values in library.thresholds().items():
            thresholds.setdefault(feature, []).extend(values)
    rows = on_thresholds(draw(12, 8, decimals=2)[0], thresholds, 9)
    found["rows"] = [[None if np.isnan(value) else float(str(value)) for value in row] for row in rows]
    for name, library in small:
        found[name] = [[float(str(value)) for value in row] for row in library.predict(rows)]
    os.replace(os.path.join(directory, "model.json"), os.path.join(directory, "xgboost.json"))
    for level in levels:
        os.replace(os.path.join(directory, f"p{level}.txt"), os.path.join(directory, f"lightgbm-p{level}.txt"))
    with open(os.path.join(directory, "predictions.json"), "w") as file:
        file.write(json.dumps(found, separators=(",", ":")).replace("],[", "],\n[") + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", help="the built tailcast")
    parser.add_argument("--example", help="the built example forecast_rows")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--test", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", help="write the result here")
    parser.add_argument("--fixture", help="only write the small recorded pair of the tests here")
    options = parser.parse_args()
    if options.fixture:
        return write_fixture(options.fixture)
    cases = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            found = compare(options, directory, *case)
        print(f"{found['case']}: at most {found['largest_difference']:.1e}, {found['equal_to_the_bit']:.2%} to the bit", file=sys.stderr, flush=True)
        cases.append(found)
    result = {"lightgbm": lightgbm.__version__, "xgboost": xgboost.__version__, "rounds": options.rounds, "cases": cases}
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        with open(options.json, "w") as file:
            file.write(text + "\n")
    # The mark is 1e-6: rounding to f32 alone is half of that between 8 and 16.
    sys.exit(any(case["largest_difference"] > 1e-6 for case in cases))


if __name__ == "__main__":
    main()
