"""A kubelet that answers /pods as a test tells it to."""

import contextlib
import itertools
import json
import random
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .pods import key_of

HEAD = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":['
TAIL = b"]}\n"
# What a kubelet that has none says.
NO_PODS = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}\n'


def pod_list(encoded):
    """The bytes of a PodList of these encoded pods."""
    return HEAD + b",".join(encoded) + TAIL


class FakeKubelet:
    """Serves its pods in another order each time.

    answer(handler) makes each answer; see the functions below. requests
    holds the time of each request, polls counts them.
    """

    def __init__(self, pods=(), tls=None, token=None):
        self.lock = threading.Lock()
        self.pods = {}
        self.requests = []
        self.refused = 0
        self.token = token
        self.answer = normal
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.kubelet = self
        self.scheme = "https" if tls else "http"
        if tls:
            self.server.socket = tls.wrap_socket(
                self.server.socket,
                server_side=True,
                do_handshake_on_connect=False,
            )
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self.put(*pods)

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/pods"

    @property
    def polls(self):
        return len(self.requests)

    def put(self, *pods):
        """Adds pods or replaces them, all in one step."""
        encoded = {key_of(pod): json.dumps(pod).encode() for pod in pods}
        with self.lock:
            self.pods.update(encoded)

    def remove(self, *pods):
        with self.lock:
            for pod in pods:
                del self.pods[key_of(pod)]

    def replace(self, pods):
        encoded = {key_of(pod): json.dumps(pod).encode() for pod in pods}
        with self.lock:
            self.pods = encoded

    def encoded(self):
        with self.lock:
            encoded = list(self.pods.values())
        random.shuffle(encoded)
        return encoded

    def body(self):
        return pod_list(self.encoded())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that went away, or failed at TLS: not our concern."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20
    disable_nagle_algorithm = True

    def do_GET(self):
        kubelet = self.server.kubelet
        wanted = kubelet.token
        if wanted and self.headers.get("Authorization") != f"Bearer {wanted}":
            kubelet.refused += 1
            send(self, 401, b"Unauthorized", "text/plain")
            return
        kubelet.requests.append(time.monotonic())
        try:
            kubelet.answer(self)
            self.wfile.flush()
        except OSError:
            # The client has had enough.
            self.close_connection = True

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_):
        pass


def send(handler, status, body, content_type="application/json"):
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


# Answers. Those with parameters are made by calling them.


def normal(handler):
    send(handler, 200, handler.server.kubelet.body())


def fixed(body, status=200, content_type="application/json"):
    return lambda handler: send(handler, status, body, content_type)


def changed(change):
    """The list's bytes as change(bytes) returns them."""
    return lambda handler: send(
        handler, 200, change(handler.server.kubelet.body())
    )


def alternating(*answers):
    """One answer after another, and again from the first one."""
    following = itertools.cycle(answers)

    def answer(handler):
        one = next(following)
        one(handler)

    return answer


def listed(*pods):
    """A list of these pods."""
    return fixed(pod_list([json.dumps(pod).encode() for pod in pods]))


def edited(edit):
    """The list as edit(list) leaves it."""

    def answer(handler):
        pods = json.loads(handler.server.kubelet.body())
        edit(pods)
        send(handler, 200, json.dumps(pods).encode())

    return answer


def torn(handler):
    """Half of what Content-Length promised."""
    body = handler.server.kubelet.body()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def torn_chunked(handler):
    """A chunked answer that ends after whole pods, without its last chunk."""
    encoded = handler.server.kubelet.encoded()
    body = HEAD + b",".join(encoded[: len(encoded) // 2])
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
    handler.close_connection = True


def chunked_endless(first, again):
    """An answer without end: first, then again for ever."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        part = first
        while True:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.wfile.flush()
            part = again

    return answer


def slow(pause):
    """The list, byte by byte as it were, with a pause before each part."""

    def answer(handler):
        body = handler.server.kubelet.body()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        step = max(1, len(body) // 50)
        for start in range(0, len(body), step):
            handler.wfile.write(body[start : start + step])
            handler.wfile.flush()
            time.sleep(pause)

    return answer


def silent(handler):
    """Takes the request and says nothing for a long time."""
    handler.close_connection = True
    time.sleep(15)


def server_context(tls, client_ca=None):
    """The TLS side of a kubelet; client_ca: asks for client certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert, tls.key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context
