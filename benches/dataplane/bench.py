"""Proxies side by side: each in turn alone on one core, load and endpoints on the other.

Proxies run in turn within a round, rounds repeat, and ratios are taken within a round, so a slow minute of the machine
falls on all alike. CPU is the user and system time of the proxy's process tree over the requests done. Any error makes
the run fail, after the results were written. Results: a table on stdout, JSON and Markdown in benches/results/.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import peers
import scenarios
from load import wrk
from processes import LOAD_CORE, PROXY_CORE, free_ports, raise_file_limit, started
from report import report

# What a model is trained from: long enough for some hundred thousand rows.
TRAINING_SECONDS = 6


def train_model(root: pathlib.Path, work: pathlib.Path, ports: list[int]) -> pathlib.Path:
    """A model of traffic like the benchmark's, from Tailcast's own log of it."""
    model, run = work / "model.tailcast", work / "training"
    run.mkdir()
    (port,) = free_ports(1)
    with started(peers.tailcast(run, ports, peers.Listen(port), root, "random", None, True), port, PROXY_CORE):
        wrk(f"http://127.0.0.1:{port}/", TRAINING_SECONDS)
    # By force: the endpoints are alike, so there is little to learn, but a forecast costs the same.
    command = [root / "target/release/tailcast", "train", "--log", run / "log", "--out", model, "--force"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(run)
    return model


def contestants(root: pathlib.Path, ports: list[int], model: pathlib.Path) -> dict:
    """How each proxy is started, by its name: all over four endpoints, but `predictive` over ten."""
    four = ports[: peers.ENDPOINTS]

    def tailcast(policy: str, over: list[int], log: bool):
        with_model = model if policy == "predictive" else None
        return lambda work, listen: peers.tailcast(work, over, listen, root, policy, with_model, log)

    return {
        "nginx": lambda work, listen: peers.nginx(work, four, listen),
        "haproxy": lambda work, listen: peers.haproxy(work, four, listen),
        "bare hyper": lambda work, listen: peers.bare_hyper(four, listen, root),
        "envoy": lambda work, listen: peers.envoy(work, four, listen, root),
        "tailcast round_robin": tailcast("round_robin", four, False),
        scenarios.PLAIN: tailcast("round_robin", ports, False),
        "tailcast predictive, no log": tailcast("predictive", ports, False),
        scenarios.FULL: tailcast("predictive", ports, True),
    }


def versions(root: pathlib.Path) -> dict[str, str]:
    def first_line(*command) -> str:
        done = subprocess.run(command, capture_output=True, text=True)
        return next((line for line in (done.stdout + done.stderr).splitlines() if line.strip()), "").strip()

    return {
        "tailcast": first_line(root / "target/release/tailcast", "--version"),
        "nginx": first_line("nginx", "-v"),
        "haproxy": first_line("haproxy", "-v"),
        "envoy": first_line(root / "benches/peers/venv/bin/envoy", "--version"),
        "wrk": first_line("wrk", "--version"),
        "h2load": first_line("h2load", "--version"),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--scenario", choices=list(scenarios.SCENARIOS), default="small")
    parser.add_argument("--only", help="names of proxies, separated by commas; those with a comma by their beginning")
    parser.add_argument("--out", type=pathlib.Path, help="base name of the result files")
    args = parser.parse_args()
    scenario = scenarios.SCENARIOS[args.scenario]
    raise_file_limit()

    with tempfile.TemporaryDirectory(prefix="tailcast-bench-") as folder:
        work = pathlib.Path(folder)
        ports = free_ports(peers.PREDICTIVE_ENDPOINTS)
        with started(peers.endpoints_server(work, ports), ports[0], LOAD_CORE):
            model = train_model(args.root, work, ports)
            tls = peers.certificate(work) if scenario.is_tls else None
            names = contestants(args.root, ports, model)
            chosen = scenario.proxies or list(names)
            if args.only:
                wanted = [name.strip() for name in args.only.split(",")]
                chosen = [name for name in names if name in wanted or name.split(",")[0] in wanted]
                if not chosen:
                    sys.exit(f"--only: no such proxy {wanted}, there are {list(names)}")
            rounds = []
            for number in range(args.rounds):
                found = {}
                for name in chosen:
                    at = work / f"{number}-{re.sub(r'[^a-z]+', '-', name)}"
                    at.mkdir()
                    (port,) = free_ports(1)
                    listen = peers.Listen(port, scenario.is_http2, tls)
                    with started(names[name](at, listen), port, PROXY_CORE) as pid:
                        found[name] = scenario.measure(name, listen, pid, args)
                    print(f"round {number + 1}/{args.rounds} {name}: {found[name]}", file=sys.stderr)
                    shutil.rmtree(at, ignore_errors=True)
                rounds.append(found)
    base = args.out or args.root / "benches/results" / f"dataplane-{args.scenario}"
    base.parent.mkdir(parents=True, exist_ok=True)
    text, data = report(scenario, args, rounds)
    print(text)
    base.with_suffix(".md").write_text(text)
    data = {"date": str(datetime.date.today()), "scenario": args.scenario, "versions": versions(args.root), **data}
    base.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    if errors := sum(row.get("errors", 0) for found in rounds for row in found.values()):
        sys.exit(f"{errors} errors: see the rows above")


if __name__ == "__main__":
    main()
