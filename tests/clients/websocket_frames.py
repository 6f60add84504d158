"""WebSocket frames (RFC 6455) from the standard library alone, for the echo endpoint and for the plain client."""

import base64
import hashlib
import socket
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# The constant that RFC 6455 §1.3 has both sides hash the key with.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Fixed, so that a failure repeats; a real client draws one a frame.
MASK = b"\x9a\x01\xfe\x40"


def accept_of(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def masked(mask: bytes, payload: bytes) -> bytes:
    """The exclusive or with the mask, which is its own inverse. By one large integer: a loop over bytes is slow."""
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


class Connection:
    """One side of a connection: an HTTP head, then frames. A client masks what it sends and a server does not."""

    def __init__(self, stream: socket.socket, is_client: bool):
        self.stream, self.is_client = stream, is_client
        self.file = stream.makefile("rb")

    def head(self) -> tuple[str, dict[str, str]]:
        """The first line of a head and its fields, names in lower case."""
        first = self.file.readline(65_536).decode("latin-1").strip()
        fields = {}
        while (line := self.file.readline(65_536).decode("latin-1").strip()):
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return first, fields

    def exactly(self, count: int) -> bytes:
        read = self.file.read(count)
        if len(read) < count:
            raise EOFError(f"the connection ended {count - len(read)} bytes before the end of a frame")
        return read

    def read(self) -> tuple[bool, int, bytes]:
        """Whether it is the last of its message, opcode and payload of the next frame."""
        first, second = self.exactly(2)
        is_masked, length = bool(second & 128), second & 127
        if length == 126:
            (length,) = struct.unpack("!H", self.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.exactly(8))
        if is_masked == self.is_client:
            raise ValueError("a client's frames are masked and a server's are not")
        mask = self.exactly(4) if is_masked else b""
        payload = self.exactly(length)
        return bool(first & 128), first & 15, masked(mask, payload) if is_masked else payload

    def write(self, opcode: int, payload: bytes, is_last: bool = True) -> None:
        flag, length = 128 if self.is_client else 0, len(payload)
        head = bytes([opcode | (128 if is_last else 0)])
        if length < 126:
            head += bytes([flag | length])
        elif length < 65_536:
            head += bytes([flag | 126]) + struct.pack("!H", length)
        else:
            head += bytes([flag | 127]) + struct.pack("!Q", length)
        self.stream.sendall(head + (MASK + masked(MASK, payload) if self.is_client else payload))
