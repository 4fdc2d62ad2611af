"""Answers that are true of another moment: never a false success."""

import threading
import time

import grpc
import pytest

from harness import pods as P
from harness.consul import Consul
from harness.grpc_peer import SidecarClient, address_of, ends
from harness.pods import SIDECAR, sidecar_pod
from harness.waiting import await_for, holds_for

Code = grpc.StatusCode
POD = sidecar_pod()
NAMES = (*P.key_of(POD), SIDECAR)
WEB = P.service_id(POD)


def is_catalog(request):
    return request.path.startswith("/v1/health/node/")


def asked(proxy):
    return [r for r in proxy.requests if is_catalog(r)]


def hide_catalog(proxy):
    proxy.fault = lambda request: 503 if is_catalog(request) else None


def show_catalog(proxy):
    proxy.fault = lambda request: None


# An agent compares all of its own with the catalog when it knows a server,
# mostly twice, within 3 s of its start; then not for a minute.
FIRST = "Synced node info"
AGAIN = "Skipping remote check since it is managed automatically"


@pytest.fixture
def consul(tmp_path):
    """One that leaves alone what the tests make its catalog say."""
    with Consul(tmp_path) as agent:
        later = time.monotonic() + 4

        def rests():
            _, _, more = agent.log.read_text().partition(FIRST)
            return AGAIN in more or time.monotonic() > later

        await_for(rests, 10)
        yield agent


@pytest.fixture
def daemon(rpc, proxy, consul):
    running = rpc(proxy, POD)
    await_for(lambda: consul.catalog_status(WEB) == "critical")
    return running


@pytest.fixture
def client(daemon):
    with SidecarClient(address_of(daemon)) as one:
        yield one


def entry(consul):
    """What the catalog has of the service: for set_entry()."""
    path = f"/v1/catalog/node/{consul.NODE}"
    service = consul.get(path)["Services"][WEB]
    checks = consul.get(f"/v1/health/node/{consul.NODE}")
    return service, next(c for c in checks if c["CheckID"] == WEB)


def set_entry(consul, service, check, **changes):
    """As a catalog has it that the agent's changes have not reached."""
    names = ("CheckID", "Name", "Notes", "ServiceID", "ServiceName", "Status")
    consul.put(
        "/v1/catalog/register",
        {
            "Node": consul.NODE,
            "Address": "127.0.0.1",
            "SkipNodeUpdate": True,
            "Service": {
                name: service[name]
                for name in ("ID", "Service", "Address", "Port", "Meta")
            },
            "Check": {**{name: check[name] for name in names}, **changes},
        },
    )


class Held:
    """A fault: answers of the catalog are kept back once they are there."""

    def __init__(self):
        self.released = threading.Event()
        self.bodies = []

    def keep(self, answer):
        self.bodies.append(answer.body)
        self.released.wait(60)
        return answer

    def __call__(self, request):
        return self.keep if is_catalog(request) else None


def test_answer_from_before_the_write(daemon, client, proxy, consul):
    """What was read before it, and comes after it, proves nothing."""
    assert ends(client.register(*NAMES)) is Code.OK
    # Nobody asks any more: the next one asks anew.
    count = len(asked(proxy))
    holds_for(lambda: len(asked(proxy)) == count, 6)
    held = Held()
    proxy.fault = held
    try:
        # One that nobody keeps is cancelled.
        first = client.register(*NAMES)
        await_for(lambda: held.bodies)
        assert b'"passing"' in held.bodies[0]
        second = client.deregister(*NAMES)
        await_for(lambda: consul.catalog_status(WEB) == "critical")
        assert ends(first) is Code.ABORTED
        critical = entry(consul)
        waiting = client.register(*NAMES, timeout=60)
        await_for(lambda: consul.catalog_status(WEB) == "passing")
        set_entry(consul, *critical)
        assert consul.catalog_status(WEB) == "critical"
        assert ends(second) is Code.ABORTED
        later = proxy.fault = Held()
    finally:
        held.released.set()
    try:
        holds_for(lambda: not waiting.done(), 1)
        set_entry(consul, *critical, Status="passing")
    finally:
        proxy.fault = lambda request: None
        later.released.set()
    assert ends(waiting) is Code.OK


def test_entry_of_the_pod_that_was_there_before(
    daemon, client, proxy, kubelet, consul
):
    """Under the same name, passing, at another port."""
    assert ends(client.register(*NAMES)) is Code.OK
    before = entry(consul)
    hide_catalog(proxy)
    kubelet.put(sidecar_pod(number=7, service_port="9090"))
    await_for(lambda: consul.state()[WEB]["Port"] == 9090)
    waiting = client.register(*NAMES, timeout=60)
    await_for(lambda: consul.catalog_status(WEB) == "passing")
    after = entry(consul)
    set_entry(consul, *before)
    assert entry(consul)[0]["Port"] == 8080
    show_catalog(proxy)
    holds_for(lambda: not waiting.done(), 2)
    set_entry(consul, *after)
    assert ends(waiting) is Code.OK


def test_agent_that_forgot_before_its_catalog(daemon, client, proxy, consul):
    """It is not taken for what has the service that the catalog shows."""
    proxy.fault = held = Held()
    waiting = client.register(*NAMES, timeout=60)
    await_for(lambda: consul.catalog_status(WEB) == "passing")
    await_for(lambda: held.bodies)
    passing = entry(consul)
    # The agent starts anew, with nothing.
    consul.wipe()
    await_for(lambda: consul.catalog_status(WEB) == "absent")
    set_entry(consul, *passing)
    proxy.fault = lambda request: (
        "cut" if request.path.startswith("/v1/agent/") else None
    )
    before = len(asked(proxy))
    proxy.cut()
    held.released.set()
    await_for(lambda: any(r.status == 200 for r in asked(proxy)[before:]))
    holds_for(lambda: not waiting.done(), 1)
    show_catalog(proxy)
    assert ends(waiting) is Code.OK
    assert consul.status(WEB) == consul.catalog_status(WEB) == "passing"


def test_service_that_cannot_be_there_is_out(rpc, proxy, consul):
    """Its ID is somebody else's: the pod's end does not wait for it."""
    pod = sidecar_pod(service_names="web,admin")
    consul.register({"ID": P.service_id(pod, "admin"), "Name": "other"})
    daemon = rpc(proxy, pod)
    with SidecarClient(address_of(daemon)) as client:
        waiting = client.register(*NAMES)
        await_for(lambda: consul.catalog_status(WEB) == "passing")
        holds_for(lambda: not waiting.done(), 1)
        assert ends(client.deregister(*NAMES)) is Code.OK
        assert ends(waiting) is Code.ABORTED
    assert consul.catalog_status(WEB) == "critical"
    assert consul.services()[P.service_id(pod, "admin")]["Service"] == "other"
