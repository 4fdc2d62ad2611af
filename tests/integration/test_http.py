"""Health, metrics and status, by TCP and by the control socket."""

import contextlib
import json
import re
import socket
import stat

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import kubelet as K
from harness import pods as P
from harness.daemon import WORKERS, Katalogd
from harness.waiting import await_for, free_port

WEB = P.service_id(P.web_pod())

KATALOG_SYNC = {
    "katalog_sync_kubelet_sync_count": "counter",
    "katalog_sync_consul_sync_count": "counter",
    "katalog_sync_kubelet_sync_duration_seconds": "summary",
    "katalog_sync_consul_sync_duration_seconds": "summary",
}
# What issue and manual promise of katalogd_*: the histograms are of requests.
OWN = {
    "build_info": "gauge",
    "synced": "gauge",
    "worker_ready": "gauge",
    "worker_restarts": "counter",
    "worker_uptime_seconds": "gauge",
    "services": "gauge",
    "errors": "counter",
    "kubelet_bytes": "counter",
    "consul_bytes": "counter",
    "pods_parsed": "counter",
    "pods_skipped": "counter",
    "kubelet_request_seconds": "histogram",
    "consul_request_seconds": "histogram",
}


@pytest.fixture
def daemon(start, kubelet, consul):
    kubelet.put(P.web_pod(), P.real_pod("plain-0"))
    running = start(kubelet, consul)
    await_for(lambda: consul.status(WEB) == "passing")
    return running


@pytest.mark.parametrize("over_tcp", [True, False])
class TestBothWays:
    def test_healthz(self, over_tcp, daemon):
        assert daemon.get("/healthz", over_tcp)[0] == 200

    def test_readyz(self, over_tcp, daemon):
        assert daemon.get("/readyz", over_tcp)[0] == 200

    def test_version(self, over_tcp, daemon):
        code, body = daemon.get("/version", over_tcp)
        assert code == 200
        assert json.loads(body)["version"]

    def test_metrics(self, over_tcp, daemon):
        code, body = daemon.get("/metrics", over_tcp)
        assert code == 200
        assert list(text_string_to_metric_families(body))

    def test_status(self, over_tcp, daemon):
        code, body = daemon.get("/v1/status", over_tcp)
        assert code == 200
        assert json.loads(body)["ready"] is True

    @pytest.mark.parametrize("path", ["/", "/nothing", "/v1/../healthz"])
    def test_unknown(self, path, over_tcp, daemon):
        assert daemon.get(path, over_tcp)[0] == 404


def test_readyz_says_that_the_kubelet_is_missing(start, consul):
    port = free_port()
    daemon = start(f"http://127.0.0.1:{port}/pods", consul, wait=False)
    code, _ = await_for(lambda: reason_of(daemon, "kubelet"))
    assert code == 503
    assert daemon.get("/healthz")[0] == 200
    assert "kubelet" in daemon.status()["reason"]


def test_readyz_says_that_consul_is_missing(start, kubelet):
    kubelet.put(P.web_pod())
    daemon = start(kubelet, f"127.0.0.1:{free_port()}", wait=False)
    code, _ = await_for(lambda: reason_of(daemon, "(?i)consul"))
    assert code == 503


def reason_of(daemon, pattern):
    code, body = daemon.get("/readyz")
    return (code, body) if re.search(pattern, body) else None


def test_readyz_is_not_said_after_half_a_sync(start, kubelet, proxy, consul):
    """One of two services is refused: not yet in step."""
    kubelet.put(P.web_pod(), P.web_pod("b", 1))
    refused = P.service_id(P.web_pod("b", 1))
    proxy.fault = lambda request: (
        500
        if isinstance(request.body, dict) and request.body.get("ID") == refused
        else None
    )
    daemon = start(kubelet, proxy, wait=False)
    await_for(lambda: consul.statuses() == {WEB: "passing"})
    assert daemon.get("/readyz")[0] == 503
    proxy.fault = lambda request: None
    daemon.await_ready(15)


def test_status_of_services(start, kubelet, proxy, consul):
    kubelet.put(P.web_pod(), P.web_pod("b", 1, ready=False))
    other = P.service_id(P.web_pod("b", 1))
    daemon = start(kubelet, proxy)

    def services():
        return {s["id"]: s for s in daemon.status()["services"]}

    await_for(lambda: services().get(WEB, {}).get("actual") == "passing")
    assert services()[WEB] == {
        "id": WEB,
        "name": "web",
        "pod": "default/web-a",
        "desired": "passing",
        "actual": "passing",
        "error": "",
    }
    await_for(lambda: services()[other]["actual"] == "critical")

    proxy.fault = lambda request: 500 if request.method == "PUT" else None
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: services()[WEB]["error"])
    assert services()[WEB]["desired"] == "critical"
    # An answer of 500 does not say whether it was written.
    assert services()[WEB]["actual"] in ("passing", "unknown")

    proxy.fault = lambda request: None
    await_for(lambda: services()[WEB]["actual"] == "critical", 15)
    assert services()[WEB]["error"] == ""
    kubelet.remove(P.web_pod())
    await_for(lambda: WEB not in services())


def test_status_of_workers(daemon):
    status = daemon.status()
    workers = {w["name"]: w for w in status["workers"]}
    assert set(workers) == set(WORKERS)
    for worker in workers.values():
        assert worker["restarts"] == 0
        assert 0 <= worker["uptime_seconds"] < 60
        assert isinstance(worker["health"], str)


def families(daemon):
    body = daemon.get("/metrics")[1]
    return {f.name: f for f in text_string_to_metric_families(body)}


def test_metrics_have_the_original_names(daemon):
    found = families(daemon)
    for name, kind in KATALOG_SYNC.items():
        assert found[name].type == kind
        labels = {s.labels.get("status") for s in found[name].samples}
        assert labels == {"success", "error"}


def test_metrics_are_well_formed(daemon):
    found = families(daemon)
    assert all(n.startswith(("katalog_sync_", "katalogd_")) for n in found), (
        set(found)
    )
    for family in found.values():
        assert family.documentation
    own = {name: found[f"katalogd_{name}"].type for name in OWN}
    assert own == OWN
    for name in (n for n, kind in OWN.items() if kind == "histogram"):
        check_histogram(found[f"katalogd_{name}"])


def check_histogram(family):
    buckets = [s.value for s in family.samples if s.name.endswith("_bucket")]
    count = next(s for s in family.samples if s.name.endswith("_count"))
    assert buckets == sorted(buckets)
    assert buckets[-1] == count.value > 0


def test_metrics_count(daemon, kubelet, consul):
    def samples(name):
        return {
            tuple(labels): value
            for (sample, labels), value in daemon.metrics().items()
            if sample == name
        }

    total = "katalog_sync_kubelet_sync_count_total"
    before = daemon.metric(total, status="success")
    polls = kubelet.polls
    await_for(lambda: kubelet.polls > polls + 2)
    await_for(lambda: daemon.metric(total, status="success") >= before + 2)
    assert daemon.metric("katalogd_pods") == 2
    assert daemon.metric("katalogd_pods_annotated") == 1
    # Two pods that never change are parsed once.
    assert daemon.metric("katalogd_pods_skipped_total") >= 2
    assert set(samples("katalogd_services").values()) == {1.0}

    assert daemon.metric(total, status="error") == 0
    kubelet.answer = K.fixed(b"", 500)
    await_for(lambda: daemon.metric(total, status="error") > 0)
    assert sum(samples("katalogd_errors_total").values()) > 0


def test_unchanged_pods_are_not_parsed(start, kubelet, consul):
    pods, _ = P.many(100)
    kubelet.put(*pods)
    daemon = start(kubelet, consul)
    polls = kubelet.polls
    await_for(lambda: kubelet.polls > polls + 5)
    parsed = daemon.metric("katalogd_pods_parsed_total")
    assert parsed <= 2 * len(pods)
    pods[1]["status"]["containerStatuses"][0]["ready"] = False
    kubelet.put(pods[1])
    await_for(
        lambda: daemon.metric("katalogd_pods_parsed_total") == parsed + 1
    )


def test_port_0_is_told(start, kubelet, consul):
    daemon = start(kubelet, consul, metrics_bind_address="127.0.0.1:0")
    line = daemon.await_log(r"127\.0\.0\.1:[1-9]\d+.*")[0]
    address = next(w for w in line.split() if w.startswith("127.0.0.1:"))
    daemon.options["metrics_bind_address"] = address.rstrip(".,;")
    assert daemon.get("/healthz", over_tcp=True)[0] == 200


def test_metrics_address_by_environment(start, kubelet, consul):
    for name in ("METRICS_BIND_ADDRESS", "METRICS_ADDR"):
        port = free_port()
        daemon = start(
            kubelet,
            consul,
            metrics_bind_address=None,
            env={name: f":{port}"},
        )
        daemon.options["metrics_bind_address"] = f"127.0.0.1:{port}"
        assert daemon.get("/healthz", over_tcp=True)[0] == 200
        daemon.stop()


def test_off_by_default(start, kubelet, consul):
    daemon = start(kubelet, consul, metrics_bind_address=None)
    listening = [
        target
        for target in daemon.worker("http").descriptors.values()
        if target.startswith("socket:")
    ]
    inodes = {t[8:-1] for t in listening}
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    assert not [row for row in rows if row[3] == "0A" and row[9] in inodes]


def test_control_socket_is_private(daemon):
    mode = stat.S_IMODE(daemon.control.stat().st_mode)
    assert mode & 0o007 == 0
    daemon.stop()
    assert not daemon.control.exists()


def test_address_in_use_is_an_error(daemon, start, tmp_path):
    taken = daemon.options["metrics_bind_address"]
    second = Katalogd(
        tmp_path / "second",
        metrics_bind_address=taken,
        kubelet_api=f"file://{P.DATA}",
        consul_addr="127.0.0.1:1",
    ).start()
    code = second.process.wait(10)
    assert code != 0
    assert taken in second.log


# Clients that misbehave.

GET = b"GET /healthz HTTP/1.1\r\n"
POST = b"POST /healthz HTTP/1.1\r\n"
BAD_REQUESTS = {
    "garbage": b"\0\xff" * 100 + b"\r\n\r\n",
    "long-line": b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
    "long-header": GET + b"X: " + b"a" * 100000 + b"\r\n\r\n",
    "big-body": POST + b"Content-Length: 999999999\r\n\r\n" + b"x" * 100000,
    "negative-length": POST + b"Content-Length: -1\r\n\r\n",
    "bad-chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


def address_of(daemon):
    host, _, port = daemon.options["metrics_bind_address"].rpartition(":")
    return host, int(port)


def connect(daemon):
    return socket.create_connection(address_of(daemon), timeout=5)


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_harms_nobody(name, daemon):
    worker = daemon.worker("http")
    with connect(daemon) as client:
        try:
            client.sendall(BAD_REQUESTS[name])
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(65536)
        except OSError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 200")
    assert daemon.get("/healthz", over_tcp=True)[0] == 200
    assert daemon.worker("http") == worker


@pytest.mark.memory
def test_client_that_never_reads_costs_no_memory(daemon):
    worker = daemon.worker("http")
    ahead = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    with (
        connect(daemon) as client,
        pytest.raises((ConnectionResetError, BrokenPipeError)),
    ):
        while True:
            client.sendall(ahead)
    assert daemon.get("/healthz", over_tcp=True)[0] == 200
    most = int(worker.status["VmHWM"].split()[0])
    assert most < 32 * 1024, f"{most} kB"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_reads(method, daemon):
    with connect(daemon) as client:
        client.sendall(
            f"{method} /healthz HTTP/1.1\r\nHost: x\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        answer = client.recv(65536)
    assert answer.splitlines()[0].split()[1] == b"405"
    assert b"Allow: GET, HEAD" in answer.splitlines()


def test_idle_clients_lock_nobody_out(daemon):
    """More of them than the http worker keeps."""
    worker = daemon.worker("http")
    with contextlib.ExitStack() as clients:
        for _ in range(300):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address_of(daemon))
        await_for(lambda: len(worker.descriptors) > 100)
        assert daemon.get("/healthz")[0] == 200
    await_for(lambda: daemon.get("/healthz", over_tcp=True)[0] == 200)
    assert daemon.worker("http") == worker
