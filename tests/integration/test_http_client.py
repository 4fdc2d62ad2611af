"""The workers' HTTP client in the sandbox, against Python's servers.

What needs no TLS is in tests/unit/check_http_client.c.
"""

import contextlib
import http.server
import os
import socketserver
import ssl
import subprocess
import tempfile
import threading

import pytest

from harness.daemon import BUILD
from harness.tls import Authority
from harness.waiting import SLOWNESS

PROBE = BUILD / "client_probe"

UNSIGNED = "is not signed by the given CA"
OTHER_NAME = "is for other names"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/restart":
            self.close_connection = True
        body = self.server.answer(self).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass


class Recorder:
    """Answers with the path; keeps the requests' headers."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address):
        self.accepted = 0
        self.heads = []
        super().__init__(address, Handler)

    def get_request(self):
        connection, address = super().get_request()
        self.accepted += 1
        return connection, address

    def answer(self, handler):
        self.heads.append(dict(handler.headers))
        return handler.path


class UnixServer(Recorder, socketserver.ThreadingUnixStreamServer):
    def __init__(self, path):
        super().__init__(str(path))


class Server(Recorder, socketserver.ThreadingTCPServer):
    allow_reuse_address = True

    def __init__(self, context=None):
        self.context = context
        self.server_names = []
        if context:
            context.sni_callback = self.on_server_name
        super().__init__(("127.0.0.1", 0))

    def on_server_name(self, _socket, name, _context):
        self.server_names.append(name)

    def finish_request(self, request, client_address):
        # Here it is in the connection's thread: a handshake may hang.
        if not self.context:
            super().finish_request(request, client_address)
            return
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(request, server_side=True) as tls,
        ):
            super().finish_request(tls, client_address)

    @property
    def port(self):
        return self.server_address[1]

    def url(self, scheme="https", host="127.0.0.1"):
        return f"{scheme}://{host}:{self.port}"


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "another CA")


def server_context(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


@pytest.fixture
def server(authority):
    context = server_context(authority.issue("server"))
    with serving(Server(context)) as running:
        yield running


def probe(url, *actions, **flags):
    """Lines that client_probe prints; flags: a=CA, i=True..."""
    options = []
    empty = contextlib.ExitStack()
    if os.geteuid() == 0:
        flags["d"] = empty.enter_context(tempfile.TemporaryDirectory())
        os.chmod(flags["d"], 0o755)
    for flag, value in flags.items():
        options += [f"-{flag}"] if value is True else [f"-{flag}", str(value)]
    with empty:
        ended = subprocess.run(
            [PROBE, *options, url, *actions],
            check=False,
            capture_output=True,
            text=True,
            timeout=30 * SLOWNESS,
        )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_certificate_of_the_ca(server, authority, host):
    lines = probe(
        server.url(host=host), "GET:/a", "PUT:/b", "GET:/c", a=authority.ca
    )
    assert lines == ["200 /a", "200 /b", "200 /c"]
    assert server.accepted == 1
    assert server.heads[0]["Host"] == f"{host}:{server.port}"


def test_certificate_of_a_stranger(server, stranger):
    (line,) = probe(server.url(), "GET:/", a=stranger.ca)
    assert line == f'error TLS: certificate of "127.0.0.1" {UNSIGNED}'
    assert not server.heads


def test_self_signed(stranger, authority):
    pair = authority.issue("server")
    pair.cert, pair.key = stranger.ca, stranger.key
    with serving(Server(server_context(pair))) as server:
        (line,) = probe(server.url(), "GET:/", a=authority.ca)
    assert "self-signed, and is not the given CA" in line


def test_certificate_for_another_name(authority):
    pair = authority.issue("other", alt="DNS:kubelet.test")
    with serving(Server(server_context(pair))) as server:
        (line,) = probe(server.url(), "GET:/", a=authority.ca)
        assert line == f'error TLS: certificate of "127.0.0.1" {OTHER_NAME}'
        for host in "127.0.0.1", "localhost":
            lines = probe(
                server.url(host=host),
                "GET:/a",
                "GET:/b",
                a=authority.ca,
                n="kubelet.test",
            )
            assert lines == ["200 /a", "200 /b"]
            assert server.server_names[-1] == "kubelet.test"
            assert server.heads[-1]["Host"] == f"{host}:{server.port}"
        (line,) = probe(server.url(), "GET:/", a=authority.ca, n="x.test")
        assert line == f'error TLS: certificate of "x.test" {OTHER_NAME}'


def test_insecure(server):
    assert probe(server.url(), "GET:/", i=True) == ["200 /"]


def test_without_ca(server):
    (line,) = probe(server.url(), "GET:/")
    assert line == "error TLS: no CA is given to verify the server with"
    assert server.accepted == 0


def test_ca_that_is_none(server, tmp_path):
    (tmp_path / "ca").write_text("not PEM\n")
    (line,) = probe(server.url(), "GET:/", a=tmp_path / "ca")
    assert "the given CA can't be used" in line


def test_ca_changes(server, authority, stranger):
    lines = probe(
        server.url(),
        *("GET:/a", "ca", "GET:/b"),
        a=authority.ca,
        A=stranger.ca,
    )
    assert lines[0] == "200 /a"
    assert UNSIGNED in lines[1]
    lines = probe(
        server.url(),
        *("GET:/a", "ca", "GET:/b", "GET:/c"),
        a=stranger.ca,
        A=authority.ca,
    )
    assert lines[1:] == ["200 /b", "200 /c"]


def test_client_certificate(authority, stranger):
    context = server_context(authority.issue("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    good, bad = authority.issue("client"), stranger.issue("client")
    with serving(Server(context)) as server:

        def answer(**flags):
            return probe(server.url(), "GET:/", a=authority.ca, **flags)[0]

        assert answer(c=good.cert, k=good.key) == "200 /"
        assert answer().startswith("error ")
        assert answer(c=bad.cert, k=bad.key).startswith("error ")
        assert "client certificate or key can't be used" in answer(
            c=good.cert, k=bad.key
        )
    assert len(server.heads) == 1


class NamingServer(Server):
    """Answers with the name that the client's certificate has."""

    def answer(self, handler):
        subject = handler.connection.getpeercert()["subject"]
        return dict(pair[0] for pair in subject)["commonName"]


@pytest.fixture
def identities(authority):
    """A server that wants a certificate, and what a probe of it prints whose
    identity changes from old to new."""
    context = server_context(authority.issue("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    old, new = authority.issue("old"), authority.issue("new")

    with serving(NamingServer(context)) as server:

        def answers(*actions, cert=new.cert, key=new.key):
            flags = {"C": cert} if cert else {}
            return probe(
                server.url(),
                *actions,
                a=authority.ca,
                c=old.cert,
                k=old.key,
                K=key,
                **flags,
            )

        yield answers


# The server closes the connection, so that the next request has a new one.
ONCE = "GET:/restart"


@pytest.mark.parametrize("parts", [("cert", "key"), ("key", "cert")])
class TestIdentityChanges:
    def test_part_by_part(self, parts, identities):
        first, second = parts
        lines = identities(ONCE, first, ONCE, ONCE, second, ONCE)
        assert lines == ["200 old", "200 old", "200 old", "200 new"]

    def test_at_once(self, parts, identities):
        assert identities(ONCE, *parts, ONCE) == ["200 old", "200 new"]

    def test_with_kept_connections(self, parts, identities):
        """Where the old one is there, curl may not look at the key."""
        first, second = parts
        lines = identities("GET:/", first, "GET:/", ONCE, ONCE, second, ONCE)
        assert lines == ["200 old"] * 4 + ["200 new"]

    def test_with_several_requests(self, parts, identities):
        first, second = parts
        several = [f"+{ONCE}"] * 3 + [ONCE]
        lines = identities(ONCE, first, *several, second, *several)
        assert lines == ["200 old"] * 5 + ["200 new"] * 4


def test_identity_that_can_not_be_read(identities, tmp_path):
    (tmp_path / "cert").write_text("half of a file\n")
    lines = identities(ONCE, "cert", ONCE, cert=tmp_path / "cert")
    assert lines == ["200 old", "200 old"]


def test_identity_that_never_was_one(identities):
    (line,) = identities("cert", ONCE)
    assert "client certificate or key can't be used" in line


def test_identity_that_was_taken_away(identities):
    first, second = identities(ONCE, "cert", ONCE, cert=None)
    assert first == "200 old"
    assert second.startswith("error ")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls(authority):
    context = server_context(authority.issue("server"))
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with serving(Server(context)) as server:
        (line,) = probe(server.url(), "GET:/", a=authority.ca)
    assert line.startswith("error TLS with 127.0.0.1:")


def test_https_to_a_server_without_tls(authority):
    with serving(Server()) as server:
        (line,) = probe(server.url(), "GET:/", a=authority.ca)
        assert line.startswith("error TLS with 127.0.0.1:")
        assert probe(server.url("http"), "GET:/") == ["200 /"]


def test_closed_connections_are_no_error(server, authority):
    lines = probe(
        server.url(), *["PUT:/restart", "PUT:/x"] * 3, a=authority.ca
    )
    assert lines == ["200 /restart", "200 /x"] * 3


def test_unix_socket(tmp_path):
    path = tmp_path / "consul.sock"
    with serving(UnixServer(path)) as server:
        lines = probe(
            f"unix://{path}",
            *("PUT:/a", "PUT:/restart", "PUT:/b", "GET:/c"),
            t="secret",
        )
    assert lines == ["200 /a", "200 /restart", "200 /b", "200 /c"]
    assert server.heads[-1]["Host"] == "localhost"
    assert server.heads[-1]["Authorization"] == "Bearer secret"
