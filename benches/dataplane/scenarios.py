"""What is measured of a proxy that runs: one function a scenario."""

import argparse
import dataclasses
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import peers
from load import CONNECTIONS, H2_CONNECTIONS, H2_STREAMS, h2load, wrk
from processes import LOAD_CORE, cpu_seconds, file_limit, memory_mib

# The rows whose difference is what log and routing cost: the same ten endpoints, with nothing on and with everything on.
PLAIN, FULL = "tailcast round_robin, ten endpoints", "tailcast predictive + log"
# Without the rows that only serve to take that difference apart.
MAIN = ["nginx", "haproxy", "envoy", "tailcast round_robin", FULL]
IDLE, SLOW = 10_000, 1_000
# Connections of the others beside a crowd: enough to show a delay, too few to be one.
OTHERS = 8
WARM_UP_SECONDS = 1
# Files that a proxy needs beside connections, generously.
OTHER_FILES = 500


@dataclasses.dataclass(frozen=True)
class Scenario:
    what: str
    measure: Callable[[str, peers.Listen, int, argparse.Namespace], dict]
    # The figure whose ratio to the reference's is the result.
    key: str
    reference: str
    proxies: list[str] | None = None
    is_http2: bool = False
    is_tls: bool = False


def url(listen: peers.Listen, path: str) -> str:
    return f"{'https' if listen.tls else 'http'}://127.0.0.1:{listen.port}{path}"


def busy(load: Callable[[float], dict], pid: int, seconds: float) -> dict:
    """A load, and what the proxy spent on it. `busy` near 1 says that the proxy was the limit, and not the load."""
    load(WARM_UP_SECONDS)
    cpu, clock = cpu_seconds(pid), time.monotonic()
    found = load(seconds)
    spent, elapsed = cpu_seconds(pid) - cpu, time.monotonic() - clock
    return {**found, "cpu_us": spent * 1e6 / found["requests"], "busy": spent / elapsed, "memory_mib": memory_mib(pid)}


def small(_: str, listen: peers.Listen, pid: int, args: argparse.Namespace) -> dict:
    return busy(lambda seconds: wrk(url(listen, "/"), seconds), pid, args.seconds)


def large(_: str, listen: peers.Listen, pid: int, args: argparse.Namespace) -> dict:
    return busy(lambda seconds: wrk(url(listen, "/large.bin"), seconds), pid, args.seconds)


def h2(_: str, listen: peers.Listen, pid: int, args: argparse.Namespace) -> dict:
    options = (f"--clients={H2_CONNECTIONS}", f"--max-concurrent-streams={H2_STREAMS}")
    return busy(lambda seconds: h2load([url(listen, "/")], seconds, *options), pid, args.seconds)


def clients(name: str, slow: int) -> int:
    """Idle clients beside so many slow ones: as many as the limit of files allows the proxy and the clients' process."""
    fit = file_limit() - OTHER_FILES - 2 * slow
    if name == "haproxy":
        fit = min(fit, peers.haproxy_clients() - slow - OTHERS)
    return min(IDLE, fit)


def idle(name: str, listen: peers.Listen, pid: int, args: argparse.Namespace) -> dict:
    """Memory with so many idle keep-alive connections that each made one request."""
    before, held, errors = memory_mib(pid), [], 0
    for _ in range(clients(name, 0)):
        one = socket.create_connection(("127.0.0.1", listen.port))
        one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nx-tenant: acme\r\n\r\n")
        held.append(one)
    for one in held:
        errors += not one.recv(4096).startswith(b"HTTP/1.1 200")
    with_idle = memory_mib(pid)
    for one in held:
        # A connection that the proxy has closed is none that it holds.
        one.setblocking(False)
        try:
            errors += not one.recv(1)
        except BlockingIOError:
            pass
        one.close()
    kib = (with_idle - before) * 1024 / len(held)
    return {"idle_mib": with_idle, "start_mib": before, "kib_per_client": kib, "connections": len(held), "errors": errors}


def crowds(name: str, listen: peers.Listen, pid: int, args: argparse.Namespace) -> dict:
    """What others get beside idle clients, slow readers and slow writers, all at once."""
    wrk(url(listen, "/"), WARM_UP_SECONDS, OTHERS)
    alone, alone_mib = wrk(url(listen, "/"), args.seconds, OTHERS), memory_mib(pid)
    script = pathlib.Path(__file__).parents[2] / "tests/clients/crowd.py"
    idling = clients(name, 2 * SLOW)
    command = ["taskset", "-c", LOAD_CORE, sys.executable, script, f"127.0.0.1:{listen.port}", "--idle", str(idling)]
    command += ["--readers", str(SLOW), "--writers", str(SLOW)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        ready = crowd.stdout.readline().split()
        first_mib = memory_mib(pid)
        beside, later_mib = wrk(url(listen, "/"), args.seconds, OTHERS), memory_mib(pid)
        crowd.stdin.close()
    # Its status says whether any of them was cut; without `ready` it has said why.
    errors = alone["errors"] + beside["errors"] + (crowd.returncode != 0 or ready[:1] != ["ready"])
    return {
        "crowd_mib": later_mib, "crowd_first_mib": first_mib, "alone_mib": alone_mib,
        "p50_alone_ms": alone["p50_ms"], "p50_beside_ms": beside["p50_ms"],
        "p99_alone_ms": alone["p99_ms"], "p99_beside_ms": beside["p99_ms"],
        "idle": int(ready[1]) if len(ready) > 1 else 0, "errors": errors,
    }


AT_ONCE = f"{CONNECTIONS} connections"
SCENARIOS = {
    "small": Scenario(f"100-byte bodies, {AT_ONCE}", small, "cpu_us", "haproxy"),
    "large": Scenario(f"1 MiB bodies, {AT_ONCE}", large, "mb_per_s", "nginx", MAIN),
    "h2": Scenario(
        f"100-byte bodies, HTTP/2 by prior knowledge, {H2_CONNECTIONS} connections of {H2_STREAMS} streams",
        h2, "cpu_us", "haproxy", MAIN, is_http2=True,
    ),
    "tls": Scenario(f"100-byte bodies over TLS, {AT_ONCE}", small, "cpu_us", "haproxy", MAIN, is_tls=True),
    "idle": Scenario("memory with idle keep-alive connections", idle, "idle_mib", "envoy", MAIN),
    "crowds": Scenario(
        f"{OTHERS} connections beside idle clients, {SLOW} slow readers and {SLOW} slow writers", crowds, "crowd_mib", "envoy", MAIN,
    ),
}
