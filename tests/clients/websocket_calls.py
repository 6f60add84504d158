"""WebSocket clients against an echo endpoint behind a proxy: `websocket_calls.py HOST:PORT`.

One client is written here, on the standard library, and looks at every frame; the other is the `websockets` package, where
it can be imported. Prints which of them ran; any deviation is an exception.
"""

import socket
import struct
import sys

from websocket_frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Connection, accept_of

# Longer than a frame's short and middle forms of length, and than the buffers between two sockets.
LARGE = bytes(range(256)) * 12_000
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def opened(address: tuple[str, int]) -> Connection:
    stream = socket.create_connection(address, timeout=20)
    stream.sendall(
        b"GET /chat?room=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, other\r\nSec-WebSocket-Key: " + KEY.encode() + b"\r\n\r\n"
    )
    connection = Connection(stream, is_client=True)
    first, fields = connection.head()
    assert first.startswith("HTTP/1.1 101"), first
    assert fields["upgrade"].lower() == "websocket" and fields["connection"].lower() == "upgrade", fields
    assert fields["sec-websocket-accept"] == accept_of(KEY), fields
    assert fields["sec-websocket-protocol"] == "chat", fields
    return connection


def with_frames(address: tuple[str, int]) -> None:
    connection = opened(address)
    for payload in (b"", b"a", b"x" * 125, b"x" * 126, b"x" * 65_535, b"x" * 65_536):
        connection.write(TEXT, payload)
        assert connection.read() == (True, TEXT, payload), len(payload)
    connection.write(PING, b"are you there")
    assert connection.read() == (True, PONG, b"are you there")
    # A message in pieces with a ping between them, as §5.4 allows.
    connection.write(TEXT, b"in ", is_last=False)
    connection.write(PING, b"")
    connection.write(CONTINUATION, b"pieces")
    assert [connection.read() for _ in range(3)] == [(False, TEXT, b"in "), (True, PONG, b""), (True, CONTINUATION, b"pieces")]
    connection.write(BINARY, LARGE)
    assert connection.read() == (True, BINARY, LARGE)
    connection.write(CLOSE, struct.pack("!H", 1000) + b"done")
    assert connection.read() == (True, CLOSE, struct.pack("!H", 1000) + b"done")
    assert connection.file.read() == b"", "the endpoint has closed, and so must the proxy"
    # A close from the other side, with a code of its own.
    connection = opened(address)
    connection.write(TEXT, b"close 4001")
    assert connection.read() == (True, CLOSE, struct.pack("!H", 4001))
    connection.write(CLOSE, struct.pack("!H", 4001))
    assert connection.file.read() == b""
    # A handshake that the endpoint refuses is an ordinary answer.
    with socket.create_connection(address, timeout=20) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert Connection(stream, is_client=True).head()[0].startswith("HTTP/1.1 400")


def with_package(address: tuple[str, int]) -> None:
    from websockets.exceptions import ConnectionClosedError
    from websockets.sync.client import connect

    url = f"ws://{address[0]}:{address[1]}/chat"
    # Compression is offered by default; the endpoint does not take it up, and the proxy must not answer for it.
    with connect(url, subprotocols=["chat"], max_size=None, open_timeout=20, proxy=None) as client:
        assert client.subprotocol == "chat"
        for message in ("", "ä €", "x" * 100_000, LARGE):
            client.send(message)
            assert client.recv(timeout=20) == message
        client.send(["in ", "many ", "pieces"])
        assert client.recv(timeout=20) == "in many pieces"
        assert client.ping().wait(20)
    assert client.close_code == 1000
    with connect(url, open_timeout=20, proxy=None) as client:
        client.send("close 4001")
        try:
            client.recv(timeout=20)
            raise AssertionError("the endpoint closed")
        except ConnectionClosedError as error:
            assert error.rcvd.code == 4001, error
    held = [connect(url, open_timeout=20, proxy=None) for _ in range(50)]
    for number, client in enumerate(held):
        client.send(f"client {number}")
    for number, client in enumerate(held):
        assert client.recv(timeout=20) == f"client {number}"
        client.close()


def main() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    address = (host, int(port))
    with_frames(address)
    print("frames")
    try:
        import websockets
    except ImportError:
        print("no package websockets")
        return
    with_package(address)
    print("websockets", websockets.__version__)


main()
