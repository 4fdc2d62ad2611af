"""What others register, and what the agent refuses, costs no other service."""

import threading
import time

import pytest

from harness import pods as P
from harness.proxy import Answer
from harness.waiting import SLOWNESS, await_for, holds_for

WEB = P.service_id(P.web_pod())
REGISTER = "/v1/agent/service/register"


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


# Services that anybody who may register can make, with IDs like ours.
STRANGE = {
    "nul-in-tag": {"Tags": ["a\0b"]},
    "nul-in-name": {"Name": "a\0b"},
    "nul-in-meta": {"Meta": {"external-sync-source": "katalog-sync\0"}},
    "nul-in-notes": {"Check": {"TTL": "10s", "Notes": "\0"}},
    "bad-port": {"Port": -5},
    "deep": {
        "Kind": "connect-proxy",
        "Port": 1,
        "Proxy": {"DestinationServiceName": "x", "Config": nested(500)},
    },
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_neighbour(kind, start, kubelet, consul):
    strange = {"ID": "katalog-sync_strange", "Name": "strange"}
    consul.register({**strange, **STRANGE[kind]})
    kubelet.put(P.web_pod())
    start(kubelet, consul)
    await_for(lambda: consul.status(WEB) == "passing")
    assert "katalog-sync_strange" in consul.services()


def test_refused_registration_leaves_the_check_passing(start, kubelet, proxy):
    """An edit that is refused for ever: the check does not run out."""
    consul = proxy.consul
    kubelet.put(P.web_pod())
    daemon = start(
        kubelet,
        proxy,
        sync_ttl_buffer_duration=f"{4 * SLOWNESS}s",
        default_check_ttl="1s",
    )
    await_for(lambda: consul.status(WEB) == "passing")
    proxy.fault = lambda request: 400 if request.path == REGISTER else None
    kubelet.put(P.web_pod(service_tags="refused"))
    daemon.await_log("refused|HTTP 400")
    holds_for(lambda: consul.status(WEB) == "passing", 10 * SLOWNESS)
    proxy.fault = lambda request: None
    await_for(lambda: consul.services()[WEB]["Tags"] == ["refused"], 20)


# Checks that run out soon: half of the TTL is for refreshes that are late.

TTL = 2 + 2 * SLOWNESS


def lives(ttl):
    """Options for checks with that TTL."""
    return {"default_check_ttl": f"{ttl}s", "sync_ttl_buffer_duration": "1s"}


SHORT = lives(TTL)


def some_pods(count, **annotations):
    return [P.web_pod(f"p{i}", i, **annotations) for i in range(count)]


def all_pass(consul, count):
    return list(consul.statuses().values()) == ["passing"] * count


class BusyOnce:
    """Eight writes at once are told 429, and nothing after them."""

    def __init__(self):
        self.all_there = threading.Barrier(8)
        self.busy = threading.Semaphore(8)

    def __call__(self, request):
        if request.method == "GET" or not self.busy.acquire(blocking=False):
            return None
        self.all_there.wait(10 * SLOWNESS)
        return 429


def test_moment_of_429(start, kubelet, consul, proxy):
    """One wait, however many are told so: no check runs out by it."""
    pods = some_pods(12)
    kubelet.put(*pods, P.web_pod("steady", 99))
    steady = P.service_id(P.web_pod("steady"))
    start(kubelet, proxy, consul_concurrency="8", **SHORT)
    await_for(lambda: all_pass(consul, 13))
    proxy.fault = BusyOnce()
    kubelet.put(*(P.set_ready(pod, False) for pod in pods))
    holds_for(lambda: consul.status(steady) == "passing", 2 * TTL)
    assert sum(r.status == 429 for r in proxy.requests) == 8
    assert list(consul.statuses().values()).count("critical") == 12


def test_slow_agent(start, kubelet, consul, proxy):
    """Each answer takes it a tenth of the TTL."""
    kubelet.put(*some_pods(20))
    start(kubelet, proxy, consul_concurrency="8", **SHORT)
    await_for(lambda: all_pass(consul, 20))
    proxy.fault = lambda request: time.sleep(TTL / 10)
    holds_for(lambda: all_pass(consul, 20), 3 * TTL)


def test_agent_whose_disk_is_full(start, kubelet, consul, proxy):
    """It sets a check's status, fails to keep it, and answers 500."""
    kubelet.put(*some_pods(20))
    start(kubelet, proxy, **SHORT)
    await_for(lambda: all_pass(consul, 20))
    said = Answer(500, {}, b"failed persisting state for check")
    proxy.fault = lambda request: (
        (lambda answer: said) if request.is_refresh else None
    )
    holds_for(lambda: all_pass(consul, 20), 4 * TTL)
    assert sum(r.status == 500 for r in proxy.requests) > 20


def test_many_changes_at_once(start, kubelet, consul, proxy):
    """The agent takes them one by one, for longer than the TTL."""
    count, ttl = 100, 2 * TTL
    kubelet.put(*some_pods(count))
    start(kubelet, proxy, consul_concurrency="4", **lives(ttl))
    await_for(lambda: all_pass(consul, count), 10)
    turn = threading.Lock()

    def one_by_one(request):
        if request.path == REGISTER:
            with turn:
                time.sleep(1.3 * ttl / count)

    proxy.fault = one_by_one
    kubelet.put(*some_pods(count, service_tags="new"))

    def are_changed():
        assert all_pass(consul, count)
        tags = [s["Tags"] for s in consul.own_services().values()]
        return tags == [["new"]] * count

    await_for(are_changed, 30)


def test_list_without_end(start, kubelet, consul, proxy):
    """The agent's services can't be read: what is known goes on."""
    # The refreshes come through the proxy, too, which is busy with the list.
    ttl = 2 + 3 * SLOWNESS
    kubelet.put(P.web_pod(), P.web_pod("b", 1))
    daemon = start(kubelet, proxy, consul_resync_interval="1s", **lives(ttl))
    await_for(lambda: all_pass(consul, 2))
    huge = Answer(200, {}, b"{" + b" " * (64 << 20) + b"}")
    proxy.fault = lambda request: (
        huge if request.path.startswith("/v1/agent/services") else None
    )
    daemon.await_log("answer larger than")
    kubelet.put(P.web_pod(ready=False))
    await_for(lambda: consul.status(WEB) == "critical")
    b = P.service_id(P.web_pod("b"))
    holds_for(lambda: consul.status(b) == "passing", 1.5 * ttl)
    assert len(daemon.log_lines("answer larger than")) == 1
    proxy.fault = lambda request: None
    daemon.await_log("answers again")
