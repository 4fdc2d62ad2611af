"""Foreign services, and agents that forget, fail or are away."""

import time

import pytest

from harness import pods as P
from harness.consul import Consul
from harness.waiting import SLOWNESS, await_for, free_port, holds_for

WEB = P.service_id(P.web_pod())

SERVICES = "/v1/agent/services"
# A read that is older does not tell whose a service is.
LOOK = 2 + 2 * SLOWNESS

FOREIGN = {
    "no-marks": {"Name": "db", "Port": 5432},
    "other-source": {
        "Name": "db",
        "Meta": {"external-source": "kubernetes"},
    },
    "other-sync-source": {
        "Name": "db",
        "Meta": {"external-sync-source": "nomad-sync"},
    },
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_service_is_left_alone(kind, start, kubelet, consul):
    consul.register({"ID": "foreign", **FOREIGN[kind]})
    kubelet.put(P.web_pod(), P.web_pod("b", 1))
    start(kubelet, consul)
    await_for(lambda: len(consul.statuses()) == 2)
    kubelet.remove(P.web_pod("b", 1))
    await_for(lambda: len(consul.statuses()) == 1)
    assert "foreign" in consul.services()


def test_foreign_service_with_our_id_is_reported(start, kubelet, consul):
    """The ID that we want is taken by somebody else's: left alone."""
    foreign = {"ID": WEB, "Name": "theirs", "Port": 1}
    consul.register(foreign)
    kubelet.put(P.web_pod(), P.web_pod("b", 1))
    daemon = start(kubelet, consul, wait=False)
    await_for(lambda: P.service_id(P.web_pod("b", 1)) in consul.services())
    daemon.await_log(WEB)
    service = consul.services()[WEB]
    assert (service["Service"], service["Port"]) == ("theirs", 1)


def reads_of(proxy):
    return [r for r in proxy.requests if r.path.startswith(SERVICES)]


def test_foreign_service_that_takes_our_id(start, kubelet, consul, proxy):
    """After it was read as ours, and before its pod's end."""
    pods = [P.web_pod(f"p{i}", i) for i in range(4)]
    kubelet.put(*pods)
    start(kubelet, proxy)
    await_for(lambda: len(consul.statuses()) == 4)
    # It looks a second time, and then it is some time until the next.
    await_for(lambda: len(reads_of(proxy)) == 2)
    last = reads_of(proxy)[-1].time
    await_for(lambda: time.monotonic() > last + LOOK)
    names = [P.service_id(pod) for pod in pods]
    consul.register({"ID": names[0], "Name": "theirs", "Port": 1})
    kubelet.remove(pods[0], pods[1])
    await_for(lambda: names[1] not in consul.services())
    assert consul.services()[names[0]]["Service"] == "theirs"
    # One read was for both.
    assert len(reads_of(proxy)) == 3
    assert names[0] not in str([r.path for r in proxy.writes])


def test_service_without_pod_is_deregistered(start, kubelet, consul):
    """Left by an earlier run, or by katalog-sync itself."""
    consul.register(
        {
            "ID": "katalog-sync_old_default_gone",
            "Name": "old",
            "Meta": {"external-sync-source": "katalog-sync"},
        }
    )
    kubelet.put(P.web_pod())
    start(kubelet, consul)
    await_for(lambda: consul.statuses() == {WEB: "passing"})


def test_wiped_agent_is_filled_again(start, kubelet, consul, proxy):
    """A check that the agent no longer knows says so at its refresh."""
    kubelet.put(*(P.web_pod(f"p{i}", i) for i in range(10)))
    start(
        kubelet,
        proxy,
        default_check_ttl="1s",
        sync_ttl_buffer_duration="1s",
    )
    await_for(lambda: len(consul.statuses()) == 10)
    before = consul.state()
    consul.wipe()
    await_for(lambda: consul.state() == before, 10)


def test_lost_service_is_seen_by_the_resync(start, kubelet, consul):
    """One service deregistered by hand, long before its TTL."""
    kubelet.put(P.web_pod(), P.web_pod("b", 1))
    start(kubelet, consul, consul_resync_interval="1s")
    await_for(lambda: len(consul.statuses()) == 2)
    before = consul.state()
    consul.put(f"/v1/agent/service/deregister/{WEB}")
    await_for(lambda: consul.state() == before)


def test_foreign_edit_is_undone_by_the_resync(start, kubelet, consul):
    kubelet.put(P.web_pod())
    start(kubelet, consul, consul_resync_interval="1s")
    await_for(lambda: consul.status(WEB) == "passing")
    before = consul.state()
    edited = consul.services()[WEB]
    consul.register(
        {
            "ID": WEB,
            "Name": "web",
            "Address": edited["Address"],
            "Port": 1,
            "Meta": edited["Meta"],
        }
    )
    await_for(lambda: consul.state() == before)


def test_checks_are_kept_alive(start, kubelet, consul, proxy):
    """Several TTLs pass, and the refreshes are spread, not in one burst."""
    # Half of it is for refreshes that are late.
    ttl = 2 + 2 * SLOWNESS
    kubelet.put(*(P.web_pod(f"p{i}", i) for i in range(40)))
    start(
        kubelet,
        proxy,
        default_check_ttl=f"{ttl}s",
        sync_ttl_buffer_duration="1s",
    )
    await_for(lambda: len(consul.statuses()) == 40)
    proxy.requests.clear()
    holds_for(
        lambda: set(consul.statuses().values()) == {"passing"},
        3 * ttl,
        "passing",
    )
    assert proxy.writes == []
    times = sorted(r.time for r in proxy.refreshes)
    per_check = len(times) / 40
    # Three TTLs passed: each check had some refreshes, and not needlessly
    # many.
    assert 2 <= per_check <= 15
    busiest = max(sum(t <= other < t + 0.1 for other in times) for t in times)
    assert busiest < len(times) / 2


def test_output_is_constant(start, kubelet, consul, proxy):
    kubelet.put(P.web_pod())
    start(
        kubelet, proxy, default_check_ttl="1s", sync_ttl_buffer_duration="1s"
    )
    await_for(lambda: consul.status(WEB) == "passing")
    await_for(lambda: len(proxy.refreshes) >= 3, 10)
    bodies = {str(r.body) for r in proxy.refreshes}
    assert len(bodies) == 1


FAULTS = {
    "500": lambda request: 500 if request.method == "PUT" else None,
    "500-for-all": lambda request: 500,
    "429": lambda request: 429,
    "503": lambda request: 503,
    "cut": lambda request: "cut",
    "slow": lambda request: time.sleep(0.3),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_failing_agent_costs_only_time(fault, start, kubelet, consul, proxy):
    others = [P.web_pod(f"p{i}", 3 + i) for i in range(3)]
    kept = dict.fromkeys(map(P.service_id, others), "passing")
    kubelet.put(P.web_pod(), P.web_pod("b", 1), *others)
    daemon = start(kubelet, proxy)
    await_for(lambda: len(consul.statuses()) == 5)

    proxy.fault = FAULTS[fault]
    before = len(proxy.requests)
    kubelet.put(P.web_pod(ready=False), P.web_pod("c", 2))
    kubelet.remove(P.web_pod("b", 1))

    def are_kept():
        return kept.items() <= consul.statuses().items()

    await_for(lambda: len(proxy.requests) > before + 2)
    polls = kubelet.polls
    while kubelet.polls <= polls + 3:
        assert are_kept()
    assert daemon.running

    proxy.fault = lambda request: None
    c = P.service_id(P.web_pod("c", 2))
    wanted = {WEB: "critical", c: "passing", **kept}
    await_for(lambda: are_kept() and consul.statuses() == wanted, 15)
    await_for(lambda: daemon.is_ready)
    b = P.service_id(P.web_pod("b", 1))
    ends = {r.path for r in proxy.requests if "/deregister/" in r.path}
    assert ends == {f"/v1/agent/service/deregister/{b}"}


def test_one_refused_deregistration_stops_nothing(
    start, kubelet, consul, proxy
):
    kubelet.put(*(P.web_pod(f"p{i}", i) for i in range(6)))
    daemon = start(kubelet, proxy)
    await_for(lambda: len(consul.statuses()) == 6)
    stuck = P.service_id(P.web_pod("p0"))
    proxy.fault = lambda request: (
        403 if request.path.endswith(f"deregister/{stuck}") else None
    )
    kubelet.remove(P.web_pod("p0"), P.web_pod("p1"))
    kubelet.put(P.web_pod("p2", 2, ready=False))
    p1, p2 = (P.service_id(P.web_pod(p)) for p in ("p1", "p2"))
    await_for(lambda: p1 not in consul.services())
    await_for(lambda: consul.status(p2) == "critical")
    daemon.await_log(stuck)
    proxy.fault = lambda request: None
    await_for(lambda: stuck not in consul.services(), 15)


def test_agent_away_at_the_start(start, kubelet, tmp_path):
    port = free_port()
    kubelet.put(P.web_pod())
    daemon = start(kubelet, f"127.0.0.1:{port}", wait=False)
    daemon.await_log(rf"{port}")
    await_for(lambda: daemon.get("/readyz")[0] == 503)
    with Consul(tmp_path, port=port) as consul:
        await_for(lambda: consul.status(WEB) == "passing", 15)
        await_for(lambda: daemon.is_ready)
        daemon.stop()


def test_agent_restarts_empty(start, kubelet, tmp_path):
    """It comes back on the same port knowing nothing (-dev keeps nothing)."""
    port = free_port()
    kubelet.put(P.web_pod(), P.web_pod("b", 1))
    consul = Consul(tmp_path, port=port)
    with consul:
        daemon = start(
            kubelet,
            consul,
            default_check_ttl="1s",
            sync_ttl_buffer_duration="1s",
        )
        await_for(lambda: len(consul.statuses()) == 2)
        before = consul.state()
        consul.stop()
        daemon.await_log(rf"{port}")
        consul.start()
        await_for(lambda: consul.state() == before, 15)
        daemon.stop()


def test_requests_are_bounded_and_kept_alive(start, kubelet, consul, proxy):
    """200 registrations over a few connections, never more at once."""
    running, most = [], []

    def watch(request):
        if not request.is_write:
            return
        running.append(request)
        most.append(len(running))
        time.sleep(0.005)
        running.remove(request)

    proxy.fault = watch
    kubelet.put(*(P.web_pod(f"p{i}", i) for i in range(200)))
    start(kubelet, proxy, consul_concurrency="4")
    await_for(lambda: len(consul.statuses()) == 200, 15)
    assert 1 < max(most) <= 4
    assert proxy.connections <= 8


def test_reads_are_rare(start, kubelet, consul, proxy):
    """Not a read each second: at the start, after errors, each minute."""
    kubelet.put(P.web_pod())
    start(kubelet, proxy)
    await_for(lambda: kubelet.polls > 40, 15)
    # What was written at first is read once more.
    assert 1 <= len(reads_of(proxy)) <= 2
