"""The datacenter that is asked for."""

import pytest

from harness.catalog import Catalog, Instance
from harness.consul import Consul
from harness.waiting import await_for, free_port, holds_for

HERE = Instance("here", address="10.1.0.1")
AWAY = Instance("away", address="10.2.0.1")


class Datacenter(Consul):
    """One of several that know each other."""

    def __init__(self, folder, name, join=()):
        folder.mkdir()
        self.wan = free_port()
        super().__init__(
            folder,
            {
                "datacenter": name,
                "retry_join_wan": [f"127.0.0.1:{peer.wan}" for peer in join],
                "ports": {"serf_wan": self.wan},
            },
        )


@pytest.fixture(scope="module")
def dc1(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datacenters")
    with (
        Datacenter(folder / "dc1", "dc1") as first,
        Datacenter(folder / "dc2", "dc2", [first]) as second,
    ):
        await_for(
            lambda: first.get("/v1/catalog/datacenters") == ["dc1", "dc2"], 30
        )
        Catalog(first).put(HERE)
        Catalog(second).put(AWAY)
        first.other = second
        yield first


def test_another_datacenter(sync, space, dc1):
    """By way of the agent here."""
    sync(dc1, space, consul_datacenter="dc2")
    assert space.has(AWAY)
    catalog = Catalog(dc1.other)
    gone = catalog.set_status(AWAY, "critical")
    space.await_has(gone)
    space.await_has(catalog.set_status(AWAY, "passing"))
    assert list(space.services()) == ["away"]


def test_the_agents_datacenter(sync, space, dc1):
    sync(dc1, space)
    assert space.has(HERE)


def test_unknown_datacenter(sync, space, dc1):
    daemon = sync(dc1, space, consul_datacenter="dc9", wait=False)
    daemon.await_log("No path to datacenter")
    holds_for(lambda: daemon.get("/readyz")[0] == 503, 3)
    assert "No path to datacenter" in daemon.get("/readyz")[1]
    assert space.services() == {}
