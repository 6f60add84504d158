"""Processes of one run: endpoints, a proxy, the generator. All of them end with this process, however it ends."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import proxies
from scenarios import SIGMA, WORKERS, Scenario

# prctl(2): the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    hard = proxies.file_limit()
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def listens(port: int, process: subprocess.Popen, seconds: float = 15.0) -> bool:
    """Waits until something listens; false where the process ends first, or nothing does in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.02)
    return False


def cpu_seconds(root: int) -> float:
    """User and system time of a process and of all that it started and that still run."""
    fields = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields[int(entry.name)] = (entry / "stat").read_text().rsplit(")", 1)[1].split()
    found, open_ = 0, [root]
    while open_:
        one = open_.pop()
        if one in fields:
            found += int(fields[one][11]) + int(fields[one][12])
            open_ += [pid for pid, values in fields.items() if int(values[1]) == one]
    return found / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def endpoints(scenario: Scenario, binaries: pathlib.Path, seed: int, reports: bool, counters: list[dict]):
    """Starts the endpoints, yields (name, port) of each; fills `counters` when they have ended."""
    started: list[subprocess.Popen] = []
    try:
        for number, endpoint in enumerate(scenario.endpoints):
            command = [str(binaries / "testbed"), "endpoint", "--name", endpoint.name, "--workers", str(WORKERS),
                       "--sigma", str(SIGMA), "--seed", str(seed * 100 + number)]
            for prefix, mean_ms in endpoint.routes.items():
                command += ["--route", f"{prefix}={mean_ms}"]
            if endpoint.cache:
                command += ["--cache", str(endpoint.cache), "--miss-factor", str(endpoint.miss_factor)]
            if reports:
                command += ["--report-load"]
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                            preexec_fn=die_with_parent))
        ports = [int(one.stdout.readline().rsplit(":", 1)[1]) for one in started]
        yield [(endpoint.name, port) for endpoint, port in zip(scenario.endpoints, ports)]
        for one in started:
            one.stdin.close()
        counters += [json.loads(one.stdout.readline()) for one in started]
    finally:
        for one in started:
            stop(one)


@contextlib.contextmanager
def proxy(command: list[str], port: int, log: pathlib.Path):
    """Starts a proxy, yields its process id; what it says goes to `log`, and to the terminal where it does not start."""
    with log.open("w") as said:
        started = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
    try:
        if not listens(port, started):
            sys.exit(f"{log.read_text()}{command[0]} does not listen on port {port}")
        yield started.pid
    finally:
        stop(started)


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def load(scenario: Scenario, binaries: pathlib.Path, port: int, seconds: float, seed: int, out: pathlib.Path) -> dict:
    command = [str(binaries / "testbed"), "load", "--to", f"http://127.0.0.1:{port}", "--rate", str(scenario.rate_rps),
               "--seconds", str(seconds), "--tenants", str(scenario.tenants), "--zipf", str(scenario.zipf),
               "--seed", str(seed), "--out", str(out)]
    for route, share in scenario.routes.items():
        command += ["--route", f"{route}={share}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    elapsed = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout), "elapsed": elapsed, "generator_cpu_ratio": used / elapsed}


def decided(admin: int) -> dict:
    """The model in use and the reasons of a Tailcast proxy's decisions."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/status", timeout=5) as answer:
        model = json.load(answer)["model"]
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    reasons = re.findall(r'^tailcast_decisions_total\{.*reason="(\w+)".*\} (\d+)', page, re.M)
    return {"model": model, "decisions": {reason: int(count) for reason, count in reasons if int(count)}}


class Run:
    """One proxy under one scenario's traffic, on endpoints of its own."""

    def __init__(self, scenario: Scenario, root: pathlib.Path, binaries: pathlib.Path, work: pathlib.Path):
        self.scenario, self.root, self.binaries, self.work = scenario, root, binaries, work
        work.mkdir(parents=True)

    def go(self, command, seconds: float, seed: int, reports: bool = False, is_tailcast: bool = False) -> dict:
        """`command` makes the proxy's command line of a place. Samples are left in `samples.csv`."""
        samples, counters = self.work / "samples.csv", []
        listen, admin = free_ports(2)
        with endpoints(self.scenario, self.binaries, seed, reports, counters) as members:
            at = proxies.Place(self.work, listen, admin, members, self.root, self.binaries)
            with proxy(command(at), listen, self.work / "proxy.log") as pid:
                before = cpu_seconds(pid)
                found = load(self.scenario, self.binaries, listen, seconds, seed, samples)
                found["proxy_cpu_ratio"] = (cpu_seconds(pid) - before) / found["elapsed"]
                if is_tailcast:
                    found |= decided(admin)
        found["counters"] = dict(zip((name for name, _ in members), counters))
        busy_secs = sum(one["busy_us"] for one in counters) / 1e6
        found["utilisation"] = busy_secs / (WORKERS * len(members) * found["elapsed"])
        touched = sum(one["hits"] + one["misses"] for one in counters)
        found["hit_ratio"] = sum(one["hits"] for one in counters) / touched if touched else None
        return found


def train(scenario: Scenario, root: pathlib.Path, binaries: pathlib.Path, work: pathlib.Path, model: pathlib.Path,
          policy: str, seconds: float, reports: bool, seed: int) -> dict:
    """Records under `policy`, trains from the proxy's own log; the training's report. No model where the gate refuses it."""
    run = Run(scenario, root, binaries, work)
    run.go(lambda at: proxies.tailcast(at, policy, log=True), seconds, seed, reports)
    command = [str(binaries / "tailcast"), "train", "--log", str(work / "log"), "--out", str(model), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
    if not done.stdout:
        sys.exit("tailcast train failed")
    return json.loads(done.stdout)
