"""Changes of running pods, and how soon they are in Consul."""

import itertools
import random
import statistics
import time

import pytest

from harness import pods as P
from harness.waiting import SLOWNESS, await_for, holds_for

INTERVAL = 0.5
FLIPS = 20


@pytest.fixture
def one_pod(start, kubelet, proxy, consul):
    """katalogd with one passing pod."""
    kubelet.put(P.web_pod())
    daemon = start(kubelet, proxy)
    await_for(lambda: consul.status(WEB) == "passing")
    return daemon


WEB = P.service_id(P.web_pod())


@pytest.mark.timing
def test_flip_is_in_consul_within_an_interval(start, kubelet, consul):
    """Measured on a quiet node and on one with 100 other pods."""
    others, _ = P.many(100)
    kubelet.put(P.web_pod(), *others)
    start(
        kubelet,
        consul,
        min_sync_interval=f"{INTERVAL}s",
        default_sync_interval=f"{INTERVAL}s",
    )
    await_for(lambda: consul.status(WEB) == "passing")

    ready, taken = True, []
    for _ in range(FLIPS):
        # Flips fall anywhere between two polls.
        time.sleep(random.uniform(0, INTERVAL))
        ready = not ready
        wanted = "passing" if ready else "critical"
        kubelet.put(P.web_pod(ready=ready))
        begin = time.monotonic()
        await_for(lambda w=wanted: consul.status(WEB) == w, interval=0.002)
        taken.append(time.monotonic() - begin)
    print(
        f"flips: median {statistics.median(taken) * 1e3:.0f} ms, "
        f"max {max(taken) * 1e3:.0f} ms"
    )
    assert max(taken) <= INTERVAL + 0.1 * SLOWNESS


# change of the pod -> what differs in Consul
EDITS = {
    "tags": ({"service_tags": "x,y"}, {"Tags": ["x", "y"]}),
    "port": ({"service_port": "8081"}, {"Port": 8081}),
    "health": ({"service_health": "warning"}, {"Status": "warning"}),
    "not-ready": ({"ready": False}, {"Status": "critical"}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edit_of_a_running_pod(edit, one_pod, kubelet, consul):
    """Written at once, and nothing else changes; then back again."""
    annotations, differs = EDITS[edit]
    before = consul.state()[WEB]
    if edit == "not-ready":
        differs = {**differs, "Notes": {"web": False}}
    kubelet.put(P.web_pod(**annotations))
    await_for(lambda: consul.state()[WEB] == {**before, **differs})
    kubelet.put(P.web_pod())
    await_for(lambda: consul.state()[WEB] == before)


def test_edit_of_meta(one_pod, kubelet, consul):
    before = consul.state()[WEB]["Meta"]
    kubelet.put(P.web_pod(service_meta="version:2"))
    wanted = {**before, "version": "2"}
    await_for(lambda: consul.state()[WEB]["Meta"] == wanted)
    kubelet.put(P.web_pod())
    await_for(lambda: consul.state()[WEB]["Meta"] == before)


def test_everything_changes_at_once(one_pod, kubelet, consul):
    pod = P.web_pod(
        ready=False, service_tags="t", service_meta="k:v", service_port="99"
    )
    kubelet.put(P.set_addresses(pod, "10.9.9.9"))

    def is_so():
        service = consul.state()[WEB]
        return (
            service["Address"] == "10.9.9.9"
            and service["Port"] == 99
            and service["Tags"] == ["t"]
            and service["Meta"].get("k") == "v"
            and service["Status"] == "critical"
        )

    await_for(is_so)


def test_nothing_passes_at_an_address_of_before(
    one_pod, kubelet, consul, proxy
):
    """Ready again and elsewhere, as after a reboot of the node."""
    before = consul.state()[WEB]["Address"]
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: consul.state()[WEB]["Notes"] == {"web": False})
    proxy.fault = lambda request: (
        400 if request.path == "/v1/agent/service/register" else None
    )
    kubelet.put(P.set_addresses(P.web_pod(), "10.9.9.9"))
    one_pod.await_log("HTTP 400")
    holds_for(lambda: consul.status(WEB) == "critical", 1)
    assert consul.state()[WEB]["Address"] == before
    proxy.fault = lambda request: None
    await_for(lambda: consul.status(WEB) == "passing", 20)
    assert consul.state()[WEB]["Address"] == "10.9.9.9"


def test_names_come_and_go(one_pod, kubelet, consul):
    kubelet.put(P.web_pod(service_names="web,admin"))
    admin = P.service_id(P.web_pod(), "admin")
    both = dict.fromkeys((WEB, admin), "passing")
    await_for(lambda: consul.statuses() == both)
    kubelet.put(P.web_pod(service_names="admin"))
    await_for(lambda: consul.statuses() == {admin: "passing"})


def test_edit_does_not_flap_the_status(one_pod, kubelet, consul, proxy):
    """A new tag on a passing service: it is never seen as anything else."""
    for number in range(10):
        kubelet.put(P.web_pod(service_tags=f"t{number}"))
        polls = kubelet.polls
        while kubelet.polls < polls + 2:
            assert consul.status(WEB) == "passing"
    await_for(lambda: consul.state()[WEB]["Tags"] == ["t9"])


def test_ending_pod_is_critical_at_once_then_gone(one_pod, kubelet, consul):
    other = P.web_pod("other", 1)
    kubelet.put(other, P.web_pod("another", 2))
    kept = {P.service_id(other), P.service_id(P.web_pod("another", 2))}
    await_for(lambda: len(consul.statuses()) == 3)

    kubelet.put(P.end(P.web_pod()))
    await_for(lambda: consul.status(WEB) == "critical")
    polls = kubelet.polls
    await_for(lambda: kubelet.polls > polls + 3)
    assert consul.status(WEB) == "critical"

    kubelet.remove(P.web_pod())
    await_for(lambda: set(consul.statuses()) == kept)


def test_interval_goes_down_after_a_change(start, kubelet, consul):
    kubelet.put(P.web_pod())
    start(
        kubelet,
        consul,
        default_sync_interval="3s",
        min_sync_interval="100ms",
    )
    await_for(lambda: consul.status(WEB) == "passing")
    polls = kubelet.polls
    await_for(lambda: kubelet.polls >= polls + 5, 8, "polls at the minimum")


@pytest.mark.timing
def test_pod_says_its_interval(start, kubelet, consul):
    """sync-interval of a pod wins over the default, within min and max."""
    kubelet.put(P.web_pod(sync_interval="200ms"))
    start(
        kubelet,
        consul,
        default_sync_interval="5s",
        min_sync_interval="200ms",
    )
    # Past the 10 s of the minimum that follow the pod's appearance.
    await_for(lambda: kubelet.polls > 60, 20)
    gaps = [b - a for a, b in itertools.pairwise(kubelet.requests[50:])]
    assert max(gaps) < 0.5 * SLOWNESS


def test_a_second_katalogd_run_follows_what_changed_meanwhile(
    start, kubelet, consul
):
    kubelet.put(P.web_pod(), P.web_pod("b", 1), P.web_pod("c", 2))
    first = start(kubelet, consul)
    await_for(lambda: len(consul.statuses()) == 3)
    first.stop()
    kubelet.remove(P.web_pod("c", 2))
    kubelet.put(P.web_pod(ready=False), P.web_pod("b", 1, service_tags="t"))
    start(kubelet, consul)
    b = P.service_id(P.web_pod("b", 1))
    await_for(lambda: consul.statuses() == {WEB: "critical", b: "passing"})
    assert consul.state()[b]["Tags"] == ["t"]


def test_stop_leaves_the_services(one_pod, consul):
    one_pod.stop()
    holds_for(lambda: consul.status(WEB) == "passing", 0.5)
