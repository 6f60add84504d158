"""The load generators, on their core, and what they say: requests, latencies, and every error that they know of."""

import math
import pathlib
import re
import subprocess
import tempfile

from processes import LOAD_CORE

CONNECTIONS = 64
# HTTP/2 with as many requests in flight as HTTP/1.1 has connections.
H2_CONNECTIONS, H2_STREAMS = 8, 8
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
MEGABYTES = {"B": 1e-6, "KB": 1e-3, "MB": 1.0, "GB": 1e3}


def run(command: list[str]) -> str:
    return subprocess.run(["taskset", "-c", LOAD_CORE, *command], check=True, capture_output=True, text=True).stdout


def found(pattern: str, text: str) -> re.Match:
    match = re.search(pattern, text, re.M)
    if not match:
        raise ValueError(f"no {pattern!r} in {text}")
    return match


def wrk(url: str, seconds: float, connections: int = CONNECTIONS) -> dict:
    """HTTP/1.1 with keep-alive, closed loop."""
    text = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", "x-tenant: acme", url])

    def latency(share: str) -> float:
        match = found(rf"^\s+{share}%\s+([\d.]+)(us|ms|s)", text)
        return float(match[1]) * MILLISECONDS[match[2]]

    # Both lines are there only where there is something to say.
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    size = found(r"Transfer/sec:\s+([\d.]+)(KB|MB|GB|B)", text)
    return {
        "requests": int(found(r"(\d+) requests in", text)[1]),
        "rps": float(found(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "mb_per_s": float(size[1]) * MEGABYTES[size[2]],
        "p50_ms": latency("50"),
        "p99_ms": latency("99"),
        "errors": (int(statuses[1]) if statuses else 0) + (sum(map(int, sockets.groups())) if sockets else 0),
    }


def h2load(urls: list[str], seconds: float, *options: str) -> dict:
    """HTTP/2, closed loop. Percentiles are from its log of all requests."""
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "log"
        text = run(["h2load", "-t1", f"--duration={seconds}", f"--log-file={log}", "-H", "x-tenant: acme", *options, *urls])
        # Start, status, microseconds.
        latencies = sorted(int(line.split(b"\t")[2]) / 1e3 for line in log.read_bytes().splitlines())
    return {**counts(text), "p50_ms": percentile(latencies, 0.50), "p99_ms": percentile(latencies, 0.99)}


def paced(urls: list[str], seconds: float, rps: float) -> dict:
    """HTTP/1.1 with keep-alive at a rate that does not wait for answers as long as connections are free. Without a log:
    ten minutes of it would be gigabytes."""
    rate = f"--rps={rps / CONNECTIONS:.3f}"
    text = run(["h2load", "-t1", "--h1", f"--clients={CONNECTIONS}", rate, f"--duration={seconds}", *urls])
    return counts(text)


def counts(text: str) -> dict:
    """What h2load prints. Failed requests include the errored and the timed-out ones; another status is one as well."""
    requests = found(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed", text)
    statuses = map(int, found(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text).groups())
    rate = found(r"finished in [\d.]+m?s, ([\d.]+) req/s, ([\d.]+)(B|KB|MB|GB)/s", text)
    return {
        "requests": int(requests[1]),
        "rps": float(rate[1]),
        "mb_per_s": float(rate[2]) * MEGABYTES[rate[3]],
        "errors": int(requests[2]) + sum(statuses),
    }


def percentile(ascending: list[float], share: float) -> float:
    return ascending[max(0, math.ceil(len(ascending) * share) - 1)] if ascending else float("nan")
