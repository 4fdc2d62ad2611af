"""The apiserver fails, is away, or asks to wait."""

import itertools
import threading
import time

import pytest

from harness.catalog import TAG, instances
from harness.proxy import Answer
from harness.waiting import SLOWNESS, await_for, holds_for

ITEMS = [i for n in range(4) for i in instances(f"svc-{n}", 2, base=10 * n)]
LASTING = 1.5
# Long before the resync; what was asked to wait may have to wait.
BACK = 10


def status(code, reason, **headers):
    body = (
        '{"kind":"Status","apiVersion":"v1","status":"Failure",'
        f'"message":"the test says so","reason":"{reason}","code":{code}}}'
    )
    return Answer(
        code,
        {"Content-Type": "application/json", **headers},
        body.encode(),
    )


ANSWERS = {
    "429": status(429, "TooManyRequests", **{"Retry-After": "1"}),
    "409": status(409, "Conflict"),
    "500": status(500, "InternalError"),
    "503": status(503, "ServiceUnavailable", **{"Retry-After": "1"}),
    "401": status(401, "Unauthorized"),
    "410": status(410, "Expired"),
    "html": Answer(200, {"Content-Type": "text/html"}, b"<html>"),
    "cut": "cut",
}


@pytest.fixture
def filled(sync, space, catalog, consul, kube_proxy):
    catalog.put(*ITEMS)
    daemon = sync(consul, space, **through(kube_proxy))
    space.await_has(*ITEMS)
    return daemon


def through(proxy):
    return {"k8s_api": proxy.url, "k8s_ca": None}


def is_write(request):
    return request.method in ("PATCH", "POST", "PUT", "DELETE")


def change(catalog):
    """Some flips and a new service: what must be there then."""
    flipped = [catalog.set_status(i, "critical") for i in ITEMS[::2]]
    more = instances("later", 2, base=100)
    catalog.put(*more)
    return [*flipped, *ITEMS[1::2], *more]


@pytest.mark.parametrize(
    "whom, name",
    [("writes", name) for name in ANSWERS]
    + [("all", name) for name in ("429", "503", "401", "html", "cut")],
)
def test_failing_apiserver_costs_only_time(
    whom, name, filled, space, catalog, kube_proxy
):
    """The changes are there soon after, and nothing was asked in a loop."""
    before = space.versions()
    asked = len(kube_proxy.requests)
    kube_proxy.fault = lambda request: (
        ANSWERS[name] if whom == "all" or is_write(request) else None
    )
    if whom == "all":
        kube_proxy.cut()
    wanted = change(catalog)
    await_for(lambda: len(kube_proxy.requests) > asked)
    holds_for(lambda: space.versions() == before, LASTING)
    # Some tries for each of the 7 objects that differ.
    assert len(kube_proxy.requests) - asked < 40 * LASTING
    assert filled.running
    kube_proxy.fault = lambda request: None
    space.await_has(*wanted, timeout=BACK)
    await_for(lambda: filled.is_ready, BACK)
    assert space.deletions() == []


def test_retry_after_is_honoured(filled, space, catalog, kube_proxy):
    """2 s are said: nothing is tried sooner, and then one of all."""
    said = status(429, "TooManyRequests", **{"Retry-After": "2"})
    kube_proxy.fault = lambda request: said if is_write(request) else None
    kube_proxy.requests.clear()
    wanted = change(catalog)
    await_for(lambda: len(tries(kube_proxy)) >= 4, 15, "more tries")
    gaps = [b - a for a, b in itertools.pairwise(tries(kube_proxy))]
    assert min(gaps) >= 1.9
    kube_proxy.fault = lambda request: None
    space.await_has(*wanted, timeout=BACK)


def tries(proxy):
    """When something was written; what went out with the first is one."""
    times = sorted(r.time for r in list(proxy.requests) if is_write(r))
    return times[:1] + [t for t in times if t > times[0] + 0.5]


def test_write_that_was_done_all_the_same(filled, space, catalog, kube_proxy):
    """Once the watch has shown it nothing is wrong any more."""
    kube_proxy.fault = lambda request: (
        (lambda real: ANSWERS["503"]) if is_write(request) else None
    )
    flipped = catalog.set_status(ITEMS[0], "critical")
    filled.await_log("the test says so")
    space.await_has(flipped, *ITEMS[1:])
    await_for(lambda: health_of_writer(filled) == "ok")


def health_of_writer(daemon):
    workers = {w["name"]: w for w in daemon.status()["workers"]}
    return workers["k8s-writer"]["health"]


def is_renewal(request):
    return request.method == "PUT" and "/leases/" in request.path


@pytest.mark.timing
def test_lease_ends_under_a_write(sync, space, catalog, consul, kube_proxy):
    """It is given up, 10 s after the sending of the last good renewal."""
    catalog.put(*ITEMS)
    options = {"leader_elect": "yes", "k8s_timeout": "60s"}
    daemon = sync(consul, space, **options, **through(kube_proxy))

    def hang_writes(request):
        if is_renewal(request):
            return ANSWERS["500"]
        if is_write(request):
            time.sleep(14)
            return ANSWERS["503"]
        return None

    await_for(lambda: any(map(is_renewal, kube_proxy.requests)))
    kube_proxy.fault = hang_writes
    good = [r for r in kube_proxy.requests if is_renewal(r) and r.status < 300]
    flipped = catalog.set_status(ITEMS[0], "critical")
    daemon.await_log("no longer holds the Lease", 12)
    assert time.monotonic() - good[-1].time < 10 + 0.5 * SLOWNESS
    errors = [o["error"] for o in daemon.status()["objects"] if o["error"]]
    assert ["cancelled" in error for error in errors] == [True]
    kube_proxy.fault = lambda request: None
    space.await_has(flipped, *ITEMS[1:], timeout=20)


@pytest.mark.parametrize("allowed", [1, 3])
def test_writes_at_once_are_bounded(
    allowed, sync, space, catalog, consul, kube_proxy
):
    running, most = [], []
    all_there = threading.Event()

    def watch(request):
        if is_write(request):
            running.append(request)
            most.append(len(running))
            if len(running) == allowed:
                all_there.set()
            # The first ones wait for each other, then for one too many.
            all_there.wait(5)
            time.sleep(0.02)
            running.remove(request)

    kube_proxy.fault = watch
    items = [i for n in range(20) for i in instances(f"s{n}", 1, base=n)]
    catalog.put(*items)
    sync(consul, space, k8s_concurrency=allowed, **through(kube_proxy))
    assert space.has(*items)
    assert max(most) == allowed


def test_refused_object_costs_only_itself(filled, space, catalog, kube_proxy):
    """An admission webhook refuses one: said, and the rest goes on."""
    refused = status(422, "Invalid")
    kube_proxy.fault = lambda request: (
        refused
        if is_write(request) and "svc-1-consul" in request.path
        else None
    )
    flipped = [catalog.set_status(i, "critical") for i in ITEMS]
    filled.await_log("svc-1-consul.*the test says so")
    await_for(lambda: not any(e.ready for e in space.endpoints("svc-3")))
    errors = {
        o["name"]: o["error"] for o in filled.status()["objects"] if o["error"]
    }
    assert list(errors) == ["svc-1-consul"]
    kube_proxy.fault = lambda request: None
    space.await_has(*flipped, timeout=15)


def test_watch_that_is_too_old(filled, space, catalog, kube_proxy):
    """410 in the stream: listed again, and no event is missed."""
    await_for(lambda: len(kube_proxy.watches) >= 2)
    lists = len([r for r in kube_proxy.of_verb("GET")])
    assert kube_proxy.expire_watches() >= 2
    space.cluster.patch(
        "endpointslices", space.name, "svc-2-consul", {"endpoints": []}
    )
    space.await_has(*ITEMS, timeout=BACK)
    holds_for(
        lambda: len(kube_proxy.of_verb("GET")) - lists <= 12, 1, "few lists"
    )


def test_watch_that_ends(filled, space, kube_proxy):
    """The connections are cut: it goes on from where it was."""
    kube_proxy.cut()
    space.cluster.delete("services", space.name, "svc-2")
    await_for(lambda: "svc-2" in space.services(), BACK)


# EndpointSlices come by 100.
PAGED = 120


def test_list_comes_in_pages(sync, space, catalog, consul, kube_proxy):
    """What is there at the start: a 410 between two pages begins anew."""
    items = [i for n in range(PAGED) for i in instances(f"s{n}", 1, base=n)]
    catalog.put(*items)
    sync(consul, space).stop()
    before = space.versions()
    once = []

    def expire_one(request):
        if "continue=" in request.path and not once:
            once.append(request)
            return ANSWERS["410"]
        return None

    kube_proxy.fault = expire_one
    sync(consul, space, name="second", **through(kube_proxy))
    assert once
    assert space.versions() == before


def test_rotated_token(filled, space, catalog, kube_proxy):
    """The old one is refused; the new one is in the file a moment later."""
    old = f"Bearer {space.token_file.read_text()}"

    def refuse_old(request):
        if request.headers.get("Authorization") == old:
            return ANSWERS["401"]
        return None

    kube_proxy.fault = refuse_old
    kube_proxy.cut()
    wanted = change(catalog)
    await_for(lambda: kube_proxy.requests[-1].status == 401)
    new = space.token_file.with_suffix(".new")
    # A token that was issued in the same second may be the same.
    fresh = await_for(lambda: other_token(space, old))
    new.write_text(fresh)
    new.rename(space.token_file)
    space.await_has(*wanted, timeout=BACK)


def other_token(space, old):
    token = space.token()
    return token if f"Bearer {token}" != old else None


def test_apiserver_restarts(sync, space, catalog, consul):
    cluster = space.cluster
    catalog.put(*ITEMS)
    daemon = sync(consul, space, domain_suffix="example.org")
    uids = {n: s["metadata"]["uid"] for n, s in space.services().items()}
    cluster.stop_apiserver()
    try:
        wanted = change(catalog)
        more = instances("routed", 1, base=200, tags=(TAG, "internal"))
        catalog.put(*more)
        daemon.await_log("(?i)refused|connect")
    finally:
        cluster.start_apiserver()
    space.await_has(*wanted, *more, timeout=BACK)
    await_for(space.routes, BACK, "the route")
    now = {n: s["metadata"]["uid"] for n, s in space.services().items()}
    assert {n: now[n] for n in uids} == uids
    await_for(lambda: daemon.is_ready)


def test_apiserver_that_hangs(sync, space, catalog, consul):
    """Connections stay, nothing is answered, then all at once."""
    catalog.put(*ITEMS)
    sync(consul, space, k8s_timeout="2s")
    space.cluster.pause()
    try:
        begin = time.monotonic()
        wanted = change(catalog)
        # Past the time that a request may take.
        holds_for(lambda: True, 4)
    finally:
        space.cluster.resume()
    assert time.monotonic() - begin < 30 * SLOWNESS
    space.await_has(*wanted, timeout=BACK)
