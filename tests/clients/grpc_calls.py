"""Calls of a gRPC service behind a proxy, by grpcio: `grpc_calls.py HOST:PORT [CA_FILE]`, over TLS where a CA is given.

Any deviation is an exception; prints how many calls were made.
"""

import queue
import sys
import time

import grpc

PATIENCE = 20
LARGE = b"x" * 3_000_000


def calls(channel: grpc.Channel) -> int:
    """All kinds of calls on one channel, which is one connection; how many there were."""
    unary = channel.unary_unary("/shop.Shop/Unary")
    fail = channel.unary_unary("/shop.Shop/Fail")
    echo = channel.stream_stream("/shop.Shop/Echo")

    answer, call = unary.with_call(b"milk", timeout=PATIENCE, metadata=(("x-asked", "a b"), ("x-asked-bin", b"\x00\xff")))
    assert answer == b"milk" and dict(call.initial_metadata())["x-head"] == "a b"
    trailers = dict(call.trailing_metadata())
    assert trailers["x-tail"] == "a b" and trailers["x-tail-bin"] == b"\x00\xff", trailers
    assert unary(b"", timeout=PATIENCE) == b"" and unary(LARGE, timeout=PATIENCE) == LARGE
    assert unary(LARGE, timeout=PATIENCE, compression=grpc.Compression.Gzip) == LARGE

    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        number = code.value[0]
        error = failure(lambda: fail(b"%d" % number, timeout=PATIENCE))
        assert error.code() is code, (code, error)
        assert error.details() == f"wanted {number}: 100 % größer\n", error.details()
        assert dict(error.trailing_metadata())["x-tail"] == "failed"
    unknown = failure(lambda: channel.unary_unary("/shop.Shop/NoSuch")(b"", timeout=PATIENCE))
    assert unknown.code() is grpc.StatusCode.UNIMPLEMENTED, unknown

    count = channel.unary_stream("/shop.Shop/Count")
    assert list(count(b"1000", timeout=PATIENCE)) == [b"%d" % i for i in range(1000)]
    stream = count(b"3 then fail", timeout=PATIENCE)
    assert [next(stream) for _ in range(3)] == [b"0", b"1", b"2"]
    error = failure(lambda: next(stream))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "after messages"), error
    total = channel.stream_unary("/shop.Shop/Total")
    assert total((b"x" * 10_000 for _ in range(300)), timeout=PATIENCE) == b"3000000"

    # Each message is answered before the next one is sent: nothing on the way may wait for more, or for the end.
    streams = []
    for _ in range(20):
        sent: queue.Queue = queue.Queue()
        streams.append((sent, echo(iter(sent.get, None), timeout=PATIENCE)))
    for message in range(10):
        for number, (sent, received) in enumerate(streams):
            text = b"stream %d, message %d" % (number, message)
            sent.put(text)
            assert next(received) == text
    for sent, received in streams:
        sent.put(None)
        assert list(received) == [] and received.code() is grpc.StatusCode.OK

    at_once = [unary.future(b"%d" % i, timeout=PATIENCE) for i in range(200)]
    assert [one.result() for one in at_once] == [b"%d" % i for i in range(200)]

    wait = channel.unary_unary("/shop.Shop/Wait")
    heard = channel.unary_unary("/shop.Shop/Heard")
    before = int(heard(b"", timeout=PATIENCE))
    error = failure(lambda: wait(b"", timeout=0.2))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error
    cancelled = wait.future(b"", timeout=PATIENCE)
    cancelled.cancel()
    # The one that was cancelled may not have begun; the other one's end must reach the service.
    until = time.monotonic() + PATIENCE
    while int(heard(b"", timeout=PATIENCE)) == before:
        assert time.monotonic() < until, "the end of a call was not heard of"
    return 4 + 16 + 1 + 3 + 20 + 200 + 2


def failure(call) -> grpc.RpcError:
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def main() -> None:
    address = sys.argv[1]
    options = [("grpc.max_receive_message_length", 1 << 24), ("grpc.enable_http_proxy", 0)]
    if len(sys.argv) > 2:
        with open(sys.argv[2], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        # The certificate is for a name and the address is a number.
        options.append(("grpc.ssl_target_name_override", "a.example"))
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        print("calls", calls(channel))


main()
