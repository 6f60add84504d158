"""Starting what is measured, and what it costs: CPU, memory and open files of a process and all that it started."""

import contextlib
import os
import pathlib
import re
import resource
import socket
import subprocess
import sys
import time

PROXY_CORE, LOAD_CORE = "0", "1"
# For a server to listen, and to end once it was asked to.
PATIENCE = 15.0


def raise_file_limit() -> None:
    """As many open files as the system allows; what is started from here inherits it."""
    hard = file_limit()
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def file_limit() -> int:
    """Files that a process may open here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    state = "runs" if process.poll() is None else f"ended with status {process.returncode}"
    sys.exit(f"nothing listens on port {port}, {process.args} {state}")


@contextlib.contextmanager
def started(command: list[str], port: int, core: str):
    """A server on one core, from when it listens until it has ended by itself after SIGTERM."""
    process = subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
    """User and system time so far, of children that have ended too."""
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Proportional set size: what several processes share is counted once."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            match = re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)
            total += int(match.group(1)) if match else 0
    return total / 1024


def open_files(pid: int) -> int:
    return sum(len(os.listdir(f"/proc/{one}/fd")) for one in tree(pid))
