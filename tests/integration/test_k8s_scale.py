"""Many services: how soon, over how few connections, at what cost."""

import random
import statistics
import time

import pytest

from harness.catalog import Catalog, instances
from harness.daemon import Katalogd
from harness.space import Space, endpoints_of
from harness.waiting import SLOWNESS, await_for

pytestmark = pytest.mark.timing
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

    def await_start(self):
        begin = time.monotonic()
        # Lists of all are dear: the apiserver is not to be kept busy by us.
        await_for(self.says_so, 60, "ready", interval=0.05)
        await_for(self.is_right, 5, "all services", interval=0.1)
        self.took = time.monotonic() - begin

    def says_so(self):
        reader = self.daemon.workers().get("consul-reader")
        if reader is not None:
            opened = reader.descriptors.values()
            count = sum(name.startswith("socket:") for name in opened)
            self.sockets = max(self.sockets, count)
        return self.daemon.is_ready

    def is_right(self):
        return self.space.has(*self.items.values())

    def flip(self, name, status):
        self.items[name] = self.catalog.set_status(self.items[name], status)

    def is_ready(self, name):
        """What the slice says of that instance."""
        item = self.items[name]
        slice_ = self.space.get("endpointslices", f"{item.service}-consul")
        found = {e.address: e.ready for e in endpoints_of([slice_])}
        return found[item.address]

    def has_address(self, item):
        slice_ = self.space.get("endpointslices", f"{item.service}-consul")
        return item.address in {e.address for e in endpoints_of([slice_])}


@pytest.fixture(scope="module")
def big(shared_consul, shared_cluster, role, tmp_path_factory):
    folder = tmp_path_factory.mktemp("big")
    shared_consul.wipe()
    Catalog(shared_consul).wipe()
    one = Big(shared_consul, Space(shared_cluster, role, folder), folder)
    one.catalog.put(*one.items.values())
    with one.daemon:
        one.await_start()
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
    big.space.await_quiet()
    mark = big.space.cluster.mark()
    big.flip("svc-7-1", "critical")
    await_for(lambda: not big.is_ready("svc-7-1"))
    big.space.await_quiet()
    (write,) = big.space.writes(mark)
    assert (write.verb, write.name) == ("patch", "svc-7-consul")


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


def test_address_of_the_same_instance_arrives_soon(big):
    """No list of Consul's says which service that was."""
    for number in range(3):
        item = big.items["svc-9-1"].with_(address=f"10.9.0.{number + 1}")
        big.items[item.id] = item
        big.catalog.put(item)
        await_for(lambda i=item: big.has_address(i), 2.5, item.address)


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
