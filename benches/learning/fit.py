#!/usr/bin/env python3
"""Trees against LightGBM and CatBoost: one million rows of thirty features, heavy-tailed and interacting.

The same rows, rounds, threads and learning rate for all. Trainers run in turn, and every figure is a ratio within its
turn; the median of the turns is the result. LightGBM fits one quantile at a time, so its time is that of one model, and
ours, for three quantiles, must not be longer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

LEVELS = [0.5, 0.95, 0.99]
FEATURES = 30


def draw(rows, seed):
    """Features as a proxy logs them (counts, logs of sizes, ratios, flags) and log-latency that they explain in part:
    steps, a queue that bends upward, pairs that matter only together, and a tail that some of them widen."""
    random = np.random.default_rng(seed)
    x = np.empty((FEATURES, rows), dtype=np.float32)
    for feature in range(FEATURES):
        kind = feature % 5
        if kind == 0:
            x[feature] = random.poisson(4.0, rows)
        elif kind == 1:
            x[feature] = random.normal(0.0, 1.0, rows)
        elif kind == 2:
            x[feature] = np.log1p(random.pareto(1.5, rows) * 10.0)
        elif kind == 3:
            x[feature] = random.random(rows)
        else:
            x[feature] = random.integers(0, 4, rows)
    y = (
        1.5
        + 0.6 * (x[4] == 2)
        + 0.015 * x[0] ** 2
        + 0.4 * np.sin(2.0 * x[1])
        + 0.8 * ((x[3] > 0.7) & (x[9] == 1))
        - 0.7 * ((x[8] < 0.3) & (x[14] == 3))
        + 0.25 * x[2] * (x[13] > 0.5)
        + 0.2 * x[6]
        + 0.1 * x[11] * x[16]
    )
    spread = 0.25 + 0.35 * (x[18] > 0.8) + 0.1 * x[5] / 4.0
    tail = random.exponential(1.0, rows) * (random.random(rows) < 0.1 + 0.2 * (x[19] == 0))
    y = y + spread * random.normal(0.0, 1.0, rows) + 0.9 * tail
    # One value in thirty was not known.
    missing = random.random((FEATURES, rows), dtype=np.float32) < 1.0 / 30.0
    x[missing] = np.nan
    return x, y.astype(np.float32)


def pinball(level, y, forecast):
    error = y.astype(np.float64) - forecast.astype(np.float64)
    return float(np.mean(np.maximum(level * error, (level - 1.0) * error)))


def by_decile(y, column):
    """Coverage of the lowest tenth of the forecasts, of the next, and so on: right overall can be wrong everywhere."""
    return [float(np.mean(y[rows] <= column[rows])) for rows in np.array_split(np.argsort(column, kind="stable"), 10)]


def judged(y, columns):
    return [
        {
            "level": level,
            "pinball": pinball(level, y, column),
            "coverage": float(np.mean(y <= column)),
            "coverage_by_decile": by_decile(y, column),
        }
        for level, column in zip(LEVELS, columns)
    ]


def of_lightgbm(data, options, levels):
    import lightgbm

    x, y, test_x, _ = data
    rows, test_rows = np.ascontiguousarray(x.T), np.ascontiguousarray(test_x.T)
    columns, secs = [], []
    for level in levels:
        started = time.perf_counter()
        train = lightgbm.Dataset(rows, y, params={"max_bin": 255, "verbose": -1})
        model = lightgbm.train(
            {
                "objective": "quantile",
                "alpha": level,
                "learning_rate": options.rate,
                "num_leaves": 31,
                "max_bin": 255,
                "num_threads": options.threads,
                "verbose": -1,
                "seed": 1,
            },
            train,
            options.rounds,
        )
        secs.append(time.perf_counter() - started)
        columns.append(model.predict(test_rows, num_threads=options.threads).astype(np.float32))
    return secs, columns


def of_catboost(data, options):
    import catboost

    x, y, test_x, _ = data
    rows, test_rows = np.ascontiguousarray(x.T), np.ascontiguousarray(test_x.T)
    started = time.perf_counter()
    model = catboost.CatBoostRegressor(
        loss_function="MultiQuantile:alpha=" + ",".join(str(level) for level in LEVELS),
        iterations=options.rounds,
        depth=6,
        learning_rate=options.rate,
        thread_count=options.threads,
        random_seed=1,
        allow_writing_files=False,
        verbose=False,
    )
    model.fit(rows, y)
    secs = time.perf_counter() - started
    forecasts = model.predict(test_rows)
    return secs, [forecasts[:, at].astype(np.float32) for at in range(len(LEVELS))]


def of_least_squares(data):
    """Ordinary least squares on standardised features and the quantiles of its residuals: what needs no trainer."""
    x, y, test_x, _ = data
    mean, spread = np.nanmean(x, axis=1, keepdims=True), np.nanstd(x, axis=1, keepdims=True)
    design = lambda x: np.vstack([np.nan_to_num((x - mean) / spread), np.ones(x.shape[1], np.float32)]).T
    started = time.perf_counter()
    theta, *_ = np.linalg.lstsq(design(x), y, rcond=None)
    residual = y - design(x) @ theta
    secs = time.perf_counter() - started
    return secs, [design(test_x) @ theta + np.quantile(residual, level) for level in LEVELS]


def of_tailcast(directory, options):
    command = [options.binary, directory, f"rounds={options.rounds}", f"learning_rate={options.rate}"]
    command += [f"threads={options.threads}", f"forecasts={directory}/forecasts.f32", *options.set]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    forecasts = np.fromfile(f"{directory}/forecasts.f32", dtype="<f4").reshape(len(LEVELS), -1)
    return found["fit_secs"], list(forecasts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, help="the built example fit_trees")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--test", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--catboost", action="store_true", help="also CatBoost, once")
    parser.add_argument("--set", nargs="*", default=[], help="more parameters of our trainer, NAME=VALUE")
    parser.add_argument("--json", help="write the result here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        x, y = draw(options.rows + options.test, 1)
        data = (x[:, : options.rows], y[: options.rows], x[:, options.rows :], y[options.rows :])
        for name, array in zip(["train_x", "train_y", "test_x", "test_y"], data):
            np.ascontiguousarray(array, dtype="<f4").tofile(f"{directory}/{name}.f32")
        with open(f"{directory}/shape.json", "w") as file:
            json.dump({"features": FEATURES, "train": options.rows, "test": options.test}, file)
        theirs_secs, ours_secs, ratios = [], [], []
        for turn in range(options.turns):
            # All quantiles once for their losses; after that one of them for its time.
            levels = LEVELS if turn == 0 else [0.95]
            secs, columns = of_lightgbm(data, options, levels)
            if turn == 0:
                theirs = judged(data[3], columns)
                secs = secs[1:2]
            ours, forecasts = of_tailcast(directory, options)
            theirs_secs.append(secs[0])
            ours_secs.append(ours)
            ratios.append(ours / secs[0])
            print(f"turn {turn + 1}: ours {ours:.2f} s, LightGBM {secs[0]:.2f} s", file=sys.stderr, flush=True)
        found = {
            "rows": options.rows,
            "features": FEATURES,
            "rounds": options.rounds,
            "threads": options.threads,
            "tailcast": {"secs": ours_secs, "quantiles": judged(data[3], forecasts)},
            "lightgbm": {"secs_of_one_quantile": theirs_secs, "quantiles": theirs},
            "time_ratio": {"median": float(np.median(ratios)), "least": min(ratios), "most": max(ratios)},
            "pinball_ratio": [
                ours["pinball"] / them["pinball"]
                for ours, them in zip(judged(data[3], forecasts), theirs)
            ],
        }
        mean = lambda quantiles: float(np.mean([one["pinball"] for one in quantiles]))
        found["mean_pinball_ratio"] = mean(found["tailcast"]["quantiles"]) / mean(theirs)
        secs, columns = of_least_squares(data)
        found["least_squares"] = {"secs": secs, "quantiles": judged(data[3], columns)}
        if options.catboost:
            secs, columns = of_catboost(data, options)
            found["catboost"] = {"secs": secs, "quantiles": judged(data[3], columns)}
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        with open(options.json, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
