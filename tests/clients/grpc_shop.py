"""A gRPC service by grpcio. Prints its port and serves until its standard input ends.

Messages are plain bytes (the marshalling is no concern of a proxy), so nothing has to be generated from a .proto file.
"""

import sys
from concurrent import futures

import grpc


def same(message: bytes) -> bytes:
    return message


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Answers with the request; its metadata comes back in head and trailers."""
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-head", sent.get("x-asked", "")),))
    context.set_trailing_metadata((("x-tail", sent.get("x-asked", "")), ("x-tail-bin", sent.get("x-asked-bin", b""))))
    return request


def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Fails with the code whose number is asked for, before any message: head and trailers are one frame then."""
    code = next(code for code in grpc.StatusCode if code.value[0] == int(request))
    context.set_trailing_metadata((("x-tail", "failed"),))
    context.abort(code, f"wanted {int(request)}: 100 % größer\n")


def count(request: bytes, context: grpc.ServicerContext):
    """As many messages as asked for, and then a failure where that is asked for."""
    number, _, ending = request.partition(b" ")
    for i in range(int(number)):
        yield b"%d" % i
    if ending:
        context.abort(grpc.StatusCode.DATA_LOSS, "after messages")


def total(requests, context: grpc.ServicerContext) -> bytes:
    return b"%d" % sum(len(one) for one in requests)


def echo(requests, context: grpc.ServicerContext):
    yield from requests


def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Never answers by itself: ends when the client has gone or its deadline has passed."""
    ended = futures.Future()
    context.add_callback(lambda: ended.set_result(None))
    ended.result()
    cancelled.append(request)
    return b""


def heard(request: bytes, context: grpc.ServicerContext) -> bytes:
    """How many calls of `Wait` have ended: whether a client's cancellation came through."""
    return b"%d" % len(cancelled)


cancelled: list[bytes] = []
handlers = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary, same, same),
    "Fail": grpc.unary_unary_rpc_method_handler(fail, same, same),
    "Count": grpc.unary_stream_rpc_method_handler(count, same, same),
    "Total": grpc.stream_unary_rpc_method_handler(total, same, same),
    "Echo": grpc.stream_stream_rpc_method_handler(echo, same, same),
    "Wait": grpc.unary_unary_rpc_method_handler(wait, same, same),
    "Heard": grpc.unary_unary_rpc_method_handler(heard, same, same),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
# At once: a client that has failed may have left calls of `Wait` behind.
server.stop(0)
