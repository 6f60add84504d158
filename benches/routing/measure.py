"""Routing on real sockets: all proxies in turn before the same emulated endpoints and the same open-loop traffic.

Within a round every proxy gets the same requests at the same times and endpoints of its own, with empty caches; rounds have
other seeds, and the model is trained on a seed of its own. Latency counts from the intended time of a request, after a
warm-up that no proxy's figures hold. Results: benches/results/routing-SCENARIO.{md,json,svg}.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import plot
import proxies
import report
import scenarios
import stand

# Seeds of the recording: no round has it.
TRAINING_SEED = 1_000
# A generator that was later than this has measured the machine: its timers alone are late by up to 1 ms.
LATE_MS = 5.0
# Quantiles that are kept of each run, for the plot: even steps in the number of nines, up to 99.9 %.
QUANTILES = [1.0 - 10.0 ** (-step / 20.0) for step in range(1, 61)]


def measured(samples: pathlib.Path, warmup: float) -> dict:
    """Figures of the requests that were due after the warm-up."""
    latencies, late, errors, shares = [], [], 0, {}
    with samples.open() as file:
        for row in csv.DictReader(file):
            if int(row["at_us"]) < warmup * 1e6:
                continue
            latencies.append(int(row["latency_us"]) / 1e3)
            late.append(int(row["late_us"]) / 1e3)
            errors += row["failure"] != "" or not 200 <= int(row["status"]) < 300
            kind = row["endpoint"].rsplit("-", 1)[0]
            shares[kind] = shares.get(kind, 0) + 1
    if not latencies:
        sys.exit(f"no request was due after a warm-up of {warmup} s")
    latencies.sort()
    late.sort()

    def rank(values: list[float], share: float) -> float:
        return values[min(max(-int(-len(values) * share // 1), 1), len(values)) - 1]

    return {
        "requests": len(latencies),
        "errors": errors,
        "mean_ms": sum(latencies) / len(latencies),
        **{f"{name}_ms": rank(latencies, share) for name, share in
           [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]},
        "quantiles_ms": [round(rank(latencies, share), 3) for share in QUANTILES],
        "late_p99_ms": rank(late, 0.99),
        "late_max_ms": late[-1],
        "shares": {kind: count / len(latencies) for kind, count in sorted(shares.items())},
    }


def one_run(args, scenario, name: str, number: int, models: dict, work: pathlib.Path) -> dict:
    """A run; once more where the generator was late, and marked as late where it was so again."""
    for attempt in range(2):
        run = stand.Run(scenario, args.root, args.binaries, work / f"{number}-{re.sub(r'[^a-z]+', '-', name.lower())}-{attempt}")
        seconds, seed = args.warmup + args.seconds, number
        if name in proxies.PEERS:
            found = run.go(proxies.PEERS[name], seconds, seed)
        elif name in proxies.SIMPLE:
            policy = proxies.SIMPLE[name]
            found = run.go(lambda at: proxies.tailcast(at, policy, extra=args.extra), seconds, seed, is_tailcast=True)
        else:
            model = models[name]
            model = model if model.exists() else None
            found = run.go(lambda at: proxies.tailcast(at, "predictive", model, True, args.extra), seconds, seed,
                           name == proxies.REPORTED, True)
        found |= measured(run.work / "samples.csv", args.warmup)
        found |= {"round": number, "proxy": name, "late": found["late_p99_ms"] > LATE_MS}
        if args.keep:
            shutil.copytree(run.work, args.keep / scenario.name / run.work.name, dirs_exist_ok=True)
        shutil.rmtree(run.work)
        if not found["late"]:
            break
        print(f"the generator was late ({found['late_p99_ms']:.1f} ms at its 99th percentile)", file=sys.stderr)
    return found


def trained(args, scenario, names: list[str], work: pathlib.Path) -> tuple[dict, dict]:
    """Models by row, and what their training said."""
    models, reports = {}, {}
    for name in names:
        if name not in (proxies.PREDICTIVE, proxies.REPORTED):
            continue
        suffix = "-reports" if name == proxies.REPORTED else ""
        folder = args.models or work
        folder.mkdir(parents=True, exist_ok=True)
        models[name] = folder / f"{scenario.name}{suffix}.tailcast"
        # What training said is kept beside the model; a model that was refused is not there.
        said = models[name].with_suffix(".json")
        if said.exists():
            reports[name] = json.loads(said.read_text())
            continue
        print(f"{scenario.name}: recording {args.record_seconds:g} s under {args.record_policy}, training", file=sys.stderr)
        found = stand.train(scenario, args.root, args.binaries, work / f"training{suffix}", models[name], args.record_policy,
                            args.record_seconds, name == proxies.REPORTED, TRAINING_SEED)
        champion = found["judgement"]["champion"]
        reports[name] = {"written": found["written"], "model_id": found["model_id"], "policy": args.record_policy,
                         "seconds": args.record_seconds, "held_out_loss": champion["mean_pinball"]}
        said.write_text(json.dumps(reports[name]))
        if not found["written"]:
            print(f"{scenario.name}: the model was refused, {name} runs without", file=sys.stderr)
    return models, reports


def versions(root: pathlib.Path, binaries: pathlib.Path) -> str:
    def version(name: str, command: list[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True)
        # The first number with points that is said; Envoy says its path and commit before it.
        return f"{name} {re.search(r'(?<![0-9.])[0-9]+[.][0-9]+[.][0-9]+', done.stdout + done.stderr).group()}"

    envoy = str(root / "benches/peers/venv/bin/envoy")
    return ", ".join([version("nginx", ["nginx", "-v"]), version("HAProxy", ["haproxy", "-v"]),
                      version("Envoy", [envoy, "--version"]), version("Tailcast", [str(binaries / "tailcast"), "--version"])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=pathlib.Path)
    parser.add_argument("--binaries", required=True, type=pathlib.Path, help="folder of tailcast and testbed")
    parser.add_argument("--scenario", default=",".join(scenarios.ALL), help="names, separated by commas")
    parser.add_argument("--only", default=",".join(proxies.NAMES), help="rows, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first-round", type=int, default=1, help="number (and seed) of the first round")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warmup", type=float, default=5.0, help="seconds before those that count")
    parser.add_argument("--record-policy", default="least_request")
    parser.add_argument("--record-seconds", type=float, default=40.0)
    parser.add_argument("--append", action="store_true", help="keep the runs of the result file, but for those made again")
    parser.add_argument("--models", type=pathlib.Path, help="folder of models: used where there are, else trained and kept")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the results")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for samples and decision logs of the runs")
    parser.add_argument("--extra", default="", help="more Tailcast configuration (TOML), for experiments")
    args = parser.parse_args()
    # An exception in place of death, so that what was started is ended and folders are removed.
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda number, _: sys.exit(128 + number))
    chosen = [scenario.strip() for scenario in args.scenario.split(",")]
    for name in chosen:
        if name not in scenarios.ALL:
            sys.exit(f"--scenario: no such scenario {name!r}, there are {list(scenarios.ALL)}")
    only = [name.strip() for name in args.only.split(",")]
    for name in only:
        if name not in proxies.NAMES:
            sys.exit(f"--only: no such proxy {name!r}, there are {proxies.NAMES}")
    folder = args.out or args.root / "benches/results"
    folder.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="tailcast-routing-") as work:
            compare(args, scenarios.ALL[name], only, pathlib.Path(work), folder / f"routing-{name}")


def lines_of(data: dict) -> str:
    """JSON with one line a run: it can be read, and a run made again is one line of a diff."""
    head = {key: value for key, value in data.items() if key != "runs"}
    runs = ",\n  ".join(json.dumps(run) for run in data["runs"])
    return json.dumps(head, indent=1)[:-2] + f',\n "runs": [\n  {runs}\n ]\n}}\n'


def compare(args, scenario, only: list[str], work: pathlib.Path, base: pathlib.Path) -> None:
    file = base.with_suffix(".json")
    how = {"scenario": scenario.name, "about": scenario.about, "rate_rps": scenario.rate_rps, "mark": scenario.mark,
           "seconds": args.seconds, "warmup": args.warmup, "quantiles": QUANTILES}
    data = how | {"training": {}, "runs": []}
    if args.append and file.exists():
        data = json.loads(file.read_text())
        other = [key for key in ("rate_rps", "seconds", "warmup") if data[key] != how[key]]
        if other:
            sys.exit(f"--append: {file} was measured with other {', '.join(other)}")
    data |= {"date": str(datetime.date.today()), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
             "versions": versions(args.root, args.binaries)}
    models, training = trained(args, scenario, only, work) if args.rounds else ({}, {})
    data["training"] |= training
    for number in range(args.first_round, args.first_round + args.rounds):
        # Nobody is always the first after the pause between rounds.
        turn = number % len(only)
        for name in only[turn:] + only[:turn]:
            found = one_run(args, scenario, name, number, models, work)
            print(f"{scenario.name} round {number} {name}: p50 {found['p50_ms']:.1f} p99 {found['p99_ms']:.1f} ms, "
                  f"{found['errors']} errors of {found['requests']}, busy {found['utilisation']:.2f}, proxy "
                  f"{found['proxy_cpu_ratio']:.2f} generator {found['generator_cpu_ratio']:.2f} of a core, "
                  f"late {found['late_p99_ms']:.1f} ms", file=sys.stderr)
            data["runs"] = [run for run in data["runs"] if (run["round"], run["proxy"]) != (number, name)] + [found]
        # After each round: hours of measurement should not be lost to what happens in the last.
        write(data, base)
    write(data, base)
    print(base.with_suffix(".md").read_text())


def write(data: dict, base: pathlib.Path) -> None:
    data["runs"].sort(key=lambda run: (run["round"], proxies.NAMES.index(run["proxy"])))
    data["table"] = report.table(data)
    base.with_suffix(".json").write_text(lines_of(data))
    base.with_suffix(".md").write_text(report.markdown(data))
    base.with_suffix(".svg").write_text(plot.svg(data))


if __name__ == "__main__":
    main()
