"""A recording reverse proxy between katalogd and Consul."""

import contextlib
import http.client
import json
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFRESH = re.compile(r"/v1/agent/check/(update|pass|warn|fail)/")


@dataclass
class Request:
    method: str
    path: str
    body: object = None
    status: int = 0
    headers: dict = field(default_factory=dict)
    time: float = 0.0

    @property
    def is_write(self):
        return self.method != "GET" and not REFRESH.match(self.path)

    @property
    def is_refresh(self):
        return bool(REFRESH.match(self.path))


@dataclass
class Answer:
    """What is answered; torn: its end is missing."""

    status: int
    headers: dict
    body: bytes
    torn: bool = False


class ConsulProxy:
    """Passes requests on to consul and keeps them in requests.

    fault(request) is asked first and may sleep; it returns None to pass the
    request on, a status or an Answer to answer with, "cut" to close the
    connection, or a function that makes another Answer of the real one.
    """

    def __init__(self, consul):
        self.consul = consul
        self.requests = []
        self.connections = 0
        self.open = set()
        self.fault = lambda request: None
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.server.proxy = self
        self.thread = threading.Thread(target=self.server.serve_forever)

    @property
    def address(self):
        host, port = self.server.server_address
        return f"{host}:{port}"

    def handler(self):
        return Handler

    def upstream(self):
        # Longer than the longest blocking query.
        return http.client.HTTPConnection(
            self.consul.host, self.consul.port, timeout=700
        )

    def cut(self):
        """Closes all connections: nobody waits for an old answer."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def writes(self):
        return [r for r in self.requests if r.is_write]

    @property
    def refreshes(self):
        return [r for r in self.requests if r.is_refresh]

    def registered(self, service_id):
        """The request that registered the service last, or None."""
        for request in reversed(self.requests):
            body = request.body
            if (
                request.path.startswith("/v1/agent/service/register")
                and isinstance(body, dict)
                and body.get("ID") == service_id
            ):
                return request
        return None

    def registration(self, service_id):
        """The body that registered the service last, or None."""
        request = self.registered(service_id)
        return request and request.body

    def registered_by(self, service_id):
        """The token by which Consul took that registration, or None."""
        request = self.registered(service_id)
        if request is None or request.status != 200:
            return None
        return request.headers.get("X-Consul-Token")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that went away is nothing to be told of."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One segment for header and body: no waiting for delayed ACKs.
    wbufsize = 65536
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.proxy = self.server.proxy
        self.proxy.connections += 1
        self.proxy.open.add(self.connection)
        self.upstream = self.proxy.upstream()

    def finish(self):
        self.proxy.open.discard(self.connection)
        self.upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def forward(self):
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        request = Request(
            self.command,
            self.path,
            json.loads(data) if data else None,
            headers=dict(self.headers),
            time=time.monotonic(),
        )
        self.proxy.requests.append(request)
        verdict = self.proxy.fault(request)
        if verdict == "cut":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif isinstance(verdict, int):
            said = Answer(verdict, {}, b"the test says so")
            self.reply(request, said)
        elif isinstance(verdict, Answer):
            self.reply(request, verdict)
        else:
            self.pass_on(request, data, verdict)

    def pass_on(self, request, data, change=None):
        headers = {
            key: value
            for key, value in self.headers.items()
            if key.lower() not in ("host", "connection")
        }
        try:
            self.upstream.request(request.method, request.path, data, headers)
            answer = self.upstream.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.upstream.close()
            self.reply(request, Answer(502, {}, b"the peer is away"))
            return
        said = Answer(answer.status, dict(answer.getheaders()), body)
        self.reply(request, change(said) if change else said)

    def reply(self, request, answer):
        request.status = answer.status
        self.send_response_only(answer.status)
        for key, value in answer.headers.items():
            if key.lower() not in (
                "content-length",
                "transfer-encoding",
                "connection",
            ):
                self.send_header(key, value)
        length = len(answer.body) + (100 if answer.torn else 0)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()
        if answer.torn:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = forward

    def log_message(self, *_):
        pass
