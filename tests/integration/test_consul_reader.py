"""consul-reader against a real Consul: what it says to k8s-writer."""

import contextlib
import itertools
import json
import statistics
import threading
import time

import pytest

from harness.consul import Api, Consul, three_servers
from harness.proxy import Answer, ConsulProxy
from harness.reader import Catalog, Reader
from harness.waiting import SLOWNESS, await_for, holds_for

# Before what comes by the clock alone: the resync comes after minutes. A sweep
# waits for 20 times as long as the one before took.
SOON = 20
# Where the machine is quiet. Rosters and sweeps may have to wait for a second.
AT_ONCE = 1
SWEPT = 1 + AT_ONCE
MANY = 500
LARGER_THAN_A_SERVICE = 33 << 20


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with Consul(tmp_path_factory.mktemp("reader-consul")) as running:
        yield running


@pytest.fixture
def catalog(agent):
    cat = Catalog(agent)
    cat.wipe()
    return cat


@pytest.fixture
def proxy(agent):
    with ConsulProxy(agent) as running:
        yield running


@pytest.fixture
def read(tmp_path):
    """read(consul, **options): a consul-reader that ends with the test."""
    with contextlib.ExitStack() as stack:

        def start_one(consul, env=None, **options):
            number = len(list(tmp_path.iterdir()))
            reader = Reader(tmp_path / str(number), consul, env, **options)
            return stack.enter_context(reader)

        yield start_one


def is_blocking(request):
    return "index=" in request.path


def is_pulse(request):
    return "/v1/health/checks/consul?" in request.path


# ---- how many, how fast ----


@pytest.mark.timing
def test_many_services_are_read_in_time_and_then_there_is_rest(
    catalog, proxy, read
):
    for name in range(503):
        for number in range(4):
            catalog.put(f"svc-{name}", number)
    begun = time.monotonic()
    reader = read(proxy).await_synced(5)
    assert time.monotonic() - begun < 5 * SLOWNESS
    assert len(reader.services) == 503
    assert len(reader.instances) == 503 * 4
    assert reader.endpoints("svc-77") == {
        f"10.0.{n}.1": True for n in range(4)
    }
    reader.await_confirmed()
    # The second pass was the last; then nothing but what waits.
    time.sleep(0.5)
    before = len(proxy.requests)
    time.sleep(3)
    assert [
        r.path for r in proxy.requests[before:] if not is_blocking(r)
    ] == []
    assert proxy.connections <= 64

    # Flips, one after another.
    took = []
    for number in range(20):
        service = f"svc-{number * 7}"
        requests = len(proxy.requests)
        flipped = time.monotonic()
        catalog.check(service, 1, "critical")
        await_for(
            lambda service=service: not reader.endpoints(service)["10.0.1.1"],
            interval=0.002,
        )
        took.append(reader.changes[-1][0] - flipped)
        # The list that waited, the service, and the list that waits again.
        sent = [r for r in proxy.requests[requests:] if not is_pulse(r)]
        assert len(sent) <= 3
    assert statistics.median(took) < 0.1 * SLOWNESS


# ---- every change is seen at once ----


@pytest.fixture
def two(catalog, agent, read):
    """A reader of two services with two instances each, at rest."""
    for name in ("web", "api"):
        for number in range(2):
            catalog.put(name, number)
    reader = read(agent).await_confirmed()
    assert reader.endpoints("web") == {"10.0.0.1": True, "10.0.1.1": True}
    # The first sweeps are behind it: what is seen now is not their doing.
    time.sleep(0.2)
    return reader


def test_checks(catalog, two):
    catalog.check("web", 0, "critical")
    two.await_endpoints("web", {"10.0.0.1": False, "10.0.1.1": True}, SOON)
    catalog.check("web", 1, "critical")
    two.await_endpoints("web", {"10.0.0.1": False, "10.0.1.1": False}, SOON)
    assert "web" in two.services
    catalog.check("web", 0, "warning")
    two.await_endpoints("web", {"10.0.0.1": True, "10.0.1.1": False}, SOON)
    catalog.node_check(0, "critical")
    two.await_endpoints("api", {"10.0.0.1": False, "10.0.1.1": True}, SOON)
    assert two.endpoints("web")["10.0.0.1"] is False
    catalog.node_check(0, "passing")
    two.await_endpoints("api", {"10.0.0.1": True, "10.0.1.1": True}, SOON)
    assert two.deleted() == []


@pytest.mark.timing
def test_changes_are_said_at_once(catalog, two):
    """Each kind of them, one after another."""
    catalog.check("web", 0, "critical")
    two.await_endpoints("web", {"10.0.0.1": False, "10.0.1.1": True}, AT_ONCE)
    catalog.node_check(1, "critical")
    two.await_endpoints("api", {"10.0.0.1": True, "10.0.1.1": False}, AT_ONCE)
    catalog.put("api", 2)
    await_for(lambda: "10.0.2.1" in two.endpoints("api"), AT_ONCE)
    catalog.put("new", 0)
    two.await_endpoints("new", {"10.0.0.1": True}, AT_ONCE)
    catalog.put("new", 0, tags=["kubernetes", "external"])
    await_for(lambda: two.services["new"].flags == "external", SWEPT)
    catalog.take("api", 2)
    await_for(lambda: "10.0.2.1" not in two.endpoints("api"), SWEPT)


def test_output_of_a_check_is_no_news(catalog, two):
    count = len(two.changes)
    for text in ("a", "b", "c"):
        catalog.check("web", 0, "passing", Output=text)
    holds_for(lambda: len(two.changes) == count, 1)


def test_warnings_by_option(catalog, agent, read):
    catalog.put("web", 0)
    reader = read(agent, warning_is_ready="false").await_confirmed()
    time.sleep(0.2)
    catalog.check("web", 0, "warning")
    reader.await_endpoints("web", {"10.0.0.1": False}, SOON)
    catalog.check("web", 0, "passing")
    reader.await_endpoints("web", {"10.0.0.1": True}, SOON)


def test_maintenance_of_an_agents_service(catalog, agent, read):
    agent.register(
        {"Name": "own", "Tags": ["kubernetes"], "Address": "10.7.0.1"}
    )
    try:
        reader = read(agent)
        reader.await_endpoints("own", {"10.7.0.1": True})
        agent.put("/v1/agent/service/maintenance/own", enable="true")
        reader.await_endpoints("own", {"10.7.0.1": False}, SOON)
        agent.put("/v1/agent/service/maintenance/own", enable="false")
        reader.await_endpoints("own", {"10.7.0.1": True}, SOON)
        agent.put("/v1/agent/maintenance", enable="true")
        reader.await_endpoints("own", {"10.7.0.1": False}, SOON)
        agent.put("/v1/agent/maintenance", enable="false")
    finally:
        agent.put("/v1/agent/service/deregister/own")


def test_registrations(catalog, two):
    catalog.put("web", 2)
    three = {f"10.0.{n}.1": True for n in range(3)}
    two.await_endpoints("web", three, SOON)
    catalog.put("new", 0)
    two.await_endpoints("new", {"10.0.0.1": True}, SOON)
    # Soon again: roster and sweep have to wait now.
    for number in range(3, 6):
        catalog.put("web", number)
    six = {f"10.0.{n}.1": True for n in range(6)}
    two.await_endpoints("web", six, SOON)
    catalog.take("web", 5)
    two.await_endpoints("web", {a: True for a in six if a != "10.0.5.1"}, SOON)


def test_a_last_instance_goes_with_its_service(catalog, two):
    catalog.take("web", 0)
    two.await_endpoints("web", {"10.0.1.1": True}, SOON)
    catalog.put("one", 0)
    two.await_endpoints("one", {"10.0.0.1": True}, SOON)
    catalog.take("one", 0)
    await_for(lambda: "one" not in two.services, SOON)
    assert two.endpoints("one") == {}


def test_what_has_no_check(catalog, two):
    # No list shows these: the sweep does.
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"):
        catalog.put("plain", 0, status=None, Address=address)
        two.await_endpoints("plain", {address: True}, SOON)
    catalog.put("plain", 1, status=None)
    two.await_endpoints("plain", {address: True, "10.0.1.1": True}, SOON)
    catalog.take("plain", 1)
    two.await_endpoints("plain", {address: True}, SOON)


@contextlib.contextmanager
def churning(agent):
    """Something that is not ours is registered all the time."""
    ended = threading.Event()
    other = Catalog(Api(agent.host, agent.port))

    def churn():
        for number in itertools.count():
            if ended.wait(0.05):
                return
            other.put("other", 0, tags=["other"], Port=1 + number % 9999)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def reads_of_services(requests):
    return [r for r in requests if "/v1/health/service/" in r.path]


@pytest.mark.timing
def test_edits_among_many(agent, catalog, read):
    for name in range(MANY):
        catalog.put(f"svc-{name}", 0)
    reader = read(agent).await_confirmed()
    time.sleep(0.5)
    for number in range(1, 5):
        catalog.put("svc-7", 0, Address=f"10.1.{number}.1")
        reader.await_endpoints("svc-7", {f"10.1.{number}.1": True}, SWEPT)
    catalog.put("svc-8", 1, status=None)
    reader.await_endpoints(
        "svc-8", {"10.0.0.1": True, "10.0.1.1": True}, SWEPT
    )


@pytest.mark.timing
def test_a_catalog_that_never_rests(agent, catalog, proxy, read):
    for name in range(MANY):
        catalog.put(f"svc-{name}", 0)
    reader = read(proxy).await_confirmed()
    time.sleep(0.5)
    before = len(proxy.requests)
    with churning(agent):
        time.sleep(10)
        assert len(reads_of_services(proxy.requests[before:])) <= 5 * MANY
        catalog.put("svc-9", 0, Address="10.1.0.1")
        # A sweep waits for 20 times as long as the last one took.
        reader.await_endpoints("svc-9", {"10.1.0.1": True}, 60)


def test_nodes(catalog, agent, read):
    catalog.node("node-0", "10.9.0.1")
    catalog.put("web", 0, Address="")
    reader = read(agent).await_confirmed()
    assert reader.endpoints("web") == {"10.9.0.1": True}
    catalog.node("node-0", "10.9.0.7")
    reader.await_endpoints("web", {"10.9.0.7": True}, SOON)
    catalog.node(
        "node-0",
        "10.9.0.7",
        **{"kubernetes-node-name": "worker-1", "zone": "eu-1a"},
    )
    await_for(
        lambda: (
            [i[-2:] for i in reader.instances.values()]
            == [("worker-1", "eu-1a")]
        ),
        # The list of nodes is read each 5 s if it changes all the time.
        5 + SOON,
    )


def test_tags_and_meta(catalog, two):
    catalog.put("web", 0, tags=["kubernetes", "external"])
    await_for(lambda: two.services["web"].flags == "external", SOON)
    # An instance without the tag is not one of ours.
    catalog.put("web", 1, tags=["other"])
    two.await_endpoints("web", {"10.0.0.1": True}, SOON)
    catalog.put("other", 0, tags=["other"])
    catalog.put("late", 0, tags=["other"])
    catalog.put("late", 0)
    two.await_endpoints("late", {"10.0.0.1": True}, SOON)
    assert "other" not in two.services
    catalog.put(
        "spoken",
        0,
        Meta={
            "kubernetes-port-name": "grpc",
            "kubernetes-app-protocol": "kubernetes.io/h2c",
        },
    )
    await_for(lambda: "spoken" in two.services, SOON)
    assert two.services["spoken"][2:4] == ("grpc", "kubernetes.io/h2c")


# A tag that a service got after its check was registered is not in the check.
def test_a_check_with_old_tags_counts(catalog, agent, read):
    catalog.put("web", 0, tags=["other"])
    catalog.put("web", 0, status=None)
    reader = read(agent)
    reader.await_endpoints("web", {"10.0.0.1": True})
    catalog.check("web", 0, "critical")
    reader.await_endpoints("web", {"10.0.0.1": False}, SOON)


# ---- what is left out ----


def test_what_is_no_endpoint(catalog, agent, read):
    catalog.put("loop", 0, Meta={"external-source": "kubernetes"})
    catalog.put("loop2", 0, Meta={"external-sync-source": "katalog-sync"})
    catalog.put("bad", 0, Address="127.0.0.1")
    catalog.put("bad", 1)
    catalog.put("host", 0, Address="db.example.com")
    catalog.put("port", 0, Port=70000)
    catalog.put("v6", 0, Address="2001:db8::1")
    catalog.put("odd", 0, status=None, ID="a\0b")
    catalog.put("odd", 0, status=None, ID="a\ufffdb")
    # For Consul's index one name: the answer for each has both.
    catalog.put("twin", 0)
    catalog.put("Twin", 1, tags=["other"])
    catalog.put("a/b c?\u00fc", 0)
    reader = read(agent).await_synced()
    assert sorted(reader.services) == [
        "a/b c?\\303\\274",
        "bad",
        "host",
        "odd",
        "port",
        "twin",
        "v6",
    ]
    assert reader.endpoints("bad") == {"10.0.1.1": True}
    assert reader.endpoints("v6") == {"2001:db8::1": True}
    assert reader.endpoints("odd") == {"10.0.0.1": True}
    assert reader.endpoints("twin") == {"10.0.0.1": True}
    for name in ("host", "port"):
        assert reader.endpoints(name) == {}
    assert reader.said('service bad: instance bad-0 on node-0: address "127.')
    assert reader.said("a host name; left out (see resolve-hostnames)")
    assert reader.said("port 70000: not a port (0-65535); left out")
    assert reader.said("holds a NUL")
    await_for(lambda: reader.health.state == "ok")


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_what_nobody_reads_costs_nobody(catalog, agent, read):
    """What anybody may register, of services that are nobody's here."""
    for name in ("web", "api"):
        catalog.put(name, 0)
    catalog.node("node-7", "10.9.0.7", **{"a\0": "b"})
    catalog.put("other", 0, tags=["other"])
    catalog.check(
        "other", 0, "critical", Definition={"Header": {"a\0": ["b"]}}
    )
    catalog.put("large", 0, tags=["other"])
    catalog.check("large", 0, "critical", Notes="x" * (5 << 20))
    proxy = {"DestinationServiceName": "web"}
    for number, config in enumerate([deep(100), {"a\0": 1}]):
        catalog.put(
            "odd",
            number,
            Kind="connect-proxy",
            Proxy={**proxy, "Config": config},
        )
    reader = read(agent).await_confirmed()
    assert sorted(reader.services) == ["api", "odd", "web"]
    assert len(reader.endpoints("odd")) == 2
    assert reader.said("a row is too large to be looked at")
    await_for(lambda: reader.health.state == "ok")
    catalog.check("web", 0, "critical")
    reader.await_endpoints("web", {"10.0.0.1": False}, SOON)
    catalog.take("api", 0)
    await_for(lambda: "api" not in reader.services, SOON)


def test_what_is_too_large_is_left_out(catalog, agent, read):
    catalog.put("web", 0)
    catalog.put("web", 1, tags=["kubernetes", "x" * (5 << 18)])
    catalog.put("n" * 256, 0)
    # Of no use in a path.
    for name in (".", ".."):
        catalog.put(name, 0)
    for name in ("...", "a//b", "a/../b"):
        catalog.put(name, 0)
    reader = read(agent).await_confirmed()
    assert sorted(reader.services) == ["...", "a/../b", "a//b", "web"]
    assert reader.endpoints("web") == {"10.0.0.1": True}
    assert reader.said("instance web-1 on node-1: what is read of it has more")
    assert reader.said("3 services are left out: their names are longer")


def test_loops_by_option(catalog, agent, read):
    catalog.put("loop", 0, Meta={"external-source": "kubernetes"})
    reader = read(agent, allow_loops="true").await_synced()
    assert reader.endpoints("loop") == {"10.0.0.1": True}


# ---- a Consul in trouble: nothing goes ----


def edited(**changes):
    """A fault that passes on, but with another body or other headers."""

    def change(answer):
        return Answer(
            changes.get("status", answer.status),
            {**answer.headers, **changes.get("headers", {})},
            changes.get("body", lambda body: body)(answer.body),
            changes.get("torn", False),
        )

    return change


def empty(body):
    return b"{}" if body.lstrip().startswith(b"{") else b"[]"


# Until all is right once Consul is back: with room for the pauses between
# tries, and for those that Consul asked for.
BACK = 8

TROUBLES = {
    "cut": "cut",
    "500": Answer(500, {}, b"No cluster leader"),
    "503": 503,
    "429": 429,
    "403": Answer(403, {}, b"ACL not found"),
    "torn": edited(torn=True, body=lambda body: body[: len(body) // 2]),
    "half": edited(body=lambda body: body[: len(body) // 2]),
    "html": edited(body=lambda body: b"<html>all is well</html>"),
    "no-leader": edited(headers={"X-Consul-Knownleader": "false"}, body=empty),
    "stale": edited(headers={"X-Consul-Lastcontact": "60000"}, body=empty),
    "no-index": edited(headers={"X-Consul-Index": ""}, body=empty),
    "empty": edited(body=empty),
    "filtered": edited(
        headers={"X-Consul-Results-Filtered-By-ACLs": "true"}, body=empty
    ),
    "backwards": edited(headers={"X-Consul-Index": "3"}, body=empty),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_nothing_goes_while_consul_is_in_trouble(
    trouble, catalog, proxy, read
):
    for name in ("web", "api", "db", "mq"):
        catalog.put(name, 0)
        catalog.put(name, 1)
    reader = read(proxy).await_confirmed()
    verdict = TROUBLES[trouble]
    proxy.fault = lambda _: verdict
    proxy.cut()
    catalog.put("web", 2)
    catalog.check("api", 0, "critical")
    # Longer than two looks that confirm each other.
    holds_for(lambda: reader.deleted() == [], 3)
    assert len(reader.services) == 4
    assert len(reader.instances) == 8
    await_for(lambda: reader.health.state == "degraded")
    proxy.fault = lambda _: None
    proxy.cut()
    reader.await_endpoints("api", {"10.0.0.1": False, "10.0.1.1": True}, BACK)
    reader.await_endpoints(
        "web", {f"10.0.{n}.1": True for n in range(3)}, BACK
    )
    await_for(lambda: reader.health.state == "ok", BACK, str(reader.health))
    assert reader.deleted() == []


def test_trouble_is_no_flood(catalog, proxy, read):
    for number in range(50):
        catalog.put(f"svc-{number}", 0)
    reader = read(proxy).await_confirmed()
    proxy.fault = lambda _: 500
    proxy.cut()
    await_for(lambda: reader.health.state == "degraded")
    before, lines = len(proxy.requests), len(reader.log)
    time.sleep(3)
    assert len(proxy.requests) - before < 60
    assert len(reader.log) - lines < 5


def test_a_wiped_consul(catalog, agent, tmp_path, read):
    with Consul(tmp_path) as own:
        cat = Catalog(own)
        for name in ("web", "api", "db"):
            for number in range(2):
                cat.put(name, number)
        reader = read(own).await_confirmed()
        own.stop()
        await_for(lambda: reader.health.state == "degraded")
        own.start()
        await_for(lambda: reader.said("went backwards"))
        holds_for(lambda: reader.deleted() == [], 3)
        cat.put("web", 0, Address="10.1.0.1")
        cat.put("api", 1, status="critical")
        reader.await_endpoints(
            "web", {"10.1.0.1": True, "10.0.1.1": True}, BACK
        )
        reader.await_endpoints(
            "api", {"10.0.0.1": True, "10.0.1.1": False}, BACK
        )
        assert reader.deleted() == []


@pytest.mark.long
def test_a_consul_without_leader(tmp_path, read):
    with three_servers(tmp_path / "servers") as (first, *others):
        cat = Catalog(first)
        for name in ("web", "api"):
            for number in range(2):
                cat.put(name, number)
        reader = read(first).await_confirmed()
        for server in others:
            server.stop()
        await_for(lambda: not first.has_leader(), 30)
        # A pulse that waits ends, and so does the next one.
        await_for(lambda: "no leader" in reader.health.text, 20)
        # Consul would now hold back for long what is asked of its leader.
        holds_for(lambda: reader.health.state == "degraded", 8)
        for server in others:
            server.spawn()
        cat.check("web", 0, "critical")
        reader.await_endpoints(
            "web", {"10.0.0.1": False, "10.0.1.1": True}, BACK
        )
        await_for(lambda: reader.health.state == "ok", BACK)
        cat.put("web", 2)
        await_for(lambda: "10.0.2.1" in reader.endpoints("web"), BACK)
        assert reader.deleted() == []


def without_a_leader(ended):
    """A fault: as a Consul server without one, until that event. What its
    leader is to answer is held back.
    """

    def fault(request):
        if is_blocking(request):
            return None
        if "stale=" in request.path:
            return edited(headers={"X-Consul-Knownleader": "false"})
        ended.wait(60)
        return Answer(500, {}, b"No cluster leader")

    return fault


def test_what_was_held_back_is_asked_again(catalog, proxy, read):
    catalog.put("web", 0)
    catalog.put("web", 1)
    # What is held back is not given up before it is asked again.
    reader = read(proxy, consul_timeout="60s").await_confirmed()
    time.sleep(0.5)
    ended = threading.Event()
    try:
        # The list that waited still says so, the read that follows hangs.
        proxy.fault = without_a_leader(ended)
        catalog.check("web", 0, "critical")
        await_for(lambda: "no leader" in reader.health.text, 10)
        proxy.fault = lambda _: None
        reader.await_endpoints(
            "web", {"10.0.0.1": False, "10.0.1.1": True}, BACK
        )
        await_for(lambda: reader.health.state == "ok", BACK)
    finally:
        ended.set()


def test_a_slow_answer_is_no_trouble(catalog, proxy, read):
    """It makes katalogd ask for the leader now and then, and that is all."""
    catalog.put("web", 0)
    reader = read(proxy).await_confirmed()
    time.sleep(0.5)
    before = len(proxy.requests)
    proxy.fault = lambda r: (
        time.sleep(4) if r.path == "/v1/health/service/web" else None
    )
    catalog.check("web", 0, "critical")
    reader.await_endpoints("web", {"10.0.0.1": False}, 4 + SOON)
    assert reader.health.state == "ok"
    assert not reader.said("leader")
    pulses = [r for r in proxy.requests[before:] if is_pulse(r)]
    # One a second, and those that begin and end on a busy machine.
    assert 2 <= len([r for r in pulses if not is_blocking(r)]) <= 7


def test_many_at_once_go_after_a_second_look(catalog, agent, read):
    for name in range(6):
        for number in range(2):
            catalog.put(f"svc-{name}", number)
    reader = read(agent).await_confirmed()
    begun = time.monotonic()
    catalog.wipe()
    holds_for(lambda: len(reader.services) > 2, 1)
    await_for(lambda: not reader.services, 8)
    assert time.monotonic() - begun > 1.9
    assert reader.instances == {}


@pytest.mark.timing
def test_max_delete_ratio_of_one_does_not_wait(catalog, agent, read):
    """A second look would come 2 s after the first one."""
    catalog.put("web", 0)
    reader = read(agent, max_delete_ratio="1").await_confirmed()
    catalog.wipe()
    await_for(lambda: not reader.services, AT_ONCE)


# ---- tokens, links, another start ----


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A Consul that denies what no token allows."""
    config = {
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "tokens": {"initial_management": "root", "agent": "root"},
        }
    }
    folder = tmp_path_factory.mktemp("reader-acl")
    with Consul(folder, config, token="root") as running:
        yield running


NODES = 'node_prefix "" { policy = "read" }'
ALL = 'service_prefix "" { policy = "read" }' + NODES
ONE = 'service_prefix "web" { policy = "read" }' + NODES


def test_tokens(guarded, read):
    cat = Catalog(guarded)
    cat.put("web", 0)
    cat.put("api", 0)
    # None: Consul shows nothing, and says nothing about that.
    reader = read(guarded)
    await_for(lambda: "lacks Consul's own service" in reader.health.text)
    assert not reader.fresh
    one, everything = guarded.make_token(ONE), guarded.make_token(ALL)
    reader.tell(f"token {one}")
    reader.await_endpoints("web", {"10.0.0.1": True}, SOON)
    await_for(lambda: "may not see all services" in reader.health.text)
    assert not reader.fresh
    reader.tell(f"token {everything}")
    reader.await_endpoints("api", {"10.0.0.1": True}, SOON)
    reader.await_confirmed()
    await_for(lambda: reader.health.state == "ok")
    # Less is seen: nothing goes.
    for token in (one, "", "11111111-2222-3333-4444-555555555555"):
        reader.tell(f"token {token}")
        await_for(lambda: reader.health.state == "degraded")
        holds_for(lambda: reader.deleted() == [], 3)
        reader.tell(f"token {everything}")
        await_for(lambda: reader.health.state == "ok")
    assert reader.deleted() == []


def test_a_token_from_the_start(guarded, read):
    Catalog(guarded).put("web", 0)
    reader = read(guarded, {"CONSUL_TOKEN": guarded.make_token(ALL)})
    reader.await_endpoints("web", {"10.0.0.1": True})
    reader.await_confirmed()


def test_a_new_link_gets_it_all(catalog, two):
    synced = two.synced
    two.fresh = None
    two.tell("link")
    await_for(lambda: two.synced > synced)
    await_for(lambda: two.fresh)
    catalog.check("web", 0, "critical")
    two.await_endpoints("web", {"10.0.0.1": False, "10.0.1.1": True}, SOON)
    assert two.deleted() == []


def test_nothing_is_said_before_all_is_read(catalog, proxy, read):
    catalog.put("web", 0)
    catalog.put("api", 0)
    proxy.fault = lambda r: 500 if "/health/service/api" in r.path else None
    reader = read(proxy)
    await_for(lambda: reader.health.state == "degraded")
    holds_for(lambda: not reader.synced, 2)
    proxy.fault = lambda _: None
    reader.await_synced()
    assert sorted(reader.services) == ["api", "web"]


def test_one_that_cannot_be_read_holds_up_nobody_for_ever(
    catalog, proxy, read
):
    catalog.put("web", 0)
    catalog.put("api", 0)
    odd = edited(body=lambda body: b'[{"Node":1}]')
    proxy.fault = lambda r: odd if "/health/service/api" in r.path else None
    reader = read(proxy).await_synced(15)
    assert sorted(reader.services) == ["web"]
    assert reader.said("read service api: "), reader.log
    assert reader.health.state == "degraded"
    catalog.check("web", 0, "critical")
    reader.await_endpoints("web", {"10.0.0.1": False}, SOON)
    assert not reader.fresh


def test_one_that_is_too_large_is_no_lost_consul(catalog, proxy, read):
    for name in ("web", "api", "db"):
        catalog.put(name, 0)
    reader = read(proxy).await_confirmed()
    time.sleep(0.2)
    large = edited(body=lambda _: b"[" + b" " * LARGER_THAN_A_SERVICE + b"]")
    proxy.fault = lambda r: large if "/health/service/api" in r.path else None
    catalog.check("api", 0, "critical")
    await_for(lambda: "1 services cannot be read" in reader.health.text, 15)
    assert reader.said("read service api: answer larger than")
    for status in ("critical", "passing"):
        for name in ("web", "db"):
            catalog.check(name, 0, status)
        wanted = {"10.0.0.1": status == "passing"}
        for name in ("web", "db"):
            reader.await_endpoints(name, wanted, SOON)
    # Each try has the leader say all of it.
    tries = [r for r in proxy.requests if "/health/service/api" in r.path]
    assert len(tries) <= 2 + 5
    assert reader.health.text == "1 services cannot be read"
    assert reader.endpoints("api") == {"10.0.0.1": True}
    assert not reader.said("answers again")


def test_a_list_that_cannot_be_read_stops_nothing(catalog, proxy, read):
    for name in ("web", "api"):
        catalog.put(name, 0)
    odd = edited(body=lambda _: b'[{"Node":1}]')
    proxy.fault = lambda r: odd if "/health/state/critical" in r.path else None
    reader = read(proxy).await_confirmed()
    assert reader.health.text.startswith("1 lists of Consul cannot be read")
    # The next sweep shows it.
    catalog.check("web", 0, "critical")
    reader.await_endpoints("web", {"10.0.0.1": False}, 10 + SOON)
    catalog.wipe()
    await_for(lambda: not reader.services, 10 + SOON)
    # Said once, however often it is tried.
    assert len([line for _, line in reader.log if "critical" in line]) == 1
    proxy.fault = lambda _: None
    await_for(lambda: reader.health.state == "ok", 10 + SOON)
    assert reader.said("read the critical checks: answered")


def test_another_datacenter_and_prefix_are_asked_for(catalog, proxy, read):
    catalog.put("web", 0)
    reader = read(proxy, consul_datacenter="dc1").await_synced()
    assert sorted(reader.services) == ["web"]
    assert all("dc=dc1" in r.path for r in proxy.requests)


def test_the_resync_reads_all_again(catalog, proxy, read):
    catalog.put("web", 0)
    reader = read(proxy, resync_interval="3s").await_confirmed()
    time.sleep(1)
    before = len(proxy.requests)
    await_for(
        lambda: (
            {
                r.path.split("?")[0]
                for r in proxy.requests[before:]
                if not is_blocking(r)
            }
            == {
                "/v1/catalog/services",
                "/v1/health/state/critical",
                "/v1/catalog/nodes",
                "/v1/health/service/web",
            }
        )
    )
    assert reader.deleted() == []


def test_json_of_the_probe_is_what_consul_has(catalog, agent, read):
    """The whole set once more, compared with Consul's own answers."""
    for number in range(3):
        catalog.put(
            "web", number, status=("passing", "warning", "critical")[number]
        )
    reader = read(agent).await_synced()
    for entry in agent.get("/v1/health/service/web"):
        service = entry["Service"]
        item = reader.instances["web", entry["Node"]["Node"], service["ID"]]
        assert item.address == service["Address"]
        assert item.port == str(service["Port"])
        states = {check["Status"] for check in entry["Checks"]}
        assert (item.ready == "ready") == ("critical" not in states)
    assert json.loads(reader.services["web"].create_index) == min(
        entry["Service"]["CreateIndex"]
        for entry in agent.get("/v1/health/service/web")
    )
