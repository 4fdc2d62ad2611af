"""Two copies: one writes, the other takes over, never both."""

import contextlib
import os
import signal
import time

import pytest

from harness.catalog import Catalog, instances
from harness.daemon import Katalogd
from harness.space import Space
from harness.waiting import SLOWNESS, await_for, holds_for

pytestmark = pytest.mark.long
ITEMS = [i for n in range(10) for i in instances(f"svc-{n}", 2, base=10 * n)]
LEASE = "katalogd-to-k8s"
# 15 s of the Lease, up to 2 s until that is seen, and the work.
TAKEOVER = 20 + 5 * SLOWNESS
# The Lease runs out after 15 s; sanitizers' runs stop it just past that.
STOPPED = 60 if SLOWNESS == 1 else 25


class Copy:
    """katalogd under an account of its own, so that its writes are known."""

    def __init__(self, pair, name, **options):
        space = pair.space
        self.user = f"system:serviceaccount:{space.name}:{name}"
        token = pair.folder / f"{name}.token"
        token.write_text(space.cluster.account_token(space.name, name))
        self.daemon = Katalogd(
            pair.folder / name,
            to_k8s="true",
            consul_addr=pair.consul.address,
            leader_elect="yes",
            **{**space.access(), "k8s_token_file": token, **options},
        )

    @property
    def leads(self):
        return self.daemon.metric("katalogd_k8s_leader") == 1

    def family(self):
        return [self.daemon.itself, *self.daemon.workers().values()]

    def signal(self, by, family):
        for process in family:
            os.kill(process.pid, by)


class Pair:
    """Two copies for one namespace; services are of this pair alone."""

    def __init__(self, consul, space, folder, prefix):
        self.consul, self.space, self.folder = consul, space, folder
        folder.mkdir(exist_ok=True)
        self.catalog = Catalog(consul)
        self.items = [
            i.with_(service=f"{prefix}-{i.service}", tags=(prefix,))
            for i in ITEMS
        ]
        self.copies = [
            Copy(self, name, consul_tag=prefix) for name in ("one", "two")
        ]
        self.bind()

    def bind(self):
        """Both accounts have contrib's role."""
        subjects = [
            {"kind": "ServiceAccount", "name": n, "namespace": self.space.name}
            for n in ("one", "two")
        ]
        self.space.cluster.patch(
            "rolebindings", self.space.name, LEASE, {"subjects": subjects}
        )

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.space.clear)
            stack.callback(self.catalog.remove, *self.items)
            self.catalog.put(*self.items)
            for copy in self.copies:
                stack.enter_context(copy.daemon)
            for copy in self.copies:
                copy.daemon.await_ready()
            self.space.await_has(*self.items)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self.stack.__exit__(*error)

    def roles(self):
        """The leader and the other one."""
        (leader,) = [copy for copy in self.copies if copy.leads]
        (other,) = [copy for copy in self.copies if copy is not leader]
        return leader, other

    def flip(self):
        """All of them: work for whoever leads."""
        failing = self.items[0].status == "passing"
        status = "critical" if failing else "passing"
        self.items = [self.catalog.set_status(i, status) for i in self.items]

    def writers(self):
        """Who wrote, in the order of their writes: each once for a row."""
        writes = self.space.writes()
        row = []
        for write in sorted(writes, key=lambda w: w.began):
            if not row or row[-1] != write.user:
                row.append(write.user)
        return row

    def never_two_at_once(self):
        """No write began before the last one of another copy had ended."""
        writes = sorted(self.space.writes(), key=lambda w: w.began)
        ended, last = 0.0, None
        for write in writes:
            if last is not None and write.user != last:
                assert write.began > ended, write
            ended, last = max(ended, write.ended), write.user


@pytest.fixture(scope="module")
def make_pair(shared_consul, shared_cluster, role, tmp_path_factory):
    def make(prefix):
        folder = tmp_path_factory.mktemp(prefix)
        space = Space(shared_cluster, role, folder)
        return Pair(shared_consul, space, folder, prefix)

    return make


@pytest.fixture(scope="module", autouse=True)
def stopped(make_pair):
    """A pair whose leader is stopped while the other tests of this file run.

    The supervisor and its workers, as a frozen container would be.
    """
    with make_pair("stopped") as pair:
        leader, other = pair.roles()
        family = leader.family()
        # It has work to do, now and when it goes on.
        pair.flip()
        leader.signal(signal.SIGSTOP, family)
        pair.leader, pair.other, pair.family = leader, other, family
        pair.since = time.monotonic()
        try:
            yield pair
        finally:
            leader.signal(signal.SIGCONT, family)
            leader.daemon.await_ready()


@pytest.fixture
def pair(make_pair, request):
    with make_pair(f"pair-{id(request)}") as running:
        yield running


def test_follower_is_ready_and_writes_nothing(pair):
    leader, other = pair.roles()
    assert other.daemon.is_ready
    pair.flip()
    pair.space.await_has(*pair.items)
    assert pair.writers() == [leader.user]
    lease = pair.space.get("leases", LEASE)["spec"]
    assert lease["leaseDurationSeconds"] == 15
    assert lease["holderIdentity"]


def test_clean_stop_releases_the_lease(pair):
    """The follower is warm and need not wait for 15 s."""
    leader, other = pair.roles()
    leader.daemon.stop()
    await_for(lambda: other.leads, 12 / SLOWNESS)
    pair.flip()
    pair.space.await_has(*pair.items)
    assert pair.writers() == [leader.user, other.user]
    pair.never_two_at_once()
    pair.copies.remove(leader)


def test_lease_is_deleted_by_hand(pair):
    """Whoever leads then, it is one."""
    pair.space.cluster.delete("leases", pair.space.name, LEASE)
    pair.flip()
    pair.space.await_has(*pair.items, timeout=TAKEOVER)
    await_for(lambda: sum(c.leads for c in pair.copies) == 1, TAKEOVER)
    pair.never_two_at_once()


def test_killed_leader(pair):
    """kill -9 of all its processes: taken over when the Lease ran out."""
    leader, other = pair.roles()
    family = leader.family()
    begin = time.monotonic()
    leader.signal(signal.SIGKILL, family)
    leader.daemon.process.wait()
    leader.daemon.process = None
    pair.copies.remove(leader)
    pair.flip()
    pair.space.await_has(*pair.items, timeout=TAKEOVER)
    took = time.monotonic() - begin
    print(f"takeover after {took:.1f} s")
    assert took <= TAKEOVER
    assert other.leads
    assert pair.writers() == [leader.user, other.user]
    pair.never_two_at_once()


def test_killed_writer(pair):
    """Its k8s-writer alone: the supervisor starts another one."""
    leader, _ = pair.roles()
    os.kill(leader.daemon.worker("k8s-writer").pid, signal.SIGKILL)
    pair.flip()
    pair.space.await_has(*pair.items, timeout=TAKEOVER)
    pair.never_two_at_once()


def test_lease_can_not_be_renewed(pair):
    """Its account loses the right: it stops writing before another may."""
    leader, other = pair.roles()
    keep = {
        "kind": "ServiceAccount",
        "name": other.user.rpartition(":")[2],
        "namespace": pair.space.name,
    }
    pair.space.cluster.patch(
        "rolebindings", pair.space.name, LEASE, {"subjects": [keep]}
    )
    await_for(lambda: other.leads, TAKEOVER)
    assert not leader.leads
    pair.flip()
    pair.space.await_has(*pair.items)
    pair.never_two_at_once()


def test_stopped_leader(stopped):
    """The last test of this file: by now most of the time is over."""
    pair, begin = stopped, stopped.since
    await_for(lambda: pair.other.leads, TAKEOVER)
    pair.space.await_has(*pair.items)
    pair.flip()
    pair.space.await_has(*pair.items)
    left = begin + STOPPED - time.monotonic()
    if left > 0:
        holds_for(lambda: pair.other.leads, left)
    mark = pair.space.cluster.mark()
    # The workers first: they have not heard yet that they are not to write.
    pair.leader.signal(signal.SIGCONT, reversed(pair.family))
    pair.flip()
    pair.space.await_has(*pair.items)
    holds_for(lambda: pair.other.leads, 3)
    assert {w.user for w in pair.space.writes(mark)} == {pair.other.user}
    pair.never_two_at_once()
    pair.leader.daemon.await_ready()
    assert not pair.leader.leads
    # What the audit is asked for is there at all.
    assert {w.user for w in pair.space.writes()} == {
        copy.user for copy in pair.copies
    }
    took = takeover(pair)
    print(f"takeover after {took:.1f} s")
    assert 14 <= took <= TAKEOVER


def takeover(pair):
    """From the audit: until the first write of the other one."""
    leases = [
        r
        for r in pair.space.cluster.audited(
            namespace=pair.space.name, resource="leases"
        )
        if r.verb in ("create", "update") and r.status < 300
    ]
    last = max(r.ended for r in leases if r.user == pair.leader.user)
    first = min(r.began for r in leases if r.user == pair.other.user)
    return first - last
