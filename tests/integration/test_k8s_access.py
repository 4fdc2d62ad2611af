"""How katalogd gets into the cluster, with what rights, and --dry-run."""

import base64
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import pods as P
from harness.catalog import TAG, Catalog, Instance, instances
from harness.consul import Consul
from harness.daemon import BUILD, run
from harness.space import ACCOUNT, manifest
from harness.waiting import await_for, free_port, holds_for

DOMAIN = "example.org"
WEB = Instance("web", address="10.64.0.1", tags=(TAG, "internal"))
ROLE = ACCOUNT


# ---- rights ----------------------------------------------------------------


def rules(space):
    return space.get("roles", ROLE)["rules"]


def without(wanted, verb, resource):
    return [
        {**r, "verbs": [v for v in r["verbs"] if v != verb] or ["nothing"]}
        if resource in r["resources"]
        else r
        for r in wanted
    ]


# Each verb of the role; for delete see below.
MISSING = [
    (verb, resource)
    for resource in ("services", "endpointslices", "httproutes")
    for verb in ("list", "watch", "create", "patch")
] + [(verb, "leases") for verb in ("get", "create", "update")]


@pytest.mark.parametrize("verb, resource", MISSING)
def test_missing_verb_is_named(verb, resource, sync, space, catalog, consul):
    catalog.put(WEB)
    wanted = rules(space)
    some = {"rules": without(wanted, verb, resource)}
    space.cluster.patch("roles", space.name, ROLE, some)
    daemon = sync(
        consul, space, domain_suffix=DOMAIN, leader_elect="yes", wait=False
    )
    daemon.await_log(rf"\b{verb}\b.*\b{resource}\b", 10)
    # Its first Lease it has by create: it is in step, and then can't renew it.
    assert verb == "update" or not daemon.is_ready
    space.cluster.patch("roles", space.name, ROLE, {"rules": wanted})
    daemon.await_ready(40)
    assert space.has(WEB)


def test_no_verb_is_forgotten(space):
    given = {
        (verb, resource)
        for rule in rules(space)
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    deletes = {pair for pair in given if pair[0] == "delete"}
    assert given - deletes == set(MISSING)
    assert {resource for _, resource in deletes} == set(DELETED)


DELETED = {
    "services": {},
    "endpointslices": {},
    "httproutes": {"domain_suffix": DOMAIN},
}


@pytest.mark.parametrize("resource", DELETED)
def test_missing_delete_is_named(resource, sync, space, catalog, consul):
    """Nothing else fails for it."""
    items = [WEB, *instances("api", 1, base=5)]
    catalog.put(*items)
    some = {"rules": without(rules(space), "delete", resource)}
    space.cluster.patch("roles", space.name, ROLE, some)
    daemon = sync(consul, space, **DELETED[resource])
    catalog.remove(items[0])
    daemon.await_log(rf"\bdelete\b.*\b{resource}\b")
    changed = catalog.set_status(items[1], "critical")
    await_for(lambda: not any(e.ready for e in space.endpoints("api")))
    assert changed.service == "api"


def test_no_rights_at_all(sync, space, catalog, consul):
    catalog.put(WEB)
    space.cluster.patch("roles", space.name, ROLE, {"rules": []})
    daemon = sync(consul, space, wait=False)
    daemon.await_log(r"\blist\b.*\bservices\b")
    await_for(lambda: "k8s-writer" in daemon.get("/readyz")[1])
    assert daemon.get("/readyz")[0] == 503


def test_namespace_that_is_not_there(sync, space, catalog, consul):
    """Its account's token is of another one: forbidden, and said so."""
    catalog.put(WEB)
    daemon = sync(consul, space, target_namespace="nowhere", wait=False)
    daemon.await_log("nowhere")
    assert not daemon.is_ready


# ---- ways in ---------------------------------------------------------------


def test_in_a_cluster(sync, space, catalog, consul):
    """As a pod finds it, with leader election by default."""
    catalog.put(WEB)
    env = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(space.cluster.port),
    }
    sync(consul, space, env=env, k8s_api=None)
    assert space.has(WEB)
    lease = space.get("leases", ACCOUNT)
    assert lease["spec"]["holderIdentity"]


def b64(path):
    return base64.b64encode(path.read_bytes()).decode()


def ca_as_data(space):
    return {"certificate-authority-data": b64(space.cluster.ca)}


def ca_as_file(space):
    return {"certificate-authority": str(space.cluster.ca)}


def kubeconfig(space, user, ca=ca_as_data):
    path = space.folder / "kubeconfig"
    cluster = {"server": space.cluster.url, **ca(space)}
    context = {"cluster": "c", "user": "u"}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "contexts": [{"name": "x", "context": context}],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    path.chmod(0o600)
    return path


def token_user(space):
    return {"token": space.token()}


def token_file_user(space):
    return {"tokenFile": str(space.token_file)}


def certificate(space):
    """Of a user by the account's name, who gets its role."""
    pair = space.cluster.clients.issue(f"user-{space.name}")
    subject = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "User",
        "name": f"user-{space.name}",
    }
    space.cluster.patch(
        "rolebindings", space.name, ROLE, {"subjects": [subject]}
    )
    return pair


def certificate_user(space):
    pair = certificate(space)
    return {
        "client-certificate-data": b64(pair.cert),
        "client-key-data": b64(pair.key),
    }


def certificate_file_user(space):
    pair = certificate(space)
    return {
        "client-certificate": str(pair.cert),
        "client-key": str(pair.key),
    }


USERS = {
    f.__name__: f
    for f in (
        token_user,
        token_file_user,
        certificate_user,
        certificate_file_user,
    )
}
NO_ACCESS = dict.fromkeys(("k8s_api", "k8s_ca", "k8s_token_file"))


@pytest.mark.parametrize(
    "user, ca",
    [(user, ca_as_data) for user in USERS] + [("token_user", ca_as_file)],
)
def test_kubeconfig(user, ca, sync, space, catalog, consul):
    catalog.put(WEB)
    path = kubeconfig(space, USERS[user](space), ca)
    sync(consul, space, kubeconfig=path, **NO_ACCESS)
    assert space.has(WEB)
    # Outside of a cluster there is no Lease unless it is asked for.
    assert space.objects("leases") == {}


def test_wrong_ca_is_refused(sync, space, catalog, consul, tmp_path):
    catalog.put(WEB)
    daemon = sync(consul, space, k8s_ca=space.cluster.clients.ca, wait=False)
    daemon.await_log("(?i)certificate")
    assert space.services() == {}


def test_as_consul_sync(sync, space, catalog, consul, tmp_path):
    """By its name and its environment alone."""
    program = tmp_path / "consul-sync"
    program.symlink_to(BUILD / "katalogd")
    catalog.put(WEB.with_(tags=("mine", "in", "out")))
    port = free_port()
    daemon = sync(
        consul,
        space,
        program=program,
        env={
            "CONSUL_ADDR": consul.address,
            "CONSUL_TAG": "mine",
            "TARGET_NAMESPACE": space.name,
            "METRICS_ADDR": f"127.0.0.1:{port}",
            "RESYNC_INTERVAL": "1m",
            "DOMAIN_SUFFIX": DOMAIN,
            "ENABLE_HTTPROUTES": "true",
            "INTERNAL_TAG": "in",
            "INTERNAL_GATEWAY": "inner",
            "EXTERNAL_TAG": "out",
            "EXTERNAL_GATEWAY": "outer",
            "GATEWAY_NAMESPACE": "gateways",
            "GATEWAY_LISTENER": "plain",
            "KUBECONFIG": str(kubeconfig(space, token_user(space))),
        },
        to_k8s=None,
        consul_addr=None,
        metrics_bind_address=None,
        target_namespace=None,
        **NO_ACCESS,
    )
    assert space.has(WEB)
    assert set(space.routes()) == {"web-inner", "web-outer"}
    (parent,) = space.get("httproutes", "web-inner")["spec"]["parentRefs"]
    assert parent["namespace"] == "gateways"
    assert parent["sectionName"] == "plain"
    daemon.options["metrics_bind_address"] = f"127.0.0.1:{port}"
    _, version = daemon.get("/version", over_tcp=True)
    assert json.loads(version)["version"]


def test_consul_by_unix_socket(sync, space, tmp_path):
    path = tmp_path / "c.sock"
    addresses = {"http": f"127.0.0.1 unix://{path}"}
    with Consul(tmp_path, {"addresses": addresses}) as agent:
        catalog = Catalog(agent)
        catalog.put(WEB)
        daemon = sync(f"unix://{path}", space)
        assert space.has(WEB)
        space.await_has(catalog.set_status(WEB, "critical"))
        daemon.stop()


def test_both_directions_in_one(start, space, kubelet, catalog, consul):
    """Pods go to Consul, and do not come back from there."""
    catalog.put(WEB)
    kubelet.put(P.web_pod(service_tags=TAG, service_names="pod"))
    daemon = start(
        kubelet, consul, to_consul="true", to_k8s="true", **space.access()
    )
    await_for(lambda: len(consul.statuses()) == 1)
    space.await_has(WEB)
    assert len(daemon.status()["workers"]) == 5


# ---- what it says ----------------------------------------------------------


def test_status_lists_every_object(sync, space, catalog, consul):
    catalog.put(WEB)
    daemon = sync(consul, space, domain_suffix=DOMAIN)
    objects = {(o["kind"], o["name"]): o for o in daemon.status()["objects"]}
    assert set(objects) == {
        ("Service", "web"),
        ("EndpointSlice", "web-consul"),
        ("HTTPRoute", "web-envoy-internal"),
    }
    for item in objects.values():
        assert item["namespace"] == space.name
        assert item["service"] == "web"
        assert (item["desired"], item["actual"]) == ("present", "current")
        assert item["error"] == ""


# The parser takes _total off the name of a counter, and of no other.
CONSUL_SYNC = {
    "consul_sync_services_total": "gauge",
    "consul_sync_endpoints_total": "gauge",
    "consul_sync_httproutes_total": "gauge",
    "consul_sync_reconcile": "counter",
    "consul_sync_consul_errors": "counter",
    "consul_sync_kubernetes_errors": "counter",
    "katalogd_consul_reader_request_seconds": "histogram",
    "katalogd_k8s_request_seconds": "histogram",
}


def test_metrics_of_both_sides(sync, space, catalog, consul):
    items = [WEB, *instances("api", 2, base=10)]
    catalog.put(*items, instances("api", 1, base=90)[0].with_(number=7))
    daemon = sync(consul, space, domain_suffix=DOMAIN)
    figures = {
        "consul_sync_services_total": 2,
        "consul_sync_endpoints_total": 4,
        "consul_sync_httproutes_total": 1,
        "consul_sync_consul_errors_total": 0,
        "consul_sync_kubernetes_errors_total": 0,
        "katalogd_k8s_leader": 1,
    }
    for name, value in figures.items():
        await_for(lambda n=name, v=value: daemon.metric(n) == v, what=name)
    kinds = {
        f.name: f.type
        for f in text_string_to_metric_families(daemon.get("/metrics")[1])
    }
    assert {name: kinds[name] for name in CONSUL_SYNC} == CONSUL_SYNC
    ok = daemon.metric("consul_sync_reconcile_total", status="success")
    assert ok >= 1
    assert daemon.metric("consul_sync_reconcile_total", status="error") == 0
    assert daemon.metric("katalogd_k8s_objects", state="desired") == 5


def test_dry_run_is_accepted_by_kubectl(space, catalog, consul, tmp_path):
    items = [
        WEB,
        WEB.with_(number=1, address="fd00:1::1"),
        *instances("api", 3, base=10),
        Instance("a_b", address="10.64.9.1", port=0),
    ]
    catalog.put(*items)
    access = {**space.access(), "k8s_token_file": space.token_file}
    done = run(
        "--config=/dev/null",
        "--to-k8s",
        "--dry-run",
        "--log-target=stderr",
        f"--libexec-dir={BUILD}",
        f"--runtime-dir={tmp_path}/run",
        f"--consul-addr={consul.address}",
        f"--domain-suffix={DOMAIN}",
        *(f"--{k.replace('_', '-')}={v}" for k, v in access.items()),
    )
    assert done.returncode == 0, done.stderr
    assert space.services() == {}
    kubectl = space.cluster.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "--filename=-"),
        stdin=done.stdout,
    )
    assert kubectl.returncode == 0, kubectl.stderr + done.stdout
    for name in (
        "service/web created",
        "service/api created",
        "service/a-b created",
        "endpointslice.discovery.k8s.io/web-consul created",
        "httproute.gateway.networking.k8s.io/web-envoy-internal created",
    ):
        assert name in kubectl.stdout


def test_dry_run_with_consul_away(space, tmp_path):
    done = run(
        "--config=/dev/null",
        "--to-k8s",
        "--dry-run",
        f"--libexec-dir={BUILD}",
        f"--runtime-dir={tmp_path}/run",
        f"--consul-addr=127.0.0.1:{free_port()}",
        *(f"--{k.replace('_', '-')}={v}" for k, v in space.access().items()),
    )
    assert done.returncode == 1
    assert done.stdout == ""


# ---- routes without their CRD ----------------------------------------------


@pytest.fixture
def without_routes(shared_cluster):
    shared_cluster.remove_routes()
    yield shared_cluster
    shared_cluster.add_routes()


def test_routes_when_their_crd_appears(
    without_routes, sync, space, catalog, consul
):
    """Said once where there is none; everything else is as ever."""
    catalog.put(WEB)
    daemon = sync(consul, space, domain_suffix=DOMAIN)
    assert space.has(WEB)
    without_routes.add_routes()
    await_for(space.routes, 30, "the route")
    assert len(daemon.log_lines(NO_ROUTES)) == 1
    assert len(daemon.log_lines("watch customresourcedefinitions")) == 1
    # It goes again.
    without_routes.remove_routes()
    await_for(lambda: len(daemon.log_lines(NO_ROUTES)) == 2, 30)
    flipped = catalog.set_status(WEB, "critical")
    space.await_has(flipped)


NO_ROUTES = "has no httproutes"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def hears_of_routes(space):
    """Its account has what contrib has for that, too."""
    made = []
    for item in manifest(space.cluster, "rbac-to-k8s-routes.yaml"):
        path = f"{RBAC}/{item['kind'].lower()}s"
        for subject in item.get("subjects", []):
            subject["namespace"] = space.name
        space.cluster.request("POST", path, item)
        made.append(f"{path}/{item['metadata']['name']}")
    yield
    for path in made:
        space.cluster.request("DELETE", path)


def test_routes_are_not_asked_for(
    without_routes, hears_of_routes, sync, space, catalog, consul
):
    """We hear of their CRD, whenever it comes and goes."""
    catalog.put(WEB)
    daemon = sync(consul, space, domain_suffix=DOMAIN, leader_elect="yes")
    # It is sure of that after a moment.
    holds_for(lambda: not space.routes(), 3)
    assert daemon.metric("consul_sync_kubernetes_errors_total") == 0
    for times in (2, 3):
        mark = space.cluster.mark()
        holds_for(lambda: not space.routes(), 5)
        assert asked_for_routes(space, mark) == []
        without_routes.add_routes()
        await_for(space.routes, 5, "the route")
        without_routes.remove_routes()
        await_for(lambda n=times: len(daemon.log_lines(NO_ROUTES)) == n, 10)
        holds_for(lambda: not space.routes(), 3)
        assert len(asked_for_routes(space, mark)) < 30
    assert space.deletions() == []
    assert daemon.log_lines("watch customresourcedefinitions") == []
    assert daemon.is_ready


def asked_for_routes(space, since):
    return [
        r
        for r in space.cluster.audited(since, user=space.user)
        if r.resource == "httproutes" or "httproutes" in r.resource
    ]
