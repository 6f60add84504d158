"""Ten minutes at 70 % of capacity while configuration and model change: no error, and nothing that grows.

Load is open: at a rate, not as fast as answers come, so that a stall shows. See README.md for what must hold.
"""

import argparse
import datetime
import http.client
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "dataplane"))

import peers
from load import paced, percentile, wrk
from processes import LOAD_CORE, PROXY_CORE, cpu_seconds, free_ports, memory_mib, open_files, raise_file_limit, started

ENDPOINTS = 10
TENANTS = 50
TRAINING_SECONDS, CAPACITY_SECONDS = 6, 8
SAMPLE_SECONDS, PROBE_SECONDS = 1.0, 0.05
# What may differ between the second and the last fifth of the time: allocators and caches are not still, leaks are not bounded.
MEMORY_RATIO, MEMORY_MIB, FILES = 1.05, 4.0, 16
# Of the rate that was aimed at: less means that the load, and not the proxy, was at its limit.
RATE_RATIO = 0.97


class Stand:
    """The proxy's files, and what is done to them while it runs."""

    def __init__(self, work: pathlib.Path, ports: list[int]):
        self.work, self.endpoints = work, ports
        self.port, self.admin = free_ports(2)
        self.config, self.model = work / "tailcast.toml", work / "model.tailcast"
        self.models: list[pathlib.Path] = []

    def write(self, policy: str, variant: int) -> None:
        """The configuration in one of two forms, put in place whole."""
        many = self.endpoints if variant == 0 else self.endpoints[:-2]
        endpoints = ", ".join(f'{{ address = "127.0.0.1:{port}", weight = {1 + variant * (i % 2)}.0 }}' for i, port in enumerate(many))
        text = f"""\
workers = 1
[[listener]]
address = "127.0.0.1:{self.port}"
[tenant]
from = "path_prefix"
[[pool]]
name = "pool"
policy = "{policy}"
endpoints = [{endpoints}]
timeouts = {{ first_byte_ms = {20_000 + variant * 10_000} }}
[admin]
address = "127.0.0.1:{self.admin}"
[log]
directory = "{self.work}/log"
[model]
path = "{self.model}"
"""
        if variant == 1:
            text += f'[[pool]]\nname = "other"\nendpoints = ["127.0.0.1:{self.endpoints[0]}"]\n'
            text += '[[route]]\npath_prefix = "/tenant-1/"\npool = "other"\n'
        self.put(self.config, text.encode())

    @staticmethod
    def put(path: pathlib.Path, content: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)

    def swap_model(self, variant: int) -> None:
        self.put(self.model, self.models[variant].read_bytes())

    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port}/tenant-{number}/items" for number in range(TENANTS)]

    def metrics(self) -> dict[str, float]:
        """Counters and gauges by name, sums over their labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        values: dict[str, float] = {}
        for line in lines:
            if match := re.match(r"(\w+)(?:\{.*\})? (\S+)$", line):
                values[match[1]] = values.get(match[1], 0.0) + float(match[2])
        return values


def train(stand: Stand, tailcast: pathlib.Path) -> None:
    """Two models that differ: of the same log, by other seeds and numbers of trees."""
    stand.write("random", 0)
    with started([str(tailcast), "run", "--config", str(stand.config)], stand.port, PROXY_CORE):
        paced(stand.urls(), TRAINING_SECONDS, 10_000)
    for seed, rounds in ((1, 100), (2, 60)):
        model = stand.work / f"model-{seed}.tailcast"
        # By force: static endpoints leave little to learn, but a forecast costs the same.
        command = [tailcast, "train", "--log", stand.work / "log", "--out", model, "--force", "--seed", str(seed), "--rounds", str(rounds)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stand.models.append(model)
    shutil.rmtree(stand.work / "log")


class Watch:
    """Samples of the proxy, and a client that times a request now and then."""

    def __init__(self, stand: Stand, pid: int):
        self.stand, self.pid, self.began = stand, pid, time.monotonic()
        self.samples: list[tuple[float, float, int]] = []
        self.latencies: list[float] = []
        self.errors = 0
        self.client = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=10)

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def sample(self) -> None:
        self.samples.append((self.seconds(), memory_mib(self.pid), open_files(self.pid)))

    def probe(self) -> None:
        at = time.monotonic()
        try:
            self.client.request("GET", "/probe/items")
            answer = self.client.getresponse()
            answer.read()
            self.errors += answer.status != 200
        except (OSError, http.client.HTTPException) as error:
            print(f"the timing client: {error!r}", file=sys.stderr)
            self.errors += 1
            self.client.close()
        self.latencies.append((time.monotonic() - at) * 1e3)


def soak(stand: Stand, watch: Watch, load: Future, every: float) -> int:
    """Changes and samples until the load has ended; how often things were changed."""
    changes, next_sample, next_change = 0, 0.0, every
    while not load.done():
        now = watch.seconds()
        if now >= next_change:
            changes += 1
            next_change += every
            stand.write("predictive", changes % 2)
            os.kill(watch.pid, signal.SIGHUP)
            stand.swap_model(changes % 2)
        if now >= next_sample:
            next_sample += SAMPLE_SECONDS
            watch.sample()
        watch.probe()
        # The pace of the timing client.
        time.sleep(PROBE_SECONDS)
    return changes


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares, per minute."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope * 60


def judge(found: dict) -> list[str]:
    """What does not hold."""
    wrong = []
    if found["errors"] or found["probe_errors"]:
        wrong.append(f"{found['errors']} requests of the load and {found['probe_errors']} of the timing client failed")
    if found["rps"] < RATE_RATIO * found["target_rps"]:
        wrong.append(f"{found['rps']:.0f} requests a second instead of {found['target_rps']:.0f}: the load was at its limit")
    # Two signals or two files within one look of the proxy are one change to it.
    if found["refusals"] or not found["changes"] - 1 <= found["config_reloads"] <= found["changes"]:
        wrong.append(f"{found['config_reloads']:.0f} reloads and {found['refusals']:.0f} refusals for {found['changes']} changes")
    if found["model_loads"] < found["changes"] - 1:
        wrong.append(f"{found['model_loads']:.0f} models were loaded for {found['changes']} changes")
    if found["dropped_rows"]:
        wrong.append(f"{found['dropped_rows']:.0f} rows of the log were dropped")
    (early, late), (early_files, late_files) = found["memory_mib"], found["open_files"]
    if late > max(early * MEMORY_RATIO, early + MEMORY_MIB):
        wrong.append(f"memory grew from {early:.1f} to {late:.1f} MiB")
    if late_files > early_files + FILES:
        wrong.append(f"open files grew from {early_files:.0f} to {late_files:.0f}")
    return wrong


def fifths(samples: list[tuple[float, float, int]], column: int) -> tuple[float, float]:
    """Medians of the second and of the last fifth."""
    fifth = max(1, len(samples) // 5)
    parts = samples[fifth : 2 * fifth] or samples, samples[-fifth:]
    return tuple(statistics.median(sample[column] for sample in part) for part in parts)


def table(found: dict, wrong: list[str]) -> str:
    rows = [
        ("capacity, requests/s (proxy's core busy)", f"{found['capacity_rps']:.0f} ({found['capacity_busy']:.0%})"),
        ("load, requests/s (proxy's core busy)", f"{found['rps']:.0f} of {found['target_rps']:.0f} aimed at ({found['busy']:.0%})"),
        ("requests", f"{found['requests']}"),
        ("errors, of the load and of the timing client", f"{found['errors']}, {found['probe_errors']}"),
        ("latency of the timing client, p50, p99, slowest, ms", "{:.2f}, {:.2f}, {:.1f}".format(*found["probe_ms"])),
        ("configurations taken up, refused", f"{found['config_reloads']:.0f} of {found['changes']}, {found['refusals']:.0f}"),
        ("models taken up", f"{found['model_loads']:.0f} of {found['changes']}"),
        ("log rows written, dropped", f"{found['log_rows']:.0f}, {found['dropped_rows']:.0f}"),
        ("memory, second fifth and last fifth, MiB", "{:.1f}, {:.1f}".format(*found["memory_mib"])),
        ("memory, slope, MiB a minute", f"{found['memory_mib_per_minute']:+.2f}"),
        ("open files, second fifth and last fifth", "{:.0f}, {:.0f}".format(*found["open_files"])),
        ("open files, slope, a minute", f"{found['files_per_minute']:+.2f}"),
    ]
    lines = [
        "# Soak",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores; {found['seconds']:.0f} s at {found['share']:.0%} of "
        f"capacity; configuration and model change every {found['every']:g} s.",
        "",
        "| figure | |",
        "| --- | ---: |",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "All holds." if not wrong else "Does not hold: " + "; ".join(wrong) + ".",
    ]
    return "\n".join(lines) + "\n"


def run(args: argparse.Namespace, work: pathlib.Path) -> dict:
    tailcast = args.root / "target/release/tailcast"
    ports = free_ports(ENDPOINTS)
    stand = Stand(work, ports)
    with started(peers.endpoints_server(work, ports), ports[0], LOAD_CORE):
        train(stand, tailcast)
        stand.write("predictive", 0)
        stand.swap_model(0)
        with started([str(tailcast), "run", "--config", str(stand.config)], stand.port, PROXY_CORE) as pid:
            cpu = cpu_seconds(pid)
            capacity = wrk(stand.urls()[0], CAPACITY_SECONDS)
            capacity_busy = (cpu_seconds(pid) - cpu) / CAPACITY_SECONDS
            target = capacity["rps"] * args.share
            before, cpu = stand.metrics(), cpu_seconds(pid)
            watch = Watch(stand, pid)
            with ThreadPoolExecutor(1) as pool:
                load = pool.submit(paced, stand.urls(), args.seconds, target)
                changes = soak(stand, watch, load, args.every)
            elapsed, after = watch.seconds(), stand.metrics()
            busy = (cpu_seconds(pid) - cpu) / elapsed
    steady = watch.samples[len(watch.samples) // 5 :]
    latencies = sorted(watch.latencies)

    def more(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    return {
        **load.result(),
        "seconds": args.seconds, "share": args.share, "every": args.every, "changes": changes,
        "capacity_rps": capacity["rps"], "capacity_busy": capacity_busy, "target_rps": target, "busy": busy,
        "probe_errors": watch.errors + capacity["errors"],
        "probe_ms": (percentile(latencies, 0.5), percentile(latencies, 0.99), latencies[-1]),
        "config_reloads": more("tailcast_config_reloads_total"),
        "model_loads": more("tailcast_model_loads_total"),
        "refusals": more("tailcast_config_refusals_total") + more("tailcast_model_refusals_total"),
        "log_rows": more("tailcast_log_rows_total"),
        "dropped_rows": more("tailcast_log_dropped_rows_total"),
        "memory_mib": fifths(watch.samples, 1), "open_files": fifths(watch.samples, 2),
        "memory_mib_per_minute": slope([(at, memory) for at, memory, _ in steady]),
        "files_per_minute": slope([(at, files) for at, _, files in steady]),
        "samples": watch.samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--share", type=float, default=0.7, help="of capacity")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between changes")
    parser.add_argument("--out", type=pathlib.Path, help="base name of the result files")
    args = parser.parse_args()
    raise_file_limit()
    # This process watches beside the load, so that the proxy has its core to itself.
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory(prefix="tailcast-soak-") as folder:
        found = run(args, pathlib.Path(folder))
    wrong = judge(found)
    text = table(found, wrong)
    print(text)
    base = args.out or args.root / "benches/results/soak"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.with_suffix(".md").write_text(text)
    data = {"date": str(datetime.date.today()), "machine": platform.platform(), "wrong": wrong, **found}
    base.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
