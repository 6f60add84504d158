"""Bytes that are no proper HTTP, over raw sockets: `malformed.py HOST:PORT`.

Made without a look at the corpus of `proxy/tests/framing.rs`, so that one author's blind spot is not both tests'. Of each
case the statuses of all answers are known, or a set of them where the standard leaves a choice; in the end the
connection must be closed, or the case be a proper request. A request hidden in another asks for /smuggled: whoever runs
this looks whether the endpoint has seen one. The endpoint answers `ok` to every request once it has read its body.
"""

import random
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 20
# For a proxy that says no more but keeps the connection open, as it may after a proper request.
QUIET = 0.3
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
# Enough to meet most single changes of a short head, few enough to take about a second.
MUTANTS = 1_000
REFUSED = [[400]]
# Not every refusal has an answer: a client that does not speak HTTP may also just be cut.
REFUSED_OR_CUT = [[400], []]


def head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((line, b"Host: a", *fields)) + b"\r\n\r\n"


def get(*fields: bytes) -> bytes:
    return head(b"GET / HTTP/1.1", *fields)


def post(body: bytes, *fields: bytes) -> bytes:
    return head(b"POST / HTTP/1.1", *fields) + body


def corpus() -> list[tuple[str, bytes, list[list[int]]]]:
    """(name, what is sent, the lists of statuses that are right)"""
    assert len(HIDDEN) == 35, "the lengths below count it"
    chunked = b"Transfer-Encoding: chunked"
    close = b"Connection: close"
    cases = [
        # Other protocols on this port.
        ("a TLS hello", bytes.fromhex("16030100a5010000a10303") + bytes(range(160)), REFUSED_OR_CUT),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n", REFUSED_OR_CUT),
        ("SMTP", b"EHLO a.example\r\n", REFUSED_OR_CUT),
        ("Redis", b"*1\r\n$4\r\nPING\r\n", REFUSED_OR_CUT),
        ("a PROXY header where none is expected", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get(), REFUSED_OR_CUT),
        ("HTTP/0.9", b"GET /\r\n\r\n", REFUSED_OR_CUT),
        ("HTTP/2 that turns to HTTP/1", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + get(), [[]]),
        ("a broken HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", REFUSED_OR_CUT),
        ("a byte order mark", b"\xef\xbb\xbf" + get(), REFUSED_OR_CUT),
        ("nothing but zeros", bytes(4096), REFUSED_OR_CUT),
        ("nothing but spaces", b" " * 4096 + b"\r\n\r\n", REFUSED_OR_CUT),
        # The request line.
        ("a version in lower case", head(b"GET / http/1.1"), REFUSED),
        ("version 2.0", head(b"GET / HTTP/2.0"), [[400], [505]]),
        ("version 1.10", head(b"GET / HTTP/1.10"), [[400], [505]]),
        ("two spaces", head(b"GET  / HTTP/1.1"), REFUSED),
        ("a tab between", head(b"GET\t/ HTTP/1.1"), REFUSED),
        ("a trailing word", head(b"GET / HTTP/1.1 HTTP/1.1"), REFUSED),
        ("a colon in the method", head(b"GE:T / HTTP/1.1"), REFUSED),
        ("a NUL in the target", head(b"GET /\0 HTTP/1.1"), REFUSED),
        ("a carriage return in the target", head(b"GET /a\rb HTTP/1.1"), REFUSED),
        ("DEL in the target", head(b"GET /\x7f HTTP/1.1"), REFUSED),
        ("a target of a megabyte", head(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1"), [[400], [414], [431], []]),
        ("asterisk with GET", head(b"GET * HTTP/1.1", close), [[400]]),
        ("a scheme without a host", head(b"GET http:///x HTTP/1.1"), REFUSED),
        ("another scheme", head(b"GET ftp://a/x HTTP/1.1", close), [[400], [200]]),
        # Fields.
        ("no name", get(b": x"), REFUSED),
        ("a fold at the very start", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", REFUSED),
        ("a tab as a fold", get(b"X: 1", b"\tHost: b"), REFUSED),
        ("a space before a colon", get(b"X : 1"), REFUSED),
        ("a tab before a colon", get(b"Content-Length\t: 35") + HIDDEN, REFUSED),
        ("a byte above ASCII in a name", get(b"X\xe4: 1"), REFUSED),
        ("quotes in a name", get(b'"X": 1'), REFUSED),
        ("a NUL at the end of a value", get(b"X: 1\0"), REFUSED),
        ("two thousand fields", get(*(b"X%d: 1" % i for i in range(2000))), [[431]]),
        ("a field of 200 kB", get(b"X: " + b"y" * 200_000), [[431]]),
        ("no Host, but another field of that end", b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", REFUSED),
        ("Host with a space in it", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", REFUSED),
        ("Host with a port that is no number", b"GET / HTTP/1.1\r\nHost: a:b\r\nConnection: close\r\n\r\n", [[400]]),
        ("two hosts in a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", REFUSED),
        # Lengths.
        ("a length with a plus", post(HIDDEN, b"Content-Length: +0"), REFUSED),
        ("a length with an underscore", post(b"x" * 10, b"Content-Length: 1_0"), REFUSED),
        ("a length in full-width digits", post(b"x", "Content-Length: １".encode()), REFUSED),
        ("a length with a fraction", post(HIDDEN, b"Content-Length: 0.0"), REFUSED),
        ("a length of 2^64", post(HIDDEN, b"Content-Length: 18446744073709551616"), REFUSED),
        ("three lengths, the last another", post(HIDDEN, *[b"Content-Length: 0"] * 2, b"Content-Length: 35"), REFUSED),
        ("lengths in a list", post(HIDDEN, b"Content-Length: 0, 35"), REFUSED),
        (
            "a length on both sides of a coding",
            post(b"0\r\n\r\n" + HIDDEN, b"Content-Length: 5", chunked, b"Content-Length: 40"),
            [[400], [200]],
        ),
        # Codings. Where coding and length are both there, the request is refused, or chunked wins and the connection ends.
        ("a length longer than the chunks", post(b"0\r\n\r\n" + HIDDEN, b"Content-Length: 40", chunked), [[400], [200]]),
        ("a coding in quotes", post(b"0\r\n\r\n" + HIDDEN, b'Transfer-Encoding: "chunked"'), REFUSED),
        ("chunked with a parameter", post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked;q=1"), [[400], [501]]),
        ("chunked, and a comma", post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked,", b"Content-Length: 40"), [[400], [200]]),
        ("chunked twice", post(b"0\r\n\r\n", chunked, chunked, close), [[400], [501]]),
        ("gzip alone", post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: gzip"), [[400], [501]]),
        ("chunked, then gzip", post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked, gzip"), [[400], [501]]),
        ("an empty coding", post(HIDDEN, b"Transfer-Encoding:"), [[400], [501]]),
        ("a coding with a NUL", post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked\0"), REFUSED),
        ("a coding with a high byte before it", post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: \xa0chunked"), [[400], [501]]),
        # Chunks.
        ("a chunk size with a sign", post(b"+0\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("a chunk size in 0x", post(b"0x0\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("an empty chunk size", post(b"\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("a negative chunk size", post(b"-1\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("a chunk size with a space inside", post(b"0 1\r\na\r\n0\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("a chunk size above 2^64", post(b"1" + b"0" * 16 + b"\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("a chunk without an end of line", post(b"1\r\naXX0\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("a carriage return alone after a chunk size", post(b"1\ra\r\n0\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("an extension with a line feed", post(b"1;a\nb\r\na\r\n0\r\n\r\n" + HIDDEN, chunked), REFUSED),
        ("an extension of a megabyte", post(b"1;" + b"a" * (1 << 20) + b"\r\na\r\n0\r\n\r\n", chunked, close), [[400], []]),
        ("trailers of a megabyte", post(b"0\r\n" + b"X: y\r\n" * 170_000 + b"\r\n", chunked, close), [[400], [431], []]),
        ("trailers with a coding", post(b"0\r\nTransfer-Encoding: chunked\r\nContent-Length: 35\r\n\r\n", chunked, close), [[200], [400]]),
        # What a proxy must not be talked into.
        ("Connection names the length", post(HIDDEN, b"Connection: close, content-length", b"Content-Length: 35"), [[200], [400]]),
        ("Connection names the coding", post(b"0\r\n\r\n", b"Connection: close, transfer-encoding", chunked), [[200], [400]]),
        ("Connection names Host", get(b"Connection: close, host"), [[200], [400]]),
        ("an upgrade to h2c", get(b"Connection: Upgrade, HTTP2-Settings, close", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), [[200]]),
        ("an unknown expectation", post(b"x", b"Expect: 200-ok", b"Content-Length: 1", close), [[200], [417]]),
        ("CONNECT with a body", head(b"CONNECT a:443 HTTP/1.1", b"Content-Length: 35", close) + HIDDEN, [[400], [405]]),
        # Proper, if unusual: refusing these would break someone.
        ("empty lines before", b"\r\n\r\n" + get(close), [[200]]),
        ("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", [[200], [400]]),
        ("a method of one's own", head(b"MKCALENDAR / HTTP/1.1", close), [[200]]),
        ("a high byte in a value", get("X: größer".encode(), close), [[200]]),
        ("an empty value", get(b"X:", close), [[200]]),
        ("a value amid spaces and tabs", post(b"abc", b"Content-Length: \t 3 \t", close), [[200]]),
        ("a coding in capitals", post(b"3\r\nabc\r\n0\r\n\r\n", b"TRANSFER-ENCODING: CHUNKED", close), [[200]]),
        ("chunk sizes with zeros before", post(b"0003\r\nabc\r\n0000\r\n\r\n", chunked, close), [[200]]),
        ("a GET with a body", head(b"GET / HTTP/1.1", b"Content-Length: 3", close) + b"abc", [[200]]),
        ("a hundred at once", get() * 99 + get(close), [[200] * 100]),
    ]
    # Line ends: a recipient may take a line feed alone for one (RFC 9112 §2.2), but then for every line of a head.
    cases += [
        ("a line feed within a head", post(b"0\r\n\r\n", b"X: y\nTransfer-Encoding: chunked", close), [[200], [400]]),
        ("line feeds alone", get(close).replace(b"\r\n", b"\n"), [[200], [400]]),
        ("two carriage returns", get(close).replace(b"\r\n", b"\r\r\n"), REFUSED),
        ("carriage returns alone", get(close).replace(b"\r\n", b"\r") + b"\r\n\r\n", REFUSED),
    ]
    return cases


def exchange(address: tuple[str, int], pieces: list[bytes]) -> tuple[list[int], bool]:
    """The statuses of all answers, and whether the proxy closed the connection."""
    received, is_closed = b"", False
    with socket.create_connection(address, timeout=PATIENCE) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                stream.sendall(piece)
        except OSError:
            # Refused before all was sent.
            pass
        stream.settimeout(QUIET)
        try:
            while more := stream.recv(65_536):
                received += more
            is_closed = True
        except TimeoutError:
            pass
        except OSError:
            is_closed = True
    statuses = []
    while received.startswith(b"HTTP/1.") and b"\r\n\r\n" in received:
        text, _, received = received.partition(b"\r\n\r\n")
        status = int(text.split(b" ")[1])
        fields = dict(line.lower().split(b": ", 1) for line in text.split(b"\r\n")[1:])
        received = received[int(fields.get(b"content-length", b"0")) :]
        if status >= 200:
            statuses.append(status)
    return statuses, is_closed


def mutated(source: random.Random) -> bytes:
    """A proper request with a few bytes changed, left out, or doubled."""
    request = bytearray(post(b"3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", b"X-Tenant: acme", b"Cookie: a=b"))
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(request))
        change = source.randrange(4)
        if change == 0:
            request[at] = source.randrange(256)
        elif change == 1:
            del request[at]
        elif change == 2:
            request[at:at] = bytes([source.choice(b"\r\n\0 :;,\t\x0b\x7f\xff")])
        else:
            end = min(len(request), at + source.randint(1, 30))
            request[at:at] = request[at:end]
    return bytes(request)


def main() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    address = (host, int(port))
    wrong = []
    cases = corpus()
    # A proper request is one however it is cut into segments.
    request = post(b"3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", b"Connection: close")
    cuts = [[bytes([byte]) for byte in request], *([request[:at], request[at:]] for at in range(1, len(request)))]
    # The seed is fixed, so that a failure repeats. Whatever was made of a request, the proxy blames the client for it.
    source = random.Random(7)
    mutants = [mutated(source) for _ in range(MUTANTS)]
    # Side by side, because many of them end only when the proxy has been quiet for a while.
    with ThreadPoolExecutor(16) as pool:
        for (name, _, expected), (statuses, is_closed) in zip(cases, pool.map(lambda case: exchange(address, [case[1]]), cases)):
            if statuses not in expected or not is_closed:
                wrong.append(f"{name}: expected one of {expected} and the end, got {statuses}, {'closed' if is_closed else 'open'}")
        for pieces, found in zip(cuts, pool.map(lambda pieces: exchange(address, pieces), cuts)):
            if found != ([200], True):
                wrong.append(f"in pieces that begin with {pieces[0]!r}: {found}")
        for sent, (statuses, _) in zip(mutants, pool.map(lambda sent: exchange(address, [sent]), mutants)):
            if any(status >= 500 and status not in (501, 505) for status in statuses):
                wrong.append(f"{sent!r}: {statuses}")

    if exchange(address, [get(b"Connection: close")]) != ([200], True):
        wrong.append("the proxy does not serve any more")
    if wrong:
        sys.exit("\n".join(wrong))
    print("cases", len(cases) + len(cuts) + len(mutants))


main()
