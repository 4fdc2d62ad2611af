"""The sidecar's RPC, by another implementation of gRPC: grpcio."""

import itertools
import os
import re
import signal
import socket

import grpc
import pytest

from harness import pods as P
from harness.daemon import run
from harness.grpc_peer import (
    HEALTH,
    SidecarClient,
    address_of,
    clients,
    ends,
)
from harness.pods import SIDECAR, sidecar_pod
from harness.relay import Relay
from harness.waiting import SLOWNESS, await_for, free_port, holds_for

Code = grpc.StatusCode
SERVING = HEALTH.HealthCheckResponse.SERVING
NOT_SERVING = HEALTH.HealthCheckResponse.NOT_SERVING
# Where grpcio's connections come from.
HERE = "127.0.0.1"
ELSEWHERE = "127.1.2.3"


def names(pod, container=SIDECAR):
    return (*P.key_of(pod), container)


POD = sidecar_pod()
WEB = P.service_id(POD)


@pytest.fixture
def daemon(rpc, consul):
    running = rpc(consul, POD)
    await_for(lambda: consul.status(WEB) == "critical")
    return running


@pytest.fixture
def client(daemon):
    with SidecarClient(address_of(daemon)) as one:
        yield one


def make_unready(kubelet, consul):
    """The check is critical anyway: its notes tell that the list came."""
    kubelet.put(P.set_ready(sidecar_pod(), False))
    await_for(lambda: consul.state()[WEB]["Notes"] == {"web": False})


def calls_of(daemon):
    return daemon.metric("katalogd_sidecar_calls")


def ended(daemon, code):
    return daemon.metric("katalogd_sidecar_calls_ended_total", code=code.name)


def status_of(daemon, pod):
    """What /v1/status says of it, or {}."""
    namespace, name = P.key_of(pod)
    for one in daemon.status()["pods"]:
        if (one["namespace"], one["pod"]) == (namespace, name):
            return one
    return {}


# The life of a pod.


def test_register_and_deregister(daemon, client, consul):
    assert status_of(daemon, POD)["sidecar"] == "waiting"
    assert ends(client.register(*names(POD))) is Code.OK
    # At once: the answer says so.
    assert consul.status(WEB) == "passing"
    assert consul.catalog_status(WEB) == "passing"
    assert status_of(daemon, POD)["sidecar"] == "registered"
    # Again is no error.
    assert ends(client.register(*names(POD))) is Code.OK
    assert ends(client.deregister(*names(POD))) is Code.OK
    assert consul.status(WEB) != "passing"
    assert consul.catalog_status(WEB) != "passing"
    assert status_of(daemon, POD)["sidecar"] == "deregistered"
    assert ends(client.deregister(*names(POD))) is Code.OK
    assert ended(daemon, Code.OK) == 4
    assert calls_of(daemon) == 0


def test_register_waits_for_the_containers(daemon, client, kubelet, consul):
    make_unready(kubelet, consul)
    waiting = client.register(*names(POD))
    await_for(lambda: calls_of(daemon) == 1)
    holds_for(lambda: not waiting.done(), 0.5)
    assert consul.status(WEB) == "critical"
    kubelet.put(POD)
    assert ends(waiting) is Code.OK
    assert consul.status(WEB) == consul.catalog_status(WEB) == "passing"


def test_register_waits_for_the_catalog(rpc, proxy, consul):
    """What the agent has may be in the catalog only later."""
    held = []
    proxy.fault = lambda request: (
        503 if held and "/v1/health/" in request.path else None
    )
    daemon = rpc(proxy, POD)
    await_for(lambda: consul.status(WEB) == "critical")
    held.append(True)
    with SidecarClient(address_of(daemon)) as client:
        waiting = client.register(*names(POD), timeout=60)
        await_for(lambda: consul.status(WEB) == "passing")
        holds_for(lambda: not waiting.done(), 0.5)
        held.clear()
        assert ends(waiting) is Code.OK


def test_pod_with_a_service_less(rpc, consul):
    """A pod's others need no sidecar."""
    other = P.web_pod("web-b", 1)
    daemon = rpc(consul, POD, other)
    await_for(lambda: consul.status(P.service_id(other)) == "passing")
    with SidecarClient(address_of(daemon)) as client:
        assert ends(client.register(*names(POD))) is Code.OK
        assert consul.status(WEB) == "passing"


# What is refused, and how.


def without_names():
    return sidecar_pod("no-names", 2, service_names=None)


def without_sidecar():
    return sidecar_pod("no-sidecar", 3, sidecar=None)


def ending():
    return P.end(sidecar_pod("ending", 4))


def elsewhere():
    return sidecar_pod("elsewhere", 5, address=ELSEWHERE)


REFUSALS = {
    "unknown": (("default", "nobody", SIDECAR), Code.NOT_FOUND, "nobody"),
    "no-names": (names(without_names()), Code.FAILED_PRECONDITION, ""),
    "no-sidecar": (names(without_sidecar()), Code.FAILED_PRECONDITION, ""),
    "ending": (names(ending()), Code.FAILED_PRECONDITION, ""),
    "other-container": (
        names(POD, "web"),
        Code.FAILED_PRECONDITION,
        SIDECAR,
    ),
    "elsewhere": (names(elsewhere()), Code.PERMISSION_DENIED, HERE),
    "no-namespace": (("", "web-a", SIDECAR), Code.INVALID_ARGUMENT, ""),
    "no-pod": (("default", "", SIDECAR), Code.INVALID_ARGUMENT, ""),
    "long-namespace": (
        ("n" * 64, "web-a", SIDECAR),
        Code.INVALID_ARGUMENT,
        "",
    ),
    "long-pod": (("default", "p" * 254, SIDECAR), Code.INVALID_ARGUMENT, ""),
    "huge": (("default", "p" * 9000, SIDECAR), Code.RESOURCE_EXHAUSTED, ""),
    "newline": (("default", "a\nb", SIDECAR), Code.NOT_FOUND, ""),
}


@pytest.fixture
def many(rpc, consul):
    """A katalogd with pods of all kinds."""
    kinds = [without_names(), without_sidecar(), ending(), elsewhere()]
    daemon = rpc(consul, POD, *kinds)
    await_for(lambda: consul.status(WEB) == "critical")
    return daemon


def test_refusals(many):
    with SidecarClient(address_of(many)) as client:
        for kind, (asked, code, text) in REFUSALS.items():
            call = client.register(*asked)
            assert ends(call) is code, f"{kind}: {call.details()}"
            assert text in call.details(), kind
    assert calls_of(many) == 0
    for code in {code for _, code, _ in REFUSALS.values()}:
        wanted = [c for _, c, _ in REFUSALS.values() if c is code]
        assert ended(many, code) == len(wanted)


def test_unknown_method(daemon, client):
    call = client.channel.unary_unary("/katalogsync.KatalogSync/Other")
    assert ends(call.future(b"", timeout=5)) is Code.UNIMPLEMENTED


def test_compressed_request(daemon, client):
    call = client.register(
        "default", "p" * 250, SIDECAR, compression=grpc.Compression.Gzip
    )
    assert ends(call) is Code.UNIMPLEMENTED


# Who may ask.


def test_another_pod_may_not(rpc, consul):
    """Neither take it out, nor let it pass."""
    daemon = rpc(consul, POD, elsewhere())
    web = P.service_id(elsewhere())
    await_for(lambda: consul.status(web) == "critical")
    asked = names(elsewhere())
    with (
        Relay(ELSEWHERE, address_of(daemon)) as relay,
        SidecarClient(relay.address) as own,
        SidecarClient(address_of(daemon)) as other,
    ):
        assert ends(other.register(*asked)) is Code.PERMISSION_DENIED
        assert consul.status(web) == "critical"
        assert ends(own.register(*asked)) is Code.OK
        assert ends(other.deregister(*asked)) is Code.PERMISSION_DENIED
        assert consul.status(web) == "passing"
        assert ends(own.deregister(*asked)) is Code.OK


def test_anybody_may_without_verification(rpc, consul):
    daemon = rpc(consul, elsewhere(), sidecar_verify_peer="no")
    with SidecarClient(address_of(daemon)) as client:
        assert ends(client.register(*names(elsewhere()))) is Code.OK


def test_host_network(rpc, consul):
    """Those pods call from any address of the node."""
    pod = sidecar_pod("host", 6, address="10.1.2.3")
    pod["spec"]["hostNetwork"] = True
    daemon = rpc(consul, pod)
    with SidecarClient(address_of(daemon)) as client:
        assert ends(client.register(*names(pod))) is Code.OK


def test_ipv4_at_an_ipv6_socket(rpc, consul):
    port = free_port()
    daemon = rpc(consul, POD, elsewhere(), bind_address=f":{port}")
    with SidecarClient(f"{HERE}:{port}") as client:
        assert ends(client.register(*names(POD))) is Code.OK
        refused = client.register(*names(elsewhere()))
        assert ends(refused) is Code.PERMISSION_DENIED
        # As people write it.
        assert re.search(rf"\b{HERE}\b", refused.details())
        assert "ffff" not in refused.details()
    assert daemon.running


# Calls that end by themselves.


@pytest.fixture
def waiting_pod(kubelet, daemon, consul):
    """Its containers are not ready: who registers waits."""
    make_unready(kubelet, consul)
    return POD


def test_deadline(waiting_pod, daemon, client):
    call = client.register(*names(waiting_pod), timeout=0.5)
    assert ends(call) is Code.DEADLINE_EXCEEDED
    await_for(lambda: calls_of(daemon) == 0)
    # The next one is not harmed.
    assert ends(client.check()) is Code.OK


def test_cancelled(waiting_pod, daemon, client, kubelet, consul):
    call = client.register(*names(waiting_pod))
    await_for(lambda: calls_of(daemon) == 1)
    call.cancel()
    await_for(lambda: calls_of(daemon) == 0)
    # It has registered all the same, only nobody waits for it.
    kubelet.put(POD)
    await_for(lambda: consul.status(WEB) == "passing")


def test_gone_with_its_connection(waiting_pod, daemon):
    with SidecarClient(address_of(daemon)) as client:
        call = client.register(*names(waiting_pod))
        await_for(lambda: calls_of(daemon) == 1)
    assert ends(call) is Code.CANCELLED
    await_for(lambda: calls_of(daemon) == 0)
    await_for(lambda: daemon.metric("katalogd_sidecar_connections") == 0)


def test_pod_that_goes(waiting_pod, daemon, client, kubelet):
    other = P.web_pod("other", 9)
    kubelet.put(other)
    call = client.register(*names(waiting_pod))
    await_for(lambda: calls_of(daemon) == 1)
    kubelet.remove(waiting_pod)
    assert ends(call) in (Code.NOT_FOUND, Code.ABORTED)


def test_pod_that_is_replaced(waiting_pod, daemon, client, kubelet, consul):
    """Under the same name: it has to register by itself."""
    call = client.register(*names(waiting_pod))
    await_for(lambda: calls_of(daemon) == 1)
    kubelet.put(sidecar_pod(number=7))
    assert ends(call) in (Code.NOT_FOUND, Code.ABORTED)
    await_for(lambda: status_of(daemon, POD)["sidecar"] == "waiting")
    assert consul.status(WEB) == "critical"


# Many at once.

MANY = 100
# What allocators keep; a connection with a call has 25 kB.
KEPT_KB = 1000


def private_kb(process):
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as lines:
        return sum(
            int(line.split()[1])
            for line in lines
            if line.startswith("Private_Dirty:")
        )


def many_pods(ready):
    """For each pod one call waits."""
    return [
        P.set_ready(sidecar_pod(f"many-{i}", 100 + i), ready, "web")
        for i in range(MANY)
    ]


def put_many(kubelet, consul):
    """They are there, and not ready."""
    pods = many_pods(ready=False)
    ids = {P.service_id(pod) for pod in pods}
    kubelet.put(*pods)

    def all_unready():
        state = consul.state()
        return all(
            name in state and state[name]["Notes"] == {"web": False}
            for name in ids
        )

    await_for(all_unready, 20)
    return pods


def many_wait_and_end(daemon, some_clients, kubelet, consul):
    pods = put_many(kubelet, consul)
    calls = [
        some_clients[i % len(some_clients)].register(*names(pod), timeout=60)
        for i, pod in enumerate(pods)
    ]
    await_for(lambda: calls_of(daemon) == MANY, 20)
    kubelet.put(*many_pods(ready=True))
    assert {ends(call) for call in calls} == {Code.OK}


@pytest.mark.parametrize("connections", [1, MANY])
def test_many_at_once(connections, daemon, kubelet, consul):
    """All wait, and all end."""
    worker = daemon.worker("http")
    with clients(address_of(daemon), connections) as all_clients:
        many_wait_and_end(daemon, all_clients, kubelet, consul)
        assert daemon.metric("katalogd_sidecar_connections") == connections
    await_for(lambda: daemon.metric("katalogd_sidecar_connections") == 0)
    assert calls_of(daemon) == 0
    assert daemon.worker("http") == worker


@pytest.mark.memory
@pytest.mark.parametrize("connections", [1, MANY])
def test_many_leave_nothing(connections, daemon, kubelet, consul):
    worker = daemon.worker("http")
    pods = put_many(kubelet, consul)
    before = private_kb(worker)
    for _ in range(3):
        with clients(address_of(daemon), connections) as all_clients:
            many_wait_and_end(daemon, all_clients, kubelet, consul)
            for pod, client in zip(pods, itertools.cycle(all_clients)):
                client.deregister(*names(pod)).result()
    await_for(lambda: daemon.metric("katalogd_sidecar_connections") == 0)
    await_for(lambda: private_kb(worker) <= before + KEPT_KB, what="memory")


def test_one_call_of_a_pod_waits(waiting_pod, daemon, client, kubelet):
    """No pod takes the places of others: a newer call ends the older."""
    calls = [
        client.register(*names(waiting_pod), timeout=60) for _ in range(10)
    ]
    await_for(lambda: sum(call.done() for call in calls) == 9)
    # Which of them came last nobody knows.
    (last,) = (call for call in calls if not call.done())
    assert calls_of(daemon) == 1
    kubelet.put(POD)
    assert ends(last) is Code.OK
    for call in calls:
        if call is not last:
            assert ends(call) is Code.ABORTED
            assert "a newer call took its place" in call.details()


# What is no gRPC.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
HEADERS = 1
HOSTILE = {
    "garbage": os.urandom(4096),
    "http1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nul": bytes(65536),
    "no-settings": PREFACE + b"\0\0\0\6\0\0\0\0\0",
    "long-frame": PREFACE + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1",
    "bad-headers": PREFACE + SETTINGS + b"\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff",
    "even-stream": PREFACE + SETTINGS + b"\0\0\1\1\5\0\0\0\2\x82",
    "data-on-nothing": PREFACE + SETTINGS + b"\0\0\1\0\1\0\0\0\7x",
    "zero-window": PREFACE + SETTINGS + b"\0\0\4\10\0\0\0\0\0\0\0\0\0",
    "push": PREFACE + SETTINGS + b"\0\0\5\5\4\0\0\0\1\0\0\0\2\x82",
}


def send_until_closed(address, data):
    """All that is answered until the other end closes."""
    host, _, port = address.rpartition(":")
    answer = b""
    with socket.create_connection((host, int(port)), 10 * SLOWNESS) as tcp:
        try:
            tcp.sendall(data)
            while some := tcp.recv(65536):
                answer += some
        except ConnectionError:
            pass
    return answer


def test_hostile_bytes(daemon, client):
    """They cost their own connection."""
    worker = daemon.worker("http")
    assert ends(client.check()) is Code.OK
    for kind, data in HOSTILE.items():
        answer = send_until_closed(address_of(daemon), data)
        assert len(answer) < 1000, f"{kind}: {answer!r}"
    assert ends(client.register(*names(POD))) is Code.OK
    broken = daemon.metric(
        "katalogd_sidecar_connections_total", result="broken"
    )
    assert broken == len(HOSTILE)
    assert daemon.worker("http") == worker


@pytest.mark.memory
def test_hostile_bytes_leave_nothing(daemon):
    worker = daemon.worker("http")

    def all_of_them():
        for data in HOSTILE.values():
            send_until_closed(address_of(daemon), data)

    all_of_them()
    before = private_kb(worker)
    for _ in range(20):
        all_of_them()
    await_for(lambda: private_kb(worker) <= before + KEPT_KB // 4)


def test_idle_connections_lock_nobody_out(daemon, kubelet, consul):
    """More than there may be, from one address; one with a call stays."""
    make_unready(kubelet, consul)
    host, _, port = address_of(daemon).rpartition(":")
    with SidecarClient(address_of(daemon)) as first:
        waiting = first.register(*names(POD), timeout=60)
        await_for(lambda: calls_of(daemon) == 1)
        idle = []
        try:
            for _ in range(300):
                idle.append(socket.create_connection((host, int(port)), 10))
            with SidecarClient(address_of(daemon)) as last:
                assert ends(last.check()) is Code.OK
            # Scrapes have places of their own.
            assert daemon.get("/healthz", over_tcp=True)[0] == 200
        finally:
            for tcp in idle:
                tcp.close()
        assert not waiting.done()
        kubelet.put(POD)
        assert ends(waiting) is Code.OK


def test_scrapers_leave_sidecars_alone(waiting_pod, daemon, client, kubelet):
    """Idle clients of the HTTP server make room for each other only."""
    waiting = client.register(*names(waiting_pod), timeout=60)
    await_for(lambda: calls_of(daemon) == 1)
    host, _, port = daemon.options["metrics_bind_address"].rpartition(":")
    idle = [
        socket.create_connection((host, int(port)), 10) for _ in range(300)
    ]
    assert daemon.get("/healthz", over_tcp=True)[0] == 200
    assert not waiting.done()
    for tcp in idle:
        tcp.close()
    kubelet.put(POD)
    assert ends(waiting) is Code.OK


# Health.


def test_health(daemon, client):
    for service in ("", "katalogsync.KatalogSync"):
        assert client.check(service).result().status == SERVING
    assert ends(client.check("other")) is Code.NOT_FOUND


def test_health_before_the_first_sync(rpc, kubelet):
    port = free_port()
    kubelet.put(POD)
    daemon = rpc(f"127.0.0.1:{port}", wait=False)
    await_for(lambda: daemon.get("/healthz")[0] == 200)
    with SidecarClient(address_of(daemon)) as client:
        await_for(lambda: ends(client.check()) is Code.OK)
        assert client.check().result().status == NOT_SERVING


# Deaths of workers: never a false success.


def kill(daemon, role):
    old = daemon.worker(role)
    os.kill(old.pid, signal.SIGKILL)
    await_for(lambda: daemon.workers().get(role) not in (None, old), 10)


@pytest.mark.parametrize("role", ["http", "consul-writer", "kubelet-reader"])
def test_kill_during_register(
    role, waiting_pod, daemon, client, kubelet, consul
):
    call = client.register(*names(waiting_pod), timeout=60)
    await_for(lambda: calls_of(daemon) == 1)
    # http, who remembers it, was told.
    await_for(lambda: status_of(daemon, POD)["sidecar"] == "registered")
    kill(daemon, role)
    if role == "kubelet-reader":
        holds_for(lambda: not call.done(), 1)
    else:
        assert ends(call) is Code.UNAVAILABLE
        call = None
    assert consul.status(WEB) == "critical"
    kubelet.put(POD)
    # What it has said still holds.
    await_for(lambda: consul.status(WEB) == "passing", 10)
    if call is not None:
        assert ends(call) is Code.OK

    def again():
        return ends(client.register(*names(POD))) is Code.OK

    await_for(again, 10)
    assert consul.catalog_status(WEB) == "passing"


@pytest.mark.parametrize("role", ["http", "consul-writer", "kubelet-reader"])
@pytest.mark.parametrize("out", [False, True])
def test_kill_forgets_nothing(role, out, daemon, client, kubelet, consul):
    """Neither who registered, nor who took its pod out."""
    assert ends(client.register(*names(POD))) is Code.OK
    if out:
        assert ends(client.deregister(*names(POD))) is Code.OK
    wanted = ("critical", "deregistered") if out else ("passing", "registered")
    kill(daemon, role)
    polls = kubelet.polls
    holds_for(lambda: consul.status(WEB) == wanted[0], 3)
    await_for(lambda: kubelet.polls > polls + 3)
    await_for(lambda: status_of(daemon, POD).get("sidecar") == wanted[1])
    assert consul.status(WEB) == wanted[0]


def test_no_consul_writer(daemon, client):
    """While it is away, calls end at once."""
    for _ in range(3):
        os.kill(daemon.worker("consul-writer").pid, signal.SIGKILL)
        call = client.register(*names(POD), timeout=10)
        assert ends(call) in (Code.UNAVAILABLE, Code.OK)
        if call.code() is Code.UNAVAILABLE:
            assert "try again" in call.details()
        await_for(lambda: daemon.is_ready)


def test_restart_of_all(daemon, start, kubelet, consul):
    """The container's readiness tells that the sidecar had registered."""
    with SidecarClient(address_of(daemon)) as client:
        assert ends(client.register(*names(POD))) is Code.OK
    kubelet.put(P.set_ready(sidecar_pod(), True))
    daemon.stop()
    again = start(kubelet, consul, bind_address=address_of(daemon))
    holds_for(lambda: consul.status(WEB) == "passing", 2)
    assert status_of(again, POD)["sidecar"] == "registered"


# Where it listens.


def test_off_by_default(start, kubelet, consul):
    """Then only the container's readiness counts."""
    kubelet.put(POD)
    daemon = start(kubelet, consul)
    await_for(lambda: consul.status(WEB) == "critical")
    kubelet.put(P.set_ready(sidecar_pod(), True))
    await_for(lambda: consul.status(WEB) == "passing")
    assert not daemon.log_lines("bind-address: listening on.*8501")


def test_address_in_use_is_an_error(daemon):
    done = run(
        f"--bind-address={address_of(daemon)}",
        f"--runtime-dir={daemon.folder / 'other'}",
        f"--control-socket={daemon.folder / 'other.sock'}",
        "--log-target=stderr",
        f"--libexec-dir={daemon.options['libexec_dir']}",
    )
    assert done.returncode != 0
    assert re.search(
        f"bind-address .*{address_of(daemon)}.*in use", done.stderr
    )


def test_dry_run_does_not_listen(daemon):
    """Not even where somebody listens already."""
    done = run(
        "--dry-run",
        f"--bind-address={address_of(daemon)}",
        f"--kubelet-api=file://{P.DATA}",
        f"--consul-addr={daemon.options['consul_addr']}",
        f"--runtime-dir={daemon.folder / 'dry'}",
        f"--libexec-dir={daemon.options['libexec_dir']}",
    )
    assert done.returncode == 0, done.stderr


def test_hangup_moves_it(start, kubelet, consul, tmp_path):
    """To the port that metrics had, and metrics to another."""
    kubelet.put(POD)
    first, second = free_port(), free_port()
    config = tmp_path / "moving.conf"
    config.write_text(f"metrics-bind-address = {HERE}:{first}\n")
    daemon = start(kubelet, consul, config=config, metrics_bind_address=None)
    config.write_text(
        f"metrics-bind-address = {HERE}:{second}\n"
        f"bind-address = {HERE}:{first}\n"
    )
    daemon.reload()
    with SidecarClient(f"{HERE}:{first}") as client:
        await_for(lambda: ends(client.register(*names(POD))) is Code.OK, 10)
    daemon.options["metrics_bind_address"] = f"{HERE}:{second}"
    assert daemon.get("/readyz", over_tcp=True)[0] == 200
