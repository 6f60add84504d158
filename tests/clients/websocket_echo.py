"""A WebSocket endpoint that echoes. Prints its port and serves until its standard input ends.

The text `close CODE` asks for a close from this side. The first subprotocol that a client offers is taken. A handshake
that did not come through the proxy whole is refused with 400.
"""

import socket
import struct
import sys
import threading

from websocket_frames import CLOSE, PING, PONG, TEXT, Connection, accept_of


def serve(stream: socket.socket) -> None:
    connection = Connection(stream, is_client=False)
    _, fields = connection.head()
    key = fields.get("sec-websocket-key")
    is_upgrade = "upgrade" in fields.get("connection", "").lower() and fields.get("upgrade", "").lower() == "websocket"
    if not key or not is_upgrade or fields.get("sec-websocket-version") != "13":
        stream.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        return
    answer = f"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept_of(key)}\r\n"
    if offered := fields.get("sec-websocket-protocol"):
        answer += f"sec-websocket-protocol: {offered.split(',')[0].strip()}\r\n"
    stream.sendall(f"{answer}\r\n".encode())
    while True:
        is_last, opcode, payload = connection.read()
        if opcode == CLOSE:
            connection.write(CLOSE, payload)
            return
        if opcode == PING:
            connection.write(PONG, payload)
        elif opcode == TEXT and payload.startswith(b"close "):
            connection.write(CLOSE, struct.pack("!H", int(payload[6:])))
            if connection.read()[1] != CLOSE:
                raise ValueError("a close was not answered with one")
            return
        elif opcode != PONG:
            connection.write(opcode, payload, is_last)


def handle(stream: socket.socket) -> None:
    with stream:
        try:
            serve(stream)
        except (EOFError, OSError):
            # The client went away; that is its right.
            pass


def accept(listener: socket.socket) -> None:
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=handle, args=(stream,), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=accept, args=(listener,), daemon=True).start()
sys.stdin.read()
