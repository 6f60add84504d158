"""Clients that do little, in a process of their own: idle ones, slow readers, slow writers, and slow-loris.

    crowd.py HOST:PORT --idle 10000 --readers 1000 --writers 1000
    crowd.py HOST:PORT --loris 1000

The first form prints `ready IDLE READERS WRITERS` when all are connected and at it, goes on until its standard input ends,
and fails if any of them was cut. Idle clients have made one request and keep the connection; slow readers ask for /large.bin
(a megabyte) with a small window and take a few bytes a second of it; slow writers send a few bytes a second of a long body. The second
form sends heads drop by drop until all of them are cut, and prints `cut COUNT EARLIEST LATEST`, in seconds.

Both raise the limit of open files as far as the system allows, for themselves and for the process that started them,
which may be the one that serves; there are fewer clients where that does not suffice.
"""

import argparse
import os
import resource
import selectors
import socket
import sys
import time

PATIENCE = 60
# Clients that are connected at a time: fewer than the backlog of any listener, of the endpoint's too.
BATCH = 200
# Between two looks at every slow client. What they take or send meanwhile is next to nothing.
SWEEP_SECONDS = 0.5
# A small window and segments as on Ethernet, or the system takes much of an answer on behalf of its reader: on loopback a
# sender's buffer begins with megabytes, being a number of segments of 64 kB.
WINDOW_BYTES, SEGMENT_BYTES = 16_384, 1_460
# Files that a process needs beside those of connections, generously.
OTHER_FILES = 500
REQUEST = b"GET %s HTTP/1.1\r\nHost: a\r\nx-tenant: acme\r\n\r\n"
UPLOAD = b"POST /upload HTTP/1.1\r\nHost: a\r\nx-tenant: acme\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"


def raise_limits() -> int:
    """Files that the process that started this one may have open."""
    limits = []
    for process in (0, os.getppid()):
        _, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (hard, hard))
        limits.append(hard)
    return limits[1]


def connected(address: tuple[str, int], is_slow_reader: bool) -> socket.socket:
    stream = socket.socket()
    if is_slow_reader:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    stream.settimeout(PATIENCE)
    stream.connect(address)
    return stream


def clients(address: tuple[str, int], count: int, sent: bytes, answer: bytes, are_slow_readers: bool = False) -> list[socket.socket]:
    """Clients that have sent the same and have got the beginning of an answer."""
    found: list[socket.socket] = []
    while len(found) < count:
        batch = [connected(address, are_slow_readers) for _ in range(min(BATCH, count - len(found)))]
        for one in batch:
            one.sendall(sent)
        for one in batch:
            got = one.recv(256)
            if not got.startswith(answer):
                sys.exit(f"{sent!r} was answered with {got!r}")
        found += batch
    return found


def crowd(address: tuple[str, int], idle: int, readers: int, writers: int) -> None:
    # The process that serves may hold both sides of a slow client's connection to the endpoint as well.
    share = min(1.0, (raise_limits() - OTHER_FILES) / (idle + 3 * (readers + writers)))
    idle, readers, writers = (int(count * share) for count in (idle, readers, writers))
    # A body that is asked for has an endpoint: nothing else would tell that the request got that far.
    writing = clients(address, writers, UPLOAD, b"HTTP/1.1 100")
    reading = clients(address, readers, REQUEST % b"/large.bin", b"HTTP/1.1 200", are_slow_readers=True)
    idling = clients(address, idle, REQUEST % b"/", b"HTTP/1.1 200")
    for one in idling + reading + writing:
        one.setblocking(False)
    print("ready", idle, readers, writers, flush=True)
    cut: set[socket.socket] = set()
    with selectors.DefaultSelector() as ends:
        ends.register(sys.stdin, selectors.EVENT_READ)
        while not ends.select(SWEEP_SECONDS):
            cut.update(filter(is_cut, reading))
            for one in writing:
                one.send(b"drop")
    cut.update(filter(is_cut, idling))
    if cut:
        sys.exit(f"{len(cut)} were cut")


def is_cut(stream: socket.socket) -> bool:
    try:
        return not stream.recv(64)
    except BlockingIOError:
        return False
    except OSError:
        return True


def loris(address: tuple[str, int], count: int) -> None:
    raise_limits()
    started, streams = {}, selectors.DefaultSelector()
    for _ in range(count):
        stream = connected(address, is_slow_reader=False)
        stream.setblocking(False)
        started[stream] = time.monotonic()
        streams.register(stream, selectors.EVENT_READ)
    drops, lives = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Drop: 1\r\n" * 10_000, []
    for at in range(len(drops)):
        for stream in list(started):
            try:
                stream.send(drops[at : at + 1])
            except OSError:
                # Seen below.
                pass
        for key, _ in streams.select(SWEEP_SECONDS / 10):
            if is_cut(key.fileobj):
                lives.append(time.monotonic() - started.pop(key.fileobj))
                streams.unregister(key.fileobj)
                key.fileobj.close()
        if not started:
            break
    print("cut", len(lives), f"{min(lives):.3f} {max(lives):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    for name in ("idle", "readers", "writers", "loris"):
        parser.add_argument(f"--{name}", type=int, default=0)
    args = parser.parse_args()
    host, port = args.address.rsplit(":", 1)
    if args.loris:
        loris((host, int(port)), args.loris)
    else:
        crowd((host, int(port)), args.idle, args.readers, args.writers)


main()
