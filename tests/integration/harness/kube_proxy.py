"""A recording reverse proxy between katalogd and kube-apiserver."""

import contextlib
import http.client
import json
import ssl
import urllib.parse

from .proxy import ConsulProxy, Handler

EXPIRED = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version: the test says so",
        "reason": "Expired",
        "code": 410,
    },
}


class KubeProxy(ConsulProxy):
    """fault and requests as in ConsulProxy; watches are passed on as they
    come and can be told what they never would be.
    """

    def __init__(self, cluster):
        super().__init__(cluster)
        self.watches = set()

    def handler(self):
        return WatchHandler

    def upstream(self):
        context = ssl.create_default_context(cafile=self.consul.ca)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.consul.port, timeout=700, context=context
        )

    @property
    def url(self):
        return f"http://{self.address}"

    def expire_watches(self):
        """What they know is too old: 410."""
        told = 0
        for watch in list(self.watches):
            # One whose client is gone is not told.
            with contextlib.suppress(OSError):
                watch.tell(EXPIRED)
                told += 1
        return told

    def of_verb(self, method):
        return [r for r in self.requests if r.method == method]


def is_watch(path):
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
    return query.get("watch", ["false"])[0] in ("1", "true")


class WatchHandler(Handler):
    def pass_on(self, request, data, change=None):
        if not is_watch(self.path):
            super().pass_on(request, data, change)
            return
        self.close_connection = True
        try:
            self.upstream.request("GET", self.path, None, dict(self.headers))
            self.stream(request, self.upstream.getresponse())
        except (OSError, ValueError, http.client.HTTPException):
            self.upstream.close()

    def stream(self, request, answer):
        request.status = answer.status
        self.send_response_only(answer.status)
        self.send_header(
            "Content-Type", answer.getheader("Content-Type", "text/plain")
        )
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        self.proxy.watches.add(self)
        try:
            while part := answer.read1(65536):
                self.chunk(part)
            self.chunk(b"")
        finally:
            self.proxy.watches.discard(self)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def tell(self, event):
        self.chunk(json.dumps(event).encode() + b"\n")
