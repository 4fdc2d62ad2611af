"""Consul fails or lies: nothing in Kubernetes is deleted."""

import time

import pytest

from harness.catalog import Catalog, instances
from harness.consul import Consul, ConsulServer, three_servers
from harness.proxy import Answer
from harness.waiting import await_for, holds_for

ITEMS = [
    i
    for n in range(4)
    for i in instances(f"svc-{n}", 2, base=10 * n, node=f"n{n % 2}")
]
LASTING = 1.5
# Until all is right again once Consul is back: long before the resync, with
# room for the pauses between tries and for those that Consul asked for.
BACK = 10
# What the pauses alone take, where the machine is quiet.
BACK_SOON = 2


def nothing(body):
    """The empty answer of the same kind."""
    return b"{}" if body.lstrip().startswith(b"{") else b"[]"


def emptied(**headers):
    """The real answer without what is in it, and with those headers."""

    def change(answer):
        more = {
            f"X-Consul-{k.replace('_', '-')}": v for k, v in headers.items()
        }
        return Answer(
            answer.status, {**answer.headers, **more}, nothing(answer.body)
        )

    return lambda request: change


def torn(request):
    return lambda answer: Answer(
        answer.status, answer.headers, answer.body[:-20], torn=True
    )


def shortened(request):
    """Complete by HTTP, and cut in the middle by a proxy on the way."""
    return lambda answer: Answer(
        answer.status, answer.headers, answer.body[: len(answer.body) // 2]
    )


# name -> fault, seconds that it lasts
FAULTS = {
    "500": (lambda request: 500, LASTING),
    "429": (lambda request: 429, LASTING),
    "503": (lambda request: 503, LASTING),
    "429-says-when": (
        lambda request: Answer(429, {"Retry-After": "1"}, b"slow down"),
        LASTING,
    ),
    "cut": (lambda request: "cut", LASTING),
    "torn": (torn, LASTING),
    "shortened": (shortened, LASTING),
    "not-json": (lambda request: Answer(200, {}, b"<html>"), LASTING),
    "no-leader": (emptied(KnownLeader="false"), LASTING),
    "filtered": (emptied(Results_Filtered_By_ACLs="true"), LASTING),
    "index-backwards": (emptied(Index="2"), LASTING),
    # That is the truth if it lasts for 2 s.
    "empty": (emptied(), 0.5),
}


@pytest.fixture
def filled(sync, space, catalog, proxy):
    """katalogd that has seen the services twice, behind the proxy."""
    catalog.put(*ITEMS)
    daemon = sync(proxy, space)
    space.await_has(*ITEMS)
    await_calm(proxy)
    return daemon


def await_calm(proxy):
    """Nothing but waiting queries for a while: the start is over."""
    await_for(lambda: time.monotonic() - proxy.requests[-1].time > 1, 20)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_of_consul_deletes_nothing(name, filled, space, catalog, proxy):
    fault, lasting = FAULTS[name]
    before = space.versions()
    proxy.fault = fault
    asked = len(proxy.requests)
    proxy.cut()
    await_for(lambda: len(proxy.requests) > asked)
    holds_for(lambda: space.versions() == before, lasting)
    # No hot loop either.
    assert len(proxy.requests) - asked < 40 * lasting
    # What changed meanwhile is seen when it is back.
    changed = catalog.set_status(ITEMS[0], "critical")
    more = instances("later", 2, base=100)
    catalog.put(*more)
    proxy.fault = lambda request: None
    proxy.cut()
    space.await_has(changed, *ITEMS[1:], *more, timeout=BACK)
    assert space.deletions() == []


@pytest.mark.timing
@pytest.mark.parametrize("fault", [500, "cut"])
def test_all_is_right_soon_after(fault, filled, space, catalog, proxy):
    before = space.versions()
    proxy.fault = lambda request: fault
    proxy.cut()
    holds_for(lambda: space.versions() == before, LASTING)
    changed = catalog.set_status(ITEMS[0], "critical")
    proxy.fault = lambda request: None
    space.await_has(changed, *ITEMS[1:], timeout=BACK_SOON)


def test_one_service_that_fails_stops_nothing(filled, space, catalog, proxy):
    proxy.fault = lambda request: (
        500 if "/v1/health/service/svc-1" in request.path else None
    )
    stuck = catalog.set_status(ITEMS[2], "critical")
    moved = catalog.set_status(ITEMS[0], "critical")
    await_for(lambda: any(not e.ready for e in space.endpoints("svc-0")), BACK)
    assert all(e.ready for e in space.endpoints("svc-1"))
    assert stuck.service == "svc-1"
    proxy.fault = lambda request: None
    space.await_has(moved, ITEMS[1], stuck, *ITEMS[3:], timeout=12)


def test_failing_start(sync, space, catalog, proxy):
    """Ready only after a sync; Consul comes late."""
    catalog.put(*ITEMS)
    proxy.fault = lambda request: 500
    daemon = sync(proxy, space, wait=False)
    await_for(lambda: len(proxy.requests) > 3)
    assert daemon.get("/readyz")[0] == 503
    assert space.services() == {}
    assert daemon.metric("consul_sync_consul_errors_total") > 0
    proxy.fault = lambda request: None
    daemon.await_ready()
    assert space.has(*ITEMS)


def test_restart_with_a_fault_deletes_nothing(
    filled, sync, space, catalog, proxy
):
    """A fresh katalogd knows nothing but what stands in the cluster."""
    filled.stop()
    before = space.versions()
    proxy.fault = emptied()
    sync(proxy, space, name="second", wait=False)
    asked = len(proxy.requests)
    await_for(lambda: len(proxy.requests) > asked + 2)
    holds_for(lambda: space.versions() == before, 1)
    proxy.fault = lambda request: None
    proxy.cut()
    holds_for(lambda: space.versions() == before, 3)


def test_consul_restarts(sync, space, tmp_path):
    """It has its state on disk."""
    server = ConsulServer(tmp_path)
    with server:
        catalog = Catalog(server)
        catalog.put(*ITEMS)
        sync(server, space)
        before = space.versions()
        server.stop()
        holds_for(lambda: space.versions() == before, 2)
        server.start()
        changed = catalog.set_status(ITEMS[0], "critical")
        space.await_has(changed, *ITEMS[1:], timeout=BACK)
        assert space.deletions() == []


def test_consul_forgets_everything(sync, space, tmp_path):
    """Its index goes backwards, and what it had is registered anew."""
    agent = Consul(tmp_path)
    with agent:
        catalog = Catalog(agent)
        catalog.put(*ITEMS)
        sync(agent, space)
        before = space.versions()
        agent.stop()
        agent.start()
        holds_for(lambda: space.versions() == before, 3)
        catalog.put(*ITEMS)
        changed = catalog.set_status(ITEMS[0], "critical")
        space.await_has(changed, *ITEMS[1:], timeout=BACK)
        assert space.deletions() == []


def test_leader_is_lost(sync, space, tmp_path):
    """Two of three servers die; the third one is asked."""
    with three_servers(tmp_path) as (here, *others):
        catalog = Catalog(here)
        catalog.put(*ITEMS)
        daemon = sync(here, space)
        before = space.versions()
        for server in others:
            server.stop()
        await_for(lambda: not here.has_leader(), 30)
        # Two pulses that wait.
        await_for(lambda: says_no_leader(daemon), 20)
        # Consul holds back the longer what its leader is to answer.
        holds_for(lambda: space.versions() == before, 8)
        for server in others:
            server.spawn()
        changed = catalog.set_status(ITEMS[0], "critical")
        space.await_has(changed, *ITEMS[1:], timeout=BACK)
        await_for(lambda: not says_no_leader(daemon), BACK)
        assert space.deletions() == []


def says_no_leader(daemon):
    return "no leader" in daemon.get("/v1/status")[1]


READ = 'node_prefix "" {policy = "read"} service_prefix "" {policy = "read"}'
MASTER = "4d1c0f9a-0000-4000-8000-000000000001"


@pytest.fixture
def closed_consul(tmp_path):
    """One with ACLs on."""
    config = {
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "tokens": {"initial_management": MASTER, "agent": MASTER},
        }
    }
    folder = tmp_path / "closed"
    folder.mkdir()
    with Consul(folder, config, MASTER) as agent:
        yield agent


def test_token_that_loses_its_rights(sync, space, closed_consul, tmp_path):
    """Filtered by ACLs: what is not seen is not gone."""
    catalog = Catalog(closed_consul)
    catalog.put(*ITEMS)
    token = tmp_path / "consul.token"
    token.write_text(closed_consul.make_token(READ))
    daemon = sync(closed_consul, space, consul_token_file=token)
    space.await_has(*ITEMS)
    before = space.versions()
    token.write_text(
        closed_consul.make_token('service "svc-0" {policy = "read"}')
    )
    daemon.await_log("token may not see", 10)
    holds_for(lambda: space.versions() == before, 3)
    token.write_text(closed_consul.make_token(READ))
    changed = catalog.set_status(ITEMS[0], "critical")
    space.await_has(changed, *ITEMS[1:], timeout=10)
    assert space.deletions() == []


def is_unready(daemon, reason):
    status, text = daemon.get("/readyz")
    return status == 503 and reason in text


# Longer than what is in doubt is looked at twice.
LONG = 15


def test_anonymous_sees_nothing(sync, space, closed_consul):
    """A silent {} and not an error: said, and nothing comes of it."""
    Catalog(closed_consul).put(*ITEMS)
    may = {"CONSUL_HTTP_TOKEN": closed_consul.make_token(READ)}
    sync(closed_consul, space, env=may).stop()
    space.await_has(*ITEMS)
    before = space.versions()
    daemon = sync(closed_consul, space, name="anonymous", wait=False)
    daemon.await_log("token may not see")
    holds_for(
        lambda: (
            is_unready(daemon, "lacks Consul's own service")
            and space.versions() == before
        ),
        LONG,
    )


def test_first_sync_of_a_part_is_none(sync, space, closed_consul, tmp_path):
    """A token that sees one service; and one that sees all comes later."""
    Catalog(closed_consul).put(*ITEMS)
    may = {"CONSUL_HTTP_TOKEN": closed_consul.make_token(READ)}
    sync(closed_consul, space, env=may).stop()
    space.await_has(*ITEMS)
    before = space.versions()
    token = tmp_path / "consul.token"
    token.write_text(
        closed_consul.make_token(
            'service "svc-0" {policy = "read"}node_prefix "" {policy = "read"}'
        )
    )
    daemon = sync(
        closed_consul,
        space,
        name="partial",
        wait=False,
        consul_token_file=token,
    )
    await_for(lambda: is_unready(daemon, "may not see all services"))
    holds_for(
        lambda: (
            is_unready(daemon, "may not see all services")
            and space.versions() == before
        ),
        LONG,
    )
    token.write_text(closed_consul.make_token(READ))
    daemon.await_ready()
    assert space.has(*ITEMS)


def test_nothing_to_sync_is_ready(sync, space, closed_consul):
    """An empty catalog is one if the token sees Consul's own service."""
    may = {"CONSUL_HTTP_TOKEN": closed_consul.make_token(READ)}
    daemon = sync(closed_consul, space, env=may)
    assert daemon.get("/readyz")[0] == 200
    assert space.services() == {}


@pytest.mark.memory
def test_what_nobody_reads_costs_no_memory(sync, space, catalog, consul):
    """As a tree it would take some 100 MB."""
    item = instances("odd", 1)[0]
    proxy = {
        "DestinationServiceName": "web",
        "Config": {"x": [{}] * 120000},
    }
    service = {**item.definition, "Kind": "connect-proxy", "Proxy": proxy}
    consul.put("/v1/catalog/register", {**item.place, "Service": service})
    daemon = sync(consul, space)
    await_for(lambda: len(space.endpoints("odd")) == 1)
    peak = daemon.worker("consul-reader").status["VmHWM"]
    assert int(peak.split()[0]) < 64 * 1024
