"""Many services, many instances: how soon, how many requests."""

import random
import statistics
import time

import pytest

from harness.catalog import TAG, Catalog, Instance, instances, ipv4, ipv6
from harness.daemon import Katalogd
from harness.space import Space, endpoints_of
from harness.waiting import SLOWNESS, await_for, holds_for

SERVICES = 503
EACH = 4
FLIPS = 20
# Control channel, links, listeners and what libraries keep.
OWN_SOCKETS = 8
MOST_CONNECTIONS = 64


class Big:
    """katalogd with many services, and how its start went."""

    def __init__(self, consul, space, folder):
        self.space = space
        self.catalog = Catalog(consul)
        self.items = {
            i.id: i
            for n in range(SERVICES)
            for i in instances(
                f"svc-{n}", EACH, base=n * EACH, node=f"node-{n % 10}"
            )
        }
        self.daemon = Katalogd(
            folder,
            to_k8s="true",
            consul_addr=consul.address,
            leader_elect="yes",
            **space.access(),
        )
        self.sockets = 0

    def start(self):
        self.catalog.put(*self.items.values())
        begin = time.monotonic()
        self.daemon.start()
        await_for(self.is_right, 60, "all services", interval=0.1)
        self.took = time.monotonic() - begin
        self.daemon.await_ready()

    def is_right(self):
        reader = self.daemon.workers().get("consul-reader")
        if reader is not None:
            opened = reader.descriptors.values()
            count = sum(name.startswith("socket:") for name in opened)
            self.sockets = max(self.sockets, count)
        return self.space.has(*self.items.values())

    def flip(self, name, status):
        self.items[name] = self.catalog.set_status(self.items[name], status)

    def is_ready(self, name):
        """What the slice says of that instance."""
        item = self.items[name]
        slice_ = self.space.get("endpointslices", f"{item.service}-consul")
        found = {e.address: e.ready for e in endpoints_of([slice_])}
        return found[item.address]


@pytest.fixture(scope="module")
def big(shared_consul, shared_cluster, role, tmp_path_factory):
    folder = tmp_path_factory.mktemp("big")
    shared_consul.wipe()
    Catalog(shared_consul).wipe()
    one = Big(shared_consul, Space(shared_cluster, role, folder), folder)
    with one.daemon:
        one.daemon.stop()
        one.start()
        yield one
    one.space.clear()
    one.catalog.wipe()


def test_start(big):
    print(f"{SERVICES} services with {EACH} instances: {big.took:.1f} s")
    assert big.took <= 5 * SLOWNESS


def test_connections_are_few(big):
    print(f"at most {big.sockets} sockets")
    assert 0 < big.sockets <= MOST_CONNECTIONS + OWN_SOCKETS


def test_one_flip_is_one_patch(big):
    # What the start left to do is over.
    await_quiet(big.space)
    mark = big.space.cluster.mark()
    big.flip("svc-7-1", "critical")
    await_for(lambda: not big.is_ready("svc-7-1"))
    await_quiet(big.space)
    (write,) = big.space.writes(mark)
    assert (write.verb, write.name) == ("patch", "svc-7-consul")


def await_quiet(space, seconds=1):
    """Nothing was written for a while."""

    def quiet():
        mark = space.cluster.mark()
        time.sleep(seconds)
        return not space.writes(mark)

    await_for(quiet, 20, "no more writes")


def test_flips_arrive_soon(big):
    taken = []
    for number in range(FLIPS):
        name = f"svc-{random.randrange(SERVICES)}-{number % EACH}"
        status = big.items[name].status
        wanted = status == "critical"
        # They fall anywhere between the reads of others.
        time.sleep(random.uniform(0.1, 0.5))
        begin = time.monotonic()
        big.flip(name, "passing" if wanted else "critical")
        await_for(
            lambda n=name, w=wanted: big.is_ready(n) == w, interval=0.002
        )
        taken.append(time.monotonic() - begin)
    print(
        f"flips: median {statistics.median(taken) * 1e3:.0f} ms, "
        f"max {max(taken) * 1e3:.0f} ms"
    )
    assert statistics.median(taken) <= 0.3 * SLOWNESS


def test_all_is_right_after_many_changes_at_once(big):
    names = random.sample(sorted(big.items), 100)
    for name in names:
        other = "passing"
        if big.items[name].status == "passing":
            other = "critical"
        big.flip(name, other)
    await_for(
        lambda: big.space.has(*big.items.values()), 5, "all", interval=0.1
    )


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

    await_quiet(space)
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
    space.await_has(*items)
    assert len(space.writes(mark)) == 1


def test_many_services_go(sync, space, catalog, consul):
    """Half of them at most at once: no waiting for a second look."""
    items = [
        Instance(f"s{n}", address=ipv4(n), tags=(TAG,)) for n in range(20)
    ]
    catalog.put(*items)
    sync(consul, space)
    space.await_has(*items)
    await_quiet(space)
    catalog.remove(*items[:8])
    space.await_has(*items[8:])
