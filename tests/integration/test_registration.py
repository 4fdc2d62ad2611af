"""What pods become in Consul: COMPAT's names, ports, tags, meta, checks."""

import pytest

from harness import pods as P
from harness.daemon import Katalogd
from harness.durations import seconds
from harness.kubelet import FakeKubelet
from harness.proxy import ConsulProxy
from harness.waiting import await_for


def real_expectation():
    expected = {}
    for pod in P.real_pods():
        expected.update(P.expected_services(pod))
    return expected


class TestLists:
    """The real list, and 500 pods made from it."""

    @pytest.fixture(params=["real", "500"])
    def case(self, request):
        if request.param == "real":
            return P.real_pods(), real_expectation()
        return P.many(500)

    def test_is_registered_exactly(self, case, start, kubelet, proxy, consul):
        pods, expected = case
        kubelet.put(*pods)
        daemon = start(kubelet, proxy, wait=False, default_sync_interval="1s")
        daemon.await_ready(30)
        assert consul.state() == expected
        check_details(consul, proxy, expected)

    def test_second_run_writes_nothing(
        self, case, start, kubelet, proxy, consul
    ):
        pods, _ = case
        kubelet.put(*pods)
        # No check runs out in between.
        options = {"default_sync_interval": "1s", "default_check_ttl": "5m"}
        first = start(kubelet, consul, wait=False, **options)
        first.await_ready(30).stop()
        before = consul.settled_catalog()
        proxy.requests.clear()

        start(kubelet, proxy, **options)
        polls = kubelet.polls
        await_for(lambda: kubelet.polls > polls + 3)
        assert [f"{r.method} {r.path}" for r in proxy.writes] == []
        assert consul.catalog() == before


def check_details(consul, proxy, expected):
    checks = consul.checks()
    for name, service in expected.items():
        check = checks[name]
        assert check["CheckID"] == check["ServiceID"] == name
        assert check["Type"] == "ttl"
        assert check["ServiceTags"] == service["Tags"]
        ttl, deregister_after = check_times(proxy.registration(name))
        pod = service["Meta"]["external-k8s-pod"]
        origin = next(n for n in P.REAL if pod.startswith(n))
        assert ttl == P.TTL.get(origin, P.DEFAULT_TTL)
        assert deregister_after == 30 * 60


def check_times(registration):
    """TTL and DeregisterCriticalServiceAfter in seconds."""
    check = registration.get("Check") or registration["Checks"][0]
    after = check.get("DeregisterCriticalServiceAfter", "0s")
    return seconds(check["TTL"]), seconds(after)


WEB = {"Service": "web", "Port": 8080, "Tags": [], "Status": "passing"}

# What the pod says -> its services (None: there must be none), each with the
# fields that matter here.
CASES = {
    "names-trimmed": (
        {"service_names": " web ,\tadmin"},
        {"web": WEB, "admin": {**WEB, "Service": "admin"}},
    ),
    "names-empty-parts": ({"service_names": "web,,"}, {"web": WEB}),
    "names-twice": ({"service_names": "web,web"}, {"web": WEB}),
    "names-blank": ({"service_names": " "}, {}),
    "no-names": ({"service_names": None}, {}),
    "port-of-name": (
        {"service_names": "web,b", "service_port_b": "9000"},
        {"web": {"Port": 8080}, "b": {"Port": 9000}},
    ),
    "port-of-container": ({"service_port": None}, {"web": {"Port": 8080}}),
    "tags": ({"service_tags": "a, b"}, {"web": {"Tags": ["a", "b"]}}),
    "tags-replaced": (
        {
            "service_names": "web,b",
            "service_tags": "a",
            "service_tags_b": "c,d",
        },
        {"web": {"Tags": ["a"]}, "b": {"Tags": ["c", "d"]}},
    ),
    "health-fixed": (
        {"service_health": "warning"},
        {"web": {"Status": "warning"}},
    ),
    "health-of-name": (
        {"service_names": "web,b", "service_health_b": "critical"},
        {"web": {"Status": "passing"}, "b": {"Status": "critical"}},
    ),
    "health-passing-though-not-ready": (
        {"ready": False, "service_health": "passing"},
        {"web": {"Status": "passing"}},
    ),
    "not-ready": ({"ready": False}, {"web": {"Status": "critical"}}),
    "excluded-container": (
        {"ready": False, "container_exclude": "web"},
        {"web": {"Status": "passing"}},
    ),
    # An item that is wrong costs that item.
    "bad-port": (
        {"service_names": "web,b", "service_port_b": "http"},
        {"web": WEB},
    ),
    "port-0": ({"service_port": "0"}, {}),
    "port-65536": ({"service_port": "65536"}, {}),
    "port-with-nul": ({"service_port": "8080\0"}, {}),
    "health-of-two": (
        {"service_health": "critical,passing"},
        {"web": {"Status": "passing"}},
    ),
    "sidecar-of-two": (
        {"sidecar": "web,web"},
        {"web": {"Status": "critical"}},
    ),
    "sidecar-with-nul": (
        {"sidecar": "web\0"},
        {"web": {"Status": "critical"}},
    ),
    # One in Consul's catalog.
    "names-in-two-cases": ({"service_names": "web,WEB"}, {"web": WEB}),
    "port-65535": ({"service_port": "65535"}, {"web": {"Port": 65535}}),
    "utf-8": (
        {"service_tags": "größe,日本"},
        {"web": {"Tags": ["größe", "日本"]}},
    ),
}
META_CASES = {
    "meta": ({"service_meta": "a:1, b:2"}, "web", {"a": "1", "b": "2"}),
    "meta-value-with-colon": (
        {"service_meta": "url:http://x:80"},
        "web",
        {"url": "http://x:80"},
    ),
    "meta-replaced": (
        {"service_names": "b", "service_meta": "a:1", "service_meta_b": "c:3"},
        "b",
        {"c": "3"},
    ),
    "meta-own-keys-stay": (
        {"service_meta": "external-sync-source:me,external-k8s-pod:x,a:1"},
        "web",
        {"a": "1"},
    ),
}
REFUSED = {
    "bad-port": r"service-port-b.*http",
    "port-0": r"service-port",
    "port-65536": r"65536",
    "port-with-nul": r"service-port: holds a NUL",
    "health-of-two": r"service-health \"critical,passing\"",
    "sidecar-of-two": r"sidecar \"web,web\"",
    "sidecar-with-nul": r"sidecar: holds a NUL",
    "names-in-two-cases": r"service-names \"WEB\"",
}


def sidecar_pod(ready):
    def make(name, number):
        pod = P.clone(P.real_pod("sidecar-0"), name, number)
        P.annotate(pod, service_health=None)
        return P.set_ready(pod, ready, "katalog-sync-sidecar")

    return make


def annotated(**annotations):
    return lambda name, number: P.web_pod(name, number, **annotations)


def phase_pod(phase):
    def make(name, number):
        pod = P.web_pod(name, number)
        pod["status"]["phase"] = phase
        return pod

    return make


def addressed_pod(*addresses):
    return lambda name, number: P.set_addresses(
        P.web_pod(name, number), *addresses
    )


def no_port_pod(name, number):
    pod = P.web_pod(name, number, service_port=None)
    for container in pod["spec"]["containers"]:
        container.pop("ports", None)
    return pod


def no_address_pod(name, number):
    pod = P.web_pod(name, number)
    del pod["status"]["podIP"], pod["status"]["podIPs"]
    return pod


def ending_pod(name, number):
    return P.end(P.web_pod(name, number))


def ipv4(address):
    return {"lan_ipv4": address, "wan_ipv4": address}


def ipv6(address):
    return {"lan_ipv6": address, "wan_ipv6": address}


# pod -> TTL in seconds: at least sync-interval + 10s
TTLS = {
    "ttl-own": (annotated(service_check_ttl="1m"), 60),
    "ttl-short": (annotated(service_check_ttl="2s"), 10.2),
    "ttl-interval": (annotated(sync_interval="3s"), 13),
}
# pod -> Address, TaggedAddresses; Consul itself adds those of Address
ADDRESSES = {
    "v4": (addressed_pod("10.1.0.1"), "10.1.0.1", ipv4("10.1.0.1")),
    "v6": (addressed_pod("fd00::1"), "fd00::1", ipv6("fd00::1")),
    "v4-v6": (
        addressed_pod("10.1.0.2", "fd00::2"),
        "10.1.0.2",
        {**ipv4("10.1.0.2"), "lan_ipv6": "fd00::2"},
    ),
    "v6-v4": (
        addressed_pod("fd00::3", "10.1.0.3"),
        "fd00::3",
        {**ipv6("fd00::3"), "lan_ipv4": "10.1.0.3"},
    ),
}
# the sidecar's readiness -> status; its own says that it has registered
SIDECARS = {
    "sidecar-not-ready": (False, "critical"),
    "sidecar-ready": (True, "passing"),
}
ABSENT = {
    "pending": phase_pod("Pending"),
    "succeeded": phase_pod("Succeeded"),
    "failed": phase_pod("Failed"),
    "no-port": no_port_pod,
    "no-address": no_address_pod,
}
PODS = {
    **{name: annotated(**case[0]) for name, case in CASES.items()},
    **{name: annotated(**case[0]) for name, case in META_CASES.items()},
    **{name: case[0] for name, case in TTLS.items()},
    **{name: case[0] for name, case in ADDRESSES.items()},
    **{name: sidecar_pod(case[0]) for name, case in SIDECARS.items()},
    **ABSENT,
    "ending": ending_pod,
}


@pytest.fixture(scope="module")
def derived(shared_consul, tmp_path_factory):
    """All cases' pods at one katalogd: agent's state, log, registrations."""
    shared_consul.wipe()
    pods = [
        make(name, number)
        for number, (name, make) in enumerate(PODS.items(), 1)
    ]
    pods.append(P.web_pod("last", 900))
    with (
        FakeKubelet(pods) as kubelet,
        ConsulProxy(shared_consul) as proxy,
        Katalogd(
            tmp_path_factory.mktemp("derived"),
            kubelet_api=kubelet.url,
            consul_addr=proxy.address,
        ) as daemon,
    ):
        daemon.await_ready()
        await_for(
            lambda: "katalog-sync_web_default_last" in shared_consul.services()
        )
        yield shared_consul, daemon, proxy


def of_pod(state, name):
    """Service name -> service of one pod."""
    return {
        s["Service"]: s
        for s in state.values()
        if s["Meta"]["external-k8s-pod"] == name
    }


@pytest.mark.parametrize("name", CASES)
def test_annotations(name, derived):
    consul, _, _ = derived
    expected = CASES[name][1]
    actual = of_pod(consul.state(), name)
    assert set(actual) == set(expected)
    for service, wanted in expected.items():
        assert {k: actual[service][k] for k in wanted} == wanted


@pytest.mark.parametrize("name", META_CASES)
def test_meta(name, derived):
    consul, _, _ = derived
    _, service, wanted = META_CASES[name]
    own = {
        "external-source": "kubernetes",
        "external-sync-source": "katalog-sync",
        "external-k8s-link": f"default/{name}",
        "external-k8s-namespace": "default",
        "external-k8s-pod": name,
    }
    assert of_pod(consul.state(), name)[service]["Meta"] == {**wanted, **own}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_item_is_named_once(name, derived):
    _, daemon, _ = derived
    lines = daemon.await_log(rf"default/{name}\b.*{REFUSED[name]}")
    assert len(lines) == 1


@pytest.mark.parametrize("name", TTLS)
def test_ttl(name, derived):
    _, _, proxy = derived
    body = proxy.registration(f"katalog-sync_web_default_{name}")
    assert check_times(body)[0] == TTLS[name][1]


@pytest.mark.parametrize("name", ADDRESSES)
def test_addresses(name, derived):
    consul, _, _ = derived
    _, address, tagged = ADDRESSES[name]
    service = consul.services()[f"katalog-sync_web_default_{name}"]
    assert service["Address"] == address
    assert {
        kind: (value["Address"], value["Port"])
        for kind, value in service["TaggedAddresses"].items()
    } == {kind: (value, 8080) for kind, value in tagged.items()}


@pytest.mark.parametrize("name", SIDECARS)
def test_sidecar(name, derived):
    consul, _, _ = derived
    service = of_pod(consul.state(), name)["sc"]
    assert service["Status"] == SIDECARS[name][1]
    assert service["Notes"] == {"web": True}


@pytest.mark.parametrize("name", ABSENT)
def test_is_not_registered(name, derived):
    consul, _, _ = derived
    assert of_pod(consul.state(), name) == {}


def test_an_ending_pod_is_critical(derived):
    consul, _, _ = derived
    assert of_pod(consul.state(), "ending")["web"]["Status"] == "critical"
