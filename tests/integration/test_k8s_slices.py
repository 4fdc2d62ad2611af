"""How few requests: at rest, and for services of many instances."""

import time

import pytest

from harness.catalog import TAG, Instance, instances, ipv4, ipv6
from harness.space import Endpoint
from harness.waiting import await_for, holds_for


@pytest.mark.long
def test_at_rest(sync, space, catalog, proxy, consul):
    """Only requests that wait, and the Lease's renewals."""
    items = [i for n in range(50) for i in instances(f"s{n}", 2, base=2 * n)]
    catalog.put(*items)
    sync(proxy, space, leader_elect="yes")
    space.await_has(*items)
    # The second look at the start.
    await_for(lambda: time.monotonic() - proxy.requests[-1].time > 3, 30)
    proxy.requests.clear()
    mark = space.cluster.mark()
    rest = 10
    holds_for(lambda: True, rest)
    assert [r.path for r in proxy.requests if "index=" not in r.path] == []
    assert len(proxy.requests) <= 5
    audited = [
        r
        for r in space.cluster.audited(mark, user=space.user)
        # Those that began before.
        if r.verb != "watch"
    ]
    assert {r.resource for r in audited} == {"leases"}
    assert len(audited) <= rest / 2 + 2


def sizes(slices):
    return sorted(len(s["endpoints"]) for s in slices.values())


def test_many_instances_of_one_service(sync, space, catalog, consul):
    """2,500 over both families: within the limits, and changes are small."""
    four = [
        Instance("web", n, address=ipv4(n), node=f"n{n % 7}")
        for n in range(1500)
    ]
    six = [
        Instance("web", 5000 + n, address=ipv6(n), node=f"n{n % 7}")
        for n in range(1000)
    ]
    items = four + six
    catalog.put(*items)
    sync(consul, space)
    space.await_has(*items, timeout=10)
    slices = space.slices("web")
    assert max(sizes(slices)) <= 1000
    assert len(slices) == 3
    families = [s["addressType"] for s in slices.values()]
    assert sorted(families) == ["IPv4", "IPv4", "IPv6"]

    space.await_quiet()
    mark, before = space.cluster.mark(), slices
    catalog.remove(items.pop(3))
    space.await_has(*items)
    (write,) = space.writes(mark)
    assert (write.verb, write.resource) == ("patch", "endpointslices")
    after = space.slices("web")
    assert sum(after[name] != before[name] for name in after) == 1

    # A new one costs one write, too, and no slice is split anew.
    mark = space.cluster.mark()
    items.append(Instance("web", 9999, address="10.99.9.9"))
    catalog.put(items[-1])
    # A sweep shows it, whose pace is that of the machine.
    space.await_has(*items, timeout=20)
    assert len(space.writes(mark)) == 1


def test_many_services_go(sync, space, catalog, consul):
    """Half of them at most at once: no waiting for a second look."""
    items = [
        Instance(f"s{n}", address=ipv4(n), tags=(TAG,)) for n in range(20)
    ]
    catalog.put(*items)
    sync(consul, space)
    space.await_has(*items)
    space.await_quiet()
    catalog.remove(*items[:8])
    space.await_has(*items[8:])


def test_more_ports_than_a_service_may_have(sync, space, catalog, consul):
    """Each is a slice of its own; what is too much is left out, and told."""
    items = [
        Instance("web", n, address="10.64.0.1", port=8000 + n)
        for n in range(70)
    ]
    more = Instance("more", address="10.64.0.2")
    catalog.put(*items, more)
    daemon = sync(consul, space)
    await_for(lambda: len(space.slices("web")) == 64, 10)
    daemon.await_log("web.*left out")
    assert space.endpoints("more") == {Endpoint("10.64.0.2", 8080, True)}
    catalog.remove(*items[:6])
    ports = {i.port for i in items[6:]}
    await_for(lambda: {e.port for e in space.endpoints("web")} == ports, 20)
