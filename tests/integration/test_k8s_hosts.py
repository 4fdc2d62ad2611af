"""Instances that have a host name for an address."""

import pytest

from harness.catalog import Instance
from harness.daemon import PROGRAM
from harness.dns import NameServer, can_have_one
from harness.waiting import await_for, holds_for

pytestmark = pytest.mark.skipif(
    not can_have_one(), reason="no name server of its own without rights"
)
NAME = "db.example.test"
DB = Instance("db", address=NAME)
# Its TTL is kept for 5 s at least, and looked at as often.
CHANGED = 12


@pytest.fixture
def names(tmp_path):
    with NameServer() as running:
        yield running


@pytest.fixture
def follow(names, sync, space, catalog, consul, tmp_path):
    """follow(**options): katalogd that asks names."""

    def start(**options):
        program = names.wrap(PROGRAM, tmp_path)
        return sync(
            consul, space, program=program, resolve_hostnames="true", **options
        )

    return start


def addresses(space):
    return {e.address for e in space.endpoints("db")}


def test_host_names_are_followed(names, follow, space, catalog):
    names.addresses[NAME] = ["10.77.0.1", "10.77.0.2", "fd00:77::1"]
    catalog.put(DB)
    follow()
    await_for(lambda: addresses(space) == set(names.addresses[NAME]))
    families = {s["addressType"] for s in space.slices("db").values()}
    assert families == {"IPv4", "IPv6"}
    names.addresses[NAME] = ["10.77.0.2", "10.77.0.3"]
    await_for(lambda: addresses(space) == {"10.77.0.2", "10.77.0.3"}, CHANGED)
    # Readiness is Consul's.
    catalog.set_status(DB, "critical")
    await_for(lambda: not any(e.ready for e in space.endpoints("db")))


def test_name_that_is_gone_stays_as_it_was(names, follow, space, catalog):
    names.addresses[NAME] = ["10.77.0.1"]
    catalog.put(DB)
    daemon = follow()
    await_for(lambda: addresses(space) == {"10.77.0.1"})
    del names.addresses[NAME]
    daemon.await_log(f"look up {NAME}", CHANGED)
    holds_for(lambda: addresses(space) == {"10.77.0.1"}, 2)


def test_name_that_nobody_has_is_not_asked_for(names, follow, space, catalog):
    names.addresses[NAME] = ["10.77.0.1"]
    catalog.put(DB)
    follow()
    await_for(lambda: addresses(space) == {"10.77.0.1"})
    catalog.remove(DB)
    await_for(lambda: "db" not in space.services())
    asked = len(names.asked)
    holds_for(lambda: len(names.asked) == asked, CHANGED)


def test_name_that_comes_late(names, follow, space, catalog):
    """Its Service is there; nothing else waits for it."""
    other = Instance("web", address="10.1.1.1")
    catalog.put(DB, other)
    daemon = follow()
    await_for(lambda: space.endpoints("web"))
    assert addresses(space) == set()
    assert "db" in space.services()
    daemon.await_log(f"look up {NAME}")
    names.addresses[NAME] = ["10.77.0.1"]
    await_for(lambda: addresses(space) == {"10.77.0.1"}, CHANGED)
