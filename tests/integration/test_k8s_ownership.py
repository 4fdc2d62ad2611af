"""Whose objects are whose: taken over, left alone, put right."""

import copy
import json

import pytest

from harness.catalog import TAG, Instance, instances
from harness.space import (
    ACCOUNT,
    INSTANCE,
    MANAGED,
    NAME,
    SERVICE_NAME,
    SLICE_MANAGED,
    Endpoint,
)
from harness.waiting import await_for, holds_for

DOMAIN = "example.org"
MANAGER = "consul-sync"
NOT_OURS = "space-[0-9]+/web .* not katalogd's"
WEB = Instance("web", address="10.64.0.1", tags=(TAG, "internal"))


def originals_service(name):
    """As the original applies it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": {MANAGED: "consul-sync", NAME: name},
        },
        "spec": {
            "clusterIP": "None",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        },
    }


def originals_slice(name, *addresses):
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-consul",
            "labels": {
                SERVICE_NAME: name,
                SLICE_MANAGED: "consul-sync",
                MANAGED: "consul-sync",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [a], "conditions": {"ready": True}}
            for a in addresses
        ],
    }


def originals_route(name, gateway, namespace):
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": f"{name}-{gateway}",
            "labels": {MANAGED: "consul-sync", NAME: name},
        },
        "spec": {
            "parentRefs": [
                {
                    "name": gateway,
                    "namespace": namespace,
                    "sectionName": "https",
                }
            ],
            "hostnames": [f"{name}.{DOMAIN}"],
            "rules": [{"backendRefs": [{"name": name, "port": 8080}]}],
        },
    }


@pytest.fixture
def put(space, shared_cluster):
    """put(kind, object, manager): into the namespace, as somebody's."""

    def put_one(kind, item, manager="somebody"):
        shared_cluster.apply(kind, space.name, item, manager)

    return put_one


def uids(space):
    return {
        (kind, name): item["metadata"]["uid"]
        for kind in ("services", "endpointslices", "httproutes")
        for name, item in space.objects(kind).items()
    }


def test_originals_objects_are_taken_over(sync, space, put, catalog, consul):
    """Not made anew; dead endpoints go; so does what nobody wants."""
    items = [WEB, *instances("api", 2, base=10)]
    catalog.put(*items)
    for name in ("web", "api", "old"):
        put("services", originals_service(name), MANAGER)
        put("endpointslices", originals_slice(name, "10.99.0.1"), MANAGER)
    route = originals_route("web", "envoy-internal", space.name)
    put("httproutes", route, MANAGER)
    before = uids(space)
    sync(consul, space, domain_suffix=DOMAIN)
    space.await_has(*items, timeout=10)
    after = uids(space)
    gone = {("services", "old"), ("endpointslices", "old-consul")}
    assert after == {k: v for k, v in before.items() if k not in gone}


def test_second_start_writes_nothing(sync, space, catalog, consul):
    items = instances("web", 3, tags=(TAG, "internal")) + instances("api", 2)
    catalog.put(*items)
    sync(consul, space, domain_suffix=DOMAIN).stop()
    before, mark = space.versions(), space.cluster.mark()
    sync(consul, space, domain_suffix=DOMAIN, name="second")
    holds_for(lambda: space.versions() == before, 1)
    assert space.writes(mark) == []


def test_stop_leaves_the_objects(sync, space, catalog, consul):
    catalog.put(WEB)
    daemon = sync(consul, space)
    before = space.versions()
    daemon.stop()
    assert space.versions() == before


def test_names_that_collide_stay_whose_they_are(sync, space, catalog, consul):
    """The older one's instances are rolled, and so younger, at a restart."""
    catalog.put(Instance("a-b", 1, address="10.64.0.1"))
    catalog.put(Instance("a_b", address="10.64.0.2"))
    daemon = sync(consul, space)
    catalog.put(rolled := Instance("a-b", 2, address="10.64.0.3"))
    catalog.remove(Instance("a-b", 1, address="10.64.0.1"))
    addresses = {Endpoint(rolled.address, 8080, True)}
    await_for(lambda: space.endpoints("a-b") == addresses, 10)
    daemon.stop()
    mark = space.cluster.mark()
    sync(consul, space, name="second")
    holds_for(lambda: space.endpoints("a-b") == addresses, 1)
    assert space.writes(mark) == []


def foreign(name):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {MANAGED: "helm"}},
        "spec": {"ports": [{"port": 1}], "selector": {"app": name}},
    }


def test_foreign_service_is_left_alone(sync, space, put, catalog, consul):
    put("services", foreign("web"))
    before = space.get("services", "web")
    other = Instance("other", address="10.64.0.2")
    catalog.put(WEB, other)
    daemon = sync(consul, space, domain_suffix=DOMAIN, wait=False)
    await_for(lambda: space.endpoints("other"))
    daemon.await_log(NOT_OURS)
    await_for(lambda: daemon.metric("katalogd_k8s_objects", state="foreign"))
    objects = {(o["kind"], o["name"]): o for o in daemon.status()["objects"]}
    assert objects["Service", "web"]["actual"] == "foreign"
    # It goes on with the rest, also with changes of that service.
    catalog.set_status(WEB, "critical")
    catalog.put(other.with_(number=1, address="10.64.0.3"))
    await_for(lambda: len(space.endpoints("other")) == 2)
    assert space.get("services", "web") == before
    # Nor do its endpoints get mixed with ours.
    assert space.slices("web") == {}


def test_foreign_service_that_goes_away(sync, space, put, catalog, consul):
    put("services", foreign("web"))
    catalog.put(WEB)
    daemon = sync(consul, space, wait=False)
    daemon.await_log(NOT_OURS)
    space.cluster.delete("services", space.name, "web")
    space.await_has(WEB)


def test_foreign_route_is_left_alone(sync, space, put, catalog, consul):
    route = originals_route("web", "envoy-internal", "elsewhere")
    route["metadata"]["labels"] = {MANAGED: "helm"}
    put("httproutes", route)
    before = space.routes()
    catalog.put(WEB)
    daemon = sync(consul, space, domain_suffix=DOMAIN, wait=False)
    daemon.await_log("web-envoy-internal .* not katalogd's")
    space.await_has(WEB)
    assert space.routes() == before


def test_name_of_a_slice_is_taken(sync, space, put, catalog, consul):
    """Another name does as well."""
    theirs = originals_slice("web", "10.99.0.1")
    theirs["metadata"]["labels"] = {MANAGED: "helm", SERVICE_NAME: "other"}
    put("endpointslices", theirs)
    before = space.get("endpointslices", "web-consul")
    catalog.put(WEB)
    sync(consul, space)
    (name,) = space.slices("web")
    assert name.startswith("web-consul-")
    assert len(space.endpoints("web")) == 1
    assert space.get("endpointslices", "web-consul") == before


def nested(depth):
    return {"f:x": nested(depth - 1)} if depth > 0 else {}


def test_deep_objects_of_others(sync, space, shared_cluster, catalog, consul):
    """What nobody reads of a Service may be as deep as the apiserver takes."""
    deep = foreign("deep")
    deep["metadata"]["managedFields"] = [
        {
            "manager": "somebody",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:metadata": nested(200)},
        }
    ]
    shared_cluster.create("services", space.name, deep)
    catalog.put(WEB)
    sync(consul, space)
    # And as an event.
    shared_cluster.delete("services", space.name, "deep")
    shared_cluster.create("services", space.name, deep)
    catalog.put(more := Instance("more", address="10.64.0.9"))
    shared_cluster.delete("services", space.name, "deep")
    space.await_has(WEB, more)


# What the apiserver writes as six bytes each.
HEAVY = {"x": "<" * 250 * 1024}


@pytest.mark.long
def test_large_services_of_others(sync, space, put, catalog, consul):
    """More than a page may have: they come in smaller pages."""
    for n in range(50):
        item = foreign(f"heavy{n}")
        item["metadata"]["annotations"] = HEAVY
        put("services", item)
    catalog.put(WEB)
    daemon = sync(consul, space, wait=False).await_ready(60)
    await_for(lambda: space.slices("web") != {}, 20)
    assert not daemon.log_lines("warn.*kubernetes at")


def with_port(slice_, port):
    return {**slice_, "ports": [{**slice_["ports"][0], "port": port}]}


@pytest.mark.parametrize("port", [0, 70000])
def test_slices_with_odd_ports(port, sync, space, put, catalog, consul):
    """The apiserver takes any: ours are put right, or go; no list fails."""
    catalog.put(WEB)
    for name in ("web", "gone"):
        odd = with_port(originals_slice(name, "10.99.0.1"), port)
        put("endpointslices", odd, MANAGER)
    sync(consul, space)
    space.await_has(WEB, timeout=10)
    await_for(lambda: set(space.slices()) == {"web-consul"}, 20)
    (slice_,) = space.slices().values()
    assert [p["port"] for p in slice_["ports"]] == [WEB.port]


def test_unrelated_objects_are_never_touched(
    sync, space, put, catalog, consul
):
    put("services", foreign("theirs"))
    before = space.get("services", "theirs")
    items = instances("web", 1) + instances("api", 1, base=5)
    catalog.put(*items)
    sync(consul, space)
    catalog.remove(items[0])
    await_for(lambda: "web" not in space.services())
    assert space.get("services", "theirs") == before


def test_instance_ids_share_a_namespace(sync, space, catalog, consul):
    """Each has its own objects, with a label that says so."""
    catalog.put(WEB, Instance("mine", address="10.64.0.2", tags=("b",)))
    sync(consul, space, name="a", instance_id="a")
    sync(consul, space, name="b", instance_id="b", consul_tag="b")
    await_for(lambda: set(space.services()) == {"web", "mine"})
    labels = {
        name: item["metadata"]["labels"][INSTANCE]
        for name, item in space.services().items()
    }
    assert labels == {"web": "a", "mine": "b"}
    before = space.versions()
    holds_for(lambda: space.versions() == before, 1)


def edit_port(service):
    service["spec"]["ports"][0]["port"] = 9


def add_port(service):
    service["spec"]["ports"].append({"name": "more", "port": 9})


def add_selector(service):
    # With one, the apiserver takes no two families where it has but one.
    del service["spec"]["ipFamilies"][1:]
    service["spec"]["ipFamilyPolicy"] = "SingleStack"
    service["spec"]["selector"] = {"app": "x"}


def drop_label(service):
    del service["metadata"]["labels"][NAME]


def parts(service):
    """What is ours of it."""
    spec = service["spec"]
    labels = service["metadata"]["labels"]
    return labels, spec.get("ports"), spec.get("selector")


EDITS = {
    f.__name__: f for f in (edit_port, add_port, add_selector, drop_label)
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_service_is_put_right_at_once(
    edit, sync, space, catalog, consul
):
    catalog.put(WEB)
    sync(consul, space)
    before = space.get("services", "web")
    edited = copy.deepcopy(before)
    EDITS[edit](edited)
    path = f"/api/v1/namespaces/{space.name}/services/web"
    space.cluster.request("PUT", path, edited)

    def is_right():
        return parts(space.get("services", "web")) == parts(before)

    await_for(is_right)
    assert all(states_of_ports(space, before))


def states_of_ports(space, since):
    """The ports that the Service web has had since then."""
    events = space.cluster.request(
        "GET",
        f"/api/v1/namespaces/{space.name}/services?watch=1&timeoutSeconds=1"
        f"&resourceVersion={since['metadata']['resourceVersion']}",
    )
    found = [json.loads(line)["object"] for line in events.splitlines()]
    assert found
    return [service["spec"].get("ports") for service in found]


def test_port_that_was_edited_changes(sync, space, catalog, consul):
    """Whoever has set it once: what Consul says is there, at all times."""
    catalog.put(WEB)
    daemon = sync(consul, space)
    before = space.get("services", "web")
    edited = copy.deepcopy(before)
    edit_port(edited)
    path = f"/api/v1/namespaces/{space.name}/services/web"
    space.cluster.request("PUT", path, edited)
    await_for(lambda: ports_of(space) == [WEB.port])
    # What only a sweep of Consul shows.
    catalog.put(WEB.with_(port=81))
    await_for(lambda: ports_of(space) == [81], 20)
    assert all(states_of_ports(space, before))
    assert daemon.log_lines("trying again") == []


def ports_of(space):
    return [p["port"] for p in space.get("services", "web")["spec"]["ports"]]


def test_edited_slice_is_put_right_at_once(sync, space, catalog, consul):
    items = instances("web", 3)
    catalog.put(*items)
    sync(consul, space)
    space.cluster.patch(
        "endpointslices", space.name, "web-consul", {"endpoints": []}
    )
    space.await_has(*items)


@pytest.mark.parametrize(
    "kind, name",
    [
        ("services", "web"),
        ("endpointslices", "web-consul"),
        ("httproutes", "web-envoy-internal"),
    ],
)
def test_deleted_object_is_put_right_at_once(
    kind, name, sync, space, catalog, consul
):
    catalog.put(WEB)
    sync(consul, space, domain_suffix=DOMAIN)
    before = uids(space)
    space.cluster.delete(kind, space.name, name)
    await_for(lambda: uids(space).keys() == before.keys())
    # No garbage collector is here: the slice names the new Service itself.
    await_for(lambda: owner_of(space) == uids(space)["services", "web"])


def owner_of(space):
    slice_ = space.get("endpointslices", "web-consul")
    return slice_["metadata"]["ownerReferences"][0]["uid"]


@pytest.mark.parametrize(
    "off", [{}, {"domain_suffix": DOMAIN, "enable_httproutes": "false"}]
)
def test_routes_go_when_they_are_turned_off(off, sync, space, catalog, consul):
    catalog.put(WEB)
    sync(consul, space, domain_suffix=DOMAIN).stop()
    assert space.routes() != {}
    mark = space.cluster.mark()
    sync(consul, space, name="second", **off)
    await_for(lambda: space.routes() == {}, 10)
    assert {w.resource for w in space.writes(mark)} == {"httproutes"}
    assert space.has(WEB)


def asked_for_routes(space):
    return [
        r
        for r in space.cluster.audited(user=space.user)
        if r.resource == "httproutes"
    ]


@pytest.mark.parametrize("allowed", [False, True])
def test_routes_that_are_off_cost_one_request(
    allowed, sync, space, catalog, consul
):
    """And need no rights."""
    rules = [
        r
        for r in space.get("roles", ACCOUNT)["rules"]
        if allowed or "httproutes" not in r["resources"]
    ]
    space.cluster.patch("roles", space.name, ACCOUNT, {"rules": rules})
    catalog.put(WEB)
    daemon = sync(consul, space)
    assert space.has(WEB)
    await_for(lambda: asked_for_routes(space))
    holds_for(lambda: len(asked_for_routes(space)) == 1, 1)
    assert asked_for_routes(space)[0].status == (200 if allowed else 403)
    assert not daemon.log_lines("httproutes")


def test_last_service_goes(sync, space, catalog, consul):
    """More than max-delete-ratio: it counts at the second look."""
    items = instances("web", 2) + instances("api", 2, base=10)
    catalog.put(*items)
    sync(consul, space)
    catalog.remove(*items)
    await_for(lambda: space.services() == {} == space.slices(), 20)
