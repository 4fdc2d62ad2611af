"""What becomes of services in Consul while sidecars come and go."""

import json
import os
import re
import signal
import time

import grpc
import pytest

from harness import pods as P
from harness.daemon import BUILD, run
from harness.grpc_peer import SidecarClient, address_of, ends
from harness.pods import SIDECAR, sidecar_pod
from harness.proxy import Answer
from harness.waiting import SLOWNESS, await_for, holds_for

Code = grpc.StatusCode
POD = sidecar_pod(service_names="web,admin")
NAMES = (*P.key_of(POD), SIDECAR)
IDS = [P.service_id(POD, name) for name in ("web", "admin")]
WAITING = "waiting for the sidecar to register"
# Of a registration with a catalog that does not lag, for each of many.
SOON = 1 * SLOWNESS


def statuses(consul):
    return {consul.status(name) for name in IDS}


def catalog_statuses(consul):
    return {consul.catalog_status(name) for name in IDS}


def all_are(consul, status):
    return statuses(consul) == catalog_statuses(consul) == {status}


def outputs(consul):
    return {check["Output"] for check in consul.checks().values()}


def is_catalog(request):
    return request.path.startswith("/v1/health/node/")


def asked(proxy):
    return [r for r in proxy.requests if is_catalog(r)]


@pytest.fixture
def daemon(rpc, proxy, consul):
    running = rpc(proxy, POD)
    await_for(lambda: all_are(consul, "critical"))
    return running


@pytest.fixture
def client(daemon):
    with SidecarClient(address_of(daemon)) as one:
        yield one


# The life of a pod.


def test_passes_while_it_is_registered(daemon, client, consul):
    await_for(lambda: outputs(consul) == {WAITING})
    for _ in range(3):
        assert ends(client.register(*NAMES)) is Code.OK
        assert all_are(consul, "passing")
        assert ends(client.deregister(*NAMES)) is Code.OK
        assert all_are(consul, "critical")


@pytest.mark.timing
def test_register_is_fast(daemon, client, consul):
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert ends(client.register(*NAMES)) is Code.OK
        took.append(time.monotonic() - began)
        assert ends(client.deregister(*NAMES)) is Code.OK
    print(f"register: {[round(1000 * t) for t in took]} ms")
    assert sorted(took)[2] < SOON


def test_statuses_that_the_owner_fixed(rpc, consul):
    """They stay what they are, and are waited for as they are."""
    pod = sidecar_pod(
        service_names="web,admin", service_health_admin="warning"
    )
    daemon = rpc(consul, pod)
    await_for(lambda: statuses(consul) == {"critical", "warning"})
    with SidecarClient(address_of(daemon)) as client:
        assert ends(client.register(*NAMES)) is Code.OK
        assert catalog_statuses(consul) == {"passing", "warning"}
        assert ends(client.deregister(*NAMES)) is Code.OK
        assert catalog_statuses(consul) == {"critical", "warning"}


def test_pod_that_is_not_running_yet(rpc, consul, kubelet):
    """Its sidecar may call before the list has the pod's services."""
    early = sidecar_pod(service_names="web,admin")
    early["status"]["phase"] = "Pending"
    daemon = rpc(consul, early)
    with SidecarClient(address_of(daemon)) as client:
        waiting = client.register(*NAMES)
        holds_for(lambda: not waiting.done(), 0.5)
        kubelet.put(POD)
        assert ends(waiting) is Code.OK
    assert all_are(consul, "passing")


def test_pod_that_takes_its_place(daemon, client, kubelet, consul):
    """As of a StatefulSet: what the one said is not the other's word."""
    assert ends(client.register(*NAMES)) is Code.OK
    kubelet.put(P.end(sidecar_pod(service_names="web,admin")))
    await_for(lambda: all_are(consul, "critical"))
    kubelet.put(sidecar_pod(number=7, service_names="web,admin"))
    await_for(lambda: daemon.status()["pods"][0]["sidecar"] == "waiting")
    holds_for(lambda: statuses(consul) == {"critical"}, 1)
    assert ends(client.register(*NAMES)) is Code.OK
    assert all_are(consul, "passing")


def test_container_that_is_ready_has_registered(rpc, consul):
    """So it is after a restart of all."""
    rpc(consul, P.set_ready(sidecar_pod(service_names="web,admin"), True))
    await_for(lambda: all_are(consul, "passing"))


@pytest.mark.parametrize("ready", [False, True])
def test_dry_run_takes_the_list_s_word(ready, tmp_path, kubelet, consul):
    kubelet.put(P.set_ready(sidecar_pod(), ready, SIDECAR))
    done = run(
        "--dry-run",
        f"--kubelet-api={kubelet.url}",
        f"--consul-addr={consul.address}",
        f"--runtime-dir={tmp_path / 'dry'}",
        f"--libexec-dir={BUILD}",
    )
    assert done.returncode == 0, done.stderr
    wanted = "passing" if ready else "critical"
    assert re.findall(r'"Status": ?"(\w+)"', done.stdout) == [wanted]


# A catalog that lags.


def stale_answers(consul):
    """A fault: the catalog as it is now, for ever."""
    body = consul.get(f"/v1/health/node/{consul.NODE}")
    headers = {"X-Consul-Index": "1", "X-Consul-KnownLeader": "true"}
    answer = Answer(200, headers, json.dumps(body).encode())

    def fault(request):
        if not is_catalog(request):
            return None
        if "index=" in request.path:
            time.sleep(0.2)
        return answer

    return fault


def test_register_returns_after_a_catalog_that_lags(
    daemon, client, proxy, consul
):
    proxy.fault = stale_answers(consul)
    waiting = client.register(*NAMES, timeout=60)
    await_for(lambda: catalog_statuses(consul) == {"passing"})
    holds_for(lambda: not waiting.done(), 1)
    proxy.fault = lambda request: None
    assert ends(waiting) is Code.OK


def test_deregister_returns_after_a_catalog_that_lags(
    daemon, client, proxy, consul
):
    assert ends(client.register(*NAMES)) is Code.OK
    proxy.fault = stale_answers(consul)
    waiting = client.deregister(*NAMES, timeout=60)
    await_for(lambda: catalog_statuses(consul) == {"critical"})
    holds_for(lambda: not waiting.done(), 1)
    proxy.fault = lambda request: None
    assert ends(waiting) is Code.OK


def test_slow_answers(daemon, client, proxy, consul):
    """One that began before the write is not taken for one after it."""
    proxy.fault = lambda request: (
        time.sleep(0.5) if is_catalog(request) else None
    )
    for _ in range(2):
        assert ends(client.register(*NAMES)) is Code.OK
        assert catalog_statuses(consul) == {"passing"}
        assert ends(client.deregister(*NAMES)) is Code.OK
        assert catalog_statuses(consul) == {"critical"}


NONSENSE = {
    "no leader": Answer(
        200, {"X-Consul-Index": "9", "X-Consul-KnownLeader": "false"}, b"[]"
    ),
    "no index": Answer(200, {}, b"[]"),
    "no json": Answer(200, {"X-Consul-Index": "9"}, b"[{]"),
    "not a list": Answer(200, {"X-Consul-Index": "9"}, b"{}"),
    "cut off": Answer(200, {"X-Consul-Index": "9"}, b"[", torn=True),
    "error": 500,
    "connection": "cut",
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_answers_that_are_none(kind, daemon, client, proxy, consul):
    proxy.fault = lambda request: (
        NONSENSE[kind] if is_catalog(request) else None
    )
    waiting = client.register(*NAMES, timeout=60)
    await_for(lambda: len(asked(proxy)) > 2)
    assert not waiting.done()
    assert daemon.await_log("what its catalog has of this node")
    proxy.fault = lambda request: None
    assert ends(waiting) is Code.OK
    assert daemon.await_log("shows what its catalog has of this node")


# Consul in trouble.


def test_agent_away_during_register(daemon, client, proxy, consul):
    proxy.fault = lambda request: "cut"
    proxy.cut()
    waiting = client.register(*NAMES, timeout=60)
    holds_for(lambda: not waiting.done(), 1)
    proxy.fault = lambda request: None
    assert ends(waiting) is Code.OK
    assert all_are(consul, "passing")


def test_agent_that_forgets_all_during_register(daemon, client, proxy, consul):
    """It is registered again, and only then answered."""
    proxy.fault = lambda request: 500 if is_catalog(request) else None
    waiting = client.register(*NAMES, timeout=60)
    await_for(lambda: statuses(consul) == {"passing"})
    consul.wipe()
    proxy.fault = lambda request: (
        "cut" if request.path.startswith("/v1/agent/") else None
    )
    proxy.cut()
    holds_for(lambda: not waiting.done(), 1)
    proxy.fault = lambda request: None
    assert ends(waiting) is Code.OK
    assert all_are(consul, "passing")


# Nothing is lost, and nothing flips.


def history(consul):
    """When the servers' view of each check changed last."""
    checks = consul.catalog()[1]
    return {name: checks[name] for name in IDS}


@pytest.mark.parametrize("role", ["consul-writer", "kubelet-reader", "http"])
@pytest.mark.parametrize("out", [False, True])
def test_kill_flips_nothing(role, out, daemon, client, consul):
    assert ends(client.register(*NAMES)) is Code.OK
    if out:
        assert ends(client.deregister(*NAMES)) is Code.OK
    before = history(consul)
    for _ in range(3):
        old = daemon.worker(role)
        os.kill(old.pid, signal.SIGKILL)
        await_for(
            lambda old=old: daemon.workers().get(role) not in (None, old)
        )
        await_for(lambda: daemon.is_ready)
    holds_for(lambda: history(consul) == before, 2)


# What it costs.


def test_no_request_at_rest(rpc, proxy, consul, kubelet):
    """Not for pods without sidecar, nor once all has been answered."""
    others, expected = P.many(30)
    daemon = rpc(proxy, POD, *others)
    await_for(lambda: len(consul.state()) == len(expected) + len(IDS))
    # What is still on its way there would be an answer for who waits.
    consul.settled_catalog()
    assert not asked(proxy)
    with SidecarClient(address_of(daemon)) as client:
        assert ends(client.register(*NAMES)) is Code.OK
    # It stays for a moment, on one connection that waits.
    held = len(asked(proxy))
    assert held <= 5
    holds_for(lambda: len(asked(proxy)) <= held + 1, 7)
    count = len(asked(proxy))
    polls = kubelet.polls
    await_for(lambda: kubelet.polls > polls + 5, 20)
    assert len(asked(proxy)) == count


def test_waiting_costs_nothing(rpc, proxy, consul, kubelet):
    """A pod that isn't ready: the catalog is not asked for it."""
    pod = P.set_ready(sidecar_pod(service_names="web,admin"), False)
    daemon = rpc(proxy, pod)
    with SidecarClient(address_of(daemon)) as client:
        waiting = client.register(*NAMES)
        polls = kubelet.polls
        await_for(lambda: kubelet.polls > polls + 3)
        assert not asked(proxy)
        assert not waiting.done()
