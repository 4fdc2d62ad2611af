"""What others register, and what the agent refuses, costs no other service."""

import pytest

from harness import pods as P
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
        sync_ttl_buffer_duration=f"{2 * SLOWNESS}s",
        default_check_ttl="1s",
    )
    await_for(lambda: consul.status(WEB) == "passing")
    proxy.fault = lambda request: 400 if request.path == REGISTER else None
    kubelet.put(P.web_pod(service_tags="refused"))
    daemon.await_log("refused|HTTP 400")
    holds_for(lambda: consul.status(WEB) == "passing", 6 * SLOWNESS)
    proxy.fault = lambda request: None
    await_for(lambda: consul.services()[WEB]["Tags"] == ["refused"], 20)
