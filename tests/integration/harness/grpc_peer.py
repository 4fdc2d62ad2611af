"""Both ends of the sidecar's RPC, by grpcio."""

import contextlib
import threading
import time
from concurrent import futures
from dataclasses import dataclass, field

import grpc

from .waiting import SLOWNESS, await_for, free_port

MESSAGES, SERVICES = grpc.protos_and_services("harness/katalogsync.proto")
HEALTH, HEALTH_SERVICES = grpc.protos_and_services("harness/health.proto")
Pod = MESSAGES.Pod
# Each its own connection, and none that waits by itself before it is made
# again.
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_http_proxy", 0),
)


def pod_message(namespace="shop", pod="web-1", container="sidecar"):
    return Pod(Namespace=namespace, PodName=pod, ContainerName=container)


class SidecarClient:
    """What a sidecar asks, over one connection.

    Each call returns grpcio's future: code(), details(), cancel(), result().
    """

    def __init__(self, address, options=()):
        self.channel = grpc.insecure_channel(
            address, options=(*CHANNEL_OPTIONS, *options)
        )
        self.stub = SERVICES.KatalogSyncStub(self.channel)
        self.health = HEALTH_SERVICES.HealthStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def register(self, *names, timeout=10 * SLOWNESS, **more):
        return self.stub.Register.future(
            pod_message(*names), timeout=timeout, **more
        )

    def deregister(self, *names, timeout=10 * SLOWNESS, **more):
        return self.stub.Deregister.future(
            pod_message(*names), timeout=timeout, **more
        )

    def check(self, service="", timeout=10 * SLOWNESS, **more):
        return self.health.Check.future(
            HEALTH.HealthCheckRequest(service=service), timeout=timeout, **more
        )


def address_of(daemon):
    """Where sidecars find a katalogd."""
    return daemon.options["bind_address"]


def ends(call):
    """How it ended."""
    call.exception()
    return call.code()


@dataclass
class Call:
    """One that came; times are time.monotonic()."""

    method: str
    pod: object
    peer: str
    metadata: dict
    time_remaining: float | None
    began: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def names(self):
        pod = self.pod
        return pod.Namespace, pod.PodName, pod.ContainerName


class Refusal(Exception):
    """What answer() raises to end a call with that status."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class FakeDaemon(SERVICES.KatalogSyncServicer):
    """A daemon as sidecars see it.

    answer(call) decides each call's end: it returns for OK, raises Refusal,
    or blocks as long as the call is to wait.
    """

    def __init__(self, port=0):
        self.calls = []
        self.answer = lambda call: None
        self.release = threading.Event()
        # Not one of the kernel's choice: it must be there after a restart.
        self.port = port or free_port()
        self.server = None

    def start(self):
        self.server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=16),
            options=(("grpc.so_reuseport", 0),),
        )
        SERVICES.add_KatalogSyncServicer_to_server(self, self.server)
        port = self.server.add_insecure_port(self.address)
        assert port == self.port
        self.server.start()
        return self

    def stop(self):
        """Ends at once, connections and all."""
        if self.server is None:
            return
        stopped = self.server.stop(grace=0)
        self.release.set()
        stopped.wait()
        self.server = None

    def restart(self):
        self.stop()
        self.release.clear()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    # Of the service.

    def Register(self, request, context):
        return self.take("Register", request, context)

    def Deregister(self, request, context):
        return self.take("Deregister", request, context)

    def take(self, method, request, context):
        call = Call(
            method,
            request,
            context.peer(),
            dict(context.invocation_metadata()),
            context.time_remaining(),
        )
        context.add_callback(call.cancelled.set)
        self.calls.append(call)
        try:
            self.answer(call)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
        return MESSAGES.Empty()

    # For answer().

    def wait(self, call):
        """As long as the caller does, or until release is set."""
        while not (call.cancelled.is_set() or self.release.wait(0.02)):
            pass

    # For tests.

    def of(self, method):
        return [call for call in self.calls if call.method == method]

    def await_calls(self, method, count=1, timeout=5):
        await_for(
            lambda: len(self.of(method)) >= count,
            timeout,
            f"{count} calls of {method}",
        )
        return self.of(method)


def refusing(code, text, times=None, method=None):
    """An answer() that refuses, the first times calls or all, of one method
    or all.
    """
    left = [times]

    def answer(call):
        if method is not None and call.method != method:
            return
        if left[0] is not None:
            if left[0] == 0:
                return
            left[0] -= 1
        raise Refusal(code, text)

    return answer


@contextlib.contextmanager
def clients(address, count):
    """So many connections at once."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(SidecarClient(address)) for _ in range(count)
        ]
