"""What becomes of Consul's services: names, labels, endpoints, routes."""

import pytest

from harness.catalog import TAG, Instance, instances
from harness.space import (
    MANAGED,
    NAME,
    SERVICE_NAME,
    SLICE_MANAGED,
    Endpoint,
    endpoints_of,
)
from harness.waiting import await_for, holds_for

DOMAIN = "example.org"
WEB = Instance("web", address="10.64.0.1")


def subset(wanted, actual):
    """Whether actual has all of wanted; lists are compared item by item."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(
            k in actual and subset(v, actual[k]) for k, v in wanted.items()
        )
    if isinstance(wanted, list):
        return len(wanted) == len(actual) and all(
            subset(w, a) for w, a in zip(wanted, actual, strict=True)
        )
    return wanted == actual


def test_objects_look_as_the_originals(sync, space, catalog, consul):
    tags = (TAG, "internal", "external")
    catalog.put(WEB.with_(tags=tags), Instance("other", address="10.64.0.2"))
    sync(consul, space, domain_suffix=DOMAIN)
    assert set(space.services()) == {"web", "other"}
    service = space.get("services", "web")
    assert service["metadata"]["labels"] == {
        MANAGED: "consul-sync",
        NAME: "web",
    }
    assert service["spec"]["clusterIP"] == "None"
    assert subset(
        [{"name": "http", "port": 8080, "protocol": "TCP"}],
        service["spec"]["ports"],
    )
    assert "selector" not in service["spec"]

    assert set(space.slices("web")) == {"web-consul"}
    slice_ = space.get("endpointslices", "web-consul")
    labels = slice_["metadata"]["labels"]
    assert labels == {
        SERVICE_NAME: "web",
        SLICE_MANAGED: "consul-sync",
        MANAGED: "consul-sync",
    }
    assert subset(
        {
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": ["10.64.0.1"], "conditions": {"ready": True}}
            ],
        },
        slice_,
    )
    (owner,) = slice_["metadata"]["ownerReferences"]
    assert owner["uid"] == service["metadata"]["uid"]
    assert (owner["kind"], owner["name"]) == ("Service", "web")

    gateways = ("envoy-internal", "envoy-external")
    assert set(space.routes()) == {f"web-{gateway}" for gateway in gateways}
    for gateway in gateways:
        route = space.get("httproutes", f"web-{gateway}")
        assert route["metadata"]["labels"][MANAGED] == "consul-sync"
        assert subset(
            {
                "hostnames": [f"web.{DOMAIN}"],
                "parentRefs": [
                    {
                        "name": gateway,
                        "namespace": space.name,
                        "sectionName": "https",
                    }
                ],
                "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}],
            },
            route["spec"],
        )
    for kind in ("services", "endpointslices", "httproutes"):
        for item in space.objects(kind).values():
            managers = {
                m["manager"] for m in item["metadata"]["managedFields"]
            }
            assert managers == {"consul-sync"}


def test_options_of_routes(sync, space, catalog, consul):
    catalog.put(
        WEB.with_(tags=(TAG, "in")),
        Instance("api", address="10.64.0.2", tags=(TAG, "out")),
    )
    sync(
        consul,
        space,
        domain_suffix=DOMAIN,
        internal_tag="in",
        external_tag="out",
        internal_gateway="inner",
        external_gateway="outer",
        gateway_namespace="gateways",
        gateway_listener="plain",
    )
    assert set(space.routes()) == {"web-inner", "api-outer"}
    (parent,) = space.get("httproutes", "api-outer")["spec"]["parentRefs"]
    assert parent["namespace"] == "gateways"
    assert parent["sectionName"] == "plain"


@pytest.mark.parametrize(
    "options", [{}, {"domain_suffix": DOMAIN, "enable_httproutes": "false"}]
)
def test_no_routes_unless_wanted(options, sync, space, catalog, consul):
    catalog.put(WEB.with_(tags=(TAG, "internal")))
    sync(consul, space, **options)
    assert set(space.services()) == {"web"}
    assert space.routes() == {}


def test_route_follows_its_tag(sync, space, catalog, consul):
    catalog.put(*instances("other", 3), WEB)
    sync(consul, space, domain_suffix=DOMAIN)
    assert space.routes() == {}
    catalog.put(WEB.with_(tags=(TAG, "internal")))
    await_for(lambda: set(space.routes()) == {"web-envoy-internal"})
    catalog.put(WEB)
    await_for(lambda: space.routes() == {})


# Consul's name -> the Service's
NAMES = {
    "web": "web",
    "Web-API": "web-api",
    "under_score": "under-score",
    "dotted.name": "dotted-name",
    "9lives": "svc-9lives",
    "ends-": "ends",
    "b" * 70: "b" * 63,
    "c" * 62 + "_d": "c" * 62,
}


def test_names_are_made_safe(sync, space, catalog, consul):
    catalog.put(*(Instance(name, address="10.64.0.1") for name in NAMES))
    sync(consul, space)
    assert set(space.services()) == set(NAMES.values())
    # Each slice hangs on its Service, whatever the length of its name.
    owners = {
        item["metadata"]["labels"][SERVICE_NAME]
        for item in space.slices().values()
    }
    assert owners == set(NAMES.values())


def test_collision_is_resolved_by_age_and_told(sync, space, catalog, consul):
    older = Instance("a_b", address="10.64.0.1")
    younger = Instance("a-b", address="10.64.0.2")
    catalog.put(older)
    catalog.put(younger)
    daemon = sync(consul, space)
    (other,) = set(space.services()) - {"a-b"}
    assert len(other) == len("a-b") + 6 and other.startswith("a-b-")
    assert space.endpoints("a-b") == {Endpoint("10.64.0.1", 8080, True)}
    assert space.endpoints(other) == {Endpoint("10.64.0.2", 8080, True)}
    daemon.await_log(f"a_b.*{other}|{other}.*a_b")
    assert daemon.metric("katalogd_k8s_name_collisions") == 1
    services = {o["name"]: o["service"] for o in daemon.status()["objects"]}
    assert (services["a-b"], services[other]) == ("a_b", "a-b")


def test_untagged_never_appears(sync, space, catalog, consul):
    plain = Instance("plain", address="10.64.1.1", tags=("other",))
    near = Instance("near", address="10.64.1.2", tags=("kubernetes2",))
    consul_itself = Instance("consul", address="10.64.1.3")
    catalog.put(WEB, plain, near, consul_itself)
    sync(consul, space)
    assert set(space.services()) == {"web"}
    catalog.set_status(plain, "critical")
    catalog.put(plain.with_(number=1))
    holds_for(lambda: set(space.services()) == {"web"}, 1)


def test_instances_without_the_tag_are_left_out(sync, space, catalog, consul):
    """A service where only some instances have it."""
    catalog.put(WEB, WEB.with_(number=1, address="10.64.0.9", tags=()))
    sync(consul, space)
    assert space.endpoints("web") == {Endpoint("10.64.0.1", 8080, True)}


def test_another_tag(sync, space, catalog, consul):
    catalog.put(WEB, Instance("mine", address="10.64.0.2", tags=("it's.so",)))
    sync(consul, space, consul_tag="it's.so")
    assert set(space.services()) == {"mine"}


STATUSES = {"passing": True, "warning": True, "critical": False}


def test_status_is_readiness(sync, space, catalog, consul):
    items = [
        Instance(s, address=f"10.64.0.{n + 1}", status=s)
        for n, s in enumerate(STATUSES)
    ]
    catalog.put(*items)
    sync(consul, space)
    assert space.has(*items)


def test_warning_is_not_ready_by_option(sync, space, catalog, consul):
    catalog.put(WEB.with_(status="warning"))
    sync(consul, space, warning_is_ready="false")
    assert space.endpoints("web") == {Endpoint("10.64.0.1", 8080, False)}
    catalog.put(WEB)
    await_for(
        lambda: space.endpoints("web") == {Endpoint("10.64.0.1", 8080, True)}
    )


def test_all_instances_fail(sync, space, catalog, consul):
    """Service and routes stay, and nothing is ready."""
    items = instances("web", 3, tags=(TAG, "internal"))
    catalog.put(*items)
    sync(consul, space, domain_suffix=DOMAIN)
    uid = space.get("services", "web")["metadata"]["uid"]
    route = space.get("httproutes", "web-envoy-internal")["metadata"]["uid"]
    failed = [catalog.set_status(i, "critical") for i in items]
    space.await_has(*failed)
    assert space.get("services", "web")["metadata"]["uid"] == uid
    now = space.get("httproutes", "web-envoy-internal")
    assert now["metadata"]["uid"] == route
    back = [catalog.set_status(i, "passing") for i in failed]
    space.await_has(*back)


@pytest.mark.parametrize("check", ["serfHealth", "_node_maintenance"])
def test_check_of_a_node_bears_on_its_instances(
    check, sync, space, catalog, consul
):
    here = Instance("web", 0, address="10.64.0.1", node="here")
    there = Instance("web", 1, address="10.64.0.2", node="there")
    catalog.put(here, there)
    sync(consul, space)
    catalog.set_node_check("here", "critical", check)
    space.await_has(here.with_(status="critical"), there)
    catalog.set_node_check("here", "passing", check)
    space.await_has(here, there)


def test_maintenance_of_an_instance(sync, space, catalog, consul):
    """By the agent, as an operator does it."""
    consul.register(
        {
            "ID": "web-0",
            "Name": "web",
            "Address": "10.64.0.1",
            "Port": 8080,
            "Tags": [TAG],
        }
    )
    sync(consul, space)
    space.await_has(WEB)
    path = "/v1/agent/service/maintenance/web-0"
    consul.put(path, enable="true")
    space.await_has(WEB.with_(status="critical"))
    consul.put(path, enable="false")
    space.await_has(WEB)


def test_node_address_where_there_is_none(sync, space, catalog, consul):
    catalog.put(WEB.with_(address="", node_address="10.1.2.3"))
    sync(consul, space)
    assert space.endpoints("web") == {Endpoint("10.1.2.3", 8080, True)}


def test_slices_by_port(sync, space, catalog, consul):
    """Each instance is reached by its own port, and by one name."""
    items = instances("web", 3)
    items.append(WEB.with_(number=3, address="10.64.0.9", port=9090))
    catalog.put(*items)
    sync(consul, space)
    assert space.has(*items)
    slices = space.slices("web").values()
    assert len(slices) == 2
    assert {s["ports"][0]["name"] for s in slices} == {"http"}
    service = space.get("services", "web")
    assert [p["port"] for p in service["spec"]["ports"]] == [8080]


def test_slices_by_family(sync, space, catalog, consul):
    items = [
        WEB,
        WEB.with_(number=1, address="fd00:1::1"),
        WEB.with_(number=2, address="FD00:0001:0:0::2"),
    ]
    catalog.put(*items)
    sync(consul, space)
    found = {
        s["addressType"]: {e.address for e in endpoints_of([s])}
        for s in space.slices("web").values()
    }
    assert found == {
        "IPv4": {"10.64.0.1"},
        "IPv6": {"fd00:1::1", "fd00:1::2"},
    }


BAD = {
    "host-name": {"address": "web.example.org"},
    "nonsense": {"address": "10.0.0.0.1"},
    "loopback": {"address": "127.0.0.1"},
    "link-local": {"address": "169.254.1.1"},
    "multicast-of-a-link": {"address": "ff12::1"},
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_instance_costs_only_itself(kind, sync, space, catalog, consul):
    catalog.put(WEB, WEB.with_(number=7, **BAD[kind]))
    daemon = sync(consul, space)
    assert space.endpoints("web") == {Endpoint("10.64.0.1", 8080, True)}
    daemon.await_log("web-7")


def test_service_without_a_port(sync, space, catalog, consul):
    catalog.put(WEB.with_(port=0))
    sync(consul, space)
    space.await_has(WEB.with_(port=0))


def test_meta_says_more(sync, space, catalog, consul):
    catalog.put(
        WEB.with_(
            meta={
                "kubernetes-port-name": "grpc",
                "kubernetes-app-protocol": "kubernetes.io/h2c",
            },
            node_meta={
                "kubernetes-node-name": "worker-1.example.org",
                "kubernetes-zone": "eu-1a",
            },
        )
    )
    sync(consul, space)
    (port,) = space.get("services", "web")["spec"]["ports"]
    assert (port["name"], port["appProtocol"]) == ("grpc", "kubernetes.io/h2c")
    slice_ = space.get("endpointslices", "web-consul")
    (port,) = slice_["ports"]
    assert (port["name"], port["appProtocol"]) == ("grpc", "kubernetes.io/h2c")
    (endpoint,) = slice_["endpoints"]
    assert endpoint["nodeName"] == "worker-1.example.org"
    assert endpoint["zone"] == "eu-1a"


def test_bad_meta_costs_only_itself(sync, space, catalog, consul):
    catalog.put(
        WEB.with_(
            meta={
                "kubernetes-port-name": "Not A Name",
                "kubernetes-app-protocol": "a b",
            },
            node_meta={"kubernetes-node-name": "_", "kubernetes-zone": "a b"},
        )
    )
    daemon = sync(consul, space)
    assert space.has(WEB)
    (port,) = space.get("services", "web")["spec"]["ports"]
    assert port["name"] == "http" and "appProtocol" not in port
    daemon.await_log("Not A Name")


LOOPS = [
    {"external-source": "kubernetes"},
    {"external-sync-source": "katalog-sync"},
]


@pytest.mark.parametrize("meta", LOOPS)
@pytest.mark.parametrize("allowed", [False, True])
def test_what_came_from_kubernetes(
    allowed, meta, sync, space, catalog, consul
):
    pod = Instance("pod", address="10.64.0.9", meta=meta)
    catalog.put(WEB, pod)
    sync(consul, space, allow_loops="true" if allowed else "false")
    assert space.has(WEB, pod) if allowed else space.has(WEB)


@pytest.mark.long
def test_changes_follow(sync, space, catalog, consul):
    """Instances and services come, change and go."""
    items = instances("web", 3) + instances("api", 3, base=100)
    catalog.put(*items)
    sync(consul, space)
    assert space.has(*items)
    more = instances("new", 2, base=200)
    catalog.put(*more)
    items += more
    space.await_has(*items)
    items[0] = items[0].with_(address="10.65.0.1", port=81)
    catalog.put(items[0])
    # Consul's lists do not say which service changed: it is found by a sweep,
    # which is made once a minute at the latest.
    space.await_has(*items, timeout=75)
    catalog.remove(items.pop(1))
    space.await_has(*items)
    catalog.remove(*more)
    items = items[:-2]
    space.await_has(*items)
    assert "new" not in space.services()
